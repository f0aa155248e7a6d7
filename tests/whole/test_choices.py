"""
Every shape of line and every kind of manifest, on both APIs, over the whole stack.

One deployment has them all, by its routes. What the tests of a run look at is dropped
at once; then each looks at what became of one drop.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from batchdrop.jobs.values import Drop
from batchdrop_local.stack import Stack
from tests.often import mostly
from tests.waiting import until
from tests.whole.conftest import is_used
from tests.whole.deployment import Deployment, looking_at

pytestmark = pytest.mark.filterwarnings(
    "ignore:The return_immediately flag is deprecated"
)

CONTENTS: Any = [{"role": "user", "parts": [{"text": "hello"}]}]
CONTENT: Any = {"parts": [{"text": "hello"}]}
MESSAGES: Any = {"messages": [{"role": "user", "content": "hello"}]}
CLAUDE: Any = {**MESSAGES, "anthropic_version": "vertex-2023-10-16", "max_tokens": 9}

GEMINI = {
    "contents": {"contents": CONTENTS},
    "request": {"request": {"contents": CONTENTS}},
    "key": {"key": "mine", "request": {"contents": CONTENTS}},
    "custom_id": {"custom_id": "mine", "request": {"contents": CONTENTS}},
}
EMBEDDING = {
    "content": {"content": CONTENT},
    "text": {"text": "hello"},
    "contents": {"contents": "hello"},
    "key": {"key": "mine", "request": {"content": CONTENT}},
}
OTHERS = {
    "vertex/claude/custom_id": {"custom_id": "mine", "request": CLAUDE},
    "vertex/claude/request": CLAUDE,
    "vertex/open/body": {
        "custom_id": "mine",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": MESSAGES,
    },
    "vertex/europe/contents": GEMINI["contents"],
}
#: One line of each shape, by the name of the file that has two of it.
SHAPES: dict[str, Any] = {
    **{
        f"{api}/{s}": line
        for api in ("vertex", "developer")
        for s, line in GEMINI.items()
    },
    **{
        f"{api}/embedding/{s}": line
        for api in ("vertex", "developer")
        for s, line in EMBEDDING.items()
    },
    **{f"vertex/text-embedding/{s}": line for s, line in EMBEDDING.items()},
    **OTHERS,
}
TABLE = "vertex/table.job.json"
ROW = json.dumps(GEMINI["contents"]) + "\n"
BAD = ROW + '{"contents": []}\n'


def two(line: dict[str, Any]) -> str:
    """Two lines, with keys of their own."""
    ids = [name for name in ("key", "custom_id") if name in line]
    return "".join(
        json.dumps(line | {name: f"mine-{n}" for name in ids}) + "\n" for n in (1, 2)
    )


#: Those tried each time. Each shape is read in tests/preflight, and answered in
#: tests/batchsim.
OFTEN = ("developer/key", "developer/embedding/content", "vertex/claude/custom_id")


def manifests(inbox: str, table: str) -> dict[str, dict[str, Any]]:
    """One of each kind that starts a job, by the name of its object."""
    inline = [
        {"contents": "one", "metadata": {"key": "a"}},
        {"contents": "two", "config": {"temperature": 0}},
    ]
    objects = [f"gs://{inbox}/elsewhere/{name}.rows" for name in "ab"]
    kinds: dict[str, dict[str, Any]] = {
        "inline": {"src": inline},
        "rows": {"src": [GEMINI["contents"], GEMINI["contents"]]},
        "object": {"src": objects[0]},
        "objects": {"src": objects},
        "model": {"model": "gemini-4-argon", "src": inline},
    }
    return {
        **{
            f"{api}/{name}.job.json": manifest
            for api in ("vertex", "developer")
            for name, manifest in kinds.items()
        },
        TABLE: {"src": f"bq://{table}"},
    }


class Night(Deployment):
    """A deployment after everything was dropped at once."""

    drops: dict[str, Any]

    def over(self, name: str) -> dict[str, Any]:
        """What became of one drop, once its answers are where they stay."""
        drop = self.drops[name]
        return until(lambda: self._done(drop))

    def _done(self, drop: Drop) -> dict[str, Any] | None:
        """The job if it is over and nothing collects it or its parts; else None."""
        job = self.at(drop, "ended", "rejected")
        jobs = self.database.collection("jobs")
        for id in (drop.job_id, *(job or {}).get("parts", {})):
            if "collecting" in (jobs.document(id).get().to_dict() or {}):
                return None
        return job

    def results(self, name: str, rows: int) -> list[dict[str, Any]]:
        """The results of a drop, once there are so many."""
        ending = f"/{self.drops[name].job_id}/results.jsonl"

        def enough() -> list[dict[str, Any]]:
            found = self.lines(name, ending)
            return found if len(found) >= rows else []

        return until(enough)

    def lines(self, name: str, ending: str) -> list[dict[str, Any]]:
        """The lines of the objects under a drop's output that are named so."""
        bucket = self.stack.buckets["output"]
        prefix = f"{name}/{self.drops[name].job_id}/"
        return [
            json.loads(line)
            for blob in self.gcs.list_blobs(bucket, prefix=prefix)
            if blob.name.endswith(ending)
            for line in blob.download_as_text().splitlines()
        ]


@pytest.fixture(scope="module")
def night(request: pytest.FixtureRequest, shared_stack: Stack) -> Iterator[Night]:
    """The shared stack, with all that the tests of this run look at in its inbox."""
    with looking_at(shared_stack, "choices", Night) as night:
        names = looked_at(request.session)
        if is_used(request.session, "table"):
            table: str = request.getfixturevalue("table")
            drop_all(night, names | {TABLE}, table)
        else:
            drop_all(night, names)
        yield night


#: The files of a test, by the name of the parameter that names the API.
FILES = {
    "accompanied": ("spoken.job.json", "spoken.jsonl"),
    "parted": ("parts/file.jsonl",),
    "bad": ("bad.jsonl",),
}


def looked_at(session: pytest.Session) -> set[str]:
    """The drops that tests of this run look at, by their names."""
    found = {f"vertex/required/file.{ending}" for ending in ("jsonl", "job.json")}
    for item in session.items:
        case = item.callspec.params if hasattr(item, "callspec") else {}
        if "shape" in case:
            found.add(f"{case['shape']}.jsonl")
        if {"api", "kind"} <= {*case}:
            found.add(f"{case['api']}/{case['kind']}.job.json")
        for parameter, files in FILES.items():
            if parameter in case:
                found |= {f"{case[parameter]}/{file}" for file in files}
    return found


def drop_all(night: Night, names: set[str], table: str = "") -> None:
    """Drops these, and what manifests name."""
    inbox = night.stack.buckets["inbox"]
    for name in "ab":
        night.drop(ROW * 2, f"elsewhere/{name}.rows")
    texts = {f"{shape}.jsonl": two(line) for shape, line in SHAPES.items()}
    texts |= {
        name: json.dumps(manifest) for name, manifest in manifests(inbox, table).items()
    }
    for api in ("vertex", "developer"):
        texts[f"{api}/spoken.job.json"] = json.dumps({"model": "gemini-4-argon"})
        texts[f"{api}/spoken.jsonl"] = ROW
        texts[f"{api}/parts/file.jsonl"] = ROW * 5
        texts[f"{api}/bad.jsonl"] = BAD
    texts["vertex/required/file.jsonl"] = ROW
    texts["vertex/required/file.job.json"] = json.dumps(
        {"config": {"labels": {"of": "manifest"}}}
    )
    night.drops = {
        name: night.drop(text, name) for name, text in texts.items() if name in names
    }


@pytest.mark.parametrize("shape", mostly(*OFTEN, also=SHAPES))
def test_a_drop_of_each_shape_ends_in_results(night: Night, shape: str) -> None:
    job = night.over(f"{shape}.jsonl")

    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"
    results = night.results(f"{shape}.jsonl", 2)
    assert [result["id"] for result in results] == ["r0000001", "r0000002"]
    assert [result["outcome"] for result in results] == ["ok", "ok"]
    named = {"key", "custom_id"} & set(SHAPES[shape])
    keys = ["mine-1", "mine-2"] if named else [None, None]
    assert [result.get("key") for result in results] == keys


@pytest.mark.parametrize(
    ("api", "kind", "rows"),
    mostly(
        ("developer", "inline", 2),
        ("vertex", "objects", 4),
        also=[
            (api, kind, 4 if kind == "objects" else 2)
            for api in ("vertex", "developer")
            for kind in ("inline", "rows", "object", "objects", "model")
        ],
    ),
)
def test_a_manifest_of_each_kind_ends_in_results(
    night: Night, api: str, kind: str, rows: int
) -> None:
    name = f"{api}/{kind}.job.json"
    job = night.over(name)

    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"
    results = night.results(name, rows)
    assert [result["id"] for result in results] == [
        f"r{n:07}" for n in range(1, rows + 1)
    ]
    assert {result["outcome"] for result in results} == {"ok"}
    wanted = "gemini-4-argon" if kind == "model" else "gemini-3.8-flash"
    assert job["spec"]["model"] == wanted


@pytest.mark.proof  # the emulator of BigQuery takes seconds to start
@pytest.mark.usefixtures("table")
def test_a_manifest_over_a_table_ends_in_answers(night: Night) -> None:
    job = night.over(TABLE)

    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"
    assert len(night.lines(TABLE, "/predictions.jsonl")) == 2


@pytest.mark.parametrize("accompanied", mostly("vertex", also=["developer"]))
def test_a_manifest_applies_to_the_file_beside_it(
    night: Night, accompanied: str
) -> None:
    job = night.over(f"{accompanied}/spoken.jsonl")

    assert job["spec"]["model"] == "gemini-4-argon"
    assert job["spec_from"]["model"] == f"manifest {accompanied}/spoken.job.json"
    attached = night.job(night.drops[f"{accompanied}/spoken.job.json"])
    assert attached is not None
    assert attached["phase"] == "attached"


def test_a_file_waits_for_the_manifest_that_its_route_requires(night: Night) -> None:
    job = night.over("vertex/required/file.jsonl")

    assert job["spec"]["labels"]["of"] == "manifest"
    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"


@pytest.mark.parametrize("parted", mostly("developer", also=["vertex"]))
def test_a_file_in_parts_ends_in_all_its_results_and_one_announcement(
    night: Night, parted: str
) -> None:
    name = f"{parted}/parts/file.jsonl"
    job = night.over(name)

    assert job["outcome"] == "succeeded"
    assert len(job["parts"]) == 3
    results = night.results(name, 5)
    assert [result["id"] for result in results] == [f"r{n:07}" for n in range(1, 6)]
    assert {result["outcome"] for result in results} == {"ok"}
    (message,) = until(lambda: night.ends(night.drops[name]))
    assert json.loads(message.data)["parts"]["succeeded"] == 3
    assert (night.job(night.drops[name]) or {})["rows"]["ok"] == 5
    of_parts = [
        one for one in night.messages if one.attributes["job_id"] in job["parts"]
    ]
    assert of_parts == []


@pytest.mark.parametrize("bad", mostly("vertex", also=["developer"]))
def test_a_rejected_drop_has_its_report_its_announcement_and_no_batch(
    night: Night, bad: str
) -> None:
    name = f"{bad}/bad.jsonl"
    job = night.over(name)

    assert job["phase"] == "rejected"
    (line,) = night.lines(name, "/rejected.jsonl")
    assert line["line"] == 2
    assert [error["code"] for error in line["errors"]] == ["bad_contents"]
    (message,) = until(lambda: night.announced(night.drops[name]))
    assert message.attributes["ce-type"] == "dev.batchdrop.job.rejected.v1"
    assert json.loads(message.data)["report"] == job["report"]
    assert "batch" not in job
    assert not [one for one in night.batches(night.drops[name])]

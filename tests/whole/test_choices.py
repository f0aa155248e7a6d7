"""
Every shape of line and every kind of manifest, on both APIs, over the whole stack.

One deployment has them all, by its routes. Everything is dropped at once; then each
test looks at what became of one drop.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import firestore, pubsub_v1, storage

from batchdrop.jobs.values import Drop
from batchdrop_local.nursery import Nursery
from batchdrop_local.stack import Stack
from tests.client.datasets import Dataset
from tests.often import mostly
from tests.waiting import until
from tests.whole.test_main_job import Deployment

pytestmark = pytest.mark.filterwarnings(
    "ignore:The return_immediately flag is deprecated"
)

ROUTES = """
[[route]]
match = "developer/embedding/**"
backend = "developer"
model = "gemini-embedding-2"

[[route]]
match = "developer/parts/**"
backend = "developer"
part_rows = 2

[[route]]
match = "developer/**"
backend = "developer"

[[route]]
match = "vertex/embedding/**"
model = "gemini-embedding-2"

[[route]]
match = "vertex/text-embedding/**"
model = "text-embedding-005"

[[route]]
match = "vertex/claude/**"
model = "publishers/anthropic/models/claude-sonnet-5-5"

[[route]]
match = "vertex/open/**"
model = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"

[[route]]
match = "vertex/parts/**"
part_rows = 2

[[route]]
match = "vertex/required/**"
manifest = "required"

[[route]]
match = "vertex/europe/**"
location = "europe-west4"
"""

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


#: Those tried each time: one of each kind of model, of id and of text to be embedded.
OFTEN = (
    "vertex/contents",
    "developer/key",
    "vertex/embedding/text",
    "developer/embedding/content",
    "vertex/text-embedding/contents",
    *OTHERS,
)


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
def night(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    firestore_emulator: str,
    pubsub_emulator: str,
    bigquery: str,
    nursery: Nursery,
) -> Iterator[Night]:
    """A stack with routes and a BigQuery table, with all drops in its inbox."""
    folder: Path = tmp_path_factory.mktemp("choices")
    (folder / "routes.toml").write_text(ROUTES)
    with pytest.MonkeyPatch.context() as patch, Dataset(bigquery) as dataset:
        patch.setenv("BIGQUERY_EMULATOR_HOST", bigquery)
        rows = [{"request": ROW.strip()}] * 2
        table = dataset.table("prompts", {"request": "STRING"}, rows)
        env = {
            "BATCHDROP_ROUTES": str(folder / "routes.toml"),
            "BATCHDROP_MODELS": "gemini-4-argon",
            "BATCHDROP_DATASETS": dataset.full_name,
            # Many files are read at once on few processors.
            "BATCHDROP_LEASE": "30",
        }
        with Stack(
            folder,
            poll_every=0.5,
            queue_seconds=0.2,
            run_seconds=0.2,
            env=env,
            pages=False,
            nursery=nursery,
        ) as stack:
            for name, value in stack.env.items():
                patch.setenv(name, value)
            with pubsub_v1.SubscriberClient() as subscriber:
                topic = stack.topic
                name = f"projects/{stack.project}/subscriptions/choices"
                subscriber.create_subscription(name=name, topic=topic)
                gcs, database = storage.Client(), firestore.Client()
                night = Night(stack, gcs, database, subscriber, name)
                drop_all(night, table, looked_at(request.session.items))
                yield night
                database.close()
                gcs.close()


def looked_at(items: list[pytest.Item]) -> set[str]:
    """The drops of shapes and kinds that tests of this run look at, by their names."""
    cases = [item.callspec.params for item in items if hasattr(item, "callspec")]
    shapes = {f"{case['shape']}.jsonl" for case in cases if "shape" in case}
    kinds = {
        f"{c['api']}/{c['kind']}.job.json" for c in cases if {"api", "kind"} <= {*c}
    }
    return shapes | kinds


def drop_all(night: Night, table: str, names: set[str]) -> None:
    """Drops these shapes and kinds, and what else the tests look at."""
    inbox = night.stack.buckets["inbox"]
    for name in "ab":
        night.drop(ROW * 2, f"elsewhere/{name}.rows")
    texts = {f"{shape}.jsonl": two(line) for shape, line in SHAPES.items()}
    texts |= {
        name: json.dumps(manifest) for name, manifest in manifests(inbox, table).items()
    }
    texts = {name: text for name, text in texts.items() if name in {*names, TABLE}}
    for api in ("vertex", "developer"):
        texts[f"{api}/spoken.job.json"] = json.dumps({"model": "gemini-4-argon"})
        texts[f"{api}/spoken.jsonl"] = ROW
        texts[f"{api}/parts/file.jsonl"] = ROW * 5
        texts[f"{api}/bad.jsonl"] = BAD
    texts["vertex/required/file.jsonl"] = ROW
    texts["vertex/required/file.job.json"] = json.dumps(
        {"config": {"labels": {"of": "manifest"}}}
    )
    night.drops = {name: night.drop(text, name) for name, text in texts.items()}


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


@pytest.mark.parametrize("api", ["vertex", "developer"])
@pytest.mark.parametrize(
    ("kind", "rows"),
    mostly(
        ("inline", 2), ("objects", 4), also=[("rows", 2), ("object", 2), ("model", 2)]
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


def test_a_manifest_over_a_table_ends_in_answers(night: Night) -> None:
    job = night.over(TABLE)

    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"
    assert len(night.lines(TABLE, "/predictions.jsonl")) == 2


@pytest.mark.parametrize("api", ["vertex", "developer"])
def test_a_manifest_applies_to_the_file_beside_it(night: Night, api: str) -> None:
    job = night.over(f"{api}/spoken.jsonl")

    assert job["spec"]["model"] == "gemini-4-argon"
    assert job["spec_from"]["model"] == f"manifest {api}/spoken.job.json"
    attached = night.job(night.drops[f"{api}/spoken.job.json"])
    assert attached is not None
    assert attached["phase"] == "attached"


def test_a_file_waits_for_the_manifest_that_its_route_requires(night: Night) -> None:
    job = night.over("vertex/required/file.jsonl")

    assert job["spec"]["labels"]["of"] == "manifest"
    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"


@pytest.mark.parametrize("api", ["vertex", "developer"])
def test_a_file_in_parts_ends_in_all_its_results_and_one_announcement(
    night: Night, api: str
) -> None:
    name = f"{api}/parts/file.jsonl"
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


@pytest.mark.parametrize("api", ["vertex", "developer"])
def test_a_rejected_drop_has_its_report_its_announcement_and_no_batch(
    night: Night, api: str
) -> None:
    name = f"{api}/bad.jsonl"
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

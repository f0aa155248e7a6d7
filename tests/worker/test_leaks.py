"""
What a user writes stays in the user's buckets: words that look like secrets are put
wherever a user can write, and searched for in all that a deployment says.
"""

import gzip
import hashlib
import json
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from batchdrop.errors import BadSetting
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop
from batchdrop.logs import JsonFormatter
from tests.worker.backends import BOTH
from tests.worker.world import GOOD, World


@dataclass
class Canaries:
    """Words that nothing else has, by where each was written."""

    places: dict[str, str] = field(default_factory=dict)

    def __call__(self, place: str) -> str:
        word = f"zq{hashlib.sha256(place.encode()).hexdigest()[:14]}"
        self.places[word] = place
        return word

    def found(self, said: dict[str, str]) -> list[str]:
        """Names where each canary was written, and where it was found."""
        return [
            f"{place}: written to {target}"
            for target, text in said.items()
            for word, place in self.places.items()
            if word in text.lower()
        ]


def said(world: World, caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """All that a deployment writes: documents, log lines and announcements."""
    documents = {
        f"document {document.reference.path}": repr(document.to_dict())
        for collection in world.database.collections()
        for document in collection.stream()
    }
    ours = JsonFormatter()
    lines = {
        f"log line {n} of {record.name}, {record.message}": ours.format(record)
        for n, record in enumerate(caplog.records)
        if record.name.startswith(("batchdrop", "google", "urllib3", "http", "grpc"))
        # To debug them, the libraries log whole requests; `logs.set_up` turns that off.
        and (record.name.startswith("batchdrop") or record.levelno >= logging.WARNING)
    }
    announced = {
        f"announcement {one.id}": one.body.decode() + repr(one.attributes)
        for one in world.announced
    }
    assert documents
    assert lines
    assert announced
    return documents | lines | announced


def line(**members: Any) -> str:
    return json.dumps(members) + "\n"


def contents(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "parts": [{"text": text}]}]


def signed(word: str) -> str:
    """An address as Cloud Storage signs them."""
    return f"https://storage.googleapis.com/b/o?X-Goog-Signature={word}"


def rows(canary: Canaries) -> list[str]:
    """Lines that can't be sent, each for a reason of its own."""

    def of(**more: Any) -> str:
        return line(request={"contents": contents("hi"), **more})

    def part(**members: Any) -> str:
        return of(contents=[{"role": "user", "parts": [members]}])

    c = canary
    return [
        of(**{c("unknown name in a request"): 1}),
        part(**{c("unknown name at depth"): {"text": "x"}}),
        part(text="x", inlineData={c("unknown name deeper"): [{"x": 1}]}),
        of(**{f"{c('dotted name')}.{c('its end')}": 1}),
        of(**{f"x[{c('name with brackets')}]": 1}),
        of(**{f"{c('name that is no column')} ": 1}),
        of(generationConfig={c("unknown name in generationConfig"): 1}),
        of(generationConfig={"temperature": c("text for a number")}),
        of(generationConfig={"responseMimeType": [c("array for a text")]}),
        of(generationConfig={c("a name's own null"): None}),
        of(contents=c("text for an array")),
        of(contents=[{"role": c("no role"), "parts": [{"text": "x"}]}]),
        of(safetySettings=[{"category": c("no category")}]),
        of(labels={c("label in a row"): {c("name in a label"): 1}}),
        of(tools=[{"functionDeclarations": [{c("name in a tool"): 1}]}]),
        part(fileData={"fileUri": signed(c("signed medium")), "mimeType": "a/b"}),
        part(fileData={"fileUri": f"gs://x:{c('password')}@b/o", "mimeType": "a/b"}),
        line(request={"contents": contents("a")}, key={c("name in a key"): 1}),
        line(request={"contents": contents("b")}, systemInstruction=c("beside it")),
        line(request=c("request that is a text")),
        line(**{c("unknown shape"): 1}),
        line(request={"contents": contents("c")}, response=c("an answer")),
        f'{{"request": {c("no JSON")}}}\n',
        f'{{"request": {{"contents": [], "x": "{c("cut line")}\n',
    ]


def good(canary: Canaries) -> str:
    """Rows that are sent, with words in all that isn't read."""
    return "".join(
        line(
            request={
                "contents": contents(canary(f"text {n}")),
                "systemInstruction": {"parts": [{"text": canary(f"system {n}")}]},
            },
            key=canary(f"key {n}"),
            **{canary("own column's name"): canary(f"own column {n}")},
        )
        for n in range(3)
    )


def metadata(c: Canaries) -> list[dict[str, str]]:
    """Choices that can't be had, by an object's metadata."""
    return [
        {f"batchdrop-{key}": value}
        for key, value in {
            c("metadata key"): "x",
            "model": f"{c('model')} ",
            "destination": f"gs://x:{c('destination with a password')}@b/o",
            "display-name": c("long name") * 20,
            "generation-config": c("config that is no JSON"),
            "labels": c("label without a value"),
            "on-invalid": c("on-invalid"),
            "max-invalid": c("max-invalid"),
            "fix": c("fix"),
            "unknown": c("unknown"),
            "kind": c("kind"),
        }.items()
    ] + [
        {"batchdrop-model": c("model that isn't allowed")},
        {"batchdrop-destination": signed(c("signed destination"))},
        {"batchdrop-destination": f"gs://foreign/o?sig={c('foreign destination')}"},
        {"batchdrop-destination": f"bq://p.{c('dataset of a destination')}.t"},
        {"batchdrop-labels": f"team={c('bad label')}!"},
        {"batchdrop-labels": f"{c('bad name of a label')}!=x"},
        {"batchdrop-labels": f"batchdrop_{c('label of ours')}=x"},
        *(
            {"batchdrop-generation-config": json.dumps(config)}
            for config in (
                {c("unknown name in a config"): 1},
                {"temperature": c("text for a number in a config")},
                {"cachedContent": {"x": c("object for a name")}},
                {"tools": {c("tools that are no list"): 1}},
                {"tools": [{c("unknown tool"): {"x": 1}}]},
                {"safetySettings": [c("setting that is a text")]},
                {"responseSchema": {c("unknown name in a schema"): 1}},
                {"responseSchema": {"type": [c("list for a type")]}},
                {"responseSchema": {"enum": [1, c("enum with a number")]}},
                {"responseSchema": {"const": {"x": c("const that is an object")}}},
                {"responseSchema": {"$ref": c("reference to nothing")}},
                {"systemInstruction": [{c("unknown part"): 1}]},
                {f"{c('name')}_twice": 1, f"{c('name')}Twice": 2},
            )
        ),
    ]


def manifests(c: Canaries) -> list[str]:
    """Manifests that can't be had."""
    sources: list[Any] = [
        signed(c("signed src")),
        f"https://x:{c('password in src')}@host/o",
        f"gs://x:{c('password of a bucket')}@b/o",
        f"gs://foreign/o?X-Goog-Signature={c('signed name')}",
        f"gs://{c('bucket without an object')}",
        f"gs://b/{c('wildcard')}*",
        f"bq://x:{c('password of a table')}@p.d.t",
        f"bq://p.d.{c('foreign table')}",
        f"projects/p/locations/l/datasets/{c('foreign dataset')}",
        [f"gs://b/{c('twice')}"] * 2,
        ["gs://b/o", signed(c("signed in a list"))],
        ["gs://b/o", {c("request among addresses"): 1}],
        {c("src that is an object"): 1},
        [{"contents": "hi", "config": {"api_key": c("key in a config")}}],
        [{"contents": "hi", "config": {c("unknown in a config"): 1}}],
        [{"contents": "hi", "config": c("config that is a text")}],
        [{"contents": "hi", "metadata": {"key": {c("key of a request"): 1}}}],
        [{"contents": {c("content"): 1}, "config": {}}],
        [{"contents": "hi", "config": {"cached_content": [c("cached")]}}],
        [{"request": {"contents": contents("a"), c("unknown in a request"): 1}}],
    ]
    configs: list[dict[str, Any]] = [
        {c("unknown option"): c("its value")},
        {"api_key": c("key")},
        {"labels": {"team": {c("label that is an object"): 1}}},
        {"labels": c("labels that are a text")},
        {"dest": {c("unknown destination"): 1}},
        {"dest": {"gcs_uri": signed(c("signed gcs_uri"))}},
        {"dest": [c("destination that is a list")]},
        {"display_name": [c("name that is a list")]},
        {"generation_config": [c("config that is a list")]},
        {"max_invalid": c("text for a number of lines")},
    ]
    return [
        *(json.dumps({"src": src}) for src in sources),
        *(json.dumps({"src": [{}], "config": config}) for config in configs),
        json.dumps({"src": [{}], c("unknown member"): 1}),
        json.dumps({"src": [{}], "model": [c("model that is a list")]}),
        f'{{"src": {c("manifest that is no JSON")}}}',
    ]


def taken(world: World, drop: Drop) -> Job:
    world.worker.take(drop)
    return world.job(drop)


@BOTH
def test_nothing_that_a_user_writes_is_written_anywhere(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = Canaries()

    sent = taken(world, world.upload(good(canary), "good.jsonl"))
    # A document quotes ten errors of a file at most.
    bad = rows(canary)
    for n in range(0, len(bad), 10):
        refused = taken(world, world.upload("".join(bad[n : n + 10]), f"bad-{n}.jsonl"))
        assert refused.row_errors[-1].line == len(bad[n : n + 10])
    rejected = [
        *(
            taken(world, world.upload(GOOD, f"chosen-{n}.jsonl", chosen))
            for n, chosen in enumerate(metadata(canary))
        ),
        *(
            taken(world, world.upload(text, f"asked-{n}.job.json"))
            for n, text in enumerate(manifests(canary))
        ),
    ]
    packed = gzip.compress(good(canary).encode())[:-6] + canary("end of gzip").encode()
    rejected.append(taken(world, world.upload(packed, "packed.jsonl.gz")))
    some = GOOD + "".join(rows(canary))
    skip = {"batchdrop-on-invalid": "skip"}
    skipped = taken(world, world.upload(some, "some.jsonl", skip))
    world.until_ended()

    accepted = [job.source.name for job in rejected if job.phase is not Phase.REJECTED]
    assert accepted == []
    for job in (sent, skipped):
        assert world.job(job.source).phase is Phase.ENDED
    assert skipped.rows is not None
    assert skipped.rows.refused >= 20
    assert canary.found(said(world, caplog)) == []


@pytest.mark.proof
@BOTH
def test_what_a_service_quotes_is_written_nowhere(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = Canaries()

    def words(place: str) -> str:
        return (
            f"Invalid value '{canary(f'{place}: quoted')}' at contents[0].parts: "
            f'"it\'s {canary(f"{place}: twice quoted")}" in '
            f"gs://bucket/{canary(f'{place}: address')}?x={canary(f'{place}: query')}, "
            f"near text: {canary(f'{place}: near text')}\n"
            f'{{"text": "{canary(f"{place}: JSON")}"}}'
        )

    def answer(code: int, place: str) -> Any:
        error = {"error": {"code": code, "message": words(place), "status": "X"}}
        return lambda _: httpx.Response(code, json=error)

    def breaks(_: httpx.Request) -> httpx.Response:
        raise KeyError(canary("an error of Python's own"))

    world.sim.faults.add("failed", code=3, message=words("batch"), count=1)
    world.worker.take(world.upload(GOOD, "failed.jsonl"))
    for code in (400, 403, 404, 429, 500):
        world.wire.creates = [answer(code, f"create {code}")]
        world.worker.take(world.upload(GOOD, f"{code}.jsonl"))
    world.wire.creates = [breaks]
    world.worker.take(world.upload(GOOD, "broken.jsonl"))
    for faults in (world.wire.lists, world.wire.gets):
        faults += [answer(500, "list"), breaks, answer(403, "get")]
    for _ in range(20):
        world.advance(timedelta(minutes=1))
        try:
            world.tick()
        except (ExceptionGroup, KeyError) as exc:
            logging.getLogger("batchdrop.tests").error("tick", exc_info=exc)

    assert canary.found(said(world, caplog)) == []
    known = {one.source.name: one for one in world.ledger.get_all(ids(world))}
    assert known["400.jsonl"].error is not None
    assert "Invalid value '…' at contents[0].parts" in known["400.jsonl"].error.message


def ids(world: World) -> list[str]:
    return [one.id for one in world.database.collection("jobs").stream()]


# -- what may be written ---------------------------------------------------------------

EVERYWHERE = frozenset({"document", "log", "announcement"})
DOCUMENT = frozenset({"document"})
#: The user's and the deployer's words that a deployment writes, and where. The test
#: finds each of them and nothing else, so that no reason outlives its use.
MAY_BE_WRITTEN: dict[str, frozenset[str]] = {
    # People and subscribers know a job by the object that they dropped.
    "object's name": EVERYWHERE,
    # A file continues with its manifest; a person finds the manifest by this.
    "manifest's name": EVERYWHERE,
    # `cancel`, `rerun` and Google's own pages show a batch by it.
    "display name": DOCUMENT,
    # Labels are made to be read: they separate costs and alerts.
    "label's name": frozenset({"document", "announcement"}),
    "label's value": frozenset({"document", "announcement"}),
    # A person who reads the answers has to find them.
    "destination": frozenset({"document", "announcement"}),
    # Frozen with the job: whoever takes it up, or runs it again, merges the same into
    # its rows. No message quotes any of it.
    "instruction of a configuration": DOCUMENT,
    "stop sequence": DOCUMENT,
    "name in a schema": DOCUMENT,
    "words of a schema": DOCUMENT,
    # A deployer's own words: who chose an option of a job.
    "route's name": DOCUMENT,
    "route's pattern": DOCUMENT,
}


def wrapped(canary: Canaries, rows: str) -> bytes:
    """gzip whose header has a name, a comment and an extra field (RFC 1952, 2.3)."""
    body = gzip.compress(rows.encode(), mtime=0)
    extra = canary("extra field of gzip").encode()
    name, comment = canary("name in gzip"), canary("comment in gzip")
    fields = len(extra).to_bytes(2, "little") + extra
    fields += name.encode() + b"\0" + comment.encode() + b"\0"
    return body[:3] + bytes([4 | 8 | 16]) + body[4:10] + fields + body[10:]


def routes(c: Canaries) -> str:
    """Two routes: one that has a name, and one that is called by its pattern."""
    instruction = json.dumps(c("instruction of a route"))
    name, pattern = c("route's name"), c("route's pattern")
    label, value = c("label's name"), c("label's value")
    return f"""
[[route]]
name = "{name}"
match = "named/**"
generation_config = {{ systemInstruction = {instruction} }}
labels = {{ "{label}" = "{value}" }}

[[route]]
match = ["b/**", "{pattern}/**"]
on_invalid = "skip"
"""


@BOTH
def test_only_what_has_a_reason_is_written_and_where_it_has_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = c = Canaries()
    world.choose(routes(canary))
    name, manifest_name = c("object's name"), c("manifest's name")
    config = {
        "systemInstruction": c("instruction of a configuration"),
        "stopSequences": [c("stop sequence")],
        "responseMimeType": "application/json",
        "responseSchema": {
            "type": "OBJECT",
            "properties": {c("name in a schema"): {"type": "STRING"}},
            "description": c("words of a schema"),
        },
    }
    chosen = {
        c("another's key").lower(): c("another's value"),
        "batchdrop-display-name": c("display name"),
        "batchdrop-generation-config": json.dumps(config),
        "batchdrop-destination": f"gs://{world.settings.output.bucket}/"
        f"{c('destination')}/",
    }
    bucket = world.gcs.bucket(world.settings.inbox)

    def put(name: str, text: str | bytes, **headers: str) -> Drop:
        blob = bucket.blob(name)
        blob.metadata = chosen
        for header, value in headers.items():
            setattr(blob, header, value)
        blob.upload_from_string(text, headers.get("content_type", "text/plain"))
        return Drop(
            bucket=bucket.name,
            name=name,
            generation=int(blob.generation),
            size=int(blob.size),
        )

    headers = {
        "content_disposition": f"attachment; filename={c('disposition')}",
        "content_language": c("language"),
        "content_type": f"application/{c('type')}",
        "cache_control": f"no-store, {c('cache control')}",
    }
    bad = good(canary) + "".join(rows(canary))
    manifest = json.dumps({"src": good_requests(canary)})
    jobs = [
        taken(world, drop)
        for drop in (
            put(f"named/{name}.jsonl", good(canary), **headers),
            put("b/x.jsonl", bad, **headers),
            put("named/packed.jsonl.gz", wrapped(canary, good(canary)), **headers),
            put(f"{manifest_name}.job.json", manifest, **headers),
        )
    ]
    world.until_ended()

    assert {world.job(job.source).phase for job in jobs} == {Phase.ENDED}
    found: dict[str, set[str]] = {}
    for target, text in said(world, caplog).items():
        for word, place in canary.places.items():
            if word in text.lower():
                found.setdefault(place, set()).add(target.split()[0])
    written = {place: frozenset(where) for place, where in found.items()}
    assert written == MAY_BE_WRITTEN


def good_requests(c: Canaries) -> list[dict[str, Any]]:
    """Requests in a manifest, with words in all that isn't read."""
    return [
        {
            "contents": c("text in a manifest"),
            "config": {"system_instruction": c("instruction in a manifest")},
            "metadata": {"key": c("key in a manifest")},
        }
    ]


def test_routes_that_are_wrong_quote_none_of_their_values(world: World) -> None:
    canary = c = Canaries()
    config = "generation_config = "
    choices = [
        f'destination = "{signed(c("signed destination"))}"',
        f'destination = "gs://x:{c("password")}@b/o"',
        f'{config}{{ temperature = "{c("text for a number")}" }}',
        f"model = '{c('torn line')}",
    ]

    words = {}
    for choice in choices:
        with pytest.raises(BadSetting) as caught:
            world.choose(f'[[route]]\nmatch = "**"\n{choice}\n')
        words[f"the error for {choice!r}"] = str(caught.value)

    assert canary.found(words) == []

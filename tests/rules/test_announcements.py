"""Announcements match their schemas, stay within limits, and repeat byte for byte."""

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchdrop import subscribe
from batchdrop.announcements.message import TYPES, Announcement
from batchdrop.jobs.codes import Outcome, Phase, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import (
    Batch,
    CancelRequest,
    Cost,
    Drop,
    Duplicates,
    Fact,
    Failure,
    Part,
    Problem,
    Results,
    Staging,
    Stats,
    Usage,
)
from batchdrop.rows import Rows
from batchdrop.subscribe import BODY, JobEvent, parse, schema
from tests import announcements, schemas
from tests.jobs import AWKWARD, SPEC, TIMING

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ENDS = ["SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"]


def submitted(
    drop: Drop = AWKWARD,
    labels: dict[str, str] | None = None,
    **batch: Any,
) -> Job:
    claimed = Job.claimed(drop, "me", NOW, TIMING)
    spec = replace(SPEC, labels={"batchdrop_job": claimed.id, **(labels or {})})
    staging = Staging(epoch=1, uri="gs://work/x/1/requests.jsonl")
    rows = Rows(total=3, accepted=3)
    prepared = claimed.prepared(spec, staging, rows, NOW, TIMING)
    sent = Batch(
        name="projects/1/locations/global/batchPredictionJobs/2",
        state="JOB_STATE_PENDING",
        terminal=False,
    )
    return prepared.submitting(NOW, TIMING).submitted(replace(sent, **batch), NOW)


def ended(state: str, **batch: Any) -> Job:
    job = submitted()
    assert job.batch is not None
    end = replace(job.batch, state=f"JOB_STATE_{state}", terminal=True, **batch)
    return job.ended(end, NOW)


def of(job: Job) -> Announcement:
    return Announcement.of(job, "//batchdrop/projects/p/deployments/d")


def body(announcement: Announcement) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(announcement.body)
    return found


def everything() -> Iterator[Announcement]:
    """One of each type."""
    claimed = Job.claimed(AWKWARD, "me", NOW, TIMING)
    yield of(claimed.rejected(Problem(code="no_rows", message="empty"), NOW))
    yield of(claimed.park(NOW))
    yield of(submitted().lost(NOW))
    for state in ENDS:
        yield of(
            ended(
                state,
                start_time=NOW,
                end_time=NOW,
                error=Problem(code=9, message="bad bucket"),
                completion_stats=Stats(successful=2, failed=1),
                output_directory="gs://output/x/prediction-1",
            )
        )
    yield of(collected(ended("SUCCEEDED"), ok=2, failed=1))


def collected(job: Job, **counts: int) -> Job:
    """The job with its results, of rows with these outcomes."""
    rows = Rows(total=sum(counts.values()), **counts)
    folder = "gs://output/a/b c.jsonl/x"
    return job.collected(
        NOW,
        results=Results(
            uri=f"{folder}/results.jsonl",
            generation=7,
            crc32c="AAAAAA==",
            bytes=900,
            index=f"{folder}/results.index.json",
            strangers=f"{folder}/strangers.jsonl",
        ),
        rows=rows,
        usage=Usage(prompt=8, cached=1, output=4, thoughts=2, total=14),
        cost=Cost(micros=15, currency="USD", prices_as_of="2026-02-28"),
        strangers=2,
        superseded=1,
    )


def test_an_announcement_of_each_type_matches_its_schema() -> None:
    made = list(everything())

    for announcement in made:
        announcements.check(announcement)
    assert {announcement.type for announcement in made} == set(TYPES)


def test_a_submitted_job_that_makes_no_progress_is_announced_as_stalled() -> None:
    health = Fact(message="pending for 3 days", since=NOW)
    stalled = replace(submitted(), stalled=health, seq=1)

    announcement = of(stalled)

    announcements.check(announcement)
    assert announcement.type == "dev.batchdrop.job.stalled.v1"


def test_results_are_announced_with_the_outcome_of_their_job() -> None:
    announcement = of(collected(ended("FAILED"), ok=2, failed=1))

    event = parse(announcements.push(announcement))

    assert event.type == "dev.batchdrop.results.ready.v1"
    assert (event.event, event.outcome, event.round) == ("results", "failed", 0)
    assert event.results is not None
    assert event.results.uri == "gs://output/a/b c.jsonl/x/results.jsonl"
    assert (event.rows.ok, event.rows.failed) == (2, 1)
    assert event.usage is not None
    assert event.usage.total == 14
    assert event.cost == subscribe.Cost(
        micros=15, currency="USD", prices_as_of="2026-02-28"
    )
    assert (event.strangers, event.superseded) == (2, 1)


def test_a_job_that_stalls_while_it_is_collected_has_its_outcome() -> None:
    names = ("batches/3",)
    two = Duplicates(since=NOW, message="a second batch", names=names)
    job = replace(ended("SUCCEEDED"), duplicates=two)
    parked = parse(announcements.push(of(job.park(NOW))))
    for hours in range(4):
        now = NOW + timedelta(hours=hours)
        job = job.collect_waits("grant it", now, now, code=WaitCode.GRANT)
    refused = parse(announcements.push(of(job)))

    for event, code in ((parked, "parked"), (refused, "not_allowed")):
        assert (event.event, event.outcome) == ("stalled", "succeeded")
        assert event.health is not None
        assert event.health.code == code


@pytest.mark.parametrize(
    ("stats", "rows"),
    [
        (Stats(successful=50, failed=0, incomplete=0), "complete"),
        (Stats(successful=50), "complete"),
        (Stats(successful=50, incomplete=-1), "complete"),
        (Stats(successful=50, failed=1), "incomplete"),
        (Stats(successful=50, incomplete=1), "incomplete"),
        (Stats(successful=0, failed=50), "none"),
        (Stats(failed=50), "none"),
        (Stats(), "none"),
        (None, "unknown"),
    ],
)
def test_an_end_says_what_the_api_counts(stats: Stats | None, rows: str) -> None:
    announcement = of(ended("SUCCEEDED", completion_stats=stats))

    assert announcement.attributes["event"] == "ended"
    assert announcement.attributes["batch_rows"] == rows


def test_rows_that_the_api_does_not_count_make_an_end_incomplete() -> None:
    job = ended("EXPIRED", completion_stats=Stats(successful=6))

    for sent, rows in ((6, "complete"), (7, "incomplete")):
        counted = replace(job, rows=Rows(total=sent, accepted=sent))
        assert of(counted).attributes["batch_rows"] == rows


def test_what_was_never_sent_and_what_is_lost_have_no_counts() -> None:
    claimed = Job.claimed(AWKWARD, "me", NOW, TIMING)
    counted = submitted(completion_stats=Stats(successful=3))

    assert of(claimed.cancelled(NOW)).attributes["batch_rows"] == "none"
    assert of(counted.lost(NOW)).attributes["batch_rows"] == "unknown"
    rejected = of(claimed.rejected(Problem(code="no_rows", message="empty"), NOW))
    assert "batch_rows" not in rejected.attributes


@pytest.mark.parametrize(
    ("parts", "rows"),
    [
        ([Stats(successful=5), Stats(successful=5)], "complete"),
        ([Stats(successful=5), None], "unknown"),
        ([Stats(successful=5), Stats(failed=5)], "incomplete"),
        ([Stats(failed=5), None], "incomplete"),
        ([Stats(failed=5), Stats(failed=5)], "none"),
    ],
)
def test_a_split_job_s_counts_are_those_of_all_its_parts(
    parts: list[Stats | None], rows: str
) -> None:
    staging = Staging(epoch=1, uri="gs://work/x/1/requests.jsonl")
    made = {
        str(n): Part(
            n=n,
            first=1,
            last=5,
            staging=staging,
            outcome=Outcome.SUCCEEDED,
            stats=stats,
        )
        for n, stats in enumerate(parts)
    }
    job = replace(submitted(), phase=Phase.ENDED, batch=None, parts=made)

    assert of(job).attributes["batch_rows"] == rows


@pytest.mark.parametrize(
    ("counts", "outcome"),
    [
        ({"ok": 5}, "complete"),
        ({"ok": 5, "refused": 1}, "incomplete"),
        ({"ok": 5, "truncated": 1}, "incomplete"),
        ({"failed": 50}, "none"),
        ({"blocked": 1, "empty": 2, "refused": 3}, "none"),
    ],
)
def test_results_say_whether_every_row_is_ok(
    counts: dict[str, int], outcome: str
) -> None:
    attributes = of(collected(ended("SUCCEEDED"), **counts)).attributes

    assert (attributes["event"], attributes["rows_outcome"]) == ("results", outcome)


def test_the_most_frequent_errors_are_announced_as_far_as_there_is_room() -> None:
    failures = tuple(
        Failure(code="429", message=f"{n} {'quota ' * 30}", count=9, example="r0000007")
        for n in range(10)
    )

    said = body(of(replace(collected(ended("SUCCEEDED"), ok=1), failures=failures)))

    assert [each["message"][:7] for each in said["failures"]] == ["0 quota", "1 quota"]
    assert said["failures"][0]["message"].endswith("…")
    assert said["shortened"] == ["failures"]


def test_the_address_of_the_results_comes_before_others() -> None:
    job = collected(ended("SUCCEEDED", output_directory="gs://output/" + "d" * 900))
    assert job.results is not None
    far = replace(job.results, uri=f"gs://output/{'d' * 900}/results.jsonl")

    said = body(of(replace(job, results=far)))

    assert said["results"]["uri"] == far.uri
    assert said["output_directory"] is None
    assert said["shortened"] == ["output_directory"]


def test_the_schema_names_every_field_that_is_announced_and_no_other() -> None:
    described = schema("dev.batchdrop.job.v1")["properties"]

    for announcement in everything():
        said = body(announcement)
        assert set(said) == set(described)
        assert set(said["rows"]) == set(described["rows"]["properties"])


@pytest.mark.parametrize("type", TYPES)
def test_a_schema_s_id_has_the_type_and_its_version(type: str) -> None:
    found = schema(type)

    assert found["$id"] == f"urn:batchdrop:schema:{type}"
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(found)


@pytest.mark.parametrize(
    ("type", "wrong"),
    [
        ("dev.batchdrop.job.succeeded.v1", {"state": "JOB_STATE_FAILED"}),
        ("dev.batchdrop.job.succeeded.v1", {"job_id": "../other"}),
        ("dev.batchdrop.job.succeeded.v1", {"rows": {"total": "3"}}),
        ("dev.batchdrop.job.failed.v1", {"error": {"code": 9, "message": "x"}}),
        ("dev.batchdrop.job.failed.v1", {"ended_at": "yesterday"}),
        ("dev.batchdrop.job.rejected.v1", {"error": None}),
        ("dev.batchdrop.job.stalled.v1", {"health": None}),
        ("dev.batchdrop.job.lost.v1", {"source": None}),
    ],
)
def test_a_schema_rejects_a_wrong_body(type: str, wrong: dict[str, Any]) -> None:
    (announcement,) = (one for one in everything() if one.type == type)

    with pytest.raises(jsonschema.ValidationError):
        announcements.READERS[type].validate(body(announcement) | wrong)


def test_an_unknown_type_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match=r"dev\.batchdrop\.job\.failed\.v1"):
        schema("dev.batchdrop.job.exploded.v1")


def test_the_same_job_is_announced_with_the_same_id_and_bytes() -> None:
    one, other = of(ended("FAILED")), of(ended("FAILED"))

    assert one == other


#: A body as subscribers have always got it: members, their order, the forms of values.
FAILED_BODY = (
    b'{"job_id":"4rczmjmpespeg62rmie722vokt","parent":null,"part_of":null,"parts":nul'
    b'l,"phase":"ended","state":"JOB_STATE_FAILED","outcome":"failed","source":{"buck'
    b'et":"inbox","name":"a/b c.jsonl","generation":1152921504606846976,"size":100000'
    b'0000000},"kind":"generation","backend":"vertex","location":"us-central1","model'
    b'":"gemini-3.8-flash","labels":{"batchdrop_job":"4rczmjmpespeg62rmie722vokt"},"b'
    b'atch":"projects/1/locations/global/batchPredictionJobs/2","output_directory":"g'
    b's://output/x/prediction-1","output_table":null,"rows":{"total":3,"accepted":3,"'
    b'refused":0,"fixed":0,"ok":null,"truncated":null,"blocked":null,"malformed":null'
    b',"empty":null,"failed":null,"unclear":null,"missing":null},"report":null,"stats'
    b'":{"successful":2,"failed":1,"incomplete":null},"results":null,"usage":null,"co'
    b'st":null,"failures":[],"strangers":0,"superseded":0,"round":0,"skipped":null,"er'
    b'ror":{"code":"9","message"'
    b':"bad bucket"},"health":{"code":"rows_failed","message":"1 of 3 rows failed, by'
    b' the API\'s count","since":"2026-03-01T12:00:00Z"},"cancelled_by":null,"created_'
    b'at":"2026-03-01T12:00:00Z","submitted_at":null,"started_at":"2026-03-01T12:00:0'
    b'0Z","ended_at":"2026-03-01T12:00:00Z","announced_at":"2026-03-01T12:00:00Z","sh'
    b'ortened":[]}'
)


def test_the_bytes_of_a_body_stay_what_they_are() -> None:
    (failed,) = (one for one in everything() if one.type.endswith(".failed.v1"))

    assert failed.body == FAILED_BODY


def test_the_schemas_are_made_from_the_event() -> None:
    written = {path.name: path.read_text() for path in schemas.FOLDER.glob("*.json")}

    assert written == schemas.schemas(), "run `make schemas` and commit what it writes"
    assert {f"{type}.json" for type in TYPES} < set(written)


def test_each_field_of_a_body_has_a_comment() -> None:
    said = schemas.comments(JobEvent)

    assert [name for name in BODY if not said[name]] == []


def test_long_texts_are_cut_and_the_announcement_names_them() -> None:
    job = ended("FAILED", error=Problem(code=3, message="é" * 100_000))

    said = body(of(job))

    assert said["error"]["message"].startswith("ééé")
    assert said["error"]["message"].endswith("…")
    assert len(json.dumps(said["error"]["message"], ensure_ascii=False).encode()) < 600
    assert said["shortened"] == ["error.message"]


def test_a_name_within_the_limit_is_not_shortened() -> None:
    name = "é" * 500 + ".jsonl"
    job = submitted(drop=replace(AWKWARD, name=name)).lost(NOW)

    said = body(of(job))

    assert said["source"]["name"] == name
    assert said["shortened"] == []


def test_the_object_attribute_has_the_whole_name_whatever_its_characters() -> None:
    name = "\x01" * 1024
    announcement = of(submitted(drop=replace(AWKWARD, name=name)).lost(NOW))

    assert announcement.attributes["object"] == name
    assert "source.name" in body(announcement)["shortened"]
    announcements.check(announcement)


def test_labels_beyond_the_limit_are_left_out_and_ours_are_kept() -> None:
    labels = {f"label_{n:02}": "x" * 63 for n in range(62)}

    said = body(of(submitted(labels=labels).lost(NOW)))

    assert "batchdrop_job" in said["labels"]
    assert 5 < len(said["labels"]) < 63
    assert said["shortened"] == ["labels"]


def test_half_a_directory_is_not_announced() -> None:
    job = ended("SUCCEEDED", output_directory="gs://output/" + '"' * 1000)

    said = body(of(job))

    assert said["output_directory"] is None
    assert said["shortened"] == ["output_directory"]


LATE = NOW.replace(microsecond=123456)
#: Quotes, control characters and four-byte ones take the most room.
NASTY = st.text(st.sampled_from('"\\\x01aé😀'), min_size=0, max_size=9000)


@given(NASTY, NASTY, NASTY, NASTY)
@example('"' * 1024, "m" * 9000, "l" * 63, "d" * 1090)  # all that just fits
def test_whatever_the_names_and_texts_an_announcement_stays_small(
    name: str, message: str, label: str, directory: str
) -> None:
    drop = Drop(
        bucket="b" * 222,
        name=name.encode()[:1024].decode(errors="ignore"),
        generation=2**63 - 1,
        size=2**50,
    )
    job = submitted(
        drop=drop,
        labels={f"{label[:60]}{n}": label[:63] for n in range(63)},
        name=f"projects/{'p' * 63}/locations/{message}",
        output_directory=f"gs://{directory}",
        output_table=f"bq://{directory}",
        state=message,
        create_time=LATE,
        start_time=LATE,
        end_time=LATE,
        completion_stats=Stats(successful=2**60, failed=2**60, incomplete=2**60),
    )
    assert job.spec is not None
    job = replace(
        job,
        spec=replace(job.spec, model=message, location=message, backend="developer"),
        error=Problem(code=message, message=message),
        stalled=Fact(message=message, since=NOW),
        seq=10**7,
        report=f"gs://{directory}",
        cancel_request=CancelRequest(cancel=True, by=message, at=NOW),
        parent=job.id,
        part_of=job.id,
        rows=Rows(**dict.fromkeys((each.name for each in fields(Rows)), 2**60)),
        collecting=None,
        results=Results(
            uri=f"gs://{directory}",
            generation=2**63 - 1,
            crc32c="AAAAAA==",
            bytes=2**60,
            index=f"gs://{directory}",
            strangers=f"gs://{directory}",
        ),
        usage=Usage(**dict.fromkeys((each.name for each in fields(Usage)), 2**60)),
        cost=Cost(micros=2**60, currency="USD", prices_as_of="2026-11-28"),
        failures=tuple(
            Failure(code=message, message=message, count=2**60, example=message)
            for _ in range(10)
        ),
        strangers=2**60,
        superseded=2**60,
        created_at=LATE,
        updated_at=LATE,
    )

    assert job.batch is not None
    named = replace(job.batch, state="JOB_STATE_PARTIALLY_SUCCEEDED")
    over = replace(job, phase=Phase.ENDED, batch=named)

    for each in (job, over):
        announcement = Announcement.of(each, message)
        announcements.check(announcement)
        announcements.check(announcement.anew(announcement.seq + 1, LATE))

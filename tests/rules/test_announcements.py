"""Announcements match their schemas, stay within limits, and repeat byte for byte."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchdrop.announcements.message import TYPES, Announcement
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import (
    Batch,
    CancelRequest,
    Drop,
    Fact,
    Problem,
    Staging,
    Stats,
)
from batchdrop.rows import Rows
from batchdrop.subscribe import BODY, JobEvent, schema
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
    b'{"job_id":"4rczmjmpespeg62rmie722vokt","parent":null,"part_of":null,"parts":nu'
    b'll,"phase":"ended","state":"JOB_STATE_FAILED","source":{"bucket":"inbox","name'
    b'":"a/b c.jsonl","generation":1152921504606846976,"size":1000000000000},"kind":'
    b'"generation","backend":"vertex","location":"us-central1","model":"gemini-3.8-f'
    b'lash","labels":{"batchdrop_job":"4rczmjmpespeg62rmie722vokt"},"batch":"project'
    b's/1/locations/global/batchPredictionJobs/2","output_directory":"gs://output/x/'
    b'prediction-1","output_table":null,"rows":{"total":3,"accepted":3,"refused":0,"'
    b'fixed":0,"ok":null,"truncated":null,"blocked":null,"malformed":null,"empty":n'
    b'ull,"failed":null,"unclear":null,"missing":null},"report":null,"stats":{"successful":2,"failed":1,"incomplete":null},'
    b'"error":{"code":"9","message":"bad bucket"},"health":null,"cancelled_by":null,'
    b'"created_at":"2026-03-01T12:00:00Z","submitted_at":null,"started_at":"2026-03-'
    b'01T12:00:00Z","ended_at":"2026-03-01T12:00:00Z","announced_at":"2026-03-01T12:'
    b'00:00Z","shortened":[]}'
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
        rows=Rows(total=2**60, accepted=2**60, refused=2**60, fixed=2**60),
        created_at=LATE,
        updated_at=LATE,
    )

    announcement = Announcement.of(job, message)
    announcements.check(announcement)
    announcements.check(announcement.anew(announcement.seq + 1, LATE))

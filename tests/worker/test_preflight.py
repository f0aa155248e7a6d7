"""What becomes of a drop with bad lines: its report, its announcement, its batch."""

import gzip
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.worker.reading import MAX_TOLD
from tests.worker.world import GOOD, World

ROLELESS = '{"contents":[{"parts":[{"text":"my secret"}]}]}\n'


def reported(world: World, job: Job) -> list[dict[str, Any]]:
    """The lines of the report that the job names."""
    assert job.report is not None
    bucket, _, name = job.report.removeprefix("gs://").partition("/")
    blob = world.gcs.bucket(bucket).blob(name)
    return [json.loads(line) for line in blob.download_as_text().splitlines()]


def outputs(world: World) -> list[str]:
    bucket = world.settings.output.bucket
    return [blob.name for blob in world.gcs.list_blobs(bucket)]


def test_no_line_is_lost_to_an_event_with_a_wrong_size(world: World) -> None:
    drop = world.upload(GOOD * 3)

    world.worker.take(replace(drop, size=len(GOOD)))

    assert world.job(drop).rows.accepted == 3


def test_a_rejected_drop_has_a_report_an_announcement_and_no_batch(
    world: World,
) -> None:
    drop = world.upload(GOOD + ROLELESS + GOOD + "not json\n", "day/reviews.jsonl")

    world.worker.take(drop)
    world.tick()

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert (job.rows.total, job.rows.accepted, job.rows.refused) == (4, 2, 2)
    assert job.report == (
        f"gs://{world.settings.output.bucket}/day/reviews.jsonl/{drop.job_id}/"
        "rejected.jsonl"
    )
    first, second = reported(world, job)
    fix = first["errors"][0].pop("fix")
    assert fix.startswith('write "role": "user"')
    assert first == {
        "line": 2,
        "text": ROLELESS.strip(),
        "errors": [
            {"path": "contents[0]", "code": "no_role", "message": "has no role"}
        ],
    }
    assert (second["line"], second["text"]) == (4, "not json")
    assert [error["code"] for error in second["errors"]] == ["not_json"]
    (announcement,) = world.announced
    body = json.loads(announcement.body)
    assert announcement.type == "dev.batchdrop.job.rejected.v1"
    assert body["report"] == job.report
    assert body["rows"]["refused"] == 2
    assert world.batches() == []
    assert world.staged(drop) == {}


def test_the_ledger_and_the_announcement_hold_no_text_of_a_line(world: World) -> None:
    drop = world.upload(ROLELESS)

    world.worker.take(drop)
    world.tick()

    document = world.database.document(f"jobs/{drop.job_id}").get().to_dict()
    assert "my secret" not in str(document)
    assert "my secret" not in world.announced[0].body.decode()


def test_the_ledger_keeps_the_first_20_row_errors_and_the_report_all(
    world: World,
) -> None:
    drop = world.upload(GOOD + ROLELESS * 30)

    world.worker.take(drop)

    job = world.job(drop)
    assert job.rows.refused == 30
    assert [row_error.line for row_error in job.row_errors] == list(range(2, 22))
    assert len(reported(world, job)) == 30


def test_the_report_explains_the_first_bad_lines_and_numbers_the_rest(
    world: World,
) -> None:
    world.choose(on_invalid="skip")
    drop = world.upload(GOOD + "x\n" * (MAX_TOLD + 2) + GOOD + "\nx\n")

    world.worker.take(drop)

    job = world.job(drop)
    assert (job.rows.accepted, job.rows.refused) == (2, MAX_TOLD + 3)
    *explained, last, after = reported(world, job)
    assert [line["line"] for line in explained] == list(range(2, MAX_TOLD + 2))
    assert last == {"lines": [MAX_TOLD + 2, MAX_TOLD + 3]}
    assert after == {"lines": [MAX_TOLD + 6, MAX_TOLD + 6]}


def test_bad_lines_are_skipped_if_the_deployment_allows_it(world: World) -> None:
    world.choose(on_invalid="skip")
    drop = world.upload(GOOD + ROLELESS + GOOD)

    world.worker.take(drop)
    world.until_ended()

    job = world.job(drop)
    assert job.phase is Phase.ENDED
    assert (job.rows.total, job.rows.accepted, job.rows.refused) == (3, 2, 1)
    assert sorted(line["key"] for line in world.answers(job)) == [
        "r0000001",
        "r0000003",
    ]
    assert [line["line"] for line in reported(world, job)] == [2]
    (announcement,) = world.announced
    assert announcement.type == "dev.batchdrop.job.succeeded.v1"
    assert json.loads(announcement.body)["report"] == job.report


def test_a_member_that_no_list_has_goes_to_the_service_only_if_allowed(
    world: World,
) -> None:
    chosen: dict[Phase, dict[str, str]] = {
        Phase.REJECTED: {},
        Phase.SUBMITTED: {"unknown": "allow"},
    }
    for phase, choice in chosen.items():
        world.choose(**choice)
        drop = world.upload(GOOD.replace('{"contents"', '{"newest": 1, "contents"'))

        world.worker.take(drop)

        job = world.job(drop)
        assert job.phase is phase
        assert [row_error.code for row_error in job.row_errors] == (
            ["unknown_member"] if phase is Phase.REJECTED else []
        )


def test_no_more_bad_lines_are_left_out_than_allowed(world: World) -> None:
    world.choose(on_invalid="skip", max_invalid=2)
    for bad, phase in (2, Phase.SUBMITTED), (3, Phase.REJECTED):
        drop = world.upload(GOOD + ROLELESS * bad)

        world.worker.take(drop)

        job = world.job(drop)
        assert job.phase is phase
        assert len(reported(world, job)) == bad
    assert job.error is not None
    assert job.error.code == "too_many_invalid"
    assert world.staged(drop) == {}


def test_a_file_whose_lines_are_all_skipped_is_rejected(world: World) -> None:
    world.choose(on_invalid="skip")
    drop = world.upload(ROLELESS)

    world.worker.take(drop)

    assert world.job(drop).phase is Phase.REJECTED
    assert world.batches() == []


def test_a_good_file_has_no_report(world: World) -> None:
    drop = world.upload()

    world.worker.take(drop)

    assert world.job(drop).report is None
    assert outputs(world) == []


def test_a_packed_file_is_read_as_what_is_in_it(world: World) -> None:
    drop = world.upload(gzip.compress((GOOD * 3).encode()), "reviews.jsonl.gz")

    world.worker.take(drop)
    world.until_ended()

    job = world.job(drop)
    assert job.rows.accepted == 3
    assert len(world.answers(job)) == 3


def test_a_packed_file_that_is_broken_is_rejected(world: World) -> None:
    packed = gzip.compress((GOOD * 3).encode())[:-6]
    drop = world.upload(packed, "reviews.jsonl.gz")

    world.worker.take(drop)

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    assert job.error.code == "bad_gzip"
    assert world.staged(drop) == {}


def test_repairable_lines_are_repaired_if_the_deployment_allows_it(
    world: World,
) -> None:
    world.choose(fix=True)
    bad = GOOD.replace('{"contents"', '{"labels":null,"contents"')
    drop = world.upload(GOOD + bad)

    world.worker.take(drop)
    world.until_ended()

    job = world.job(drop)
    assert job.rows.fixed == 1
    assert len(world.answers(job)) == 2


def test_the_deployments_generation_configuration_reaches_every_row(
    world: World,
) -> None:
    world.choose(generation_config='{"temperature": 0.5}')
    drop = world.upload(GOOD * 2)

    world.worker.take(drop)

    (staged,) = world.staged(drop).values()
    assert [
        json.loads(line)["request"]["generationConfig"] for line in staged.splitlines()
    ] == [{"temperature": 0.5}] * 2


def test_media_come_from_the_inbox_alone(world: World) -> None:
    line = (
        '{"contents":[{"role":"user","parts":[{"fileData":{"mimeType":"image/png",'
        '"fileUri":"gs://%s/x.png"}}]}]}\n'
    )
    drop = world.upload(line % world.settings.inbox + line % "somebody-elses")

    world.worker.take(drop)

    (row_error,) = world.job(drop).row_errors
    assert (row_error.line, row_error.code) == (2, "medium_not_allowed")
    assert world.batches() == []


def test_a_worker_that_died_behind_its_report_is_followed_by_one_that_rejects(
    world: World,
) -> None:
    drop = world.upload(GOOD + ROLELESS)
    claim = Job.claimed(drop, world.holder(), world.now(), world.timing)
    assert world.ledger.claim(claim) is not None
    uri = f"{world.settings.output}{drop.name}/{drop.job_id}/rejected.jsonl"
    line = {"line": 2, "text": ROLELESS.strip(), "errors": [{"code": "no_role"}]}
    world.storage.write(uri, iter([json.dumps(line).encode()]))

    world.ticks(1, timedelta(minutes=11))

    job = world.job(drop)
    assert job.phase is Phase.REJECTED
    assert [line["line"] for line in reported(world, job)] == [2]


def test_a_report_is_no_sign_of_results_for_a_drop_found_by_listing(
    world: World,
) -> None:
    world.choose(on_invalid="skip")
    drop = world.upload(GOOD + ROLELESS)

    world.worker.claims.claim_missed(drop)
    world.ticks(3)

    assert world.job(drop).phase is Phase.SUBMITTED

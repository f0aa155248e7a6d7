"""Announcements of every kind, made from jobs that run through their phases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.codes import Outcome
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import (
    Batch,
    Cost,
    Failure,
    Part,
    Problem,
    Results,
    Staging,
    Stats,
    Usage,
)
from batchdrop.rows import Rows
from tests.jobs import AWKWARD, SPEC, TIMING

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def examples() -> Iterator[Announcement]:
    """One announcement of each kind, and one for each final state of the service."""
    claimed = Job.claimed(AWKWARD, "me", NOW, TIMING)
    yield _of(claimed.rejected(Problem(code="no_rows", message="empty"), NOW))
    yield _of(claimed.park(NOW))
    spec = replace(SPEC, labels={"batchdrop_job": claimed.id, "team": "ops"})
    staging = Staging(epoch=1, uri="gs://work/x/1/requests.jsonl")
    rows = Rows(total=3, accepted=3)
    prepared = claimed.prepared(spec, staging, rows, NOW, TIMING)
    name = "projects/1/locations/global/batchPredictionJobs/2"
    sent = Batch(name=name, state="JOB_STATE_PENDING", terminal=False)
    submitted = prepared.submitting(NOW, TIMING).submitted(sent, NOW)
    yield _of(submitted.lost(NOW))
    again = submitted.lost(NOW).rerun_counted("ada", NOW).rerun("ada", NOW)
    yield _of(again.rejected(Problem(code="source_gone", message="gone"), NOW))
    for outcome in Outcome:
        if outcome.counted is outcome:
            yield _of(submitted.ended(_ended(name, outcome.state), NOW))
    over = submitted.ended(_ended(name, "JOB_STATE_SUCCEEDED"), NOW)
    yield _of(over.park(NOW))
    results = Results(uri="gs://out/r.jsonl", generation=1, crc32c="AAAA", bytes=9)
    counts = Rows(total=3, accepted=3, ok=2, failed=1)
    failure = Failure(code="429", message="quota", count=1, example="r0000001")
    yield _of(
        over.collected(
            NOW,
            results=results,
            rows=counts,
            usage=Usage(prompt=9, total=9),
            cost=Cost(micros=3, currency="USD", prices_as_of="2026-02-28"),
            failures=(failure,),
        )
    )
    part = Part(n=0, first=1, last=3, staging=staging)
    split_job = claimed.part_staged(part, NOW, TIMING).split(spec, rows, NOW)
    (child,) = split_job.part_jobs(NOW)
    yield _of(child.park(NOW))
    over = child.submitting(NOW, TIMING).submitted(sent, NOW)
    over = over.ended(_ended(name, "JOB_STATE_FAILED"), NOW)
    yield _of(split_job.part_over(over, NOW))


def _ended(name: str, state: str) -> Batch:
    """A batch with two answers and one failure; an error unless it succeeded."""
    failed = state != "JOB_STATE_SUCCEEDED"
    return Batch(
        name=name,
        state=state,
        terminal=True,
        create_time=NOW,
        start_time=NOW,
        end_time=NOW,
        # The service's codes are numbers.
        error=Problem(code=9, message="bad bucket") if failed else None,
        completion_stats=Stats(successful=2, failed=1),
        output_directory="gs://output/a/b c.jsonl/x/prediction-1",
    )


def _of(job: Job) -> Announcement:
    """An announcement of a job by the deployment that all examples are from."""
    return Announcement.of(job, "//batchdrop/projects/p/deployments/d")

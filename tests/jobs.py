"""What the jobs of many tests are made of."""

from collections import Counter
from datetime import datetime, timedelta

from batchdrop.jobs.job import Job
from batchdrop.jobs.values import (
    Batch,
    Drop,
    Results,
    Spec,
    Staging,
    Timing,
    Usage,
)
from batchdrop.rows import Rows

TIMING = Timing(
    lease=timedelta(minutes=10),
    create_timeout=timedelta(minutes=1),
    list_lag=timedelta(minutes=2),
)
DROP = Drop(bucket="inbox", name="reviews.jsonl", generation=7, size=1000)
#: One that is awkward to write down.
AWKWARD = Drop(bucket="inbox", name="a/b c.jsonl", generation=2**60, size=10**12)
SPEC = Spec(
    kind="generation",
    backend="vertex",
    location="us-central1",
    model="gemini-3.8-flash",
    destination="gs://out/reviews.jsonl/x/",
    display_name="reviews.jsonl",
)
STAGED = Staging(epoch=1, uri="gs://work/x/1/requests.jsonl", rows=1)
RESULTS = Results(uri="gs://out/r.jsonl", generation=1, crc32c="AAAAAA==", bytes=9)


def collected(job: Job, now: datetime, **counts: int) -> Job:
    """The job with results; by default of one row that is ok."""
    of = Counter(counts or {"ok": 1})
    refused = of.pop("refused", 0)
    rows = Rows(total=of.total() + refused, accepted=of.total(), refused=refused, **of)
    return job.collected(now, results=RESULTS, rows=rows, usage=Usage(prompt=3))


def ended(claimed: Job, now: datetime) -> Job:
    """A job that was claimed, once its batch has succeeded."""
    done = Batch(name="batches/1", state="JOB_STATE_SUCCEEDED", terminal=True)
    prepared = claimed.prepared(SPEC, STAGED, Rows(total=1, accepted=1), now, TIMING)
    return prepared.submitted(done, now).ended(done, now)

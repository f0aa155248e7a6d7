"""What the jobs of many tests are made of."""

from datetime import timedelta

from batchdrop.jobs.values import Drop, Spec, Timing

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

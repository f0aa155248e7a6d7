"""The list of jobs, where the ledger has many."""

import statistics
import time
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from batchdrop.jobs.values import derived_id
from tests.reads import counted
from tests.there import there
from tests.worker.batches import submit
from tests.worker.world import World

JOBS = 20_000
#: Documents of a commit; each write of one has a few kilobytes.
COMMIT = 400


@pytest.mark.proof
def test_a_list_of_20_000_jobs_takes_little_longer_than_one_of_a_few(
    deployed: World, pages: FlaskClient
) -> None:
    job = submit(deployed, "nightly/reviews.jsonl")
    deployed.until_ended()
    copy(deployed, job.id, 30)
    few = first_byte(pages)
    copy(deployed, job.id, JOBS)

    with counted() as counts:
        listed = pages.get("/").text
    many = first_byte(pages)

    assert listed.count("nightly/") > 20
    assert counts["reads"] <= 60
    assert many < few * 3 + 0.05
    print(f"first byte: {few * 1000:.0f} ms of 30 jobs, {many * 1000:.0f} of {JOBS:,}")


def copy(world: World, id: str, times: int) -> None:
    """Adds copies of a job that ended, each a second older than the one before."""
    jobs = world.database.collection("jobs")
    document = there(jobs.document(id).get().to_dict())
    for first in range(0, times, COMMIT):
        commit = world.database.batch()
        for n in range(first, min(first + COMMIT, times)):
            older = {"created_at": document["created_at"] - timedelta(seconds=n + 1)}
            commit.set(jobs.document(derived_id(id, f"copy-{n}")), document | older)
        commit.commit()


def first_byte(pages: FlaskClient) -> float:
    """Seconds to the first byte of the list, once it is warm."""
    took = []
    for _ in range(11):
        began = time.perf_counter()
        pages.get("/")
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:])

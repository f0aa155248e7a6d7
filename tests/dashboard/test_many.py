"""The list of jobs, where the ledger has many."""

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
def test_a_list_of_20_000_jobs_reads_as_many_documents_as_one_of_a_hundred(
    deployed: World, pages: FlaskClient
) -> None:
    """
    Its time says nothing here: the emulator has no indexes, and looks at each document
    for each query. Firestore takes the time of what it reads.
    """
    job = submit(deployed, "nightly/reviews.jsonl")
    deployed.until_ended()
    copy(deployed, job.id, 100)
    with counted() as few:
        pages.get("/")
    copy(deployed, job.id, JOBS)

    with counted() as many:
        listed = pages.get("/").text

    assert listed.count("nightly/") > 20
    assert many["reads"] == few["reads"] <= 60


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

from collections.abc import Iterator

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore, storage

from batchdrop.settings import Location, Settings
from batchsim.clock import Clock
from batchsim.settings import Settings as SimSettings
from batchsim.sim import BatchSim
from tests.worker.world import World


@pytest.fixture
def world(gcs: str, firestore_emulator: str, project: str) -> Iterator[World]:
    """A deployment that nobody else uses, at a standing clock."""
    storage_client = storage.Client(
        project=project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": gcs},
    )
    settings = Settings(
        project=project,
        location="us-central1",
        model="gemini-2.5-flash",
        inbox=f"{project}-inbox",
        work=Location(bucket=f"{project}-work", prefix="staging/"),
        output=Location(bucket=f"{project}-output", prefix=""),
        topic="announcements",
        deployment="tests",
    )
    for bucket in (settings.inbox, settings.work.bucket, settings.output.bucket):
        storage_client.create_bucket(bucket)
    durations = SimSettings(queue_seconds=300, run_seconds=600)
    with BatchSim(clock=Clock(speed=0), settings=durations, storage=gcs) as sim:
        world = World(
            sim=sim,
            gcs=storage_client,
            database=firestore.Client(project=project),
            settings=settings,
        )
        yield world
        world.close()
    storage_client.close()

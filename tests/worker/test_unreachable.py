"""No host name resolves and no token is issued: every step is tried again later."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from google.auth.credentials import Credentials
from google.auth.exceptions import (
    DefaultCredentialsError,
    RefreshError,
    TransportError,
)
from google.cloud import storage

from batchdrop.batches import Client, HttpOptions, HttpRetryOptions, NotSignedIn
from batchdrop.batches import TransportError as Unanswered
from batchdrop.batches.objects import Objects
from batchdrop.errors import Misconfigured, Unavailable
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.values import Drop, Location
from batchdrop.storage import Storage
from tests.worker.backends import BOTH
from tests.worker.batches import submit
from tests.worker.world import World, storage_at

#: No resolver knows it (RFC 6761).
NOWHERE = "http://nowhere.invalid"


class Tokens(Credentials):
    """Credentials whose token can't be had."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def refresh(self, request: Any) -> None:
        raise self._error


def on_the_way() -> RefreshError:
    """As a function's own credentials say that the metadata server didn't answer."""
    error = RefreshError("no route")
    error.__cause__ = TransportError("no route")
    return error


def refused() -> RefreshError:
    return RefreshError("invalid_grant")


@pytest.fixture
def names(world: World, gcs: str, monkeypatch: pytest.MonkeyPatch) -> "Names":
    monkeypatch.setattr("batchdrop.storage.RETRY_FOR", 0.1)
    return Names(world, gcs)


class Names:
    """The names of Cloud Storage and of the API; Firestore is found in any case."""

    def __init__(self, world: World, gcs: str) -> None:
        self._world, self._gcs = world, gcs

    def are_lost(self) -> None:
        self._see(NOWHERE)

    def are_back(self) -> None:
        self._see(self._gcs)

    def _see(self, address: str) -> None:
        self._world.gcs.close()
        self._world.gcs = storage_at(address, self._world.settings.project)
        self._world.wire.down = address == NOWHERE


@BOTH
def test_a_job_waits_until_names_are_resolved_again(world: World, names: Names) -> None:
    drop = world.upload()
    names.are_lost()

    world.worker.take(drop)
    world.ticks(2, timedelta(minutes=3))

    job = world.job(drop)
    assert (job.phase, job.resumes) == (Phase.ARRIVED, 0)
    assert job.postponed is not None
    assert world.announced == []

    for _ in range(3):
        with suppress(ExceptionGroup):  # the hourly comparison
            world.ticks(1, timedelta(minutes=50))
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.stalled.v1"]

    names.are_back()
    world.ticks(1, timedelta(hours=1))  # the pauses have grown
    assert world.job(drop).phase is Phase.SUBMITTED
    assert len(world.batches()) == 1


def test_a_tick_announces_and_cancels_where_no_name_is_resolved(
    world: World, names: Names
) -> None:
    submitted = submit(world)
    world.choose(paused=True)
    waiting = submit(world, "later.jsonl")
    names.are_lost()
    world.worker.commands.cancel(waiting.id, "ann")

    with pytest.raises(ExceptionGroup):
        world.ticks(1)

    assert [one.job_id for one in world.announced] == [waiting.id]
    assert world.job(submitted.source).phase is Phase.SUBMITTED


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (on_the_way(), Unavailable),
        (TransportError("no route"), Unavailable),
        (refused(), Misconfigured),
    ],
    ids=["a function's", "a key's", "refused"],
)
def test_storage_without_a_token_is_asked_later_or_mended(
    error: Exception, raised: type[Exception]
) -> None:
    drop = Drop(bucket="in", name="a.jsonl", generation=1, size=1)
    client = storage.Client(
        project="p",
        credentials=Tokens(error),
        client_options={"api_endpoint": NOWHERE},
    )
    asked = Storage(lambda: client)

    for step in (
        lambda: list(asked.read(drop)),
        lambda: asked.metadata(drop),
        lambda: asked.find("in", "a.jsonl"),
        lambda: list(asked.objects("in")),
        lambda: asked.write("gs://work/a", iter([b"{}"])),
        lambda: asked.copy("gs://work/a", "gs://work/b"),
        lambda: asked.describe("gs://work/a", {}),
        lambda: asked.names(Location.parse("gs://work/a/")),
        lambda: asked.delete("gs://work/a"),
    ):
        with pytest.raises(raised):
            step()


def test_storage_whose_client_cannot_be_made_waits_for_a_person() -> None:
    def none() -> storage.Client:
        raise DefaultCredentialsError("none")

    drop = Drop(bucket="in", name="a.jsonl", generation=1, size=1)
    asked = Storage(none)

    for step in (
        lambda: list(asked.read(drop)),
        lambda: asked.metadata(drop),
        lambda: asked.write("gs://work/a", iter([b"{}"])),
        lambda: asked.copy("gs://work/a", "gs://work/b"),
        lambda: asked.describe("gs://work/a", {}),
    ):
        with pytest.raises(Misconfigured, match="token"):
            step()


@pytest.mark.parametrize(
    ("error", "refused_for_good"),
    [
        (on_the_way(), False),
        (TransportError("no route"), False),
        (refused(), True),
    ],
    ids=["a function's", "a key's", "refused"],
)
def test_a_client_without_a_token_sends_nothing_and_reports_if_it_may_retry(
    error: Exception, refused_for_good: bool
) -> None:
    with Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=Tokens(error),
        http_options=HttpOptions(retry_options=HttpRetryOptions(attempts=1)),
    ) as client:
        with pytest.raises(Unanswered) as caught:
            client.batches.get(name="projects/p/locations/l/batchPredictionJobs/1")
        objects = Objects(Tokens(error), "p")
        with pytest.raises(Unanswered) as also:
            objects.find("gs://in/a.jsonl")

    for one in (caught.value, also.value):
        assert not one.sent
        assert isinstance(one, NotSignedIn) is refused_for_good

"""The only place that makes clients: lazily, once for an instance."""

import os
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from batchdrop.announce import Publisher
from batchdrop.batches import Client, HttpOptions, HttpRetryOptions
from batchdrop.check import Check
from batchdrop.intake import Intake, rules_of
from batchdrop.jobs import Timing
from batchdrop.ledger import Ledger
from batchdrop.policies import Policies
from batchdrop.poller import Poller
from batchdrop.service import DeveloperService, Service, VertexService
from batchdrop.settings import Settings
from batchdrop.storage import Storage
from batchdrop.sweep import Sweep


@cache
def settings() -> Settings:
    """The deployment's choices. A missing one stops the start, by its name."""
    return Settings.from_env(os.environ)


@cache
def intake() -> Intake:
    """What `on_upload` does."""
    rules_of(settings())  # what can't be read by stops the start
    return Intake(
        ledger=ledger(),
        storage=storage(),
        service=service(),
        settings=settings(),
        timing=Timing(
            lease=timedelta(seconds=settings().lease),
            create_timeout=timedelta(seconds=settings().create_timeout),
            settle=timedelta(seconds=settings().settle),
        ),
        now=utcnow,
        holder=new_holder,
    )


@cache
def poller() -> Poller:
    """What `poll` does."""
    return Poller(
        ledger=ledger(),
        intake=intake(),
        service=service(),
        sweep=Sweep(
            ledger=ledger(),
            service=service(),
            settle=timedelta(seconds=settings().settle),
            now=utcnow,
        ),
        policies=Policies(
            ledger=ledger(), service=service(), settings=settings(), now=utcnow
        ),
        check=Check(
            ledger=ledger(),
            intake=intake(),
            service=service(),
            settings=settings(),
            now=utcnow,
        ),
        publish=Publisher(_publisher_client, topic_path(settings())),
        settings=settings(),
        now=utcnow,
        holder=new_holder,
    )


@cache
def ledger() -> Ledger:
    """The jobs of this deployment."""
    chosen = settings()
    return Ledger(
        _firestore_client,
        f"//batchdrop/projects/{chosen.project}/deployments/{chosen.deployment}",
        timedelta(seconds=chosen.ledger_ttl),
    )


@cache
def storage() -> Storage:
    """The deployment's buckets."""
    return Storage(_storage_client)


@cache
def service() -> Service:
    """The batch service, through the deployment's backend."""
    chosen, client = settings(), batches()
    if chosen.backend == "vertex":
        return VertexService(client.batches, chosen.deployment)
    return DeveloperService(client.batches, client.files, storage(), chosen.deployment)


@cache
def batches() -> Client:
    """The client of the batch API."""
    chosen = settings()
    options = HttpOptions(
        base_url=chosen.api_url,
        # Connecting, sending and waiting may take this long each; together they stay
        # below the time that a look waits for an unanswered request.
        timeout=chosen.create_timeout / 3,
        # The ledger tries again at the next tick; nobody sleeps in a function.
        retry_options=HttpRetryOptions(attempts=1),
    )
    if chosen.backend == "developer":
        return Client(vertexai=False, api_key=chosen.api_key, http_options=options)
    credentials = None
    if chosen.api_url and chosen.api_url.startswith("http://"):
        # A token never goes over plain HTTP.
        from google.auth.credentials import AnonymousCredentials

        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return Client(
        vertexai=True,
        project=chosen.project,
        location=chosen.location,
        credentials=credentials,
        http_options=options,
    )


def topic_path(chosen: Settings) -> str:
    """The topic's full name."""
    if chosen.topic.startswith("projects/"):
        return chosen.topic
    return f"projects/{chosen.project}/topics/{chosen.topic}"


def utcnow() -> datetime:
    """Now, with its zone."""
    return datetime.now(UTC)


def new_holder() -> str:
    """A name nobody else has: the one thing here that must differ each time."""
    return uuid.uuid4().hex


@cache
def _firestore_client() -> Any:
    from google.cloud import firestore

    return firestore.Client(project=settings().project, database=settings().database)


@cache
def _storage_client() -> Any:
    from google.cloud import storage as library

    return library.Client(project=settings().project)


@cache
def _publisher_client() -> Any:
    from google.cloud import pubsub_v1

    return pubsub_v1.PublisherClient(
        publisher_options=pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    )

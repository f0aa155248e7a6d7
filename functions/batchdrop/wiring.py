"""Builds the worker and makes all clients: on first use, once per instance."""

import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from batchdrop.announcements.message import Announcement
from batchdrop.announcements.publisher import Publisher, WakeUps
from batchdrop.backends import Backend, Backends
from batchdrop.backends.developer import DeveloperBackend
from batchdrop.backends.vertex import VertexBackend
from batchdrop.batches import Client, HttpOptions, HttpRetryOptions
from batchdrop.errors import BadSetting, NotReadable
from batchdrop.jobs import codes
from batchdrop.jobs.codes import Step
from batchdrop.jobs.values import Timing
from batchdrop.ledger import Ledger
from batchdrop.ledger.clock import SharedClock
from batchdrop.ledger.costs import Costs
from batchdrop.options.configuration import wire_config
from batchdrop.options.routes import MAX_SIZE as MAX_ROUTES
from batchdrop.options.routes import Routes, endpoints
from batchdrop.options.settings import Settings
from batchdrop.preflight import Rules
from batchdrop.pricing.prices import MAX_SIZE as MAX_PRICES
from batchdrop.pricing.prices import Prices
from batchdrop.storage import Storage
from batchdrop.stored import split_uri
from batchdrop.worker import Worker
from batchdrop.worker.admit import Admit
from batchdrop.worker.attach import Attach
from batchdrop.worker.awaiting import Awaiting
from batchdrop.worker.cancel import Cancel
from batchdrop.worker.choices import Ceilings
from batchdrop.worker.claim import Claims
from batchdrop.worker.collect import Collect
from batchdrop.worker.collect_compose import Compose
from batchdrop.worker.collect_copy import Copies, Copy, Deliver
from batchdrop.worker.collect_freeze import Freeze
from batchdrop.worker.collect_heal import Heal
from batchdrop.worker.collect_inputs import Inputs
from batchdrop.worker.collect_merge import Merge
from batchdrop.worker.collect_parts import Parts
from batchdrop.worker.collect_range import RangeOfRows
from batchdrop.worker.collect_retry import ChooseRows
from batchdrop.worker.collect_round import Gathering, awaited
from batchdrop.worker.collect_segments import Segments
from batchdrop.worker.collect_sort import Sort
from batchdrop.worker.collect_steps import Places
from batchdrop.worker.commands import Commands
from batchdrop.worker.estimating import Pricing
from batchdrop.worker.keep import Keep
from batchdrop.worker.lost import Lost
from batchdrop.worker.outbox import Outbox
from batchdrop.worker.policies import Policies
from batchdrop.worker.prepare import Preparing
from batchdrop.worker.rebuild import Rebuild
from batchdrop.worker.reconcile import Reconcile
from batchdrop.worker.reserve import Reserving
from batchdrop.worker.retry_rows import RetryRows
from batchdrop.worker.run import Runner
from batchdrop.worker.setbacks import Setbacks
from batchdrop.worker.staging import Stager
from batchdrop.worker.submit import Submitting
from batchdrop.worker.sweep import Sweep
from batchdrop.worker.tick import Poll
from batchdrop.worker.traces import Traces
from batchdrop.worker.wake import Wake

#: Seconds for which a page waits for an answer of Firestore or Cloud Storage. Cloud Run
#: gives a page up after 60, and their libraries wait longer, in one of four threads.
PATIENCE = 15.0


@cache
def settings() -> Settings:
    """Reads the deployment's settings; BadSetting names one that is missing."""
    return Settings.from_env(os.environ)


def start() -> Settings:
    """
    Reads the deployment's settings, and its routes and prices if they are in files. A
    mistake in them stops the start. Those in a bucket are read at an instance's first
    call.
    """
    chosen = settings()
    if wrong := _wrong_config(chosen):
        raise BadSetting(f"BATCHDROP_GENERATION_CONFIG: {wrong}")
    if chosen.routes and not chosen.routes.startswith("gs://"):
        routes()
    if chosen.prices and not chosen.prices.startswith("gs://"):
        prices()
    return chosen


def _wrong_config(chosen: Settings) -> str:
    """Why the deployment's generation configuration is invalid; empty if valid."""
    if chosen.generation_config is None:
        return ""
    try:
        rules = Rules(
            backend=chosen.backend, model=chosen.model, unknown=chosen.unknown
        )
        wire_config(chosen.generation_config, rules, private=False)
    except ValueError as exc:
        return str(exc)
    return ""


@cache
def routes() -> Routes:
    """
    Reads the deployment's routes once. Routes in a bucket need no second read: the
    object's name changes with its content.
    """
    file = settings().routes
    if file is None:
        return Routes.none()
    found = Routes.parse(_content("BATCHDROP_ROUTES", file, MAX_ROUTES), file)
    found.check(settings())
    return found


@cache
def prices() -> Prices:
    """Reads the deployment's price list once, or the built-in one."""
    file = settings().prices
    if file is None:
        return Prices.load()
    try:
        return Prices.load(_content("BATCHDROP_PRICES", file, MAX_PRICES))
    except ValueError as exc:
        raise BadSetting(f"BATCHDROP_PRICES: {file}: {exc}") from exc


def _content(variable: str, place: str, most: int) -> bytes:
    """The content of a setting's file, a path or gs:// address: `most` + 1 bytes."""
    if not place.startswith("gs://"):
        try:
            with Path(place).open("rb") as stream:
                return stream.read(most + 1)
        except OSError as exc:
            raise BadSetting(f"{variable}: {place}: {exc.strerror}") from exc
    drop = storage().find(*split_uri(place))
    if drop is None:
        raise BadSetting(f"{variable}: {place} is not there")
    try:
        return storage().content(drop, most)
    except NotReadable as exc:
        raise BadSetting(f"{variable}: {exc}") from exc


def build(
    settings: Settings,
    routes: Routes,
    *,
    ledger: Ledger,
    storage: Storage,
    prices: Callable[[], Prices],
    connect: Callable[[str, str], Client],
    publish: Callable[[Announcement], None],
    wake: Callable[[str], None],
    now: Callable[[], datetime],
    holder: Callable[[], str],
) -> Worker:
    """
    Builds a worker from its collaborators; no client is made yet.

    Args:
        prices: returns the price list, once there are rows or answers.
        connect: makes the client for a backend and a location.
        publish: sends an announcement.
        wake: sends a message that has the answers of the job with this id collected.
        holder: returns a new, unique name for each claim.
    """
    timing = Timing(
        lease=timedelta(seconds=settings.lease),
        create_timeout=timedelta(seconds=settings.create_timeout),
        list_lag=timedelta(seconds=settings.list_lag),
    )

    def backend(name: str, location: str) -> Backend:
        client, deployment = connect(name, location), settings.deployment
        if name == codes.Backend.VERTEX:
            return VertexBackend(client.batches, deployment)
        return DeveloperBackend(client.batches, client.files, storage, deployment)

    traces, ceilings = Traces(storage, settings), Ceilings(settings=settings)
    keep = Keep(
        ledger=ledger, storage=storage, traces=traces, settings=settings, now=now
    )
    inputs = Inputs(ledger=ledger, storage=storage, prices=prices)
    pricing = Pricing(prices=prices, now=now)
    reserving = Reserving(
        ledger=ledger, pricing=pricing, settings=settings, routes=routes, now=now
    )
    claims = Claims(
        ledger=ledger, settings=settings, timing=timing, now=now, holder=holder
    )
    setbacks = Setbacks(
        ledger=ledger,
        storage=storage,
        traces=traces,
        settings=settings,
        timing=timing,
        now=now,
    )
    rebuild = Rebuild(ledger=ledger, traces=traces, timing=timing, now=now)
    preparing = Preparing(
        ledger=ledger,
        storage=storage,
        traces=traces,
        rebuild=rebuild,
        attach=Attach(
            ledger=ledger,
            storage=storage,
            setbacks=setbacks,
            settings=settings,
            now=now,
        ),
        stager=Stager(
            ledger=ledger,
            storage=storage,
            traces=traces,
            ceilings=ceilings,
            timing=timing,
            now=now,
        ),
        retry_rows=RetryRows(
            ledger=ledger,
            storage=storage,
            traces=traces,
            inputs=inputs,
            ceilings=ceilings,
            pricing=pricing,
            setbacks=setbacks,
            timing=timing,
            now=now,
        ),
        ceilings=ceilings,
        pricing=pricing,
        setbacks=setbacks,
        settings=settings,
        routes=routes,
        timing=timing,
        now=now,
    )

    def runner(backends: Backends) -> Runner:
        return Runner(
            ledger=ledger,
            backends=backends,
            preparing=preparing,
            submitting=Submitting(
                ledger=ledger,
                storage=storage,
                backends=backends,
                traces=traces,
                keep=keep,
                setbacks=setbacks,
                reserving=reserving,
                settings=settings,
                timing=timing,
                now=now,
            ),
            setbacks=setbacks,
            timing=timing,
            now=now,
            holder=holder,
        )

    backends = Backends(backend, endpoints(settings, routes))
    in_ticks = backends.for_ticks()
    cancel = Cancel(ledger=ledger, backends=in_ticks, now=now)
    tick_runner = runner(in_ticks)
    outbox = Outbox(ledger=ledger, publish=publish, now=now)
    places = Places(settings)
    copies = Copies(
        storage=storage, backends=backends, places=places, setbacks=setbacks
    )
    freeze = Freeze(storage=storage, places=places, copies=copies, now=now)
    compose = Compose(storage)
    gathering = Gathering(storage=storage, places=places)
    return Worker(
        claims=claims,
        runner=runner(backends),
        commands=Commands(ledger=ledger, cancelling=cancel, setbacks=setbacks, now=now),
        backends=backends,
        collector=Collect(
            ledger=ledger,
            steps={
                Step.COPY: Copy(copies=copies, now=now),
                Step.DELIVER: Deliver(storage=storage, places=places),
                Step.FREEZE: freeze,
                Step.MERGE: Merge(
                    storage=storage,
                    places=places,
                    freeze=freeze,
                    inputs=inputs,
                    gathering=gathering,
                ),
                Step.PARTS: Parts(
                    ledger=ledger,
                    storage=storage,
                    places=places,
                    compose=compose,
                    now=now,
                ),
                Step.SORT: Sort(
                    storage=storage, places=places, freeze=freeze, inputs=inputs
                ),
                Step.RANGE: RangeOfRows(storage=storage, freeze=freeze, inputs=inputs),
                Step.COMPOSE: Segments(
                    storage=storage,
                    places=places,
                    freeze=freeze,
                    inputs=inputs,
                    compose=compose,
                    gathering=gathering,
                ),
                Step.RETRY: ChooseRows(ledger=ledger, storage=storage, now=now),
                Step.ROUND: awaited,
                Step.HEAL: Heal(
                    ledger=ledger,
                    storage=storage,
                    places=places,
                    compose=compose,
                    gathering=gathering,
                    now=now,
                ),
            },
            keep=keep,
            outbox=outbox,
            delete=storage.delete_below,
            timing=timing,
            now=now,
            holder=holder,
        ),
        poll=Poll(
            ledger=ledger,
            backends=in_ticks,
            outbox=outbox,
            sweep=Sweep(
                ledger=ledger,
                backends=in_ticks,
                lost=Lost(ledger=ledger, now=now),
                list_lag=timing.list_lag,
                now=now,
            ),
            awaiting=Awaiting(ledger=ledger, cancel=cancel, now=now),
            wake=Wake(ledger=ledger, publish=wake, timing=timing, now=now),
            cancel=cancel,
            policies=Policies(ledger=ledger, backends=in_ticks, now=now),
            reserving=reserving,
            admit=Admit(
                ledger=ledger,
                backends=in_ticks,
                runner=tick_runner,
                setbacks=setbacks,
                reserving=reserving,
                settings=settings,
                now=now,
            ),
            reconcile=Reconcile(
                ledger=ledger,
                storage=storage,
                backends=in_ticks,
                claims=claims,
                traces=traces,
                rebuild=rebuild,
                keep=keep,
                settings=settings,
                now=now,
            ),
            runner=tick_runner,
            settings=settings,
            now=now,
            holder=holder,
        ),
    )


@cache
def worker() -> Worker:
    """Builds the deployment's worker, once per instance."""
    if settings().prices:
        prices()
    return build(
        settings(),
        routes(),
        ledger=ledger(),
        storage=storage(),
        prices=prices,
        connect=_client,
        publish=Publisher(_publisher_client, topic_path(settings().topic)),
        wake=WakeUps(_publisher_client, topic_path(settings().work_topic)),
        now=now(),
        holder=new_holder,
    )


@cache
def ledger() -> Ledger:
    """
    Opens the deployment's ledger, and checks once that it belongs to the deployment.

    Raises:
        BadSetting: the database belongs to another deployment.
        Unavailable: Firestore gave no answer.
    """
    chosen = settings()
    found = Ledger(
        _firestore_client,
        f"//batchdrop/projects/{chosen.project}/deployments/{chosen.deployment}",
        timedelta(seconds=chosen.ledger_ttl),
        timedelta(seconds=chosen.costs_ttl),
        _patience(),
    )
    if (owner := found.owner(chosen.deployment)) != chosen.deployment:
        raise BadSetting(
            f"BATCHDROP_DATABASE: {chosen.database} is the ledger of the deployment "
            f"{owner!r}, and BATCHDROP_DEPLOYMENT is {chosen.deployment!r}; give it a "
            "database of its own. To rename a deployment, wait until all of its jobs "
            "are over, and delete the document locks/deployment"
        )
    return found


def costs() -> Costs:
    """Opens what jobs have cost, to be read: nothing is checked or written."""
    return Costs(_firestore_client, "")


@cache
def now() -> Callable[[], datetime]:
    """The clock of all times that a worker writes and compares: see `SharedClock`."""
    return SharedClock(utcnow, ledger().time)


def _patience() -> float | None:
    return PATIENCE if os.environ.get("FUNCTION_TARGET") == "dashboard" else None


@cache
def storage() -> Storage:
    """Opens Cloud Storage for the deployment."""
    return Storage(_storage_client, _patience())


def _client(backend: str, location: str) -> Client:
    """Makes the client for a backend and a location."""
    chosen = settings()
    options = HttpOptions(
        base_url=chosen.api_url,
        # Connecting, sending and waiting may each take this long. Together they stay
        # below the time that a search waits for an unanswered request.
        timeout=chosen.create_timeout / 3,
        # The ledger tries again at the next tick; a function never sleeps.
        retry_options=HttpRetryOptions(attempts=1),
    )
    if backend == codes.Backend.DEVELOPER:
        return Client(vertexai=False, api_key=chosen.api_key, http_options=options)
    credentials = None
    if chosen.api_url and chosen.api_url.startswith("http://"):
        # A token never goes over plain HTTP.
        from google.auth.credentials import AnonymousCredentials

        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    return Client(
        vertexai=True,
        project=chosen.project,
        location=location,
        credentials=credentials,
        http_options=options,
    )


def topic_path(topic: str) -> str:
    """Returns the topic's full name."""
    if topic.startswith("projects/"):
        return topic
    return f"projects/{settings().project}/topics/{topic}"


def utcnow() -> datetime:
    """Returns the time of this machine's clock, in UTC."""
    return datetime.now(UTC)


def new_holder() -> str:
    """Returns a new name; two workers must never share one, so it is random."""
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

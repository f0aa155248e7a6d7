"""How a deployment is, what is wrong with it, and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING

from batchdrop.options.names import why_ignored
from batchdrop.views import dead_letters
from batchdrop.views.limits import Limit, limits

if TYPE_CHECKING:
    from batchdrop.jobs.waiting import WaitingFor
    from batchdrop.ledger import Ledger
    from batchdrop.options.settings import Settings

#: The schedule calls `poll` each minute. A tick may take BATCHDROP_TICK and some more.
TICK_LATE = timedelta(minutes=2)
#: Each tick sweeps, and each hour a sweep accounts for all open jobs.
SWEEP_LATE = timedelta(minutes=15)
#: A tick publishes what waits in the outbox.
OUTBOX_LATE = timedelta(minutes=10)
#: How far back jobs are counted that are unhealthy.
RECENT_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """The ticks of `poll`."""

    last: datetime | None  #: when one last began or ended
    age: timedelta | None  #: since then
    running: bool
    swept: datetime | None  #: when the last sweep that was finished began
    all_accounted_for: datetime | None  #: when one last accounted for all open jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A queue, or the line of a route in it that has a ceiling of its own."""

    queue: str
    open: int
    waiting: int
    first: str | None  #: the job that has waited for longest
    since: datetime | None
    waiting_for: "WaitingFor | None"
    paused_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Announcements that are not published."""

    waiting: int
    since: datetime | None
    set_aside: int  #: that Pub/Sub has refused too often


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """Announcements that a subscriber refused again and again."""

    count: int | None
    why_unknown: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Something that is wrong, and what to do about it."""

    code: str
    message: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a deployment is, by Firestore's clock."""

    deployment: str
    project: str
    database: str
    at: datetime
    ticks: Ticks
    queues: list[Line]
    unsent: int  #: jobs that are before their batch, and in no line
    collecting: int
    unhealthy: int  #: of the jobs that were dropped in the last days
    outbox: Outbox
    dead_letters: DeadLetters
    ignored: int  #: recent objects of the inbox that make no job by their names
    day: str
    limits: list[Limit]
    wrong: list[Wrong]


def read(wiring: ModuleType) -> Status:
    """Reads how a deployment is, in a few reads and counts."""
    settings, ledger, now = wiring.settings(), wiring.ledger(), wiring.now()()
    tick, sweep = ledger.last_tick(), ledger.last_sweep()
    ticks = Ticks(
        last=tick.at,
        age=None if tick.at is None else tick.now - tick.at,
        running=tick.is_running,
        swept=sweep.started,
        all_accounted_for=sweep.complete,
    )
    outbox = Outbox(
        waiting=ledger.unpublished_count(),
        since=ledger.unpublished_since(),
        set_aside=ledger.set_aside_count(),
    )
    dead = _dead_letters(settings, now)
    queues = [*_queues(ledger, now)]
    unhealthy = ledger.unhealthy_count(now - timedelta(days=RECENT_DAYS))
    ignored, name = ledger.ignored_objects()
    return Status(
        deployment=settings.deployment,
        project=settings.project,
        database=settings.database,
        at=now,
        ticks=ticks,
        queues=queues,
        unsent=ledger.unsent_count(),
        collecting=ledger.collecting_count(),
        unhealthy=unhealthy,
        outbox=outbox,
        dead_letters=dead,
        ignored=ignored,
        day=f"{now:%Y-%m-%d}",
        limits=[*limits(wiring, f"{now:%Y-%m-%d}")],
        wrong=[
            *_wrong_ticks(settings, ticks, now),
            *_wrong_queues(settings, queues),
            *_wrong_jobs(unhealthy),
            *_wrong_names(ignored, name),
            *_wrong_announcements(outbox, dead, now),
        ],
    )


def _queues(ledger: "Ledger", now: datetime) -> Iterator[Line]:
    open, lines = list(ledger.open_queues()), list(ledger.waiting_lines())
    for name in sorted({*open, *lines}):
        waiting = ledger.waiting_count(name) if name in lines else 0
        first = ledger.first_waiting_job(name) if waiting else None
        yield Line(
            queue=name,
            open=ledger.open_job_count(name) if name in open else 0,
            waiting=waiting,
            first=first.id if first else None,
            since=first.created_at if first else None,
            waiting_for=first.waiting_for if first else None,
            paused_until=ledger.queue_pause_end(first.queue if first else name, now),
        )


def _dead_letters(settings: "Settings", now: datetime) -> DeadLetters:
    subscription = f"{settings.deployment}-dead-letters"  # as infra/messaging.tf has it
    try:
        found = dead_letters.count(settings.project, subscription, now)
    except dead_letters.NotCounted as exc:
        return DeadLetters(count=None, why_unknown=str(exc))
    return DeadLetters(count=found)


def _wrong_ticks(settings: "Settings", ticks: Ticks, now: datetime) -> Iterator[Wrong]:
    look = f"look at the schedule {settings.deployment}-poll and the log of poll"
    if ticks.age is None:
        yield Wrong(code="no_tick", message="poll has not run yet", do=look)
    elif ticks.age > TICK_LATE + timedelta(seconds=settings.tick):
        message = f"poll has not run for {span(ticks.age)}"
        yield Wrong(code="no_tick", message=message, do=look)
    elif ticks.swept and now - ticks.swept > SWEEP_LATE:
        yield Wrong(
            code="no_sweep",
            message=f"no sweep was finished for {span(now - ticks.swept)}",
            do="look for errors of the API in the log of poll",
        )


def _wrong_queues(settings: "Settings", queues: list[Line]) -> Iterator[Wrong]:
    if settings.paused:
        yield Wrong(
            code="paused",
            message="nothing is submitted, as the deployment is paused",
            do="set `paused` to false in Terraform when it may go on",
        )
    for line in queues:
        if line.paused_until:
            yield Wrong(
                code="quota",
                message=f"{line.queue}: the API has no quota left, so the queue pauses "
                f"until {line.paused_until:%H:%M:%S} UTC",
                do="nothing: it is tried again by itself; ask Google for more quota if "
                "this is often so",
            )


def _wrong_jobs(unhealthy: int) -> Iterator[Wrong]:
    if unhealthy:
        yield Wrong(
            code="unhealthy",
            message=f"{_count(unhealthy, 'job')} of the last {RECENT_DAYS} days "
            f"{'is' if unhealthy == 1 else 'are'} unhealthy",
            do=f"see `batchdrop jobs --unhealthy --since {RECENT_DAYS}d`, and "
            "`batchdrop show JOB` for what to do",
        )


def _wrong_names(ignored: int, name: str) -> Iterator[Wrong]:
    if why := why_ignored(name) if ignored else None:
        yield Wrong(
            code="ignored",
            message=f"{_count(ignored, 'object')} of the inbox "
            f"{'makes' if ignored == 1 else 'make'} no job, such as {name}",
            do=why,
        )


def _wrong_announcements(
    outbox: Outbox, dead: DeadLetters, now: datetime
) -> Iterator[Wrong]:
    if outbox.since and now - outbox.since > OUTBOX_LATE:
        yield Wrong(
            code="outbox",
            message=f"announcements have not been sent for {span(now - outbox.since)}",
            do="look for errors of Pub/Sub in the log of poll",
        )
    if outbox.set_aside:
        yield Wrong(
            code="set_aside",
            message=f"Pub/Sub refuses {_count(outbox.set_aside, 'announcement')}",
            do="see why with `batchdrop announcements list --since 30d`, mend that, "
            "and replay them with `batchdrop announcements replay`",
        )
    if dead.count:
        yield Wrong(
            code="dead_letters",
            message=f"subscribers refused {_count(dead.count, 'announcement')}",
            do="pull them from the subscription of the dead letters, and mend what "
            "refused them",
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def span(span: timedelta) -> str:
    """A time span for people: 42 s, 7 min, 3 h, 2 d."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"

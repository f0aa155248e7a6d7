"""The state of a deployment, what is wrong, and what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING

from batchdrop.options.names import why_ignored
from batchdrop.rows import agreed, counted
from batchdrop.views import dead_letters
from batchdrop.views.limits import Limit, limits
from batchdrop.worker.stages import few_at_once

if TYPE_CHECKING:
    from concurrent.futures import Future

    from batchdrop.jobs.waiting import WaitingFor
    from batchdrop.ledger import Ledger
    from batchdrop.options.settings import Settings

#: The schedule calls `poll` each minute. A tick may take BATCHDROP_TICK and some more.
TICK_LATE = timedelta(minutes=2)
#: Each tick sweeps, and each hour a sweep accounts for all open jobs.
SWEEP_LATE = timedelta(minutes=15)
#: A tick publishes what waits in the outbox.
OUTBOX_LATE = timedelta(minutes=10)
#: Most pauses of queues that are read: usually there is none.
MOST_PAUSES = 9
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
    do: str  #: with commands between `backticks`
    path: str = ""  #: of the page that shows more, if there is one
    link: str = ""  #: what that page has


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a deployment is, by Firestore's clock."""

    deployment: str
    project: str
    database: str
    at: datetime
    ticks: Ticks
    queues: list[Line]
    more_queues: int  #: that are left out, at least
    unsent: int  #: jobs that are before their batch, and in no line
    collecting: int
    unhealthy: int  #: of the jobs that were dropped in the last days
    outbox: Outbox
    dead_letters: DeadLetters
    ignored: int  #: recent objects of the inbox that make no job by their names
    day: str
    limits: list[Limit]
    wrong: list[Wrong]


def read(
    wiring: ModuleType, most: int | None = None, patience: float | None = None
) -> Status:
    """
    Reads how a deployment is, in a few reads and counts.

    Args:
        most: of queues: those in which a job has waited for longest. None: all.
        patience: how many seconds Cloud Monitoring may take to count the dead letters.
    """
    settings, ledger, now = wiring.settings(), wiring.ledger(), wiring.now()()
    subscription = f"{settings.deployment}-dead-letters"  # as infra/messaging.tf has it
    asked = dead_letters.begin(settings.project, subscription, now)
    began = monotonic()
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
    pauses = ledger.queue_pauses(now, MOST_PAUSES)
    queues, more_queues = _queues(ledger, pauses, most)
    unhealthy = ledger.unhealthy_count(now - timedelta(days=RECENT_DAYS))
    ignored, name = ledger.ignored_objects()
    unsent, collecting = ledger.unsent_count(), ledger.collecting_count()
    used = [*limits(wiring, f"{now:%Y-%m-%d}")]
    left = None if patience is None else max(0, patience - (monotonic() - began))
    dead = _dead_letters(asked, left)
    return Status(
        deployment=settings.deployment,
        project=settings.project,
        database=settings.database,
        at=now,
        ticks=ticks,
        queues=queues,
        more_queues=more_queues,
        unsent=unsent,
        collecting=collecting,
        unhealthy=unhealthy,
        outbox=outbox,
        dead_letters=dead,
        ignored=ignored,
        day=f"{now:%Y-%m-%d}",
        limits=used,
        wrong=[
            *_wrong_ticks(settings, ticks, now),
            *_wrong_queues(settings, pauses),
            *_wrong_jobs(unhealthy),
            *_wrong_names(ignored, name),
            *_wrong_announcements(outbox, dead, now),
        ],
    )


def _queues(
    ledger: "Ledger", pauses: Mapping[str, datetime], most: int | None
) -> tuple[list[Line], int]:
    """
    The queues, those first in which a job has waited for longest, and how many are left
    out, at least. With `most`, twice as many lines are looked at.
    """
    looked = None if most is None else 2 * most + 1
    firsts = {
        each.waiting_in: each for each in islice(ledger.first_waiting_jobs(), looked)
    }
    names = sorted(firsts, key=lambda name: firsts[name].created_at)
    if most is None or len(names) <= most:
        # One more than is shown says whether there are more.
        found = islice(ledger.open_queues(), None if most is None else most + 1)
        names += [name for name in found if name not in firsts]
    shown = names[:most]

    def line(name: str) -> Line:
        first = firsts.get(name)
        return Line(
            queue=name,
            open=ledger.open_job_count(name),
            waiting=ledger.waiting_count(name) if first else 0,
            first=first.id if first else None,
            since=first.created_at if first else None,
            waiting_for=first.waiting_for if first else None,
            paused_until=pauses.get(first.queue if first else name),
        )

    answers = dict(few_at_once(line, shown))
    return [answers[name].result() for name in shown], len(names) - len(shown)


def _dead_letters(asked: "Future[int]", patience: float | None) -> DeadLetters:
    try:
        return DeadLetters(count=asked.result(patience))
    except dead_letters.NotCounted as exc:
        return DeadLetters(count=None, why_unknown=str(exc))
    except TimeoutError:
        return DeadLetters(count=None, why_unknown="Cloud Monitoring takes too long")


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


def _wrong_queues(
    settings: "Settings", pauses: Mapping[str, datetime]
) -> Iterator[Wrong]:
    if settings.paused:
        yield Wrong(
            code="paused",
            message="nothing is submitted, as the deployment is paused",
            do="set `paused` to false in Terraform when it may go on",
        )
    for queue, until in sorted(pauses.items()):
        yield Wrong(
            code="quota",
            message=f"the queue {queue} pauses until {until:%H:%M:%S} UTC, as the API "
            "has no quota left",
            do="nothing: it is retried automatically; ask Google for more quota if "
            "this is often so",
        )


def _wrong_jobs(unhealthy: int) -> Iterator[Wrong]:
    if unhealthy:
        yield Wrong(
            code="unhealthy",
            message=f"{counted(unhealthy, 'job')} of the last {RECENT_DAYS} days "
            f"{agreed(unhealthy, 'is', 'are')} unhealthy",
            do=f"see `batchdrop jobs --unhealthy --since {RECENT_DAYS}d`, and "
            "`batchdrop show JOB` for what to do",
            path=f"/?state=unhealthy&since={RECENT_DAYS}d",
            link="These jobs, and what to do",
        )


def _wrong_names(ignored: int, name: str) -> Iterator[Wrong]:
    if why := why_ignored(name) if ignored else None:
        yield Wrong(
            code="ignored",
            message=f"{counted(ignored, 'object')} of the inbox "
            f"{agreed(ignored, 'makes', 'make')} no job, such as {name}",
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
            message=f"Pub/Sub refuses {counted(outbox.set_aside, 'announcement')}",
            do="see why with `batchdrop announcements list --since 30d`, mend that, "
            "and replay them with `batchdrop announcements replay`",
        )
    if dead.count:
        yield Wrong(
            code="dead_letters",
            message=f"subscribers refused {counted(dead.count, 'announcement')}",
            do="pull them from the subscription of the dead letters, and mend what "
            "refused them",
        )


def span(span: timedelta) -> str:
    """A time span for people: 42 s, 7 min, 3 h, 2 d."""
    seconds = max(0, int(span.total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"

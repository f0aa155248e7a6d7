"""
The reservations of a day as a graph of states, small enough to visit every one.

Ticks that overlap, or that froze and wake, each take up a job that waits, read the
day's document, and commit the intent: the job's reservation and the day's sum, by the
real `Job.submitting`, `Day.moved` and `Day.has_room`. A job that is done is settled in
the same way. A commit is refused if a document has changed since it was read. A tick
may die between any two steps, and the answer to its commit may be lost: then it reads
anew, and finds its own work.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from batchdrop.jobs.codes import ErrorCode, Phase, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Cost, Problem, Reserved
from batchdrop.ledger.ceilings import Day
from tests.exactly_once.model import KEPT, NOW, TIMING
from tests.exactly_once.walks import Walk, swapped, walked

DAY = "2026-03-01"

# What becomes of a job.
WAITING, SENT, DONE, SETTLED = "waiting", "sent", "done", "settled"


class Of(NamedTuple):
    """A job that reserves something of the day, in millionths of the currency."""

    estimate: int
    cost: int | None  #: None: it ends unpaid
    route: str = ""


class Held(NamedTuple):
    """A job in the ledger: how far it is, and what it has reserved of the day."""

    phase: str = WAITING
    micros: int = 0
    version: int = 0


class Sums(NamedTuple):
    """The day's document."""

    micros: int = 0
    routes: tuple[tuple[str, int], ...] = ()
    version: int = 0


class Tick(NamedTuple):
    """A tick at work on a job: the job and the day as it has read them."""

    job: int
    held: Held
    read: Sums | None = None


class State(NamedTuple):
    jobs: tuple[Held, ...]
    day: Sums = Sums()
    ticks: tuple[Tick, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen any more but that jobs wait for another day."""
        ends = (WAITING, SETTLED)
        return not self.ticks and all(job.phase in ends for job in self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The bounds of a walk; each switch takes a part of the protocol out."""

    jobs: tuple[Of, ...]
    ceilings: dict[str, int]  #: by route; "" is the deployment's
    ticks: int = 2  #: at once, frozen ones included
    holds_the_day: bool = True  #: the commit names the day's update time
    one_commit: bool = True  #: the intent and the reservation are one


def walk(protocol: Protocol, is_wrong: Callable[[State], bool]) -> Walk[State]:
    """Walks the protocol from jobs that wait, up to a wrong state."""
    start = State(jobs=(Held(),) * len(protocol.jobs))
    return walked(start, lambda state: Steps(protocol, state).all(), is_wrong)


def exceeds(protocol: Protocol) -> Callable[[State], bool]:
    """Whether jobs are sent whose estimates exceed a ceiling."""

    def is_wrong(state: State) -> bool:
        return any(
            sum(
                held.micros if held.phase == SETTLED else one.estimate
                for one, held in zip(protocol.jobs, state.jobs, strict=True)
                if held.phase != WAITING and route in ("", one.route)
            )
            > most
            for route, most in protocol.ceilings.items()
        )

    return is_wrong


def miscounts(state: State) -> bool:
    """Whether the day's sum isn't that of its jobs."""
    return state.day.micros != sum(held.micros for held in state.jobs)


# -- steps --------------------------------------------------------------------------

Step = tuple[str, State | None]


@dataclass(frozen=True, slots=True)
class Steps:
    """All that can happen next."""

    protocol: Protocol
    state: State

    def all(self) -> Iterator[Step]:
        state = self.state
        for n, held in enumerate(state.jobs):
            if held.phase == SENT:
                yield f"job {n} is done", self._put(n, held._replace(phase=DONE))
            room = len(state.ticks) < self.protocol.ticks
            if held.phase in (WAITING, DONE) and room:
                yield f"a tick takes up job {n}", self._with(None, Tick(n, held))
        for tick in dict.fromkeys(state.ticks):
            name = f"the tick at job {tick.job}"
            yield f"{name} dies", self._with(tick, None)
            if tick.read is None:
                yield f"{name} reads the day", self._read(tick)
            else:
                yield from self._commit(name, tick)

    def _read(self, tick: Tick) -> State:
        """A job that has moved on meanwhile is left alone, as `advance` does."""
        now = self.state.jobs[tick.job]
        if now.phase != tick.held.phase:
            return self._with(tick, None)
        return self._with(tick, tick._replace(held=now, read=self.state.day))

    def _commit(self, name: str, tick: Tick) -> Iterator[Step]:
        state, protocol = self.state, self.protocol
        assert tick.read is not None
        one, before = protocol.jobs[tick.job], tick.held
        if before.phase == WAITING:
            job = _waiting().submitting(NOW, TIMING, reserved=_reserved(one))
            if not _day(tick.read).has_room(_reserved(one), protocol.ceilings):
                yield f"{name} finds no room", self._with(tick, None)
                return
            after = SENT
        else:
            job = _done(one, before.micros).settled(NOW)
            after = SETTLED
        old = replace(_reserved(one), micros=before.micros)
        day = _day(tick.read).moved(old, job.reserved)
        raced = state.jobs[tick.job].version != before.version
        raced |= protocol.holds_the_day and state.day.version != tick.read.version
        if raced:
            yield f"{name} is refused", self._with(tick, tick._replace(read=None))
            return
        assert job.reserved is not None
        held = Held(after, job.reserved.micros, before.version + 1)
        sums = Sums(day.micros, tuple(day.routes.items()), state.day.version + 1)
        put = self._put(tick.job, held)
        if not protocol.one_commit:
            # The tick may die in between.
            yield (
                f"{name} writes the job alone",
                put._replace(ticks=Steps(protocol, put)._with(tick, None).ticks),
            )
        written = put._replace(day=sums)
        yield (
            f"{name} commits",
            written._replace(ticks=Steps(protocol, written)._with(tick, None).ticks),
        )
        # Its answer is lost: it reads anew.
        lost = Steps(protocol, written)._with(tick, tick._replace(read=None))
        yield f"{name} commits, and gets no answer", lost

    def _put(self, n: int, held: Held) -> State:
        jobs = list(self.state.jobs)
        jobs[n] = held
        return self.state._replace(jobs=tuple(jobs))

    def _with(self, before: Tick | None, after: Tick | None) -> State:
        ticks = swapped(self.state.ticks, before, after, key=repr)
        return self.state._replace(ticks=ticks)


# -- the real values ------------------------------------------------------------------


def _day(sums: Sums) -> Day:
    return Day(day=DAY, micros=sums.micros, routes=dict(sums.routes))


def _reserved(one: Of) -> Reserved:
    return Reserved(day=DAY, micros=one.estimate, route=one.route)


def _waiting() -> Job:
    return KEPT.wait(WaitCode.CEILING, "", NOW, due=NOW)


def _done(one: Of, micros: int) -> Job:
    """A job that is over: paid, or refused by the API."""
    job = _waiting().submitting(NOW, TIMING, reserved=_reserved(one))
    assert job.reserved is not None
    job = replace(job, reserved=replace(job.reserved, micros=micros))
    if one.cost is None:
        return job.rejected(Problem(code=ErrorCode.SERVICE_REFUSED, message=""), NOW)
    cost = Cost(micros=one.cost, currency="USD", prices_as_of=DAY)
    return replace(job, phase=Phase.ENDED, cost=cost)

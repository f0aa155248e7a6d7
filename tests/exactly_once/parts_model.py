"""
The collecting of a split job of two parts as a graph of states.

It begins while both parts run. Each part ends, and the split job records that. A
collector of its own collects the part, and never writes to the split job: so a part may
be done before or after its sibling has ended. `poll` counts the parts that are left,
and makes the split job due; its collectors take the steps of `worker/collect_parts.py`.
Each write to the split job applies a real transition of `jobs` to a real `Job`. Any
collector and any `poll` may die or freeze between any two steps and wake at any time.

Times are in ticks from now.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from batchdrop.jobs.codes import Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch, Collecting, Fact, Lease, Part, Staging, Usage
from batchdrop.rows import Rows
from tests.exactly_once.collect_model import (
    DROP,
    NOW,
    SPEC,
    TICK,
    TIMING,
    Content,
    Document,
    Published,
    document_of,
    later,
    results_of,
)
from tests.exactly_once.walks import Walk, swapped, walked

PARTS = 2
#: How far a part is.
RUNS, OVER, DONE = "runs", "over", "done"
#: Steps that no job needs in order to become done.
FAULTS = frozenset({"the message is lost"})

#: Of each part, whether its results are in what was composed.
Composed = tuple[bool, ...]


class Object(NamedTuple):
    """The split job's results, or their index."""

    epoch: int  #: in the name; 0: none
    parts: Composed


class Worker(NamedTuple):
    """A collector, or a `poll` that has counted parts; its next step."""

    epoch: int  #: of the job as it last read it
    step: str
    undone: int = 0  #: parts that it has counted
    parts: Composed = ()


class State(NamedTuple):
    job: Document
    told: tuple[bool, ...] = (False,) * PARTS  #: the split job knows that it is over
    parts: tuple[str, ...] = (RUNS,) * PARTS
    workers: tuple[Worker, ...] = ()
    message: bool = False  #: one or more are in flight
    results: frozenset[Object] = frozenset()
    indexes: frozenset[Object] = frozenset()
    named: Composed | None = None  #: what the document's counts are of
    announced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The bounds of a walk; each switch takes a part of the protocol out."""

    collectors: int = 2  #: at once, frozen ones included
    epochs: int = 4  #: the walk stops at this many holders
    fences: bool = True  #: a write is refused if another collector has the job
    polls: bool = True  #: `poll` makes the job due, once no part is left undone
    waits: bool = True  #: a collector that finds a part undone waits for it

    @property
    def start(self) -> State:
        """Both parts run."""
        return State(job=document_of(split((False,) * PARTS)))


def walk(protocol: Protocol, is_wrong: Callable[[State], bool]) -> Walk[State]:
    """Walks the protocol from the split on, up to a wrong state."""
    return walked(protocol.start, lambda state: Steps(protocol, state).all(), is_wrong)


def announces_twice(state: State) -> bool:
    return state.announced > 1


def lacks_a_part(state: State) -> bool:
    """The document names results without those of a part."""
    return state.named is not None and not all(state.named)


def names_what_it_did_not_count(state: State) -> bool:
    if state.job.results is None:
        return False
    both = [dict(state.results), dict(state.indexes)]
    return any(one.get(state.job.results.epoch) != state.named for one in both)


def is_done(state: State) -> bool:
    """The right end: the job is done, and nobody is at work on it."""
    return all(state.told) and not state.job.step and not state.workers


def never_done(walked: Walk[State]) -> list[str] | None:
    """A shortest way to a state from which no collector finishes without a fault."""
    return walked.dead_end(is_done, without=FAULTS)


# -- the real transitions, on documents ---------------------------------------------


@cache
def split(told: tuple[bool, ...]) -> Job:
    """A split job that knows of these parts that they are over."""
    job = Job.claimed(DROP, "w1", NOW, TIMING)
    for n in range(PARTS):
        staging = Staging(epoch=1, uri=f"gs://w/{n}", rows=1)
        part = Part(n=n, first=n + 1, last=n + 1, staging=staging)
        job = job.part_staged(part, NOW, TIMING)
    job = job.split(SPEC, Rows(total=PARTS, accepted=PARTS), NOW)
    running = Batch(name="b", state="JOB_STATE_RUNNING", terminal=False)
    ended = Batch(name="b", state="JOB_STATE_SUCCEEDED", terminal=True)
    for part_job, is_told in zip(job.part_jobs(NOW), told, strict=True):
        if is_told:
            over = part_job.submitting(NOW, TIMING).submitted(running, NOW)
            job = job.part_over(over.ended(ended, NOW), NOW)
    return job


@cache
def job_of(it: Document, told: tuple[bool, ...]) -> Job:
    """A split job with these fields."""
    base = split(told)
    due = None if it.due is None else NOW + it.due * TICK
    return replace(
        base,
        lease=Lease(until=NOW + it.lease * TICK, epoch=it.epoch, by=f"w{it.epoch}"),
        collecting=Collecting(round=0, step=it.step, due=due) if it.step else None,
        resumes=it.resumes,
        parked=Fact(since=NOW, message="") if it.parked else None,
        seq=it.seq,
        results=it.results and results_of(it.results),
        rows=replace(base.rows, ok=PARTS) if it.results else base.rows,
    )


@cache
def moved(
    it: Document, told: tuple[bool, ...], move: str, undone: int, into: int
) -> Document:
    """The split job after a transition of `jobs`."""
    job = job_of(it, told)
    match move:
        case "counted":
            job = job.parts_counted(undone, (), NOW)
        case "woken":
            job = job.woken(NOW, TIMING)
        case "taken":
            job = job.collect_taken(f"w{it.epoch + 1}", NOW, TIMING)
        case "waits":
            job = job.collect_waits("parts are not done", NOW, NOW + TICK)
        case "collected":
            job = job.collected(
                NOW,
                results=results_of(Published(into, Content(PARTS, True))),
                rows=Rows(total=PARTS, accepted=PARTS, ok=PARTS),
                usage=Usage(),
            )
    return document_of(job)._replace(resumes=0)


class Now(NamedTuple):
    """What may be done with a split job now."""

    counts: bool  #: `poll` counts its parts
    wakes: bool  #: `poll` wakes a collector
    takes: bool  #: a collector that reads the job takes it


@cache
def now_of(it: Document, told: tuple[bool, ...]) -> Now:
    job = job_of(it, told)
    remains = job.collecting is not None
    return Now(
        counts=job.awaits == "results",
        wakes=remains and job.is_due(NOW),
        takes=remains and not job.is_held(NOW) and not job.parked,
    )


Next = tuple[str, State | None]


@dataclass(frozen=True, slots=True)
class Steps:
    """All that can happen next. A step to None is beyond the bounds of the walk."""

    protocol: Protocol
    state: State

    def all(self) -> Iterator[Next]:
        state = self.state
        if (after := later(state.job)) != state.job:
            yield "time passes", state._replace(job=after)
        yield from self._parts()
        yield from self._poll()
        yield from self._messages()
        for it in dict.fromkeys(state.workers):
            yield f"{_name(it)} dies", self._with(it, None)
            name, after_work = self._work(it)
            yield f"{_name(it)} {name}", after_work

    def _parts(self) -> Iterator[Next]:
        """A part ends, the split job records that, and the part is collected."""
        state = self.state
        for n, how in enumerate(state.parts):
            if how == RUNS:
                yield f"part {n} ends", self._part(n, OVER)
            if how == OVER:
                yield f"part {n} is collected", self._part(n, DONE)
            if how != RUNS and not state.told[n]:
                told = (*state.told[:n], True, *state.told[n + 1 :])
                job = state.job
                if all(told):
                    job = document_of(split(told))
                    if not self.protocol.polls:
                        job = job._replace(due=0)
                yield (
                    f"part {n} is recorded",
                    state._replace(told=told, job=job),
                )

    def _part(self, n: int, how: str) -> State:
        parts = self.state.parts
        return self.state._replace(parts=(*parts[:n], how, *parts[n + 1 :]))

    def _poll(self) -> Iterator[Next]:
        state = self.state
        if not all(state.told):
            return
        now = now_of(state.job, state.told)
        counting = any(it.step == "count" for it in state.workers)
        if now.counts and not counting and self.protocol.polls:
            undone = sum(how != DONE for how in state.parts)
            counted = Worker(state.job.epoch, "count", undone)
            yield "poll counts the parts", self._joined(counted)
        if now.wakes:
            woken = moved(state.job, state.told, "woken", 0, 0)
            yield "poll wakes", state._replace(job=woken, message=True)

    def _messages(self) -> Iterator[Next]:
        state = self.state
        if not state.message:
            return
        yield "the message is lost", state._replace(message=False)
        at_work = sum(it.step != "count" for it in state.workers)
        if (
            not now_of(state.job, state.told).takes
            or at_work == self.protocol.collectors
        ):
            return
        if state.job.epoch == self.protocol.epochs:
            yield "too many holders", None
            return
        begun = self._joined(Worker(state.job.epoch, "take"))
        yield "a message comes, and stays", begun
        yield "a message comes", begun._replace(message=False)

    def _work(self, it: Worker) -> Next:
        state = self.state
        match it.step:
            case "count":
                return f"writes that {it.undone} are undone", self._write(it, "counted")
            case "take":
                return "takes it", self._write(it, "taken")
            case Step.PARTS:
                done = tuple(how == DONE for how in state.parts)
                if not all(done) and self.protocol.waits:
                    after = it._replace(step="wait")
                    return "finds a part undone", self._with(it, after)
                after = it._replace(step="index", parts=done)
                return "reads the parts", self._with(it, after)
            case "wait":
                return "waits", self._write(it, "waits")
            case "index":
                # The name has no epoch: what the parts have is final.
                made = state.indexes | {Object(0, it.parts)}
                after = it._replace(step="compose")
                return "writes the index", self._with(it, after)._replace(indexes=made)
            case "compose":
                made = state.results | {Object(0, it.parts)}
                after = it._replace(step="commit")
                return "composes", self._with(it, after)._replace(results=made)
            case _:
                return "writes collected", self._write(it, "collected")

    def _write(self, it: Worker, move: str) -> State:
        """A compare-and-set, refused if another collector has taken the job since."""
        state, job = self.state, self.state.job
        if job.epoch != it.epoch and (self.protocol.fences or move != "collected"):
            return self._with(it, None)
        if not self.protocol.fences:
            job = job._replace(epoch=it.epoch, step=job.step or Step.PARTS)
        after = moved(job, state.told, move, it.undone, 0)
        going = None
        if move == "taken" and after.step and after.lease:
            going = Worker(after.epoch, after.step)
        ended = self._with(it, going)._replace(job=after)
        if move == "collected":
            announced = state.announced + 1
            return ended._replace(announced=announced, named=it.parts)
        return ended

    def _joined(self, it: Worker) -> State:
        return self.state._replace(workers=swapped(self.state.workers, None, it))

    def _with(self, it: Worker, after: Worker | None) -> State:
        """The state after a worker's step. `after` is None if it stops."""
        return self.state._replace(workers=swapped(self.state.workers, it, after))


def _name(it: Worker) -> str:
    return "poll" if it.step == "count" else f"c{it.epoch + (it.step == 'take')}"

"""
The collecting of more answers than one step joins, as a graph of states: two slices are
sorted, two ranges of rows are joined, and their segments become one object.

It begins where the list of answers is to be frozen. Collectors take the steps of
`worker/collect_sort.py`, `collect_range.py` and `collect_segments.py`; each write to
the ledger applies a real transition of `jobs` to a real `Job`. Any collector may die or
freeze between any two steps and wake at any time. A message may come twice, late or
never. Once the answers may be replaced, once a sorted run be deleted, and the object
with the rows' own columns may disappear, so that collectors write different segments of
the same answers.

Times are in ticks from now.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from batchdrop.jobs.codes import Step
from tests.exactly_once.collect_model import (
    NOW,
    ROWS,
    VERTEX,
    Content,
    Document,
    Published,
    document_of,
    ended,
    job_of,
    later,
    moved,
    now_of,
)
from tests.exactly_once.walks import Walk, swapped, walked

SLICES = RANGES = ROWS
PLAN = "plan"
#: Steps that no job needs in order to become done.
FAULTS = frozenset(
    {
        "the message is lost",
        "the columns disappear",
        "the answers are replaced",
        "a run is deleted",
    }
)


class Segment(NamedTuple):
    """The results of a range of rows."""

    runs: tuple[int, ...]  #: the version of the answers that each run was sorted from
    columns: bool  #: whether they have the rows' own columns


#: Of a run: the version of its answers. Of the plan: its runs' contents.
Made = int | tuple[int, ...] | Segment


class Record(NamedTuple):
    """What a step has done, and the data that it names."""

    list: int  #: the frozen list in whose folder it lies
    name: str
    says: Made  #: what it counted
    data: Made | None  #: what the object has; None: it is gone


class Results(NamedTuple):
    """The object with the results, or its index."""

    epoch: int  #: in its name; 0: none
    segments: tuple[Made | None, ...]


class Collector(NamedTuple):
    """A collector: its next step, its epoch, and the arguments of the step."""

    epoch: int  #: of the job as it last read it
    step: str
    list: int = 0  #: that it has read
    name: str = ""  #: of the record that it makes
    makes: Made = 0
    says: tuple[Made, ...] = ()  #: what the segments' records count
    segments: tuple[Made | None, ...] = ()  #: that it composes
    into: int = 0  #: the epoch in the names of its objects; 0: none


class State(NamedTuple):
    job: Document
    collectors: tuple[Collector, ...] = ()
    message: bool = False  #: one or more are in flight
    version: int = 0  #: of the objects with answers; 1: somebody has replaced them
    frozen: int | None = None  #: the version that the list names
    sidecar: bool = True  #: whether the object with the rows' columns exists
    lost: bool = False  #: whether a run has been deleted
    records: frozenset[Record] = frozenset()
    results: frozenset[Results] = frozenset()
    indexes: frozenset[Results] = frozenset()
    named: tuple[Made, ...] = ()  #: what the document's counts are of
    announced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The bounds of a walk; each switch takes a part of the protocol out."""

    collectors: int = 2  #: at once, frozen ones included
    epochs: int = 3  #: the walk stops at this many holders
    replaces: bool = False  #: somebody may replace the objects with answers, once
    columns: bool = True  #: the rows have columns of their own
    loses: bool = False  #: a run may be deleted, once
    fences: bool = True  #: a write is refused if another collector has the job
    marks: bool = True  #: the names of records have the hash of the frozen list
    own_names: bool = True  #: data have names that no other collector writes to
    plans_last: bool = True  #: the plan is made when all slices are sorted
    counts_first: bool = True  #: counts are checked before anything is published

    @property
    def start(self) -> State:
        """The batch has ended, and its answers are many."""
        return State(job=document_of(ended(VERTEX)), sidecar=self.columns)


def walk(protocol: Protocol, is_wrong: Callable[[State], bool]) -> Walk[State]:
    """Walks the protocol from the end of the batch, up to a wrong state."""
    return walked(protocol.start, lambda state: Steps(protocol, state).all(), is_wrong)


def announces_twice(state: State) -> bool:
    return state.announced > 1


def names_what_it_did_not_count(state: State) -> bool:
    """The document's counts are of other bytes than the object that it names."""
    if (named := state.job.results) is None:
        return False
    both = {one.epoch: one.segments for one in state.results}
    index = {one.epoch: one.segments for one in state.indexes}
    return not (both.get(named.epoch) == state.named == index.get(named.epoch))


def mixes_answers(state: State) -> bool:
    """Results that a document names are of two versions of the answers."""
    runs = [run for one in state.named if isinstance(one, Segment) for run in one.runs]
    return len(set(runs)) > 1


def lacks_answers(state: State) -> bool:
    """Results that a document names were joined before all answers were sorted."""
    return any(
        isinstance(one, Segment) and len(one.runs) < SLICES for one in state.named
    )


def is_done(state: State) -> bool:
    """The right end: the job is done, and nobody is at work on it."""
    return not state.job.step and not state.collectors


def is_parked(state: State) -> bool:
    return state.job.parked


def never_done(walked: Walk[State]) -> list[str] | None:
    """A shortest way to a state from which no collector finishes without a fault."""
    return walked.dead_end(is_done, without=FAULTS)


@cache
def parked(it: Document) -> Document:
    return document_of(job_of(it, VERTEX).park(NOW, "the counts don't add up"))


@cache
def stepped_anew(it: Document, step: str) -> Document:
    """The step is done, and another collector takes the next one."""
    return document_of(job_of(it, VERTEX).collect_stepped(step, NOW))


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
        if now_of(state.job, VERTEX).wakes:
            woken = moved(state.job, VERTEX, "woken", None, None)
            yield "poll wakes", state._replace(job=woken, message=True)
        yield from self._messages()
        yield from self._world()
        for it in dict.fromkeys(state.collectors):
            yield f"{_name(it)} dies", self._with(it, None)
            name, after_work = self._work(it)
            yield f"{_name(it)} {name}", after_work

    def _messages(self) -> Iterator[Next]:
        state = self.state
        if not state.message:
            return
        yield "the message is lost", state._replace(message=False)
        takes = now_of(state.job, VERTEX).takes
        if not takes or len(state.collectors) == self.protocol.collectors:
            return
        if state.job.epoch == self.protocol.epochs:
            yield "too many holders", None
            return
        begun = Collector(state.job.epoch, "take")
        joined = tuple(sorted((*state.collectors, begun), key=repr))
        yield "a message comes", state._replace(collectors=joined, message=False)

    def _world(self) -> Iterator[Next]:
        state = self.state
        if not state.job.step and not state.collectors:
            return
        if state.sidecar:
            yield "the columns disappear", state._replace(sidecar=False)
        if self.protocol.replaces and not state.version:
            yield "the answers are replaced", state._replace(version=1)
        if self.protocol.loses and not state.lost:
            for one in state.records:
                if one.name == "run 0":
                    gone = state.records - {one} | {one._replace(data=None)}
                    yield "a run is deleted", state._replace(records=gone, lost=True)

    def _work(self, it: Collector) -> Next:
        """The next step of one collector: see `worker/collect_sort.py` and others."""
        state = self.state
        match it.step:
            case "take":
                return "takes it", self._write(it, "taken")
            case Step.FREEZE:
                if state.frozen is not None:
                    return "finds the list", self._write(it, "stepped", Step.SORT)
                after = it._replace(step="write_list", list=state.version)
                return "lists the answers", self._with(it, after)
            case "write_list":
                first = it.list if state.frozen is None else state.frozen
                after = it._replace(step=Step.FREEZE, list=0)
                return "writes the list", self._with(it, after)._replace(frozen=first)
            case "delete_list":
                after = it._replace(step="again")
                return "deletes the list", self._with(it, after)._replace(frozen=None)
            case "again":
                return "begins again", self._write(it, "again", Step.FREEZE)
            case "record":
                after = it._replace(step="recorded", makes=0)
                return f"records {it.name}", self._with(it, after)._replace(
                    records=state.records | self._recorded(it)
                )
            case "recorded":
                step = {"run": Step.SORT, "seg": Step.RANGE}.get(
                    it.name[:3], Step.RANGE
                )
                return "writes stepped", self._write(it, "stepped", step)
            case "lose":
                kept = {
                    one
                    for one in state.records
                    if one.list != it.list or one.name not in ("run 0", PLAN)
                }
                after = it._replace(step="lost")
                return "deletes its record", self._with(it, after)._replace(
                    records=frozenset(kept)
                )
            case "lost":
                return "sorts again", self._write(it, "again", Step.SORT)
            case "write_index" | "write_results" | "commit":
                return self._publish(it)
        if state.frozen is None:
            return "finds no list", self._write(it, "stepped", Step.FREEZE)
        return self._step(it, state.frozen if self.protocol.marks else 0)

    def _step(self, it: Collector, list: int) -> Next:
        """SORT, RANGE or COMPOSE, by what is recorded of the frozen list."""
        state = self.state
        found = {one.name: one for one in state.records if one.list == list}
        runs = [f"run {k}" for k in range(SLICES)]
        segments = [f"segment {j}" for j in range(RANGES)]
        plan = found.get(PLAN)
        missing = [name for name in runs if name not in found]
        if it.step == Step.SORT:
            enough = not missing or (
                len(missing) < SLICES and not self.protocol.plans_last
            )
            if enough and plan is None:
                read = [found[n].says for n in runs if n in found]
                sorted_from = tuple(one for one in read if isinstance(one, int))
                making = it._replace(
                    step="record", list=list, name=PLAN, makes=sorted_from
                )
                return "plans", self._with(it, making)
            if not missing or plan is not None:
                return "finds all sorted", self._write(it, "stepped", Step.RANGE)
            if state.frozen != state.version:
                return "finds the answers gone", self._with(
                    it, it._replace(step="delete_list")
                )
            making = it._replace(
                step="record", list=list, name=missing[0], makes=state.version
            )
            return f"sorts {missing[0]}", self._with(it, making)
        if plan is None:
            return "finds no plan", self._write(it, "stepped", Step.SORT)
        undone = [name for name in segments if name not in found]
        if it.step == Step.RANGE and undone:
            if any(found[n].data is None for n in runs if n in found):
                return "finds a run gone", self._with(
                    it, it._replace(step="lose", list=list)
                )
            assert not isinstance(plan.says, int | Segment)
            made = Segment(plan.says, state.sidecar)
            making = it._replace(step="record", list=list, name=undone[0], makes=made)
            return f"joins {undone[0]}", self._with(it, making)
        if it.step == Step.RANGE:
            return "finds all joined", self._write(it, "stepped", Step.COMPOSE)
        if undone:
            return "finds ranges undone", self._write(it, "stepped", Step.RANGE)
        says = tuple(found[name].says for name in segments)
        data = tuple(found[name].data for name in segments)
        if self.protocol.counts_first and (says != data or not _whole(says)):
            return "finds that it doesn't add up", self._write(it, "parked")
        making = it._replace(step="write_index", says=says, segments=data)
        return "adds up", self._with(it, making)

    def _recorded(self, it: Collector) -> frozenset[Record]:
        """The record that a collector adds; none where another one is there."""
        found = [one for one in self.state.records if one.list == it.list]
        if any(one.name == it.name for one in found):
            return frozenset()
        data = it.makes
        if not self.protocol.own_names and isinstance(data, Segment):
            # One that died before its record may have written to the same name, when
            # the columns were there. What is there stays.
            data = data._replace(columns=True)
        return frozenset({Record(it.list, it.name, it.makes, data)})

    def _publish(self, it: Collector) -> Next:
        """As `collect_segments.Segments` does: the index, the results, the commit."""
        state = self.state
        if it.step == "commit":
            return "writes collected", self._write(it, "collected")
        index = it.step == "write_index"
        there = state.indexes if index else state.results
        made = Results(it.into, it.says if index else it.segments)
        other = {one.epoch: one for one in there}.get(it.into)
        if other is not None and other != made:
            # Both objects have the same epoch in their names.
            after = it._replace(step="write_index", into=it.epoch)
            return "finds other results", self._with(it, after)
        after = it._replace(step="write_results" if index else "commit")
        done, name = self._with(it, after), f"does {it.step}"
        if index:
            return name, done._replace(indexes=there | {made})
        return name, done._replace(results=there | {made})

    def _write(self, it: Collector, move: str, step: str | None = None) -> State:
        """
        A compare-and-set, refused if another collector has taken the job since. What
        others wrote beside that stays.
        """
        state, job = self.state, self.state.job
        if job.epoch != it.epoch and (self.protocol.fences or move == "taken"):
            return self._with(it, None)
        if not self.protocol.fences:
            job = job._replace(epoch=it.epoch, step=job.step or Step.COMPOSE, due=None)
        announced, named = state.announced, state.named
        if move == "parked":
            after = parked(job)
        elif move == "again":
            assert step is not None
            after = stepped_anew(job, step)
        elif move == "collected":
            columns = all(isinstance(one, Segment) and one.columns for one in it.says)
            results = Published(it.into, Content(ROWS, columns))
            after = moved(job, VERTEX, move, None, results)
            announced, named = announced + 1, it.says
        else:
            after = moved(job, VERTEX, move, step, None)
        after = after._replace(resumes=0)
        goes_on = after.step and not after.parked and after.lease
        going = Collector(after.epoch, after.step) if goes_on else None
        return self._with(it, going)._replace(
            job=after, announced=announced, named=named
        )

    def _with(self, it: Collector, after: Collector | None) -> State:
        """The state after a collector's step. `after` is None if it stops."""
        collectors = swapped(self.state.collectors, it, after, key=repr)
        return self.state._replace(collectors=collectors)


def _whole(says: tuple[Made, ...]) -> bool:
    """Whether as many answers were read as were sorted, of one list."""
    return all(isinstance(one, Segment) and len(one.runs) == SLICES for one in says)


def _name(it: Collector) -> str:
    return f"c{it.epoch + (it.step == 'take')}"

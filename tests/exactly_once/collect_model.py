"""
The collecting of a job's answers as a graph of states, small enough to visit each.

It begins when the batch has ended. Collectors take the steps of `worker/collect.py`;
each write applies a real transition of `jobs` to a real `Job`. Any collector may die or
freeze between any two steps and wake at any time. A message may come twice, late or
never. Answers may appear late, or never, or be replaced. The object with the rows' own
columns may disappear, so that two collectors write different results of the same
answers. A person may rerun the job, or delete its batch at the API, at any time.

Times are in ticks from now.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple

from batchdrop.jobs.codes import Backend, Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.steps import MAX_RESUMES
from batchdrop.jobs.values import (
    Batch,
    Collecting,
    Drop,
    Fact,
    Lease,
    Results,
    Spec,
    Staging,
    Stats,
    Timing,
    Usage,
)
from batchdrop.rows import Rows
from tests.exactly_once.walks import Walk, swapped, walked

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(seconds=1)
TIMING = Timing(lease=TICK, create_timeout=TICK, list_lag=TICK)
#: Rows of the file. The API counts an answer to each, in an object of its own.
ROWS = 2
#: Ticks that a collector waits for answers after the end.
PATIENCE = 1
DROP = Drop(bucket="inbox", name="a.jsonl", generation=1, size=1)
SPEC = Spec(
    kind="generation",
    backend=Backend.VERTEX,
    location="l",
    model="m",
    destination="gs://o/",
    display_name="a",
    delete_after=0,
)
#: What is collected: from where, and with `results = "off"`.
VERTEX, DEVELOPER, COPY_ONLY = "vertex", "developer", "copy_only"
SPECS = {
    VERTEX: SPEC,
    DEVELOPER: replace(SPEC, backend=Backend.DEVELOPER),
    COPY_ONLY: replace(SPEC, backend=Backend.DEVELOPER, results="off"),
}
#: Steps that no job needs in order to become done.
FAULTS = frozenset(
    {
        "poll dies before it sends the message",
        "the message is lost",
        "an answer appears",
        "the columns disappear",
        "the answers are replaced",
        "a person reruns it",
        "a person deletes its batch",
    }
)
#: Who deletes a batch at the API, and the answers that it holds.
POLICY, PERSON = "delete_after", "a person"


class Content(NamedTuple):
    """The bytes of a job's results."""

    answers: int  #: how many answers they were merged from
    columns: bool  #: whether they have the rows' own columns


class Listed(NamedTuple):
    """A list of answers."""

    answers: int
    version: int  #: of their objects


NONE, NOTHING = Content(0, False), Listed(0, 0)


class Published(NamedTuple):
    """The results that a document names, and what it counted."""

    epoch: int  #: in the names of the results and their index; 0: none, results.jsonl
    counts: Content


class Document(NamedTuple):
    """The fields of a job that collecting uses; times are in ticks from now."""

    epoch: int
    lease: int
    step: str  #: empty: nothing remains to be collected
    due: int | None
    resumes: int
    parked: bool = False
    seq: int = 1
    results: Published | None = None
    reruns: int = 0
    deleted: bool = False  #: as `delete_after` asks


#: Objects by the epoch in their name; 0: none.
Objects = frozenset[tuple[int, Content]]


class Collector(NamedTuple):
    """A collector: its next step, its epoch, and the arguments of the step."""

    epoch: int  #: of the job as it last read it
    step: str
    listed: Listed = NOTHING
    content: Content = NONE  #: that it has merged
    into: int = 0  #: the epoch in the names of its objects; 0: none


class State(NamedTuple):
    job: Document
    collectors: tuple[Collector, ...] = ()
    message: bool = False  #: one or more are in flight
    answers: int = 1  #: how many can be read at the API
    age: int = 0  #: ticks since the end, at most PATIENCE
    copy: int | None = None  #: how many answers were copied from the Developer API
    version: int = 0  #: of the objects with answers; 1: somebody has replaced them
    frozen: Listed | None = None  #: the list that was written down
    sidecar: bool = True  #: whether the object with the rows' columns exists
    results: Objects = frozenset()
    indexes: Objects = frozenset()
    deleted: str = ""  #: who deleted the answers at the API
    #: The announcements of results: number and what they name.
    announced: tuple[tuple[int, Published], ...] = ()
    overwritten: bool = False  #: an object was written a second time


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The bounds of a walk; each switch takes a part of the protocol out."""

    collectors: int = 2  #: at once, frozen ones included
    epochs: int = 3  #: the walk stops at this many holders
    what: str = VERTEX  #: of `SPECS`
    columns: bool = True  #: the rows have columns of their own
    reruns: bool = False  #: a person may rerun the job
    replaces: bool = False  #: somebody may replace the objects with answers, once
    tired: bool = False  #: one more collector that stops parks the job
    compares: bool = True  #: an object that exists with what would be written
    creates_only: bool = True  #: no object is written where one exists
    lists_once: bool = True  #: the first list of answers that is written stays
    fences: bool = True  #: a write is refused if another collector has the job
    deletion_waits: bool = True  #: until the job is done
    wakes_again: bool = True  #: a job whose message was lost

    @property
    def start(self) -> State:
        """The batch has just ended."""
        resumes = MAX_RESUMES - 1 if self.tired else 0
        document = document_of(ended(self.what))._replace(resumes=resumes)
        # The Developer API has one object of answers, which is complete.
        return State(
            job=document,
            answers=1 if self.what == VERTEX else ROWS,
            sidecar=self.columns,
        )


def walk(protocol: Protocol, is_wrong: Callable[[State], bool]) -> Walk[State]:
    """Walks the protocol from the end of the batch, up to a wrong state."""
    return walked(protocol.start, lambda state: Steps(protocol, state).all(), is_wrong)


def announces_twice(state: State) -> bool:
    return len(state.announced) > 1


def names_what_it_did_not_count(state: State) -> bool:
    """The document's counts are of other bytes than the object that it names."""
    if (named := state.job.results) is None:
        return False
    results, index = dict(state.results), dict(state.indexes)
    return not (results.get(named.epoch) == index.get(named.epoch) == named.counts)


def has_two_counts(state: State) -> bool:
    """Two objects of results have different counts of the same answers."""
    return len({content.answers for _, content in state.results}) > 1


def loses_what_was_there(state: State) -> bool:
    """The copy lacks answers that `delete_after` has deleted at the API."""
    return state.deleted == POLICY and (state.copy or 0) < state.answers


def is_done(state: State) -> bool:
    """The right end: the job is done, and nobody is at work on it."""
    return not state.job.step and not state.collectors


def never_done(walked: Walk[State]) -> list[str] | None:
    """A shortest way to a state from which no collector finishes without a fault."""
    return walked.dead_end(is_done, without=FAULTS)


# -- the real transitions, on documents ---------------------------------------------


@cache
def ended(what: str) -> Job:
    """A job whose batch has just ended."""
    job = Job.claimed(DROP, "w1", NOW, TIMING)
    rows = Rows(total=ROWS, accepted=ROWS)
    job = job.prepared(SPECS[what], Staging(epoch=1, uri="gs://w/"), rows, NOW, TIMING)
    job = job.submitting(NOW, TIMING)
    running = Batch(name="b", state="JOB_STATE_RUNNING", terminal=False)
    done = Batch(
        name="b",
        state="JOB_STATE_SUCCEEDED",
        terminal=True,
        completion_stats=Stats(successful=ROWS),
        has_answers=True,
    )
    return job.submitted(running, NOW).ended(done, NOW)


@cache
def job_of(it: Document, what: str) -> Job:
    """A job with these fields."""
    return replace(
        ended(what),
        lease=Lease(until=NOW + it.lease * TICK, epoch=it.epoch, by=f"w{it.epoch}"),
        collecting=Collecting(
            round=0, step=it.step, due=None if it.due is None else NOW + it.due * TICK
        )
        if it.step
        else None,
        resumes=it.resumes,
        parked=Fact(since=NOW, message="") if it.parked else None,
        seq=it.seq,
        results=it.results and results_of(it.results),
        rows=rows_of(it.results.counts) if it.results else ended(what).rows,
        reruns=it.reruns,
        deleted_at=NOW if it.deleted else None,
    )


def document_of(job: Job) -> Document:
    collecting = job.collecting
    due = collecting.due if collecting else None
    return Document(
        epoch=job.lease.epoch,
        lease=max(0, (job.lease.until - NOW) // TICK),
        step=collecting.step if collecting else "",
        due=None if due is None else max(0, (due - NOW) // TICK),
        resumes=job.resumes,
        parked=job.parked is not None,
        seq=job.seq,
        results=published(job),
        reruns=job.reruns,
        deleted=job.deleted_at is not None,
    )


def results_of(it: Published) -> Results:
    columns = "+" if it.counts.columns else "-"
    return Results(
        uri=f"gs://o/{it.epoch}",
        generation=1,
        crc32c=f"{it.counts.answers}{columns}",
        bytes=1,
        index=f"gs://o/index-{it.epoch}",
    )


def rows_of(counts: Content) -> Rows:
    missing = ROWS - counts.answers
    return Rows(total=ROWS, accepted=ROWS, ok=counts.answers, missing=missing)


def published(job: Job) -> Published | None:
    if (it := job.results) is None:
        return None
    assert job.rows.ok is not None
    return Published(
        epoch=int(it.uri.removeprefix("gs://o/")),
        counts=Content(job.rows.ok, it.crc32c.endswith("+")),
    )


@cache
def moved(
    it: Document, what: str, move: str, step: str | None, results: Published | None
) -> Document:
    """The job after a transition of `jobs`."""
    job = job_of(it, what)
    match move:
        case "woken":
            job = job.woken(NOW, TIMING)
        case "taken":
            job = job.collect_taken(f"w{it.epoch + 1}", NOW, TIMING)
        case "stepped":
            job = job.collect_stepped(step, NOW, TIMING)
        case "again":
            job = job.collect_stepped(step, NOW)
        case "waits":
            job = job.collect_waits("", NOW, NOW + TICK)
        case "collected":
            assert results is not None
            short = "" if results.counts.answers == ROWS else "short"
            job = job.collected(
                NOW,
                results=results_of(results),
                rows=rows_of(results.counts),
                usage=Usage(),
                answers_short=short or None,
                columns_lost=None if results.counts.columns else "gone",
            )
        case "rerun":
            job = job.rerun_counted("ada", NOW)
        case "unpark":
            job = job.unpark("a person", NOW)
        case "deleted":
            job = job.deleted(NOW)
    return document_of(job)


class Now(NamedTuple):
    """What may be done with a job now."""

    wakes: bool  #: `poll` wakes a collector
    takes: bool  #: a collector that reads the job takes it
    deletes: bool  #: `poll` deletes its batch


@cache
def now_of(it: Document, what: str) -> Now:
    job = job_of(it, what)
    remains = job.collecting is not None
    return Now(
        wakes=remains and job.is_due(NOW),
        takes=remains and not job.is_held(NOW) and not job.parked,
        deletes=job.delete_at is not None and job.delete_at <= NOW,
    )


#: The step that a job's document is at, by the collector's.
DOCUMENT_STEP = {
    "copy": Step.COPY,
    "write_copy": Step.COPY,
    "copied": Step.COPY,
    "deliver": Step.DELIVER,
    "delivered": Step.DELIVER,
    "freeze": Step.FREEZE,
    "wait": Step.FREEZE,
    "write_list": Step.FREEZE,
    "frozen": Step.FREEZE,
}

# -- steps --------------------------------------------------------------------------

Next = tuple[str, State | None]


@dataclass(frozen=True, slots=True)
class Steps:
    """All that can happen next. A step to None is beyond the bounds of the walk."""

    protocol: Protocol
    state: State

    def all(self) -> Iterator[Next]:
        yield from self._time()
        yield from self._poll()
        yield from self._messages()
        yield from self._world()
        yield from self._persons()
        for collector in dict.fromkeys(self.state.collectors):
            yield f"{_name(collector)} dies", self._with(collector, None)
            name, after = self._work(collector)
            yield f"{_name(collector)} {name}", after

    def _time(self) -> Iterator[Next]:
        state = self.state
        after = state._replace(
            job=later(state.job),
            age=min(PATIENCE, state.age + 1),
        )
        if after != state:
            yield "time passes", after

    def _poll(self) -> Iterator[Next]:
        """What `poll` does: it wakes a due job, and deletes as `delete_after` asks."""
        state, now = self.state, self._now
        if now.wakes:
            woken = self._moved("woken")
            if not self.protocol.wakes_again:
                woken = woken._replace(due=None)
            yield "poll dies before it sends the message", state._replace(job=woken)
            yield "poll wakes", state._replace(job=woken, message=True)
        waits = self.protocol.deletion_waits
        if not state.deleted and (now.deletes or not (waits or state.job.deleted)):
            after = self._moved("deleted")
            # Over Vertex AI the answers stay: they lie in a bucket.
            goes = "" if self.protocol.what == VERTEX else POLICY
            yield "poll deletes", state._replace(job=after, deleted=goes)

    def _messages(self) -> Iterator[Next]:
        state = self.state
        if not state.message:
            return
        yield "the message is lost", state._replace(message=False)
        if not self._now.takes or len(state.collectors) == self.protocol.collectors:
            return
        if state.job.epoch == self.protocol.epochs:
            yield "too many holders", None
            return
        begun = Collector(state.job.epoch, "take")
        joined = swapped(state.collectors, None, begun)
        yield "a message comes, and stays", state._replace(collectors=joined)
        yield "a message comes", state._replace(collectors=joined, message=False)

    def _world(self) -> Iterator[Next]:
        state = self.state
        if not self._is_over:
            if state.answers < ROWS:
                yield "an answer appears", state._replace(answers=state.answers + 1)
            if state.sidecar:
                yield "the columns disappear", state._replace(sidecar=False)
            if self.protocol.replaces and not state.version:
                yield "the answers are replaced", state._replace(version=1)

    def _persons(self) -> Iterator[Next]:
        state = self.state
        if self.protocol.reruns and not state.job.reruns:
            yield "a person reruns it", state._replace(job=self._moved("rerun"))
        if not state.deleted and self.protocol.what != VERTEX:
            yield "a person deletes its batch", state._replace(deleted=PERSON)
        if state.job.parked:
            yield "a person resumes it", state._replace(job=self._moved("unpark"))

    def _work(self, it: Collector) -> Next:
        """The next step of one collector: see `worker/collect.py`."""
        state = self.state
        match it.step:
            case "take":
                return "takes it", self._write(it, "taken")
            case "copy":
                # Of a batch that was deleted nothing can be copied.
                gone = state.deleted or state.copy is not None
                after = it._replace(step="copied" if gone else "write_copy")
                return "reads the answers", self._with(it, after)
            case "write_copy":
                copy = state.answers if state.copy is None else state.copy
                after = it._replace(step="copied")
                return "writes the copy", self._with(it, after)._replace(copy=copy)
            case "copied":
                step = self._after_copies if state.copy is None else Step.DELIVER
                return "writes copied", self._write(it, "stepped", step)
            case "deliver":
                # To the job's destination, once; nothing depends on who does it.
                return "delivers", self._with(it, it._replace(step="delivered"))
            case "delivered":
                step = self._after_copies
                return "writes delivered", self._write(it, "stepped", step)
            case "freeze":
                return self._list(it)
            case "wait":
                return "waits", self._write(it, "waits")
            case "write_list":
                kept = state.frozen if self.protocol.lists_once else None
                over = state.frozen is not None and not self.protocol.lists_once
                after = it._replace(step="frozen", listed=NOTHING)
                return "writes the list", self._with(it, after)._replace(
                    frozen=kept or it.listed, overwritten=state.overwritten or over
                )
            case "frozen":
                return "writes frozen", self._write(it, "stepped", Step.MERGE)
            case "merge":
                if state.frozen is None:
                    return "finds no list", self._write(it, "stepped", Step.FREEZE)
                if state.frozen.version != state.version:
                    after = it._replace(step="delete_list")
                    return "finds the answers gone", self._with(it, after)
                content = Content(state.frozen.answers, state.sidecar)
                after = it._replace(step="write_index", content=content)
                return f"merges {tuple(content)}", self._with(it, after)
            case "delete_list":
                after = it._replace(step="again")
                return "deletes the list", self._with(it, after)._replace(frozen=None)
            case "again":
                return "begins again", self._write(it, "again", Step.FREEZE)
            case "write_index":
                into, there, over = self._put(it, state.indexes)
                after = it._replace(step="write_results", into=into)
                return f"writes index {into or ''}", self._with(it, after)._replace(
                    indexes=there, overwritten=state.overwritten or over
                )
            case "write_results":
                into, there, over = self._put(it, state.results)
                if into != it.into:  # both objects have the same epoch in their names
                    after = it._replace(step="write_index", into=into)
                    return "finds other results", self._with(it, after)
                after = it._replace(step="commit")
                return f"writes results {into or ''}", self._with(it, after)._replace(
                    results=there, overwritten=state.overwritten or over
                )
            case _:
                named = Published(it.into, it.content)
                return "writes collected", self._write(it, "collected", results=named)

    def _list(self, it: Collector) -> Next:
        """Looks for the frozen list; if there is none, lists the answers."""
        state = self.state
        if state.frozen and self.protocol.lists_once:
            return "finds the list", self._with(it, it._replace(step="frozen"))
        from_api = self.protocol.what == VERTEX
        seen = state.answers if from_api else state.copy or 0
        if seen < ROWS and state.age < PATIENCE:
            return "finds too few answers", self._with(it, it._replace(step="wait"))
        listed = Listed(seen, state.version)
        after = it._replace(step="write_list", listed=listed)
        return f"finds {seen} answers", self._with(it, after)

    def _put(self, it: Collector, there: Objects) -> tuple[int, Objects, bool]:
        """
        Writes an object, under the collector's epoch if another object has its name.
        Returns the epoch in the name, all objects, and whether one was overwritten.
        """
        exists = dict(there).get(it.into)
        if exists is None or exists == it.content:
            return it.into, there | {(it.into, it.content)}, False
        if not self.protocol.creates_only:
            others = there - {(it.into, exists)}
            return it.into, others | {(it.into, it.content)}, True
        if not self.protocol.compares:
            return it.into, there, False
        return it.epoch, there | {(it.epoch, it.content)}, False

    # -- the pieces -----------------------------------------------------------------

    @property
    def _now(self) -> "Now":
        return now_of(self.state.job, self.protocol.what)

    @property
    def _is_over(self) -> bool:
        """Whether nothing more can become of the results."""
        return not self.state.job.step and not self.state.collectors

    @property
    def _after_copies(self) -> Step | None:
        return None if self.protocol.what == COPY_ONLY else Step.FREEZE

    def _moved(
        self, move: str, step: str | None = None, results: Published | None = None
    ) -> Document:
        return moved(self.state.job, self.protocol.what, move, step, results)

    def _write(
        self,
        it: Collector,
        move: str,
        step: str | None = None,
        results: Published | None = None,
    ) -> State:
        """
        A compare-and-set, refused if another collector has taken the job since. What
        others wrote beside that stays.
        """
        job, announced = self.state.job, self.state.announced
        if job.epoch != it.epoch and (self.protocol.fences or move == "taken"):
            return self._with(it, None)
        if job.epoch != it.epoch:
            at = DOCUMENT_STEP.get(it.step, Step.MERGE)
            job = job._replace(epoch=it.epoch, step=at, due=None)
        after = moved(job, self.protocol.what, move, step, results)
        if not self.protocol.tired:
            after = after._replace(resumes=0)
        if results:
            announced = (*announced, (after.seq, results))
        goes_on = after.step and not after.parked and after.lease
        going = Collector(after.epoch, after.step) if goes_on else None
        return self._with(it, going)._replace(job=after, announced=announced)

    def _with(self, it: Collector, after: Collector | None) -> State:
        """The state after a collector's step. `after` is None if it stops."""
        collectors = swapped(self.state.collectors, it, after)
        return self.state._replace(collectors=collectors)


@cache
def later(it: Document) -> Document:
    """The document a tick later."""
    due = None if it.due is None else max(0, it.due - 1)
    return it._replace(lease=max(0, it.lease - 1), due=due)


def _name(it: Collector) -> str:
    return f"c{it.epoch + (it.step == 'take')}"

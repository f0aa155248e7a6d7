"""
The submit protocol as a graph of states, small enough to visit every one.

Workers take a job through the steps of `worker/submit.py`; each write applies a real
transition of `jobs` to a real `Job`. Any worker may die or freeze between any two
steps. A request may arrive at any time after it was sent, or never, and its answer may
be lost. The API reads the input at any time after it has created a batch. A list shows
every batch that is at least LIST_LAG old, and any of the younger ones.

Times are in ticks from now: a lease ends in so many ticks, a batch is so many ticks
old. So there are finitely many states, though a job may go through them for ever.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import combinations
from typing import NamedTuple

from batchdrop.jobs.codes import Phase, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch, Drop, Duplicates, Lease, Spec, Staging, Timing
from batchdrop.rows import Rows
from tests.exactly_once.walks import Walk, walked

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TICK = timedelta(seconds=1)
LIST_LAG = 1
TIMING = Timing(lease=TICK, create_timeout=TICK, list_lag=LIST_LAG * TICK)
DROP = Drop(bucket="inbox", name="a.jsonl", generation=1, size=1)
SPEC = Spec(
    kind="generation",
    backend="b",
    location="l",
    model="m",
    destination="gs://o/",
    display_name="a",
)

#: The job as the metadata of its staged rows records it.
KEPT = Job.claimed(DROP, "w", NOW, TIMING).prepared(
    SPEC, Staging(epoch=1, uri="gs://w/"), Rows(), NOW, TIMING
)

DUPLICATE = "another was created"

# The states of a batch. A cancelled one has cost something if it had begun.
NEW, RUNNING, DONE, FAILED = "NEW", "RUNNING", "DONE", "FAILED"
STOPPED, STOPPED_PAID = "STOPPED", "STOPPED_PAID"
STATES = {
    NEW: "JOB_STATE_PENDING",
    RUNNING: "JOB_STATE_RUNNING",
    DONE: "JOB_STATE_SUCCEEDED",
    FAILED: "JOB_STATE_FAILED",
    STOPPED: "JOB_STATE_CANCELLED",
    STOPPED_PAID: "JOB_STATE_CANCELLED",
}
PAID = frozenset({RUNNING, DONE, STOPPED_PAID})
OVER = frozenset({DONE, FAILED, STOPPED, STOPPED_PAID})


class Document(NamedTuple):
    """The fields of a job that the protocol uses; times are in ticks from now."""

    phase: Phase
    epoch: int
    lease: int
    due: int | None
    staged: int  #: the epoch of the recorded staging
    intent: int
    batch: int | None  #: the recorded one's number
    duplicates: tuple[int, ...] = ()  #: the batches recorded as duplicates
    life: int = 0  #: 1: created after the ledger was lost


class Made(NamedTuple):
    """A batch at the API."""

    sender: int  #: the epoch of the worker that sent the request
    input: int  #: the epoch of the staging that it names
    state: str
    age: int  #: in ticks, at most LIST_LAG


class Worker(NamedTuple):
    """A worker: its next step, the job as it last read it, and the step's arguments."""

    step: str
    held: Document
    hand: tuple[int, ...] = ()


class State(NamedTuple):
    job: Document | None = None
    workers: tuple[Worker, ...] = ()
    inputs: frozenset[int] = frozenset()  #: the epochs whose staged rows exist
    uploads: frozenset[int] = frozenset()  #: those in the Developer API's files
    requests: frozenset[tuple[int, int]] = frozenset()  #: in flight: sender, input
    batches: tuple[Made, ...] = ()
    #: The staged rows whose metadata names their job: epoch, and life of its document.
    traces: frozenset[tuple[int, int]] = frozenset()
    lost: bool = False  #: whether the ledger was emptied

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen any more but a request that arrives very late."""
        return (
            self.job is not None
            and self.job.phase is Phase.ENDED
            and not self.workers
            and all(batch.state in OVER for batch in self.batches)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The bounds of a walk; each switch takes a part of the protocol out."""

    workers: int = 2  #: at once, frozen ones included
    epochs: int = 4  #: the walk stops at this many holders
    batches: int = 3
    uploads: bool = False  #: the Developer API: rows are uploaded before the intent
    #: The list lags without bound, and there is no fence: the source is a table.
    fenceless: bool = False
    fences: bool = True
    searches_again: bool = True  #: after the fence
    settles: bool = True  #: waits until the list lag is over
    records_first: bool = True  #: before it cancels the others
    keeps_newest_staging: bool = True
    one_uploader: bool = True  #: each holder uploads under a name of its own
    restages_first: bool = True  #: the fence is recorded before it deletes
    checks: bool = False  #: `reconcile` compares the API's list with the ledger
    marks_first: bool = True  #: a duplicate is recorded before it is cancelled
    #: While the job's own batch may still fail by the fence, no other is a duplicate.
    waits_for_the_doomed: bool = True
    loses: bool = False  #: the ledger may be emptied once, at any moment
    recalls: bool = True  #: a new job first looks for rows that are staged already
    #: A worker that has not staged yet may freeze before the loss, and stage after it.
    sleeps_through: bool = False


def walk(protocol: Protocol, is_wrong: Callable[[State], bool]) -> Walk[State]:
    """Walks the protocol from its first event, up to a wrong state."""
    return walked(State(), lambda state: Steps(protocol, state).all(), is_wrong)


def pays_twice(state: State) -> bool:
    return sum(batch.state in PAID for batch in state.batches) > 1


def cancels_what_it_keeps(state: State) -> bool:
    if state.job is None or state.job.batch is None:
        return False
    return state.batches[state.job.batch].state in (STOPPED, STOPPED_PAID)


def cancels_the_good_one(state: State) -> bool:
    """The kept batch fails without its rows, and one that could run was cancelled."""
    if state.job is None or state.job.batch is None:
        return False
    kept = state.batches[state.job.batch]
    doomed = kept.state in (NEW, FAILED) and kept.input not in state.inputs
    return doomed and any(
        batch.state in (STOPPED, STOPPED_PAID) and batch.input in state.inputs
        for batch in state.batches
    )


def keeps_one(state: State) -> bool:
    """The right end: one batch, which is recorded and has succeeded."""
    return (
        state.is_final
        and state.job is not None
        and state.job.batch is not None
        and state.batches[state.job.batch].state == DONE
    )


# -- the real transitions, on documents ---------------------------------------------


@cache
def job_of(it: Document) -> Job:
    """A job with these fields; `life` has none in a job."""
    return Job(
        id=DROP.job_id,
        phase=it.phase,
        source=DROP,
        lease=Lease(until=NOW + it.lease * TICK, epoch=it.epoch, by=f"w{it.epoch}"),
        due=None if it.due is None else NOW + it.due * TICK,
        staging=Staging(epoch=it.staged, uri=f"gs://w/{it.staged}")
        if it.staged
        else None,
        intent=it.intent,
        batch=None if it.batch is None else recorded(it.batch),
        duplicates=Duplicates(
            since=NOW, message=DUPLICATE, names=tuple(map(str, it.duplicates))
        )
        if it.duplicates
        else None,
        created_at=NOW,
        updated_at=NOW,
        history=Job.claimed(DROP, "w", NOW, TIMING).history,
    )


def document_of(job: Job) -> Document:
    return Document(
        phase=job.phase,
        epoch=job.lease.epoch,
        lease=max(0, (job.lease.until - NOW) // TICK),
        due=None if job.due is None else max(0, (job.due - NOW) // TICK),
        staged=job.staging.epoch if job.staging else 0,
        intent=job.intent,
        batch=int(job.batch.name) if job.batch else None,
        duplicates=tuple(sorted(map(int, job.duplicates.names)))
        if job.duplicates
        else (),
    )


def recorded(number: int) -> Batch:
    return Batch(name=str(number), state="", terminal=False)


def listed(number: int, made: Made) -> Batch:
    """A batch as a list shows it."""
    return Batch(
        name=str(number),
        state=STATES[made.state],
        terminal=made.state in OVER,
        epoch=made.input,
    )


@cache
def moved(it: Document, move: str, *given: int) -> Document:
    """The job after a transition of `jobs`."""
    job = job_of(it)
    match move:
        case "prepared":
            staging = Staging(epoch=it.epoch, uri="gs://w/")
            job = job.prepared(SPEC, staging, Rows(), NOW, TIMING)
        case "submitting":
            job = job.submitting(NOW, TIMING)
        case "submitted":
            job = job.submitted(recorded(given[0]), NOW)
            if given[1:]:
                job = job.duplicates_found(map(str, given[1:]), DUPLICATE, NOW)
        case "marked":
            job = job.duplicates_found(map(str, given), DUPLICATE, NOW)
        case "unclear":
            job = job.unclear("", NOW, TIMING)
        case "postponed":
            job = job.wait(WaitCode.QUEUE, "", NOW, due=NOW)
        case "restaged":
            job = job.restaged(Staging(epoch=it.epoch, uri="gs://w/"), NOW)
        case "fenced_off":
            job = job.fenced_off(NOW, TIMING)
        case "resumed":
            job = job.resumed("", NOW, TIMING)
        case "ended":
            job = job.ended(recorded(given[0]), NOW)
        case "revived":
            job = job.revived(NOW)
        case "made_anew":
            (top,) = given
            staging = Staging(epoch=top, uri="gs://w/")
            job = job.made_anew(KEPT, staging, top, NOW, TIMING)
        case "overtaking":
            job = job.overtaking(given[0], NOW)
    return document_of(job)._replace(life=it.life)


# -- steps --------------------------------------------------------------------------

Step = tuple[str, State | None]


@dataclass(frozen=True, slots=True)
class Steps:
    """All that can happen next. A step to None is beyond the bounds of the walk."""

    protocol: Protocol
    state: State

    def all(self) -> Iterator[Step]:
        yield from self._time()
        yield from self._api()
        yield from self._poll()
        if self.protocol.loses and self.state.job and not self.state.lost:
            yield "the ledger is lost", self._lost()
        for worker in dict.fromkeys(self.state.workers):
            # A frozen worker that never wakes makes room for another.
            if self._is_due and len(self.state.workers) == self._workers:
                yield f"{_name(worker)} dies", self._with(worker, None)
            for name, after in self._work(worker):
                yield f"{_name(worker)} {name}", after

    def _time(self) -> Iterator[Step]:
        state = self.state
        if state == State():
            return
        later = state._replace(
            job=_later(state.job) if state.job else None,
            workers=_sorted(map(_working_on, state.workers)),
            batches=tuple(map(_older, state.batches)),
        )
        if later != state:
            yield "time passes", later

    def _api(self) -> Iterator[Step]:
        state = self.state
        for request in state.requests:
            left = state.requests - {request}
            if len(state.batches) == self.protocol.batches:
                yield "too many batches", None
                continue
            made = Made(*request, state=NEW, age=0)
            yield (
                f"request {request} arrives",
                state._replace(requests=left, batches=(*state.batches, made)),
            )
        for number, batch in enumerate(state.batches):
            if batch.state == NEW:
                there = state.uploads if self.protocol.uploads else state.inputs
                reads = RUNNING if batch.input in there else FAILED
                yield f"batch {number} is {reads}", self._put(number, reads)
            elif batch.state == RUNNING:
                yield f"batch {number} is {DONE}", self._put(number, DONE)

    def _put(self, number: int, to: str) -> State:
        batches = list(self.state.batches)
        batches[number] = batches[number]._replace(state=to)
        return self.state._replace(batches=tuple(batches))

    def _poll(self) -> Iterator[Step]:
        """What `poll` does: it claims, resumes, follows and ends a job."""
        state = self.state
        job = state.job
        if job is None:
            yield from self._claim()
            return
        if job.phase is Phase.SUBMITTED:
            assert job.batch is not None
            batch = state.batches[job.batch]
            yield from self._check(job)
            if batch.state not in OVER:
                return
            if job_of(job).failed_by_fence(listed(job.batch, batch)):
                yield "poll revives", state._replace(job=moved(job, "revived"))
            else:
                after = moved(job, "ended", job.batch)
                yield "poll ends the job", state._replace(job=after)
            return
        if not self._is_due or len(state.workers) == self._workers:
            return
        if job.epoch == self._epochs:
            yield "too many holders", None
            return
        held = moved(job, "resumed")
        yield f"w{held.epoch} resumes", self._join(held)

    def _lost(self) -> State:
        """
        The ledger is emptied. Workers that have not staged yet are gone by then (but
        see `sleeps_through`). All others may still wake at any time.
        """
        late = self.protocol.sleeps_through
        reading = ("recall", "overtake", "clear", "stage")[: 3 if late else 4]
        left = [
            forgotten
            for one in self.state.workers
            if one.step not in reading and (forgotten := _forgotten(one))
        ]
        return self.state._replace(job=None, workers=_sorted(left), lost=True)

    def _claim(self) -> Iterator[Step]:
        """An event; or, after a loss, `reconcile` finds the drop or its batch."""
        life = int(self.state.lost)
        first = document_of(Job.claimed(DROP, "w1", NOW, TIMING))._replace(life=life)
        if len(self.state.workers) < self.protocol.workers:
            yield "w1 claims", self._join(first)
        if life:
            anew = first._replace(lease=0, due=0)
            yield "poll claims anew", self.state._replace(job=anew)

    def _check(self, job: Document) -> Iterator[Step]:
        """`reconcile` finds another batch than the job's own."""
        state, real = self.state, job_of(job)
        if not self.protocol.checks or len(state.workers) == self.protocol.workers:
            return
        assert job.batch is not None
        kept = state.batches[job.batch]
        doomed = kept.state in (NEW, FAILED) and kept.input < job.staged
        if doomed and self.protocol.waits_for_the_doomed:
            return
        for number, batch in enumerate(state.batches):
            known = number in job.duplicates
            if (
                number == job.batch
                or real.failed_by_fence(listed(number, batch))
                or (known and batch.state in OVER)
            ):
                continue
            step = "mark" if self.protocol.marks_first and not known else "stop"
            yield (
                f"check finds batch {number}",
                state._replace(
                    workers=_sorted((*state.workers, Worker(step, job, (number,))))
                ),
            )

    @property
    def _workers(self) -> int:
        """How many may work at once. Before a loss one, to keep the walk small: walks
        without a loss have two."""
        before = self.protocol.loses and not self.state.lost
        return 1 if before else self.protocol.workers

    @property
    def _epochs(self) -> int:
        before = self.protocol.loses and not self.state.lost
        return self.protocol.epochs - 1 if before else self.protocol.epochs

    @property
    def _is_due(self) -> bool:
        job = self.state.job
        if job is None:
            return self.state.lost
        if job.due is None:
            return False
        return job.due == 0 or (not self.protocol.settles and job.lease == 0)

    def _work(self, worker: Worker) -> Iterator[Step]:
        """The next step of one worker: see `worker/submit.py`."""
        held, state = worker.held, self.state
        match worker.step:
            case "clear":
                # It listed them before; there were no more then.
                yield (
                    "clears older copies",
                    self._with(
                        worker,
                        worker._replace(step="stage"),
                        inputs=frozenset(e for e in state.inputs if e >= held.epoch),
                    )._replace(
                        traces=frozenset(t for t in state.traces if t[0] >= held.epoch)
                    ),
                )
            case "recall":
                yield self._recall(worker)
            case "remake":
                yield "makes it anew", self._write(worker, "made_anew", *worker.hand)
            case "overtake":
                yield "overtakes", self._write(worker, "overtaking", *worker.hand)
            case "stage":
                inputs = state.inputs | {held.epoch}
                step = "describe" if self.protocol.loses else "prepare"
                yield (
                    "stages",
                    self._with(worker, worker._replace(step=step), inputs=inputs),
                )
            case "describe":
                traces = {one for one in state.traces if one[0] != held.epoch}
                traces.add((held.epoch, held.life))
                described = self._with(worker, worker._replace(step="prepare"))
                yield "describes", described._replace(traces=frozenset(traces))
            case "prepare":
                yield "writes prepared", self._write(worker, "prepared")
            case "search":
                for found in self._looks():
                    yield f"finds {found}", self._found(worker, found)
            case "upload":
                yield from self._upload(worker)
            case "uploading":
                yield (
                    "uploads",
                    self._with(
                        worker,
                        worker._replace(step="intend"),
                        uploads=state.uploads | {held.staged},
                    ),
                )
            case "intend":
                yield "writes its intent", self._write(worker, "submitting")
            case "send":
                yield (
                    "sends nothing",
                    self._with(worker, worker._replace(step="unclear")),
                )
                yield (
                    "sends",
                    self._with(
                        worker,
                        worker._replace(step="wait"),
                        requests=state.requests | {(held.epoch, held.staged)},
                    ),
                )
            case "wait":
                yield (
                    "gets no answer",
                    self._with(worker, worker._replace(step="unclear")),
                )
                for number, batch in enumerate(state.batches):
                    if batch.sender == held.epoch:
                        yield (
                            f"gets batch {number}",
                            self._with(
                                worker, worker._replace(step="record", hand=(number,))
                            ),
                        )
            case "unclear":
                yield "writes unclear", self._write(worker, "unclear")
            case "postpone":
                yield "writes postponed", self._write(worker, "postponed")
            case "record":
                kept, *others = worker.hand
                left = bool(others) and self.protocol.records_first
                marked = others if self.protocol.marks_first else ()
                yield (
                    f"records batch {kept}",
                    self._write(
                        worker,
                        "submitted",
                        kept,
                        *marked,
                        step="cancel" if left else None,
                        hand=tuple(others) if left else (),
                    ),
                )
            case "cancel":
                yield from self._cancel(worker)
            case "mark":
                yield (
                    f"marks batch {worker.hand[0]}",
                    self._write(
                        worker, "marked", *worker.hand, step="stop", hand=worker.hand
                    ),
                )
            case "stop":
                yield from self._stop(worker)
            case "copy":
                yield from self._copy(worker)
            case "restage":
                yield (
                    "writes where the rows are",
                    self._write(worker, "restaged", step="delete", hand=worker.hand),
                )
            case "delete":
                gone = frozenset(worker.hand)
                yield (
                    "deletes",
                    self._with(
                        worker,
                        worker._replace(step="fence", hand=()),
                        inputs=state.inputs - gone,
                        uploads=state.uploads - gone,
                    )._replace(
                        traces=frozenset(t for t in state.traces if t[0] not in gone)
                    ),
                )
            case "fence":
                if not self.protocol.restages_first and (
                    state.job and _hold(state.job) == _hold(held)
                ):
                    moved_on = moved(state.job, "restaged")
                    both = replace(self, state=state._replace(job=moved_on))
                    yield "writes the fence", both._write(worker, "fenced_off")
                else:
                    yield "writes the fence", self._write(worker, "fenced_off")

    def _at(self, held: Document) -> Worker | None:
        """How a worker continues with a job; None if it stops."""
        job = job_of(held)
        if not job.is_held(NOW):
            return None
        match job.phase:
            case Phase.ARRIVED:
                step = "recall" if self.protocol.loses else _first_step(held)
            case Phase.PREPARED | Phase.WAITING:
                step = "search" if self._must_search(job) else self._ready
            case Phase.SUBMITTING if not job.intends:
                step = "search"
            case Phase.SUBMITTING:
                late = NOW + TIMING.create_timeout > job.lease.until
                step = "postpone" if late else "send"
            case _:
                return None
        return Worker(step, held)

    def _recall(self, worker: Worker) -> Step:
        """Looks for staged rows of a job that is new to the ledger."""
        held, state = worker.held, self.state
        top, says = max(state.inputs, default=0), max(state.traces, default=None)
        unknown = top >= held.epoch
        step = first = _first_step(held)
        if says and (unknown or says[1] != held.life):
            step = "remake"
        elif unknown:
            step = "overtake"
        if not self.protocol.recalls or step == first:
            return "recalls nothing", self._with(worker, worker._replace(step=first))
        after = worker._replace(step=step, hand=(top,))
        return f"recalls {top}", self._with(worker, after)

    def _must_search(self, job: Job) -> bool:
        fenced = job.staging is not None and job.staging.epoch > 1
        return job.must_search and (self.protocol.searches_again or not fenced)

    @property
    def _ready(self) -> str:
        return "upload" if self.protocol.uploads else "intend"

    def _looks(self) -> Iterator[tuple[int, ...]]:
        """What a list may show: all old batches, and any of the young ones."""
        old: list[int] = []
        young: list[int] = []
        for number, batch in enumerate(self.state.batches):
            lags = self.protocol.fenceless or batch.age < LIST_LAG
            (young if lags else old).append(number)
        for count in range(len(young) + 1):
            for some in combinations(young, count):
                yield tuple(sorted((*old, *some)))

    def _found(self, worker: Worker, shown: tuple[int, ...]) -> State:
        job = job_of(worker.held)
        batches = self.state.batches
        for number in shown:
            if number in worker.held.duplicates and batches[number].state not in OVER:
                # The worker that was to cancel it may have died: wait until it is over.
                fails = "unclear" if job.phase is Phase.SUBMITTING else "postpone"
                return self._stopping(worker, number, worker._replace(step=fails))
        return self._with(worker, self._after_search(worker, job, shown))

    def _after_search(self, worker: Worker, job: Job, shown: tuple[int, ...]) -> Worker:
        """The worker's step after a search."""
        batches = self.state.batches
        found = [n for n in shown if job.may_take_up(listed(n, batches[n]))]
        if found:
            if self.protocol.keeps_newest_staging:
                found.sort(key=lambda n: (-batches[n].input, n))
            step = "record" if self.protocol.records_first else "cancel"
            hand = tuple(found)
            return worker._replace(step=step, hand=hand)
        if job.phase is not Phase.SUBMITTING:
            return worker._replace(step=self._ready)
        if self.protocol.fences and not self.protocol.fenceless:
            return worker._replace(step="copy")
        return worker._replace(step="fence" if self.protocol.fenceless else self._ready)

    def _stopping(self, worker: Worker, number: int, after: Worker | None) -> State:
        """The API is asked to cancel a batch; one that is over keeps its state."""
        stops = {NEW: STOPPED, RUNNING: STOPPED_PAID}
        was = self.state.batches[number].state
        steps = replace(self, state=self._with(worker, after))
        return steps._put(number, stops.get(was, was))

    def _stop(self, worker: Worker) -> Iterator[Step]:
        (number,) = worker.hand
        yield f"cancels batch {number}", self._stopping(worker, number, None)

    def _cancel(self, worker: Worker) -> Iterator[Step]:
        """Cancels one of the duplicates. `hand` begins with the kept batch, unless it
        is recorded already."""
        recorded = self.protocol.records_first
        first = 0 if recorded else 1
        kept, others = worker.hand[:first], worker.hand[first:]
        if not others:
            after = None if recorded else worker._replace(step="record")
            yield "has cancelled all", self._with(worker, after)
            return
        extra, *left = others
        after = worker._replace(hand=(*kept, *left))
        yield f"cancels batch {extra}", self._stopping(worker, extra, after)

    def _upload(self, worker: Worker) -> Iterator[Step]:
        """Uploads the rows if need be, each holder under a name of its own."""
        held = worker.held
        if held.staged in self.state.uploads:
            after: State | None = self._with(worker, worker._replace(step="intend"))
            yield "finds its rows uploaded", after
        elif held.staged == held.epoch or not self.protocol.one_uploader:
            after = self._with(worker, worker._replace(step="uploading"))
            yield "begins to upload", after
        elif held.staged not in self.state.inputs:
            yield "has nothing to copy", self._with(worker, None)
        else:
            inputs = self.state.inputs | {held.epoch}
            life = dict(self.state.traces).get(held.staged)
            described = {(held.epoch, life)} if life is not None else set()
            copied = replace(
                self,
                state=self.state._replace(
                    inputs=inputs, traces=self.state.traces | described
                ),
            )
            yield "copies", copied._write(worker, "restaged", step="uploading")

    def _copy(self, worker: Worker) -> Iterator[Step]:
        """The fence's first step. To list and to copy is one step here: if the source
        goes in between, the copy fails and the worker stops."""
        epoch, inputs = worker.held.epoch, self.state.inputs
        if not inputs:
            yield "has nothing to copy", self._with(worker, None)
            return
        older = tuple(sorted(one for one in inputs if one < epoch))
        traces = set(self.state.traces)
        if epoch not in inputs:
            life = dict(traces).get(max(inputs))
            traces |= {(epoch, life)} if life is not None else set()
        step = "restage" if self.protocol.restages_first else "delete"
        yield (
            "copies",
            self._with(
                worker,
                worker._replace(step=step, hand=older),
                inputs=inputs | {epoch},
            )._replace(traces=frozenset(traces)),
        )

    # -- the pieces -----------------------------------------------------------------

    def _write(
        self,
        worker: Worker,
        move: str,
        *given: int,
        step: str | None = None,
        hand: tuple[int, ...] = (),
    ) -> State:
        """A compare-and-set, refused if the hold on the job has changed."""
        now, held = self.state.job, worker.held
        if now is None or _hold(now) != _hold(held):
            return self._with(worker, None)
        after = moved(now, move, *given)
        going = Worker(step, after, hand) if step else self._at(after)
        return self._with(worker, going, job=after)

    def _join(self, job: Document) -> State:
        workers = [one for one in (*self.state.workers, self._at(job)) if one]
        return self.state._replace(job=job, workers=_sorted(workers))

    def _with(
        self,
        worker: Worker,
        after: Worker | None,
        *,
        job: Document | None = None,
        inputs: frozenset[int] | None = None,
        uploads: frozenset[int] | None = None,
        requests: frozenset[tuple[int, int]] | None = None,
    ) -> State:
        """The state after a worker's step. `after` is None if the worker stops."""
        state = self.state
        workers = list(state.workers)
        workers.remove(worker)
        if after is not None and state.lost and not after.held.life:
            after = _forgotten(after)
        if after is not None:
            workers.append(after)
        return state._replace(
            job=job or state.job,
            workers=_sorted(workers),
            inputs=state.inputs if inputs is None else inputs,
            uploads=state.uploads if uploads is None else uploads,
            requests=state.requests if requests is None else requests,
        )


def _first_step(it: Document) -> str:
    """How a worker begins with a file: it first deletes what earlier holders staged."""
    return "clear" if it.epoch > 1 else "stage"


def _hold(it: Document) -> tuple[Phase, int, int]:
    """What must be unchanged for a write to be accepted."""
    return it.phase, it.epoch, it.life


@cache
def _later(it: Document) -> Document:
    due = None if it.due is None else max(0, it.due - 1)
    return it._replace(lease=max(0, it.lease - 1), due=due)


@cache
def _working_on(worker: Worker) -> Worker:
    return worker._replace(held=_later(worker.held))


@cache
def _older(made: Made) -> Made:
    return made._replace(age=min(LIST_LAG, made.age + 1))


#: The steps that do not write to the ledger.
ACTS = ("stage", "describe", "send", "cancel", "stop", "copy", "delete", "uploading")


def _forgotten(worker: Worker) -> Worker | None:
    """
    A worker whose document is gone; None if its next step would write to the ledger,
    which is refused. Its times don't matter any more.
    """
    if worker.step not in ACTS:
        return None
    held = worker.held._replace(lease=0, due=0, duplicates=())
    return worker._replace(held=held)


def _sorted(workers: Iterable[Worker]) -> tuple[Worker, ...]:
    # Who is who doesn't matter: fewer states.
    return tuple(sorted(workers, key=lambda one: (one.held.epoch, one)))


def _name(worker: Worker) -> str:
    return f"w{worker.held.epoch}"

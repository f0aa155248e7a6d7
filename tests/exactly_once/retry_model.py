"""
A job two of whose three rows fail for a passing reason, as a graph of states.

It begins when the batch has ended. Collectors gather its results, and a round begins: a
job of its own, made in their commit, which sends these rows again, and is done in one
of several ways. `poll` tells the job of it; then collectors join the results. A second
round may follow. A person may cancel the job at any time. Each write applies a real
transition of `jobs` to a real `Job`. Any collector and any `poll` may die or freeze
between any two steps and wake at any time.

How a round is sent exactly once is the other models' matter: it is a job like any
other.
Times are in ticks from now.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from batchdrop.jobs.codes import ErrorCode, Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import (
    Batch,
    CancelRequest,
    Collecting,
    Lease,
    Problem,
    Results,
    Round,
    Staging,
    Stats,
    Usage,
)
from batchdrop.rows import Rows
from tests.exactly_once.collect_model import DROP, NOW, SPEC, TICK, TIMING
from tests.exactly_once.walks import Walk, swapped, walked

ROUNDS = 2
#: What becomes of a round: its job is made, sent and paid, and then done.
MADE, PAID = "made", "paid"
REJECTED, CANCELLED = "rejected", "cancelled"
#: How many rows a round heals whose batch was paid, so that it has results.
HEALS = {"none": 0, "one": 1, "both": 2}
NONE, ONE, BOTH = HEALS
ENDS = (*HEALS, REJECTED, CANCELLED)
#: Rows of the file, and those of them that fail at first.
ROWS, FAILING = 3, 2
#: Steps that no job needs in order to become done.
FAULTS = frozenset({"the message is lost", "a person cancels it"})


class Document(NamedTuple):
    """The fields of a job that rounds use."""

    epoch: int
    lease: int
    step: str  #: empty: nothing remains to be collected
    round: int
    due: int | None
    begun: int = 0  #: the last round that it has
    gathered: tuple[str, ...] | None = None  #: the rounds that are in it
    results: tuple[str, ...] | None = None
    cancels: bool = False
    seq: int = 1


class Worker(NamedTuple):
    """A collector, or a `poll` that has read a round's job; its next step."""

    epoch: int  #: of the job as it last read it
    step: str
    round: int = 0
    ended: str = ""  #: how the round has ended that it has read


class State(NamedTuple):
    job: Document
    rounds: tuple[str, ...] = ()  #: the jobs of the rounds
    workers: tuple[Worker, ...] = ()
    message: bool = False
    announced: int = 0
    made: int = 0  #: commits that have made a round's job


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """The bounds of a walk; each switch takes a part of the protocol out."""

    collectors: int = 2  #: at once, frozen ones included
    epochs: int = 5  #: the walk stops at this many holders
    cancels: bool = True  #: a person may cancel the job
    fences: bool = True  #: a write is refused if another collector has the job
    waits: bool = True  #: until the round is done
    one_commit: bool = True  #: the round's job is made with what the job says of it

    @property
    def start(self) -> State:
        """The batch has just ended."""
        return State(job=document_of(ended()))


def walk(protocol: Protocol, is_wrong: Callable[[State], bool]) -> Walk[State]:
    """Walks the protocol from the end of the batch, up to a wrong state."""
    return walked(protocol.start, lambda state: Steps(protocol, state).all(), is_wrong)


def announces_twice(state: State) -> bool:
    return state.announced > 1


def makes_a_round_twice(state: State) -> bool:
    return state.made > len(state.rounds)


def sends_an_answered_row_again(state: State) -> bool:
    """A round follows others that have healed all rows."""
    return healed(state.rounds[:-1]) == FAILING


def lacks_what_was_paid(state: State) -> bool:
    """Results are published without those of a round that was paid."""
    if (named := state.job.results) is None:
        return False
    return any(
        how in (PAID, *HEALS) and how not in named[n : n + 1]
        for n, how in enumerate(state.rounds)
    )


def is_done(state: State) -> bool:
    """The right end: the job is done, and nobody is at work on it."""
    return not state.job.step and not state.workers


def never_done(walked: Walk[State]) -> list[str] | None:
    """A shortest way to a state from which no collector finishes without a fault."""
    return walked.dead_end(is_done, without=FAULTS)


# -- the real transitions, on documents ---------------------------------------------


def healed(rounds: Iterable[str]) -> int:
    """How many rows these rounds have healed."""
    return sum(HEALS.get(how, 0) for how in rounds)


@cache
def ended() -> Job:
    """A job whose batch has just ended."""
    spec = replace(SPEC, retry=ROUNDS, retry_share=1)
    job = Job.claimed(DROP, "w1", NOW, TIMING)
    rows = Rows(total=ROWS, accepted=ROWS)
    job = job.prepared(spec, Staging(epoch=1, uri="gs://w/"), rows, NOW, TIMING)
    return _through(job)


def _through(prepared: Job) -> Job:
    """The job once its batch has ended."""
    running = Batch(name="b", state="JOB_STATE_RUNNING", terminal=False)
    done = Batch(
        name="b",
        state="JOB_STATE_SUCCEEDED",
        terminal=True,
        completion_stats=Stats(successful=1, failed=FAILING),
    )
    sent = prepared.submitting(NOW, TIMING).submitted(running, NOW)
    return sent.ended(done, NOW)


@cache
def round_of(n: int, how: str) -> Job:
    """The job of a round, by what has become of it."""
    root = job_of(Document(1, 0, Step.ROUND, n, None, begun=n, gathered=()))
    job = root.round_job(NOW)
    if how == MADE:
        return job
    if how in (REJECTED, CANCELLED):
        code = ErrorCode.OVER_LIMIT if how == REJECTED else ErrorCode.CANCELLED
        return job.rejected(Problem(code=code, message=""), NOW)
    assert job.spec is not None
    staged = Staging(epoch=1, uri=f"gs://w/{n}/", rows=FAILING)
    rows = Rows(total=FAILING, accepted=FAILING)
    job = job.prepared(job.spec, staged, rows, NOW, TIMING)
    if how == PAID:
        return job.submitting(NOW, TIMING)
    ok = HEALS[how]
    return _through(job).collected(
        NOW,
        results=results_of((how,)),
        rows=replace(rows, ok=ok, failed=FAILING - ok),
        usage=Usage(),
    )


@cache
def job_of(it: Document) -> Job:
    """A job with these fields."""
    base = ended()
    due = None if it.due is None else NOW + it.due * TICK
    left = Collecting(round=it.round, step=it.step, due=due) if it.step else None
    own = Round(n=0, job=base.id, rows=ROWS, usage=Usage())
    later = [Round(n=n, job=base.round_id(n)) for n in range(1, it.begun + 1)]
    cancel = CancelRequest(cancel=True, by="a person", at=NOW)
    return replace(
        base,
        lease=Lease(until=NOW + it.lease * TICK, epoch=it.epoch, by=f"w{it.epoch}"),
        collecting=left,
        rounds=(own, *later) if later else (),
        gathered=None if it.gathered is None else results_of(it.gathered),
        results=None if it.results is None else results_of(it.results),
        cancel_request=cancel if it.cancels else None,
        seq=it.seq,
    )


def document_of(job: Job) -> Document:
    left = job.collecting
    due = left.due if left else None
    return Document(
        epoch=job.lease.epoch,
        lease=max(0, (job.lease.until - NOW) // TICK),
        step=left.step if left else "",
        round=left.round if left else 0,
        due=None if due is None else max(0, (due - NOW) // TICK),
        begun=max((one.n for one in job.rounds), default=0),
        gathered=rounds_in(job.gathered),
        results=rounds_in(job.results),
        cancels=job.cancel_request is not None,
        seq=job.seq,
    )


def results_of(rounds: tuple[str, ...]) -> Results:
    """Results that these rounds are in."""
    return Results(uri=" ".join(rounds), generation=1, crc32c="", bytes=1)


def rounds_in(results: Results | None) -> tuple[str, ...] | None:
    return None if results is None else tuple(results.uri.split())


class Move(NamedTuple):
    """A transition, and what its caller has read."""

    name: str
    round: int = 0
    ended: str = ""


@cache
def moved(it: Document, move: Move) -> tuple[Document, bool]:
    """The job after a transition of `jobs`, and whether that makes a round's job."""
    job = job_of(it)
    match move.name:
        case "told":
            job = job.round_told(round_of(move.round, move.ended), NOW)
        case "woken":
            job = job.woken(NOW, TIMING)
        case "cancelled":
            job = job.request_cancel("a person", NOW)
        case "taken":
            job = job.collect_taken(f"w{it.epoch + 1}", NOW, TIMING)
        case "decided":
            job = _decided(job, it, move)
    after = document_of(job)
    return after, after.begun > it.begun


def _decided(job: Job, it: Document, move: Move) -> Job:
    """As the steps MERGE and HEAL decide: see `worker/collect_round.py`."""
    over, known = None, it.gathered or ()
    if move.round:
        sent = round_of(move.round, move.ended)
        over = job.round_over(sent, HEALS.get(move.ended, 0))
        known = (*known, move.ended)
    left = FAILING - healed(known)
    rows = Rows(total=ROWS, accepted=ROWS, ok=ROWS - left, failed=left)
    counts: dict[str, Any] = {"rows": rows, "usage": Usage()}
    if left and job.skip(left, over) is None:
        return job.goes_again(
            NOW, gathered=results_of(known), passing=left, over=over, **counts
        )
    return job.collected(NOW, results=results_of(known), over=over, **counts)


class Now(NamedTuple):
    """What may be done with a job now."""

    tells: bool  #: `poll` tells it of its round
    wakes: bool  #: `poll` wakes a collector
    takes: bool  #: a collector that reads the job takes it
    cancels: bool  #: a person can cancel it


@cache
def now_of(it: Document) -> Now:
    job = job_of(it)
    remains = job.collecting is not None
    return Now(
        tells=job.awaits == "round",
        wakes=remains and job.is_due(NOW),
        takes=remains and not job.is_held(NOW) and not job.awaits,
        cancels=job.may_go_again and not it.cancels,
    )


Next = tuple[str, State | None]


@dataclass(frozen=True, slots=True)
class Steps:
    """All that can happen next. A step to None is beyond the bounds of the walk."""

    protocol: Protocol
    state: State

    def all(self) -> Iterator[Next]:
        state, job = self.state, self.state.job
        due = None if job.due is None else max(0, job.due - 1)
        if (after := job._replace(lease=max(0, job.lease - 1), due=due)) != job:
            yield "time passes", state._replace(job=after)
        yield from self._rounds()
        yield from self._poll()
        yield from self._messages()
        if self.protocol.cancels and now_of(job).cancels:
            after, _ = moved(job, Move("cancelled"))
            yield "a person cancels it", state._replace(job=after)
        for it in dict.fromkeys(state.workers):
            yield f"{_name(it)} dies", self._with(it, None)
            name, after_work = self._work(it)
            yield f"{_name(it)} {name}", after_work

    def _rounds(self) -> Iterator[Next]:
        for n, how in enumerate(self.state.rounds, 1):
            left = FAILING - healed(self.state.rounds)
            paid = tuple(end for end, rows in HEALS.items() if rows <= left)
            ends = {MADE: (PAID, REJECTED), PAID: paid}.get(how, ())
            if how == MADE and self.state.job.cancels:
                ends = (*ends, CANCELLED)
            for end in ends:
                yield f"round {n} is {end}", self._round(n, end)

    def _round(self, n: int, how: str) -> State:
        rounds = self.state.rounds
        return self.state._replace(rounds=(*rounds[: n - 1], how, *rounds[n:]))

    def _poll(self) -> Iterator[Next]:
        state, now = self.state, now_of(self.state.job)
        n = state.job.round
        if now.tells and len(state.rounds) >= n:
            how = state.rounds[n - 1]
            if how in ENDS and not any(it.step == "told" for it in state.workers):
                told = Worker(state.job.epoch, "told", n, how)
                yield "poll reads the round", self._joined(told)
        if now.tells and len(state.rounds) < n:
            # The ledger has no such job: it is made again.
            made = state._replace(rounds=(*state.rounds, MADE), made=state.made + 1)
            yield "poll makes the round", made
        if now.wakes:
            woken, _ = moved(state.job, Move("woken"))
            yield "poll wakes", state._replace(job=woken, message=True)

    def _messages(self) -> Iterator[Next]:
        state = self.state
        if not state.message:
            return
        yield "the message is lost", state._replace(message=False)
        at_work = sum(it.step != "told" for it in state.workers)
        if not now_of(state.job).takes or at_work == self.protocol.collectors:
            return
        if state.job.epoch == self.protocol.epochs:
            yield "too many holders", None
            return
        begun = self._joined(Worker(state.job.epoch, "taken"))
        yield "a message comes", begun._replace(message=False)

    def _work(self, it: Worker) -> Next:
        state = self.state
        match it.step:
            case "told":
                return "tells of it", self._write(it)
            case "taken":
                return "takes it", self._write(it)
            case Step.HEAL:
                how = state.rounds[it.round - 1]
                after = it._replace(step="decided", ended=how)
                return "joins the results", self._with(it, after)
            case Step.FREEZE:
                after = it._replace(step="decided")
                return "gathers the results", self._with(it, after)
            case _:
                return "decides", self._write(it)

    def _write(self, it: Worker) -> State:
        """A compare-and-set, refused if another collector has taken the job since."""
        state, job = self.state, self.state.job
        if job.epoch != it.epoch and self.protocol.fences:
            return self._with(it, None)
        if it.step == "told" and not now_of(job).tells:
            return self._with(it, None)
        if it.step == "decided" and not self.protocol.fences:
            job = job._replace(
                epoch=it.epoch,
                step=Step.HEAL if it.round else Step.FREEZE,
                round=it.round,
                begun=it.round,
                results=None,
            )
        after, makes = moved(job, Move(it.step, it.round, it.ended))
        going = None
        if it.step == "taken" and after.step and after.lease:
            going = Worker(after.epoch, after.step, after.round)
        if not self.protocol.waits and after.step == Step.ROUND:
            after = after._replace(step=Step.HEAL, due=0)
        ended = self._with(it, going)._replace(job=after)
        if after.results is not None and after.results != state.job.results:
            ended = ended._replace(announced=state.announced + 1)
        if makes and self.protocol.one_commit:
            known = len(state.rounds) >= after.begun
            rounds = state.rounds if known else (*state.rounds, MADE)
            ended = ended._replace(rounds=rounds, made=state.made + 1)
        return ended

    def _joined(self, it: Worker) -> State:
        return self.state._replace(workers=swapped(self.state.workers, None, it))

    def _with(self, it: Worker, after: Worker | None) -> State:
        """The state after a worker's step. `after` is None if it stops."""
        return self.state._replace(workers=swapped(self.state.workers, it, after))


def _name(it: Worker) -> str:
    return "poll" if it.step == "told" else f"c{it.epoch + (it.step == 'taken')}"

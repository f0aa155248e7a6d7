"""How long a job waited, ran and was collected, from its history and its batch."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from batchdrop.jobs.codes import Outcome, Phase, SkipCode, Step
from batchdrop.jobs.job import Job
from batchdrop.jobs.moves import UNSENT
from batchdrop.jobs.record import MAX_HISTORY
from batchdrop.jobs.values import NOT_BEGUN, Moment

#: The notes in a history about rounds: see `batchdrop.jobs.retries`.
_ROUND = re.compile(
    r"round ([0-9]+)(?P<done> is done)?(?: requested by .*)?", re.DOTALL
)
#: The notes with which a job's answers are done with.
_CLOSING = {"results", "copied", "answers left", *SkipCode}
_TERMINAL = {outcome.state for outcome in Outcome}


class Kind(StrEnum):
    """What a job was in."""

    CHECKING = "checking"  #: its rows are checked and staged
    WAITING = "waiting"  #: until there is a batch
    QUEUED = "queued"  #: the API has the batch, and has not started it
    RUNNING = "running"  #: the API works on the batch
    PARTS = "parts"  #: of a split job: until the last part is over
    COLLECTING = "collecting"  #: its answers become results
    ROUND = "round"  #: rows go again


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time that a job was in one thing."""

    kind: Kind
    begin: datetime
    end: datetime  #: now, if it lasts
    lasts: bool = False
    round: int = 0  #: of a ROUND

    @property
    def took(self) -> timedelta:
        return self.end - self.begin


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """From when on a job was in something; in nothing, if the kind is None."""

    at: datetime
    kind: Kind | None
    round: int = 0


def time_line(job: Job, now: datetime) -> list[Stretch]:
    """
    The stretches of a job's time, one after another. They never overlap, and none is
    negative. A time that isn't known is in none: that of entries that a long history
    has dropped, and the time between a job's end and a round that somebody asks for.

    The API's clock may differ from ours: a time of the API counts where it lies between
    what we saw before and after it, else the time at which we saw it.
    """
    marks = _of_one_kind_each(job)
    if not marks:
        return []
    end = max(now, marks[-1].at)
    found = []
    for one, following in pairwise([*marks, _Mark(at=end, kind=None)]):
        lasts = one is marks[-1]
        if one.kind and (lasts or following.at > one.at):
            found.append(
                Stretch(
                    kind=one.kind,
                    begin=one.at,
                    end=following.at,
                    lasts=lasts,
                    round=one.round,
                )
            )
    return found


def _of_one_kind_each(job: Job) -> list[_Mark]:
    """The marks at which the kind changes."""
    found: list[_Mark] = []
    for mark in _marks(job):
        # Clocks of two workers may differ as well.
        at = max(mark.at, found[-1].at) if found else mark.at
        if not found or (found[-1].kind, found[-1].round) != (mark.kind, mark.round):
            found.append(_Mark(at=at, kind=mark.kind, round=mark.round))
    return found


def _marks(job: Job) -> Iterator[_Mark]:
    moments = job.history
    last_unsent = max(
        (n for n, one in enumerate(moments) if one.phase in UNSENT), default=-1
    )
    for n, moment in enumerate(moments):
        if kind := _kind(moment):
            yield _Mark(at=moment.at, kind=kind)
        if n == 0 and len(moments) >= MAX_HISTORY:
            yield _Mark(at=moment.at, kind=None)  # what followed may be dropped
        if n == last_unsent:
            # What follows is about the batch that the job has now.
            yield from _of_batch(job, moment.at, moments[n + 1 :])
            return
    yield from _of_batch(job, moments[0].at, moments)


def _kind(moment: Moment) -> Kind | None:
    """What a job was in at a moment before its present batch."""
    if moment.phase is Phase.ARRIVED:
        return Kind.CHECKING
    if moment.phase in UNSENT:
        return Kind.WAITING
    if moment.phase is Phase.SUBMITTED:
        return Kind.QUEUED if moment.state in NOT_BEGUN else Kind.RUNNING
    return None


def _of_batch(
    job: Job, after: datetime, moments: tuple[Moment, ...]
) -> Iterator[_Mark]:
    """
    The marks of what follows the last phase without a batch: of the batch, or of the
    parts, and of what comes after their end.
    """
    batch, last = job.batch, after
    running = False
    for n, moment in enumerate(moments):
        if moment.phase is Phase.SPLIT:
            yield _Mark(at=moment.at, kind=Kind.PARTS)
        elif moment.phase in (Phase.REJECTED, Phase.ATTACHED):
            yield _Mark(at=moment.at, kind=None)
        elif batch and n == 0:
            last = _between(batch.create_time, last, moment.at)
            yield _Mark(at=last, kind=Kind.QUEUED)
        if batch and not running and moment.state not in (None, *NOT_BEGUN):
            began = job.running_since or batch.start_time
            ended = moment.state in _TERMINAL
            # A batch that failed at once may never have begun.
            if began or not ended:
                running = True
                last = _between(began, last, moment.at)
                yield _Mark(at=last, kind=Kind.RUNNING)
        if moment.phase is Phase.ENDED:
            ends = batch.end_time if batch else None
            at = _between(ends or moment.reported_at, last, moment.at)
            yield from _after_end(job, at, moments[n:])
            return
        last = max(last, moment.at)


def _after_end(job: Job, at: datetime, moments: tuple[Moment, ...]) -> Iterator[_Mark]:
    """
    The marks of a job that has ended.

    Args:
        at: when its batch did, or its last part.
    """
    notes = [moment.note or "" for moment in moments]
    collects = job.collecting is not None or any(note in _CLOSING for note in notes)
    kind = Kind.COLLECTING if collects else None
    yield _Mark(at=at, kind=kind)
    for moment, note in zip(moments, notes, strict=True):
        if found := _ROUND.fullmatch(note):
            n = 0 if found["done"] else int(found[1])
            kind = Kind.ROUND if n else Kind.COLLECTING
            yield _Mark(at=moment.at, kind=kind, round=n)
        elif note in _CLOSING:
            kind = None
            yield _Mark(at=moment.at, kind=None)
        elif note in set(Step) and kind is None:
            kind = Kind.COLLECTING
            yield _Mark(at=moment.at, kind=kind)
    if kind and job.is_done:
        yield _Mark(at=moments[-1].at, kind=None)


def _between(time: datetime | None, after: datetime, seen: datetime) -> datetime:
    """
    A time of the API, if it lies between what we saw before and after it.

    Args:
        after: when we saw what came before.
        seen: when we saw it.
    """
    seen = max(after, seen)
    return time if time and after <= time <= seen else seen

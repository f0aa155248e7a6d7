"""Writes down which objects have a job's answers, so that each merge reads the same."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import msgspec

from batchdrop.batches import ClientError
from batchdrop.batches.results import SHARD
from batchdrop.errors import Misconfigured, SourceGone, Unavailable
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Step, WaitCode
from batchdrop.jobs.derived import OUTPUT_FOR
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location
from batchdrop.results import slices
from batchdrop.results.reading import HELD
from batchdrop.rows import some_are
from batchdrop.storage import Differs, Storage
from batchdrop.stored import split_uri
from batchdrop.worker.collect_copy import Copies
from batchdrop.worker.collect_steps import (
    Done,
    Learnt,
    Places,
    Waits,
    folder,
    granted,
)

log = logging.getLogger(__name__)

#: The object that has all rows; others are parts of it that the batch wrote while it
#: ran, or, where it is missing, its shards.
FINAL = "/predictions.jsonl"


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an object with answers."""

    bucket: str
    name: str
    generation: int
    size: int  #: bytes
    final: bool

    @property
    def drop(self) -> Drop:
        return Drop(
            bucket=self.bucket,
            name=self.name,
            generation=self.generation,
            size=self.size,
        )


_List = list[Frozen]
#: What follows from all slices, once they are sorted.
PLAN = "plan.json"
#: Bytes of answers that one step joins; more are sorted first.
MOST = HELD


def fit_one_step(frozen: Sequence[Frozen]) -> bool:
    """Whether the answers are few enough to be joined in one go."""
    return sum(one.size for one in frozen) <= MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """
    The step before the answers are joined. Where they are too many for one go, it reads
    none of them.
    """

    storage: Storage
    places: Places
    copies: Copies
    now: Callable[[], datetime]

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            Unavailable, Misconfigured: the answers can't be listed; try again.
        """
        frozen = self.places.frozen(job)
        if self.storage.find(*split_uri(frozen)) is None:
            found = self._answers(job)
            if (waits := self.too_few(job, found)) is not None:
                return waits
            with suppress(Differs):  # another collector's list counts
                self.storage.create(
                    frozen, msgspec.json.encode(found), "application/json"
                )
            failpoint("collect_frozen")
        fits = fit_one_step(self.read(job))
        return Done(step=Step.MERGE if fits else Step.SORT)

    def read(self, job: Job) -> _List:
        """
        The list that was written down.

        Raises:
            SourceGone: it is not there.
            Unavailable, Misconfigured: it can't be read; try again.
        """
        return self.read_marked(job)[0]

    def read_marked(self, job: Job) -> tuple[_List, Location]:
        """
        The list that was written down, and the folder for what is made of it by steps.

        Raises:
            SourceGone, Unavailable, Misconfigured: as `read`.
        """
        text = b"".join(self.storage.chunks(self.places.frozen(job)))
        return msgspec.json.decode(text, type=_List), self._steps(job, text)

    def _steps(self, job: Job, frozen: bytes) -> Location:
        """
        The folder for what the steps from SORT to COMPOSE write. Another list, and
        slices of another size, have another one.
        """
        mark = sha256(b"%d %b" % (slices.SLICE, frozen)).hexdigest()[:16]
        return Location.parse(f"{self.places.work(job)}{mark}")

    def _answers(self, job: Job) -> _List:
        """The objects with answers as they are now, a final one first."""
        batch = job.batch
        if batch is None or job.is_lost or job.has_no_output:
            return []
        if batch.has_answers or batch.output_table:
            if batch.output_table:
                self._copy_table(job)
            found = self.storage.find(*split_uri(self.places.copy(job)))
            if found is None and batch.output_directory:
                # The work bucket deletes old objects; the copy was delivered before.
                home = f"{batch.output_directory}{FINAL}"
                found = self.storage.find(*split_uri(home))
            return [_frozen(found, final=True)] if found else []
        if not batch.output_directory:
            return []
        place = folder(batch.output_directory)
        try:
            listed = self.storage.listed(place)
        except Misconfigured as exc:
            raise NotGranted(place.bucket, exc) from exc
        answers = [
            _frozen(one, final=f"/{one.name}".endswith(FINAL))
            for one in listed
            if SHARD.search(f"/{one.name}")
        ]
        return sorted(answers, key=lambda one: (not one.final, one.name))

    def _copy_table(self, job: Job) -> None:
        try:
            self.copies.make(job)
        except ClientError as exc:
            raise Unavailable(f"its table of answers: {exc}") from exc

    def too_few(self, job: Job, found: Sequence[Frozen]) -> Waits | None:
        """
        Waits for answers that the API counts and that are not there yet, up to ten
        minutes after the batch's end.
        """
        expected = answers_counted(job)
        if expected is None or job.is_lost or job.has_no_output:
            return None
        until = job.ended_on + OUTPUT_FOR
        if self.now() >= until:
            return None
        there = self._there(job, found)
        if there is None or there >= expected:
            return None
        why = f"{some_are(there, expected, 'answer')} there"
        return Waits(why=why, latest=until, code=WaitCode.ANSWERS)

    def _there(self, job: Job, found: Sequence[Frozen]) -> int | None:
        """
        How many answers the objects have; None if they are too many to be read here,
        and not sorted yet.
        """
        if fit_one_step(found):
            return sum(map(self._lines, finals_of(found)))
        steps = self._steps(job, msgspec.json.encode(found))
        return _answers_sorted(self.storage, steps)

    def _lines(self, one: Frozen) -> int:
        """How many lines an object has."""
        lines, last = 0, b"\n"
        for chunk in answers_of(self.storage, one):
            lines += chunk.count(b"\n")
            last = chunk[-1:] or last
        return lines + (last != b"\n")


def answers_of(
    storage: Storage, one: Frozen, start: int = 0, end: int | None = None
) -> Iterator[bytes]:
    """
    The bytes of an object with answers, or those from `start` up to `end`.

    Raises:
        SourceGone: this version of it was overwritten or deleted.
        Unavailable, NotGranted: it can't be read; try again.
    """
    try:
        yield from storage.read(one.drop, start, end)
    except Misconfigured as exc:
        raise NotGranted(one.bucket, exc) from exc


class _Planned(msgspec.Struct):
    """What the plan of all slices says first: how many answers they have."""

    answers: int


def _answers_sorted(storage: Storage, steps: Location) -> int | None:
    """
    How many answers the sorted objects have, not counting parts of a final one; None if
    they are not sorted yet.
    """
    try:
        text = b"".join(storage.chunks(f"{steps}{PLAN}"))
    except SourceGone:
        return None
    return msgspec.json.decode(text, type=_Planned).answers


def finals_of(found: Sequence[Frozen]) -> Sequence[Frozen]:
    """The objects in which all answers should be; the others are parts of them."""
    return [one for one in found if one.final] or found


def answers_counted(job: Job) -> int | None:
    """How many answers the API counts; None if it does not count them."""
    stats = job.batch.completion_stats if job.batch else None
    if stats is None:
        return None
    return max(stats.successful or 0, 0) + max(stats.failed or 0, 0)


def _frozen(one: Drop, *, final: bool) -> Frozen:
    return Frozen(
        bucket=one.bucket,
        name=one.name,
        generation=one.generation,
        size=one.size,
        final=final,
    )


class NotGranted(Misconfigured):
    """The bucket with the answers may not be read; the text says what to grant."""

    def __init__(self, bucket: str, why: Misconfigured) -> None:
        super().__init__(f"{why}. {granted(bucket, 'roles/storage.objectViewer')}")

"""What the steps from SORT to COMPOSE write to the work bucket, and find again."""

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import msgspec

from batchdrop.jobs.codes import Step
from batchdrop.jobs.values import Drop, Location
from batchdrop.pricing.bill import Tokens
from batchdrop.results import DoesNotAddUp
from batchdrop.results.ranges import Range
from batchdrop.results.slices import Run
from batchdrop.results.totals import Totals
from batchdrop.results.writing import Reached
from batchdrop.storage import Created, Creation, Differs, Storage
from batchdrop.worker.collect_freeze import PLAN
from batchdrop.worker.collect_steps import NDJSON, Done

T = TypeVar("T")

#: Names the objects that record lost data, and how many of them park a job.
LOST, MOST_LOST = "lost.", 5


def run_name(k: int) -> str:
    """The record of a sorted slice."""
    return f"run-{k:05}.json"


def segment_name(j: int) -> str:
    """The record of a range of results."""
    return f"segment-{j:05}.json"


class SortedSlice(msgspec.Struct, kw_only=True):
    """A slice that is sorted."""

    data: str  #: the name of the run
    strangers: str | None
    taken: str | None  #: who took which row, if answers have no id
    run: Run


class Plan(msgspec.Struct, kw_only=True):
    """What follows from all slices."""

    answers: int  #: see `Freeze.too_few`
    runs: list[str]  #: names
    strangers: list[str | None]  #: names, by run
    totals: Totals
    ranges: list[Range]


class Segment(msgspec.Struct, kw_only=True):
    """The results of a range of rows."""

    data: str  #: the name of the results
    strangers: str | None
    totals: Totals
    reached: Reached
    tokens: Tokens


class Gone(Exception):
    """Data that a record names no longer exist."""

    def __init__(self, record: str) -> None:
        super().__init__(record)
        self.record = record


class StepObjects:
    """
    The objects that the steps have made of one frozen list.

    What a step has done is a *record*, which names the objects with its data. Data are
    written under names of the collector's own, and the record after them. The first
    record that is written stays. So a repeated step finds what is done, two collectors
    mix nothing, and a collector that died has left only what nobody names.
    """

    def __init__(self, storage: Storage, folder: Location, epoch: int) -> None:
        """
        Raises:
            Unavailable, Misconfigured: the folder can't be listed; try again.
        """
        self.folder = folder
        self._storage = storage
        self._epoch = epoch
        self._known = {
            one.name.removeprefix(folder.prefix): one for one in storage.listed(folder)
        }

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def first_missing(self, names: Iterable[str]) -> int | None:
        """The place of the first record that is not there; None if all are."""
        return next((n for n, name in enumerate(names) if name not in self), None)

    def find(self, record: str, name: str) -> Drop:
        """
        An object with data.

        Raises:
            Gone: it no longer exists.
        """
        if (found := self._known.get(name)) is None:
            raise Gone(record)
        return found

    def uri(self, name: str) -> str:
        return f"{self.folder}{name}"

    def own(self, name: str, suffix: str) -> str:
        """A name for data that no other collector writes to."""
        return f"{name.removesuffix('.json')}{suffix}.{self._epoch}"

    def read(self, name: str, type: type[T]) -> T:
        """
        Reads a record.

        Raises:
            SourceGone: it is not there.
        """
        text = b"".join(self._storage.chunks(self.uri(name)))
        return msgspec.json.decode(text, type=type)

    def record(self, name: str, value: Any) -> None:
        """Writes a record, unless another collector has written it."""
        with suppress(Differs):
            self._storage.create(
                self.uri(name), msgspec.json.encode(value), "application/json"
            )

    def lose(self, *names: str) -> None:
        """
        Deletes records whose data are gone, so that their steps are done again.

        Raises:
            DoesNotAddUp: it happens again and again.
        """
        for name in names:
            self._storage.delete(self.uri(name))
        self._storage.create(self.uri(f"{LOST}{self._epoch}"), b"")
        if sum(name.startswith(LOST) for name in self._known) >= MOST_LOST:
            raise DoesNotAddUp(
                f"what collectors write to {self.folder} is deleted again and again; "
                "look at the lifecycle of the bucket"
            )


def back(objects: StepObjects, gone: Gone) -> Done:
    """
    The step that makes anew what is gone.

    Raises:
        DoesNotAddUp: it happens again and again.
    """
    if gone.record.startswith("segment-"):
        objects.lose(gone.record)
        return Done(step=Step.RANGE, goes_on=False)
    # The plan names the runs.
    objects.lose(gone.record, PLAN)
    return Done(step=Step.SORT, goes_on=False)


class Late:
    """An object that is created when something is written to it."""

    def __init__(self, storage: Storage, uri: str, stack: ExitStack) -> None:
        self._storage = storage
        self._uri = uri
        self._stack = stack
        self._new: Creation | None = None

    @property
    def created(self) -> Created | None:
        """What was written, once the stack is closed; None if nothing was."""
        return self._new.created if self._new else None

    @property
    def is_written(self) -> bool:
        return self._new is not None

    def write(self, data: bytes) -> None:
        if self._new is None:
            creating = self._storage.creating(self._uri, NDJSON)
            self._new = self._stack.enter_context(creating)
        self._new.write(data)

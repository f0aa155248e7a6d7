"""The step of a split job: the results of its parts become one object."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import msgspec

from batchdrop.errors import SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Results
from batchdrop.ledger import Ledger
from batchdrop.results import DoesNotAddUp
from batchdrop.storage import Storage
from batchdrop.stored import split_uri
from batchdrop.worker.collect_compose import Compose
from batchdrop.worker.collect_published import (
    index_of,
    published,
    results_of,
    writing_results,
)
from batchdrop.worker.collect_steps import (
    Collected,
    Done,
    Learnt,
    Places,
    Waits,
    folder,
)
from batchdrop.worker.part_sums import added_up
from batchdrop.worker.stages import few_at_once

log = logging.getLogger(__name__)


class _Index(msgspec.Struct):
    """The sparse index of results: see `batchdrop.results.Summary`."""

    lines: int
    offsets: list[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """
    Composes what the parts have written, without reading it, and adds up their
    documents. A part that was never sent has results too: its rows are missing.
    """

    ledger: Ledger
    storage: Storage
    places: Places
    compose: Compose
    now: Callable[[], datetime]

    def __call__(self, job: Job) -> Learnt:
        """
        Raises:
            DoesNotAddUp: nothing is published; a person has to look.
            Unavailable, Misconfigured, SourceGone: try again.
        """
        parts = self._parts(job)
        if undone := [part for part in parts if not part.is_done]:
            why = f"{len(undone):,} of {len(parts):,} parts are not done"
            return Waits(why=why, code=WaitCode.PARTS)
        self._let_expire(parts)
        if any(part.results is None for part in parts):
            # An earlier release has left them so, and no one collects them again.
            log.error(
                "parts without results",
                extra={"event": "collect.parts_without_results", "job": job.id},
            )
            return Done(step=None)
        return published(job, partial(self._write, job, parts))

    def _parts(self, job: Job) -> list[Job]:
        """The parts in their order."""
        found = {part.id: part for part in self.ledger.get_all(job.parts)}
        if gone := job.parts.keys() - found.keys():
            raise DoesNotAddUp(
                f"the documents of {len(gone):,} of {len(job.parts):,} parts are gone "
                f"or can't be read, such as {min(gone)}"
            )
        return sorted(found.values(), key=lambda part: part.part.n if part.part else 0)

    def _let_expire(self, parts: Iterable[Job]) -> None:
        """
        Has the ledger keep the parts for as long as any job that is done. Whoever
        repeats this step needs them for minutes.
        """

        def let_expire(part: Job) -> None:
            now = self.now()
            self.ledger.advance(part, lambda j: j.let_expire(now))

        kept = [part for part in parts if not part.used]
        for _, answer in few_at_once(let_expire, kept):
            answer.result()

    def _write(self, job: Job, parts: Sequence[Job], suffix: str) -> Collected:
        place, work = self.places.results(job), folder(self.places.work(job))
        changes = added_up(job, parts)
        index = self._index(parts)
        found = [part.results for part in parts if part.results]
        beside = [one.strangers for one in found if one.strangers]
        round = max(one.round for one in found)
        with writing_results(place):
            strangers = None
            if beside:
                uri = f"{place}strangers{suffix}.jsonl"
                strangers = self.compose(list(map(self._found, beside)), work, uri)
            written = self.storage.create(
                f"{place}results{suffix}.index.json",
                index,
                "application/json",
            )
            failpoint("collect_parts_indexed")
            # The results come last: whoever finds them finds the others.
            uri = f"{place}results{suffix}.jsonl"
            results = self.compose(list(map(_object, found)), work, uri)
        if results.bytes != (size := sum(one.bytes for one in found)):
            raise DoesNotAddUp(f"{results.bytes:,} bytes of results, not {size:,}")
        failpoint("collect_parts_written")
        return Collected(
            changes=changes
            | {"results": results_of(results, written, strangers, round)},
            leftovers=(work,),
        )

    def _index(self, parts: Sequence[Job]) -> bytes:
        """The parts' indexes one behind the other."""
        lines = size = 0
        offsets: list[tuple[int, int]] = []
        for part in parts:
            assert part.results is not None
            own = [(0, 0)]
            if part.results.index:
                text = b"".join(self.storage.chunks(part.results.index))
                own = msgspec.json.decode(text, type=_Index).offsets
            offsets += [(lines + before, size + byte) for before, byte in own]
            lines, size = lines + part.rows.total, size + part.results.bytes
        return index_of(lines, offsets)

    def _found(self, uri: str) -> Drop:
        """The present generation of an object."""
        found = self.storage.find(*split_uri(uri))
        if found is None:
            raise SourceGone(f"{uri} was deleted")
        return found


def _object(results: Results) -> Drop:
    bucket, name = split_uri(results.uri)
    return Drop(
        bucket=bucket, name=name, generation=results.generation, size=results.bytes
    )

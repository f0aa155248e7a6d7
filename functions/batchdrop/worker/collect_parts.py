"""The step PARTS of a split job: composes the results of its parts into one object."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from batchdrop.errors import SourceGone
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import Outcome, SkipCode, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Round, Skipped
from batchdrop.ledger import Ledger
from batchdrop.results import DoesNotAddUp
from batchdrop.rows import counted, some_are
from batchdrop.storage import Storage
from batchdrop.stored import split_uri
from batchdrop.worker.collect_compose import Compose
from batchdrop.worker.collect_published import (
    composed,
    index_of,
    published,
    read_index,
    writing_results,
)
from batchdrop.worker.collect_steps import (
    Collected,
    Done,
    Learnt,
    Places,
    Turned,
    Waits,
    folder,
)
from batchdrop.worker.moved import all_moved
from batchdrop.worker.part_sums import (
    added_up,
    name_of,
    skipped_of,
    sum_of_costs,
    sum_of_usage,
)
from batchdrop.worker.stages import few_at_once

log = logging.getLogger(__name__)


def parts_of(ledger: Ledger, job: Job) -> list[Job]:
    """
    The parts of a split job in their order.

    Raises:
        DoesNotAddUp: the ledger does not have all of them.
    """
    found = {part.id: part for part in ledger.get_all(job.parts)}
    if gone := job.parts.keys() - found.keys():
        raise DoesNotAddUp(
            f"the documents of {len(gone):,} of {counted(len(job.parts), 'part')} are "
            f"gone or can't be read, such as {min(gone)}"
        )
    return sorted(found.values(), key=lambda part: part.part.n if part.part else 0)


def gone_of(storage: Storage, parts: Sequence[Job]) -> str:
    """Which part's results are not there any more, in words; empty if all are."""

    def is_there(part: Job) -> bool:
        if (results := part.results) is None:
            return True
        uris = [uri for uri in (results.index, results.strangers) if uri]
        found = storage.find(*split_uri(results.uri))
        if found is None or found.generation != results.generation:
            return False
        return all(storage.find(*split_uri(uri)) for uri in uris)

    answers = list(few_at_once(is_there, parts))
    gone = next((part for part, answer in answers if not answer.result()), None)
    return f"the results of {name_of(gone, parts)} are gone" if gone else ""


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
        parts = parts_of(self.ledger, job)
        if undone := [part for part in parts if not part.is_done]:
            why = f"{some_are(len(undone), len(parts), 'part')} not done"
            return Waits(why=why, code=WaitCode.PARTS)
        # The ledger keeps them as long as any job that is done, which is long enough
        # for whoever repeats this step.
        all_moved(self.ledger, parts, Job.let_expire, self.now)
        if any(part.results is None for part in parts):
            # An earlier release has left them so, and no one collects them again.
            log.error(
                "parts without results",
                extra={"event": "collect.parts_without_results", "job": job.id},
            )
            return Done(step=None)
        if job.rounds and not any(_has(part, job.round_now.n) for part in parts):
            return _nothing_sent(job, parts)
        try:
            return published(job, partial(self._write, job, parts))
        except SourceGone:
            if not job.rounds or not (gone := gone_of(self.storage, parts)):
                raise
            return _not_joined(job, parts, gone)

    def _write(self, job: Job, parts: Sequence[Job], suffix: str) -> Collected:
        place, work = self.places.results(job), folder(self.places.work(job))
        changes = added_up(job, parts)
        index = self._index(parts)
        found = [part.results for part in parts if part.results]
        beside = [one.strangers for one in found if one.strangers]
        # The next round's number is used in no part.
        rounds = (one.n for part in parts for one in part.rounds)
        n = max((*rounds, *(one.round for one in found)))
        asked = job.round_now if job.rounds else None
        # What a person asked for comes beside what is published already.
        name = f"-{asked.n}" if asked else ""
        with writing_results(place):
            results = composed(
                self.compose,
                place,
                f"{name}{suffix}",
                work,
                results=[one.drop for one in found],
                strangers=list(map(self.storage.present, beside)),
                index=index,
                round=n,
            )
        if results.bytes != (size := sum(one.bytes for one in found)):
            raise DoesNotAddUp(f"{results.bytes:,} bytes of results, not {size:,}")
        failpoint("collect_parts_written")
        return Collected(
            changes=changes
            | {
                "results": results,
                "over": asked and _over(asked, parts),
                "skipped": None if asked else skipped_of(parts),
            },
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
                own = read_index(self.storage, part.results.index).offsets
            offsets += [(lines + before, size + byte) for before, byte in own]
            lines, size = lines + part.rows.total, size + part.results.bytes
        return index_of(lines, offsets)


def _has(part: Job, n: int) -> bool:
    """Whether a part's results have answers of round `n`."""
    return part.results is not None and part.results.round == n


def _nothing_sent(job: Job, parts: Sequence[Job]) -> Turned:
    """No part has sent a row in the round that a person wanted."""
    skipped = skipped_of(parts) or Skipped(
        code=SkipCode.NO_ROWS, message="no row of any part"
    )
    if job.cancel_request:
        skipped = Skipped(code=SkipCode.CANCELLED, message="the job was cancelled")
    sent = any(one.n == job.round_now.n for part in parts for one in part.rounds)
    over = _over(job.round_now, parts) if sent else None
    return Turned(move=lambda j, now: j.round_void(now, skipped, over))


def _not_joined(job: Job, parts: Sequence[Job], gone: str) -> Turned:
    """The round that a person wanted is over, and can't be joined to all parts."""
    skipped = Skipped(code=SkipCode.RESULTS_GONE, message=gone)
    over = _over(job.round_now, parts)
    return Turned(move=lambda j, now: j.round_void(now, skipped, over))


def _over(asked: Round, parts: Sequence[Job]) -> Round:
    """The round of all parts together."""
    own = [one for part in parts for one in part.rounds if one.n == asked.n]
    outcomes = {one.outcome for one in own}
    return replace(
        asked,
        rows=sum(one.rows for one in own),
        outcome=outcomes.pop() if len(outcomes) == 1 else Outcome.PARTIALLY_SUCCEEDED,
        healed=sum(one.healed for one in own),
        usage=sum_of_usage(one.usage for one in own),
        **sum_of_costs("rounds", [(one.job, one.cost, one.no_cost) for one in own]),
    )

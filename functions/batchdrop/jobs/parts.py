"""How a job is split into parts, and how it ends when they do."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from batchdrop.jobs.codes import Phase, Step, WaitCode
from batchdrop.jobs.derived import Derived
from batchdrop.jobs.record import FORWARD, MAX_ROW_ERRORS
from batchdrop.jobs.steps import Steps
from batchdrop.jobs.values import (
    MAX_NAME,
    Collecting,
    Estimate,
    Fact,
    Lease,
    Moment,
    Part,
    Problem,
    Spec,
    Timing,
    derived_id,
    outcome_of_parts,
)
from batchdrop.rows import RowError, Rows, some_are

#: A file has at most this many parts. One commit makes the jobs of all parts: 2 kB each
#: with a common name, 8 kB with the longest possible texts. The emulator takes commits
#: of 4 MiB, production of 10.
MAX_PARTS = 300


class Splitting(Steps):
    """The moves of a split job: its parts are staged, become jobs, and end."""

    __slots__ = ()

    def part_id(self, n: int) -> str:
        """The id of the n-th part's job, counted from 0."""
        return derived_id(self.id, f"part-{n}")

    def part_staged(self, part: Part, now: datetime, timing: Timing) -> Self:
        """
        One more part is staged. A worker that takes the job over continues with the
        next part.
        """
        if self.phase is not Phase.ARRIVED:
            raise ValueError(f"job {self.id} is {self.phase}: it has no more parts")
        if part.n >= MAX_PARTS:
            raise ValueError(f"a file has at most {MAX_PARTS} parts")
        parts = self.parts | {self.part_id(part.n): part}
        moved = self._moved(
            self.phase,
            now,
            parts=parts,
            resumes=0,
            postponed=None,
            put_off=None,
        )
        return self._renewed(moved, now + timing.lease)

    def split(
        self,
        spec: Spec,
        rows: Rows,
        now: datetime,
        row_errors: tuple[RowError, ...] = (),
        report: str | None = None,
    ) -> Self:
        """
        All parts are staged, and the model and endpoint are fixed. Each part is now a
        job of its own: see `part_jobs`. If there is a cancel request, the job is
        cancelled instead.
        """
        if self.cancel_request:
            return self.cancelled(now)
        if {part.n for part in self.parts.values()} != set(range(len(self.parts) or 1)):
            raise ValueError(f"job {self.id} lacks some of its parts")
        estimates = [part.estimate for part in self.parts.values()]
        known = [one for one in estimates if one]
        moved = self._moved(
            Phase.SPLIT,
            now,
            spec=spec,
            estimate=Estimate.total(known) if len(known) == len(estimates) else None,
            rows=rows,
            row_errors=row_errors[:MAX_ROW_ERRORS],
            report=report,
            **FORWARD,
        )
        return self._let_go(moved, now, resumes=0)

    def part_jobs(self, now: datetime) -> list[Self]:
        """
        The parts of a split job, as jobs for `poll` to take up. They have their file's
        place in the order, so that none waits behind a later drop. A worker that takes
        one up has an epoch over 1, and so searches before it sends.
        """
        if self.phase is not Phase.SPLIT:
            return []
        assert self.spec is not None
        parts = sorted(self.parts.items(), key=lambda item: item[1].n)
        return [self._part_job(id, part, self.spec, now) for id, part in parts]

    def _part_job(self, id: str, part: Part, spec: Spec, now: datetime) -> Self:
        ending = f" part {part.n + 1}/{len(self.parts)}"
        return type(self)(
            id=id,
            phase=Phase.PREPARED,
            source=self.source,
            lease=Lease(until=now, epoch=part.staging.epoch, by="nobody"),
            due=now,
            spec=replace(
                spec,
                destination=place_of_one(spec.destination, "part", part.n),
                display_name=spec.display_name[: MAX_NAME - len(ending)] + ending,
                labels=labels_of(spec, id),
                # The staged rows contain it already; a copy in each part costs space.
                generation_config=None,
            ),
            spec_from=self.spec_from,
            part_of=self.id,
            # It has its estimate itself.
            part=replace(part, estimate=None),
            staging=part.staging,
            estimate=part.estimate,
            rows=Rows(total=part.staging.rows, accepted=part.staging.rows),
            missed=self.missed,
            created_at=self.created_at,
            updated_at=now,
            history=(Moment(at=now, phase=Phase.PREPARED),),
        )

    def part_over(self, child: Derived, now: datetime) -> Self:
        """
        One of the parts is over. The last one ends the split job, which is announced
        once for all parts. The split job's error is that of the first part that failed.
        """
        stats = child.batch.completion_stats if child.batch else None
        part = replace(
            self.parts[child.id],
            outcome=child.outcome,
            # What the API counted before it lost the batch are no answers to read.
            stats=None if child.is_lost or child.has_no_output else stats,
        )
        problem = child.error or (child.batch.error if child.batch else None)
        error = self.error
        if problem and not error:
            error = Problem(
                code=problem.code,
                message=f"part {part.n + 1} of {len(self.parts)}, job {child.id}: "
                f"{problem.message}",
            )
        parts = self.parts | {child.id: part}
        outcome = outcome_of_parts(parts.values())
        changes: dict[str, Any] = {"parts": parts, "error": error}
        if outcome is None:
            return self._moved(self.phase, now, **changes)
        left = Collecting(round=0, step=Step.PARTS) if self.makes_results else None
        held = self.parts_held if left else None
        changes |= {"collecting": left, "parts_held": held, "seq": self.seq + 1}
        return self._moved(Phase.ENDED, now, note=outcome, **changes)

    def parts_counted(self, undone: int, held: Sequence[str], now: datetime) -> Self:
        """
        What the split job waits for. It is due to be collected once all parts are done,
        even if an earlier tick has missed that. Nothing changes if nothing is new.

        Args:
            undone: how many parts are not done yet.
            held: the ids of some parts that wait for a person.
        """
        fact = None
        if held:
            names = ", ".join(held)
            message = f"the file waits for parts that wait for a person: {names}"
            fact = Fact.still(self.parts_held, message, now)
        left, put_off = self.collecting, self.put_off
        if self.awaits == "results" and left is not None:
            why = f"{some_are(undone, len(self.parts), 'part')} not done"
            put_off = self._waiting(WaitCode.PARTS, why, now) if undone else None
            left = left if undone else replace(left, due=now)
        job = replace(self, parts_held=fact, collecting=left, put_off=put_off)
        return self if job == self else replace(job, updated_at=now)

    def let_expire(self, now: datetime) -> Self:
        """The job that this part or round belongs to needs it no longer."""
        return self if self.used else replace(self, used=True, updated_at=now)


def labels_of(spec: Spec, id: str) -> dict[str, str]:
    """The labels of a part's or a round's batch, by which it is found."""
    own = {"batchdrop_job": id} if "batchdrop_job" in spec.labels else {}
    return {**spec.labels, **own}


def place_of_one(destination: str, what: str, n: int) -> str:
    """
    Where the answers of a part or a round go: beside those of the others. Each has a
    table of its own, because the API requires one that doesn't exist yet.
    """
    if not destination.startswith("bq://"):
        return f"{destination}{what}-{n:04}/"
    # A project may be named as `example.com:project`.
    names = destination.rpartition(":")[2].removeprefix("//").split(".")
    return f"{destination}_{what}_{n:04}" if len(names) == 3 else destination

"""One run of `poll`: what a tick does, in order."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from batchdrop.backends import Backends
from batchdrop.errors import Misconfigured
from batchdrop.failpoints import failpoint
from batchdrop.jobs.polled import Stage
from batchdrop.jobs.record import VERSION
from batchdrop.ledger import Ledger
from batchdrop.ledger.documents import TOO_OLD
from batchdrop.options.settings import Settings
from batchdrop.worker.admit import Admit
from batchdrop.worker.awaiting import Awaiting
from batchdrop.worker.cancel import Cancel
from batchdrop.worker.outbox import Outbox
from batchdrop.worker.policies import Policies
from batchdrop.worker.reconcile import Reconcile
from batchdrop.worker.reserve import Reserving
from batchdrop.worker.run import Runner
from batchdrop.worker.stages import Tick
from batchdrop.worker.sweep import Sweep, SweepReport
from batchdrop.worker.wake import Wake

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TickReport:
    """What a tick did, in numbers of jobs and announcements."""

    locked_out: bool = False  #: another tick was running
    announced: int = 0
    changed: int = 0
    ended: int = 0
    woken: int = 0  #: collectors
    admitted: int = 0
    resumed: int = 0


#: How often the ledger is searched for documents of an earlier release, and all stages
#: run: an instance of that release may write documents until it has ended.
OUTDATED_EVERY = timedelta(minutes=10)


@dataclass(slots=True, kw_only=True)
class Poll:
    """Follows submitted jobs, admits waiting ones, resumes those without a worker."""

    ledger: Ledger
    backends: Backends  #: the ones that all steps use: see `Backends.for_ticks`
    outbox: Outbox
    sweep: Sweep
    awaiting: Awaiting
    wake: Wake
    cancel: Cancel
    policies: Policies
    reserving: Reserving
    admit: Admit
    reconcile: Reconcile
    runner: Runner
    settings: Settings
    now: Callable[[], datetime]
    holder: Callable[[], str]
    outdated_every: timedelta = OUTDATED_EVERY
    #: When this instance last looked for outdated jobs, and found none.
    none_outdated_at: datetime | None = None

    def tick(self) -> TickReport:
        """
        Runs the stages. When the time is up no more work is taken up: the next tick
        continues.

        Raises:
            ExceptionGroup: some jobs failed; all others were handled.
        """
        by, start = self.holder(), self.now()
        # A tick whose last job takes longer than this is overlapped by the next one.
        # That does no harm, as every write is a compare-and-set; a dead tick's lock
        # that shuts everyone out for long would.
        hold = timedelta(seconds=self.settings.tick)
        if not self.ledger.lock("tick", by, start, hold):
            log.info(
                "tick skipped",
                extra={"event": "tick.locked_out"},
            )
            return TickReport(locked_out=True)
        failpoint("after_lock")
        try:
            is_long_ago = self._refuse_outdated(start)
            tick = Tick(now=self.now, deadline=start + hold)
            return self._stages(tick, all_due=is_long_ago)
        finally:
            self.ledger.unlock("tick", by)

    def _refuse_outdated(self, now: datetime) -> bool:
        """
        Searches the ledger for what an earlier release has written, if that is due.

        Returns:
            Whether it was.

        Raises:
            Misconfigured: the ledger has unfinished jobs of an earlier release, which
                this one can't read. Beside them it would lose their batches.
        """
        last = self.none_outdated_at
        if last is not None and timedelta(0) <= now - last < self.outdated_every:
            return False
        if ids := self.ledger.outdated_jobs():
            raise Misconfigured(
                f"the ledger has unfinished jobs with documents of version "
                f"{VERSION - 1}, such as {', '.join(ids)}; this release reads version "
                f"{VERSION}: {TOO_OLD}"
            )
        self.none_outdated_at = now
        return True

    def _due(self, _: Tick) -> set[Stage]:
        self.ledger.made_due.clear()
        return self.ledger.stages_due(self.now())

    def _stages(self, tick: Tick, *, all_due: bool) -> TickReport:
        """
        Each stage has a part of the time that is left when it begins. What may take
        longest in one piece, such as to stage a large file, comes last.

        One query after the sweep finds which stages have something to do. The others
        would find nothing, and are left out unless a stage before makes a job due.

        Args:
            all_due: run all stages: an earlier release has written no `tick_at`.
        """
        self.backends.start_tick()
        # Whether jobs are open isn't known where the sweep failed.
        unknown = SweepReport(open_jobs=1)

        before = self.ledger.announcements_made
        announced = tick.stage("announce", 1 / 4, self.outbox.drain, 0)
        swept = tick.stage("sweep", 2 / 5, self.sweep.run, unknown)
        due = {*Stage}
        if not all_due:
            due = tick.stage("look", 1 / 4, self._due, due)

        def where_due(
            stage: Stage, part: float, run: Callable[[Tick], T], nothing: T
        ) -> T:
            if stage in due or stage in self.ledger.made_due:
                return tick.stage(stage, part, run, nothing)
            return nothing

        where_due(Stage.AWAIT, 1 / 4, self.awaiting.run, 0)
        woken = where_due(Stage.COLLECT, 1 / 4, self.wake.run, 0)
        where_due(Stage.CANCEL, 2 / 5, self.cancel.run, None)
        if swept.open_jobs:
            where_due(Stage.POLICIES, 1 / 4, self.policies.apply, None)
        # Nobody waits for deletions.
        where_due(Stage.DELETE, 1 / 4, self.policies.delete, None)
        where_due(Stage.CEILINGS, 1 / 4, self.reserving.settle, 0)
        admitted = where_due(Stage.ADMIT, 1 / 2, self.admit.run, 0)
        tick.stage("reconcile", 1 / 2, self.reconcile.run, None)
        resumed = where_due(Stage.RESUME, 3 / 4, self.runner.resume_due, 0)
        # What ended in this tick needn't wait for the next one.
        if announced or tick.errors or self.ledger.announcements_made != before:
            announced += tick.stage("announce again", 1, self.outbox.drain, 0)

        report = TickReport(
            announced=announced,
            changed=swept.changed,
            ended=swept.ended,
            woken=woken,
            admitted=admitted,
            resumed=resumed,
        )
        log.info(
            "tick finished",
            extra={
                "event": "tick.finished",
                "announced": announced,
                "changed": swept.changed,
                "ended": swept.ended,
                "woken": woken,
                "admitted": admitted,
                "resumed": resumed,
                "errors": len(tick.errors),
            },
        )
        if tick.errors:
            raise ExceptionGroup("some jobs failed in this tick", tick.errors)
        return report

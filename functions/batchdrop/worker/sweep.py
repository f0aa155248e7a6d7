"""Follows submitted jobs: reads the API's lists, and few documents of the ledger."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from batchdrop.backends import PAGE, Backend, Backends, Listed, explained
from batchdrop.batches import BatchJob, ClientError
from batchdrop.failpoints import failpoint
from batchdrop.jobs import codes
from batchdrop.jobs.codes import HealthCode, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.moves import MOVES
from batchdrop.jobs.values import Batch, is_job_id
from batchdrop.ledger import Ledger
from batchdrop.ledger.state import SweepRecord
from batchdrop.quoting import public_text
from batchdrop.worker.alerts import log_row_failures
from batchdrop.worker.cancel import cancel_duplicate
from batchdrop.worker.lost import Lost
from batchdrop.worker.rounds import Round, Rounds
from batchdrop.worker.stages import Tick, few_at_once, rotated

log = logging.getLogger(__name__)

#: How many jobs that the lists didn't show one tick asks for by name.
MAX_GETS = 200
#: How far back a list reaches at least.
REACH = timedelta(hours=2)
#: Up to this many older jobs are asked for by name, where that takes fewer requests.
STRAGGLERS = 20
#: All open jobs are accounted for at least this often.
COMPLETE_EVERY = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class SweepReport:
    """What a sweep has done so far, and which jobs it has accounted for."""

    open_jobs: int = 0  #: when it began
    changed: int = 0
    ended: int = 0
    seen: set[str] = field(default_factory=set)  #: ids of open jobs accounted for
    failed: set[str] = field(default_factory=set)  #: ids to look at again
    asked: set[str] = field(default_factory=set)  #: ids asked for by name
    missing: list[Job] = field(default_factory=list)  #: 404 to their batch's name
    unasked: int = 0  #: how many the list didn't show and nobody has asked for yet
    oldest: datetime | None = None  #: no open job's batch is older, if that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Records in the ledger what the API answers about open jobs."""

    ledger: Ledger
    backends: Backends
    lost: Lost
    list_lag: timedelta  #: how far a list may lag behind a create
    now: Callable[[], datetime]

    def run(self, tick: Tick) -> SweepReport:
        """
        Reads the documents of the jobs whose batch has changed by a list, and asks by
        name for the jobs that no list shows: absence from a list proves nothing.
        """
        start, report = self.now(), SweepReport()
        before = self.ledger.last_sweep()
        if before.started and before.started > start:
            # Written by a clock that was ahead: it doesn't show what is new.
            before = SweepRecord(failed=before.failed)
        open_jobs = report.open_jobs = self.ledger.open_job_count()
        if not open_jobs:
            self._finish(start, start, before, set(), tick, report)
            return report
        chosen = self.backends.chosen()
        listed = {name: one for name, one in chosen.items() if one.has_a_list}
        cursor = self.ledger.cursor("lists")
        rounds = Rounds.of(cursor, start, listed)
        try:
            began: datetime | None = start
            if listed:
                self._by_lists(listed, rounds, start, before, tick, report)
                began = rounds.whole_since(listed)
            if len(listed) < len(chosen):
                self._by_names_alone(tick, report)
            if began:
                self._unseen(before, open_jobs, tick, report)
            if not tick.is_over:
                # Else it isn't known how many more are missing.
                self.lost.run(tick, report.missing, report.unasked)
            failed = set(rounds.failed)
            if began:
                self._finish(start, began, before, failed, tick, report)
                rounds.finished, rounds.failed = {}, ()
            else:
                failed |= report.failed | tick.failed
                # One more shows that there are too many to keep.
                rounds.failed = tuple(sorted(failed)[: MAX_GETS + 1])
        finally:
            self.ledger.move_cursor("lists", cursor, rounds.cursor())
        return report

    def _finish(
        self,
        start: datetime,
        began: datetime,
        before: SweepRecord,
        failed: set[str],
        tick: Tick,
        report: SweepReport,
    ) -> None:
        """
        Records a sweep whose lists were all read to their ends.

        Args:
            start: of this tick's sweep.
            began: when the first page was read, which an earlier tick may have done.
            failed: ids of jobs that the earlier ticks had to leave.
        """
        failed = failed | report.failed | tick.failed
        complete = before.complete
        if tick.is_over:
            failed |= set(before.failed) - report.asked  # there was no time to ask
        elif complete is None or start - complete >= COMPLETE_EVERY:
            complete = start
        # Where more failed than are kept, the next sweep reads all changes again.
        all_kept = len(failed) <= MAX_GETS
        self.ledger.record_sweep(
            SweepRecord(
                started=began if all_kept else before.started,
                complete=complete,
                failed=tuple(sorted(failed))[:MAX_GETS],
                oldest=report.oldest,
            )
        )

    # -- the list ---------------------------------------------------------------

    def _by_lists(
        self,
        listed: dict[str, Backend],
        rounds: Rounds,
        start: datetime,
        before: SweepRecord,
        tick: Tick,
        report: SweepReport,
    ) -> None:
        """
        Reads the list of each endpoint, from where the last tick stopped, and asks by
        name for the few jobs that are older than the lists reach. Jobs at an endpoint
        that does not answer are left alone.
        """
        since, stragglers = self._reach(before, report)
        rounds.read(
            listed,
            Round(began=start, since=since),
            tick,
            lambda found, enough: self._by_page(found, before, enough, report),
        )
        again = self.ledger.get_all(before.failed)
        late = {job.id: job for job in (*stragglers, *again)}
        # Those of the Developer API are asked for by name anyway.
        self._by_name(
            [job for job in late.values() if job.endpoint != codes.Backend.DEVELOPER],
            tick,
            report,
        )

    def _by_page(
        self,
        answers: Listed,
        before: SweepRecord,
        tick: Tick,
        report: SweepReport,
    ) -> bool:
        """Records what a page shows; False if the time was up before its end."""
        # The ledger has what changed before the last sweep began.
        news = before.started - self.list_lag if before.started else None
        moved: dict[str, list[BatchJob]] = {}
        for job_id, answer in answers:
            if not is_job_id(job_id):
                continue
            if not answer.done:
                report.seen.add(job_id)
            updated_at = answer.update_time
            if news is None or updated_at is None or updated_at > news:
                moved.setdefault(job_id, []).append(answer)
        return self._record_moved(moved, tick, report)

    def _reach(
        self, before: SweepRecord, report: SweepReport
    ) -> tuple[datetime, list[Job]]:
        """
        How far back to list, and the few older jobs to ask for by name instead,
        whichever takes fewer requests.
        """
        recent = self.now() - REACH
        if before.oldest and before.oldest >= recent:
            # Those that were open then are younger, and those since then anyway.
            report.oldest = before.oldest
            return recent, []
        oldest = self.ledger.oldest_open_jobs(STRAGGLERS + 1)
        report.oldest = begun(oldest[0]) if oldest else self.now()
        stragglers = [job for job in oldest if begun(job) < recent]
        if not stragglers:
            return recent, []
        far = begun(stragglers[0])
        if len(stragglers) > STRAGGLERS:
            return far, []
        # Counted no further than the decision needs.
        most = (len(stragglers) + 1) * PAGE
        pages = -(-self.ledger.arrival_count(far, recent, most) // PAGE)
        return (recent, stragglers) if len(stragglers) < pages else (far, [])

    def _record_moved(
        self, moved: dict[str, list[BatchJob]], tick: Tick, report: SweepReport
    ) -> bool:
        for job in self.ledger.get_all(moved):
            # Anybody can set the label: only the job's own batch accounts for the job.
            report.seen.discard(job.id)
            if job.phase is not Phase.SUBMITTED or job.batch is None:
                if MOVES[job.phase]:
                    # Its batch isn't recorded yet, and may not change again.
                    report.failed.add(job.id)
                continue
            for answer in moved[job.id]:
                if tick.is_over:
                    return False
                with tick.job(job.id):
                    backend = self.backends.of(job)
                    batch = backend.read(job, answer)
                    if batch.name == job.batch.name:
                        self._record(job, batch, report)
                    elif batch.epoch is not None and job.spec and job.spec.source:
                        # A second batch over a table, which no fence keeps from being
                        # paid: the sooner it is cancelled, the less it costs. All other
                        # duplicates are left to `reconcile`, when it is certain that
                        # the job won't adopt them.
                        cancel_duplicate(self.ledger, backend, job, batch, self.now())
        return True

    # -- by name ----------------------------------------------------------------

    def _unseen(
        self, before: SweepRecord, open_jobs: int, tick: Tick, report: SweepReport
    ) -> None:
        """Asks by name for the open jobs that no list showed."""
        if tick.is_over:
            return
        due = before.complete is None or self.now() - before.complete >= COMPLETE_EVERY
        if len(report.seen | report.asked) >= open_jobs and not due:
            return
        cursor = self.ledger.cursor("unseen")
        unseen = rotated(
            list(self.ledger.open_job_ids() - report.seen - report.asked),
            cursor.get("id", ""),
            key=str,
        )
        report.unasked = len(unseen[MAX_GETS:])
        # In their order, as `get_all` gives them in any.
        found = {job.id: job for job in self.ledger.get_all(unseen[:MAX_GETS])}
        jobs = [found[id] for id in unseen if id in found]
        last, all_asked = self._by_name(jobs, tick, report)
        at = {} if (all_asked and not report.unasked) or not last else {"id": last}
        self.ledger.move_cursor("unseen", cursor, at)

    def _by_names_alone(self, tick: Tick, report: SweepReport) -> None:
        """Asks for the jobs of the Developer API, whose list leaves things out."""
        cursor = self.ledger.cursor("by-name")
        jobs = self.ledger.submitted_jobs(codes.Backend.DEVELOPER, cursor.get("id", ""))
        last, all_asked = self._by_name(jobs, tick, report)
        at = {"id": last} if last and not all_asked else {}
        self.ledger.move_cursor("by-name", cursor, at)

    def _by_name(
        self, jobs: Iterable[Job], tick: Tick, report: SweepReport
    ) -> tuple[str, bool]:
        """
        Asks for each by its batch's name.

        Returns:
            The id of the last job that was asked for, and whether all were: not if the
            time was up, or an endpoint is silent.
        """
        last, all_asked = "", True

        def due() -> Iterator[Job]:
            nonlocal last, all_asked
            for job in jobs:
                if tick.is_over:
                    all_asked = False
                    return
                if job.phase is not Phase.SUBMITTED or job.id in report.asked:
                    continue
                if self.backends.is_silent(job, "get"):
                    all_asked = False
                    if (
                        job.endpoint != codes.Backend.DEVELOPER
                    ):  # all of its are asked for anyway
                        report.failed.add(job.id)
                    continue
                last = job.id
                report.asked.add(job.id)
                yield job

        for job, answer in few_at_once(
            lambda one: self.backends.of(one).get(one), due()
        ):
            try:
                batch = answer.result()
            except Exception as exc:
                if isinstance(exc, ClientError) and exc.code == 404:
                    report.missing.append(job)
                    report.seen.add(job.id)
                    report.failed.add(job.id)
                else:
                    tick.note(exc, job.id)
                    self._record_failed_get(tick, job, exc)
                continue
            with tick.job(job.id):
                self._record(job, batch, report)
        return last, all_asked

    def _record_failed_get(self, tick: Tick, job: Job, exc: Exception) -> None:
        """Records that the batch could not be read: that says nothing of the batch."""
        if job.poll_failed:
            return
        now, why = self.now(), public_text(exc)
        with tick.job(job.id):
            self.ledger.advance(
                job, lambda j: j.troubled(HealthCode.POLL_FAILED, why, now)
            )

    # -- record -----------------------------------------------------------------

    def _record(self, job: Job, batch: Batch, report: SweepReport) -> None:
        report.seen.add(job.id)
        after = self._advance(job, batch)
        if batch.terminal and after.phase is Phase.SUBMITTED:
            report.failed.add(job.id)  # its output isn't named yet: ask again
        report.changed += after is not job
        report.ended += after.phase is Phase.ENDED

    def _advance(self, job: Job, batch: Batch) -> Job:
        """Writes what is new; an end together with its announcement."""
        assert job.batch is not None
        if batch.is_older_than(job.batch):
            return job
        # A batch that was found after its end is not new, and still ends the job.
        now = self.now()
        late = job.may_name_output(batch, now)
        if batch == job.batch and job.is_visible and (late or not batch.terminal):
            return job
        if late or not batch.terminal:
            log.info(
                "batch changed state",
                extra={"event": "batch.changed", "job": job.id, "state": batch.state},
            )
            after = self.ledger.advance(job, lambda j: j.observed(batch, now))
            failpoint("after_observed")
            return after
        if job.failed_by_fence(batch):
            log.warning(
                "fenced batch failed",
                extra={"event": "batch.fenced_failed", "job": job.id},
            )
            return self.ledger.advance(job, lambda j: j.revived(now))
        log.info(
            "job ended",
            extra={"event": "job.ended", "job": job.id, "state": batch.state},
        )
        if batch.awaits_output:
            log.error(
                "batch has no output",
                extra={"event": "batch.no_output", "job": job.id, "batch": batch.name},
            )
        error = explained(batch)
        after = self.ledger.advance(job, lambda j: j.ended(batch, now, error))
        failpoint("after_ended")
        if after.collecting is None:
            log_row_failures(after)
        return after


def begun(job: Job) -> datetime:
    """When the API made the job's batch."""
    known = job.batch.create_time if job.batch else None
    return known or job.created_at

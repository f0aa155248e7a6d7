"""Compares the inbox and the API with the ledger, on a slower schedule."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from batchdrop.backends import Backend, Backends
from batchdrop.batches import BatchJob
from batchdrop.errors import BatchdropError, Superseded
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import is_job_id
from batchdrop.ledger import Ledger
from batchdrop.options.settings import Settings
from batchdrop.quoting import public_text
from batchdrop.storage import Storage
from batchdrop.worker.cancel import cancel_duplicate
from batchdrop.worker.claim import Claims
from batchdrop.worker.keep import Keep
from batchdrop.worker.rebuild import Rebuild
from batchdrop.worker.stages import Tick
from batchdrop.worker.traces import Trace, Traces

log = logging.getLogger(__name__)

#: How many objects of the inbox are compared with the ledger in one read.
CHECKED_AT_ONCE = 300
#: In how many slices of time the batches of the last days are listed. A slice that
#: takes more than a tick's share is halved for the next tick. A slice of a minute is
#: given up: it has more batches than a deployment makes.
SLICES = 12
SHORTEST = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class Pass:
    """How far a comparison has come, which may take many ticks."""

    started: datetime
    name: str | None = None  #: the last object of the inbox that was looked at
    inbox_done: bool = False
    ignored: int = 0  #: recent objects of the inbox whose names make no job
    ignored_name: str = ""  #: one of these
    endpoints: int = 0  #: how many were looked through
    since: datetime | None = None  #: of the next place: where to go on
    seconds: float | None = None  #: of its slices, where they were halved
    failed: bool = False  #: some of it is to be done again
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """Finds drops whose event never came, and batches that no job follows."""

    ledger: Ledger
    storage: Storage
    backends: Backends
    claims: Claims
    traces: Traces
    rebuild: Rebuild
    keep: Keep
    settings: Settings
    now: Callable[[], datetime]

    def run(self, tick: Tick) -> None:
        """
        Runs a comparison when it is due, over several ticks if need be, and again where
        some of it failed.
        """
        now, checked = self.now(), self.ledger.last_reconcile()
        every = timedelta(seconds=self.settings.reconcile_every)
        # A start that lies in the future was written by a clock that is ahead.
        since = now - checked.finished if checked.finished else every
        if timedelta(0) <= since < every:
            return
        cursor = self.ledger.cursor("reconcile")
        # Without fields that another version may have written.
        known = {each.name for each in fields(Pass)} & set(cursor)
        going = Pass(**{"started": now} | {name: cursor[name] for name in known})
        self._continue(tick, going, checked.first_start)
        if not going.over:
            self.ledger.move_cursor("reconcile", cursor, asdict(going))
            return
        if not going.failed:
            self.ledger.record_reconcile(
                going.started, going.ignored, going.ignored_name
            )
            log.info(
                "reconcile finished",
                extra={"event": "reconcile.finished", "ignored": going.ignored},
            )
        self.ledger.move_cursor("reconcile", cursor, {})

    def _continue(self, tick: Tick, going: Pass, first_start: datetime) -> None:
        """First the inbox, then one endpoint after the other; then what waits."""
        window = timedelta(seconds=self.settings.missed_window)
        if not going.inbox_done:
            first_start = self._first_start(tick, first_start)
            since = max(first_start, self.now() - window)
            try:
                self._claim_missed(tick, going, since)
            except Exception as exc:
                # The next tick continues there; the endpoints needn't wait for it.
                log.error(
                    "reconcile failed",
                    extra={"event": "reconcile.failed", "reason": public_text(exc)},
                )
                tick.errors.append(exc)
        backends = list(self.backends.chosen().values())
        while going.endpoints < len(backends):
            if tick.is_over:
                return
            self._look_through(tick, going, backends[going.endpoints], window)
        self.keep.waiting(tick)
        going.over = going.inbox_done

    def _first_start(self, tick: Tick, known: datetime) -> datetime:
        """
        When the deployment first ran. A ledger may be newer than that, so an object in
        the work bucket holds the time. It is written once, and lies beside the staged
        rows, whose folder has a deletion rule.
        """
        storage, chosen = self.storage, self.settings
        name = f"first-start/{chosen.deployment}"
        uri = f"gs://{chosen.work.bucket}/{name}"
        try:
            if storage.find(chosen.work.bucket, name) is None:
                # Where another tick is faster, that one's stays.
                storage.write(uri, iter([known.isoformat().encode()]))
            with storage.open(uri) as file:
                first = datetime.fromisoformat(file.read().decode()).astimezone(UTC)
        except (BatchdropError, ValueError) as exc:
            log.error(
                "first start unknown",
                extra={
                    "event": "reconcile.first_start_unknown",
                    "reason": public_text(exc),
                },
            )
            tick.errors.append(exc)
            return known
        return min(first, known)

    def _claim_missed(self, tick: Tick, going: Pass, since: datetime) -> None:
        """
        Claims the objects of the inbox that the ledger doesn't know: Eventarc drops an
        event after a day. Objects from before the deployment, and those that the ledger
        may have forgotten, are left alone.
        """
        found = self.storage.objects(self.settings.inbox, going.name)
        # The event of a newer object is still on its way.
        until = self.now() - timedelta(seconds=self.settings.list_lag)
        while some := list(islice(found, CHECKED_AT_ONCE)):
            recent = [drop for drop, at in some if since <= at <= until]
            known = self.ledger.known_ids(drop.job_id for drop in recent)
            for drop in recent:
                if drop.job_id in known or self.claims.ignores(drop):
                    continue
                try:
                    self.claims.claim_missed(drop)
                except Exception as exc:
                    going.failed = True
                    exc.add_note(f"while looking at {drop}")
                    log.error(
                        "drop not claimed",
                        extra={
                            "event": "drop.not_claimed",
                            "object": str(drop),
                            "reason": public_text(exc),
                        },
                    )
                    tick.errors.append(exc)
                if tick.is_over:
                    return  # the ledger knows the claimed ones next time
            misnamed = [each.name for each in recent if self.claims.is_misnamed(each)]
            going.ignored += len(misnamed)
            going.ignored_name = [going.ignored_name, *misnamed][-1]
            going.name = some[-1][0].name
            if tick.is_over:
                return
        going.inbox_done = True

    def _look_through(
        self, tick: Tick, going: Pass, backend: Backend, window: timedelta
    ) -> None:
        """
        One endpoint, from where the last tick stopped, by slices of time, as a list
        can't be continued in the middle. A silent endpoint is left.
        """
        begin = going.since or going.started - window
        # Where time doesn't select, each slice is a walk through the whole list.
        longest = window / SLICES if backend.has_a_list else 2 * window
        slice, first = timedelta(seconds=going.seconds or 1e9), True
        try:
            while begin <= going.started:
                slice = min(slice, longest)
                until = begin + slice
                if not self._find_orphans(tick, backend, begin, until):
                    going.seconds = max(slice / 2, SHORTEST).total_seconds()
                    # A slice that began late has had less than a share.
                    if first and slice <= SHORTEST:
                        log.error(
                            "too many batches",
                            extra={
                                "event": "reconcile.too_many_batches",
                                "since": str(begin),
                                "until": str(until),
                            },
                        )
                        going.since = until
                    return
                going.since = begin = until
                slice, first = 2 * slice, False
                going.seconds = slice.total_seconds() if slice < longest else None
        except Exception as exc:
            log.error(
                "reconcile failed",
                extra={"event": "reconcile.failed", "reason": public_text(exc)},
            )
            tick.errors.append(exc)
            going.failed = True
        going.endpoints += 1
        going.since = going.seconds = None

    def _find_orphans(
        self, tick: Tick, backend: Backend, since: datetime, until: datetime
    ) -> bool:
        """Finds batches with our marks that no job follows; False if time is up."""
        for job_id, answer in backend.ours(since, until):
            if tick.is_over:
                return False
            try:
                self._handle(backend, job_id, answer)
            except Superseded:
                continue
            except Exception as exc:
                exc.add_note(f"while looking at the batch {answer.name}")
                log.error(
                    "batch not reconciled",
                    extra={
                        "event": "reconcile.batch_failed",
                        "batch": answer.name,
                        "reason": public_text(exc),
                    },
                )
                tick.errors.append(exc)
        return True

    def _handle(self, backend: Backend, job_id: str, answer: BatchJob) -> None:
        """
        What is done about a batch with our labels:

            no job                                          see `_handle_unknown`
            the job has arrived                             nothing: if it is staged
                                                            already, it is made anew
            its input isn't the job's staging               reported
            the job's own                                   nothing
            the job has another, which may fail by the      nothing yet: this may be
            fence                                           the one that is kept
            the job has another, and this is a duplicate    recorded, and cancelled
            the job is parked without one                   adopted, if it may be
            the job is under way without one                nothing: it searches itself
        """
        job = self.ledger.get(job_id) if is_job_id(job_id) else None
        batch = backend.read(job, answer) if job else None
        if job is None:
            self._handle_unknown(backend, job_id, answer)
        elif job.phase is Phase.ARRIVED:
            return
        elif batch is None or batch.epoch is None:
            _report(answer, job_id, "its input isn't what is staged of the job")
        elif job.batch is not None and job.batch.name != batch.name:
            if not (job.may_fail_by_fence or job.failed_by_fence(batch)):
                cancel_duplicate(self.ledger, backend, job, batch, self.now())
        elif job.batch is None and job.is_parked and job.may_take_up(batch):
            log.warning(
                "batch adopted",
                extra={"event": "batch.adopted", "job": job.id, "batch": batch.name},
            )
            self.ledger.advance(job, lambda j: j.submitted(batch, self.now()))
        elif job.phase is Phase.REJECTED:
            _report(answer, job_id, "the job was rejected")

    def _handle_unknown(self, backend: Backend, job_id: str, answer: BatchJob) -> None:
        """
        What is done about a batch whose job the ledger doesn't know, by what is staged
        under the id in its label. Anybody can set a label: the batch must have been
        made of those rows. A document that another worker makes meanwhile stays.

            nothing                               reported: its rows are not known, nor
                                                  whom to announce it to
            a round, of a job that is over        reported
            a round, of another job               nothing: that makes it anew
            a round, of a job that isn't known    that one is claimed anew
            other rows than it was made of        reported
            a job                                 claimed anew
            a part, of a job that isn't known     that one is, with all of its parts
            a part, of a split job                the part is made anew
            a part, of one that is over           reported
        """
        traces = self.traces
        trace = traces.of(job_id) if is_job_id(job_id) else None
        if trace is None:
            return _report(answer, job_id, "nothing is staged of such a job")
        whole, known, job = trace.job, None, trace.job
        if job and job.retry_of:
            return self._handle_unknown_round(backend, job, trace, answer)
        if trace.part_of is not None and is_job_id(trace.part_of):
            known = self.ledger.get(trace.part_of)
            if known and known.phase is Phase.ARRIVED:
                return None  # it is being made anew, with its parts
            above = None if known else traces.of(trace.part_of)
            whole = known or (above.job if above else None)
            job = self._part(whole, job_id) if whole else None
            job = job and self.rebuild.part_in_doubt(job, trace)
        elif job and job.staging:
            job = replace(job, staging=trace.staging(job.staging))
        if job is None or whole is None or job.staging is None:
            return _report(answer, job_id, "what is staged doesn't say of which job")
        if backend.read(job, answer).epoch is None:
            return _report(answer, job_id, "its input isn't what is staged of the job")
        if known is None:
            self.claims.claim_anew(whole)
        elif self.ledger.claim(job):
            log.warning(
                "lost job claimed again",
                extra={
                    "event": "job.claimed_again",
                    "job": job.id,
                    "part_of": known.id,
                },
            )
        return None

    def _handle_unknown_round(
        self, backend: Backend, job: Job, trace: Trace, answer: BatchJob
    ) -> None:
        """The same about a batch of a round. Its job makes the round's document."""
        root_id = job.retry_of
        assert root_id is not None
        if job.staging:
            job = replace(job, staging=trace.staging(job.staging))
        if job.staging is None or backend.read(job, answer).epoch is None:
            return _report(answer, job.id, "its input isn't what is staged of the job")
        if (root := self.ledger.get(root_id)) is not None:
            if root.is_done:
                _report(answer, job.id, f"job {root_id}, whose rows it has, is done")
            return None
        above = self.traces.of(root_id)
        if above and above.part_of is not None and is_job_id(above.part_of):
            # Its parts are made anew with it, or by it.
            above = self.traces.of(above.part_of)
        if above is None or above.job is None:
            return _report(answer, job.id, "nothing is staged of the job of its rows")
        return self.claims.claim_anew(above.job)

    def _part(self, whole: Job, job_id: str) -> Job | None:
        """The job of a part; None if its split job is over, or has no such part."""
        parts = {one.id: one for one in whole.part_jobs(self.now())}
        one = parts.get(job_id)
        fits = one and one.part and whole.part_id(one.part.n) == job_id
        return one if fits else None


def _report(answer: BatchJob, claims: str, why: str) -> None:
    """Logs a batch with our labels that no job follows, for a person to look at."""
    log.error(
        "orphan batch",
        extra={
            "event": "batch.orphan",
            "batch": answer.name,
            "claims": claims[:100],
            "reason": why,
        },
    )

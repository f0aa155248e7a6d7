"""Collects the answers of a job that has ended: one step after another."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from batchdrop.errors import (
    Misconfigured,
    NotWritable,
    SourceGone,
    Superseded,
    Unavailable,
)
from batchdrop.failpoints import failpoint
from batchdrop.jobs.codes import HealthCode, WaitCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Location, Timing
from batchdrop.ledger import Ledger
from batchdrop.quoting import public_text
from batchdrop.results import DoesNotAddUp, TooLarge
from batchdrop.worker.alerts import log_parked, log_row_failures
from batchdrop.worker.collect_steps import Collected, Learnt, Turned, Waits
from batchdrop.worker.keep import Keep
from batchdrop.worker.outbox import Outbox

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """
    The way of one job's answers. Each step reads and writes buckets, and says what it
    has learnt; this class writes that to the ledger.
    """

    ledger: Ledger
    steps: Mapping[str, Callable[[Job], Learnt]]
    keep: Keep
    outbox: Outbox
    delete: Callable[[Location], int]  #: deletes the objects of a folder
    timing: Timing
    now: Callable[[], datetime]
    holder: Callable[[], str]

    def collect(self, job_id: str) -> None:
        """
        Runs the steps of a job until it is done or has to wait, or until half of a
        lease is over. Whatever happens, the ledger says when the job is due again: a
        message need not be delivered twice.
        """
        try:
            job = self.ledger.get(job_id)
            if job is None or (why := self._steps_aside(job)):
                why = why if job else "the ledger has no such job"
                log.info(
                    "nothing to collect",
                    extra={"event": "collect.nothing", "job": job_id, "reason": why},
                )
                return
            self._take(job)
            failpoint("collect_announcing")
            self.outbox.drain_job(job_id)
        except Superseded as exc:
            log.info(
                "collector superseded",
                extra={
                    "event": "collect.superseded",
                    "job": job_id,
                    "reason": str(exc),
                },
            )
        except (Unavailable, NotWritable) as exc:
            # The lease runs out, and `poll` wakes another collector.
            log.error(
                "collector stopped",
                extra={"event": "collect.stopped", "job": job_id, "reason": str(exc)},
            )

    def _steps_aside(self, job: Job) -> str:
        """Why there is nothing to do for this collector; empty if there is."""
        if job.collecting is None:
            return "no answers of it are to be collected"
        if job.is_parked:
            return "it is parked"
        if job.is_held(self.now()):
            return "another worker holds it"
        return ""

    def _take(self, job: Job) -> None:
        by, now = self.holder(), self.now()
        until = now + self.timing.lease / 2
        job = self.ledger.advance(job, lambda j: j.collect_taken(by, now, self.timing))
        failpoint("collect_taken")
        log_parked(job)
        while job.collecting and job.is_held(self.now()):
            job = self._stepped(job, until)

    def _stepped(self, job: Job, until: datetime) -> Job:
        """Does one step, and writes what came of it or what keeps the job from it."""
        assert job.collecting is not None
        step = job.collecting.step
        try:
            self.keep.for_collecting(job)
            learnt = self.steps[step](job)
        except Misconfigured as exc:
            return self._wait(job, Waits(why=str(exc), code=WaitCode.GRANT))
        except (Unavailable, SourceGone) as exc:
            return self._wait(job, Waits(why=str(exc)))
        except (DoesNotAddUp, TooLarge) as exc:
            return self._park(job, str(exc))
        except Exception as exc:
            why, now = public_text(exc), self.now()
            log.exception(
                "step failed",
                extra={"event": "job.step_failed", "job": job.id, "step": step},
            )
            return self.ledger.advance(job, lambda j: j.gave_up(why, now))
        if isinstance(learnt, Waits):
            return self._wait(job, learnt)
        if isinstance(learnt, Collected):
            return self._collected(job, learnt)
        if isinstance(learnt, Turned):
            return self._turned(job, learnt)
        now = self.now()
        goes_on = self.timing if learnt.goes_on and now < until else None
        after = self.ledger.advance(
            job,
            lambda j: j.collect_stepped(learnt.step, now, goes_on, learnt.n),
        )
        failpoint("collect_stepped")
        log.info(
            "collect step done",
            extra={
                "event": "collect.step",
                "job": job.id,
                "step": step,
                "n": job.collecting.n,
            },
        )
        return after

    def _collected(self, job: Job, learnt: Collected) -> Job:
        """Writes that the results are there."""
        now = self.now()
        after = self.ledger.advance(job, lambda j: j.collected(now, **learnt.changes))
        failpoint("collect_collected")
        log.info(
            "results ready",
            extra={
                "event": "collect.results",
                "job": job.id,
                "results": after.results.uri if after.results else "",
                "same_rows": after.same_rows,
            },
        )
        log_row_failures(after)
        if learnt.leftovers:
            self.outbox.drain_job(job.id)
            self._tidy(job, learnt.leftovers)
        return after

    def _turned(self, job: Job, learnt: Turned) -> Job:
        """Writes that a round begins, or that none does."""
        now = self.now()
        after = self.ledger.advance(
            job,
            lambda j: learnt.move(j, now),
            creates=lambda j: self._round_job(j, now),
        )
        failpoint("collect_turned")
        log_parked(after)
        left = after.collecting
        log.info(
            "round decided",
            extra={
                "event": "collect.round",
                "job": job.id,
                "round": left.round if left else None,
                "step": left.step if left else None,
                "reason": after.skipped.message if after.skipped else None,
            },
        )
        if learnt.leftovers:
            self._tidy(job, learnt.leftovers)
        return after

    def _round_job(self, job: Job, now: datetime) -> Sequence[Job]:
        """The job of the round that begins, unless it was made before."""
        if job.awaits != "round" or self.ledger.get(job.round_now.job):
            return ()
        return (job.round_job(now),)

    def _tidy(self, job: Job, folders: Sequence[Location]) -> None:
        """
        Deletes what the steps have left in the work bucket. What a failure or a death
        leaves, the bucket's lifecycle deletes.
        """
        deleted = 0
        try:
            for folder in folders:
                deleted += self.delete(folder)
        except (Unavailable, Misconfigured) as exc:
            log.warning(
                "collect objects left",
                extra={
                    "event": "collect.objects_left",
                    "job": job.id,
                    "folder": str(folder),
                    "reason": str(exc),
                },
            )
            return
        failpoint("collect_tidied")
        log.info(
            "collect objects deleted",
            extra={
                "event": "collect.objects_deleted",
                "job": job.id,
                "objects": deleted,
            },
        )

    def _wait(self, job: Job, waits: Waits) -> Job:
        not_allowed = waits.code is WaitCode.GRANT
        reason = HealthCode.NOT_ALLOWED if not_allowed else "waits"
        extra = {
            "event": "collect.postponed",
            "job": job.id,
            "reason": str(reason),
            "why": waits.why,
        }
        if not_allowed:
            log.error("collect step postponed", extra=extra)
        else:
            log.warning("collect step postponed", extra=extra)
        now = self.now()
        after = self.ledger.advance(
            job,
            lambda j: j.collect_waits(
                waits.why,
                now,
                now + waits.pause,
                code=waits.code,
                latest=waits.latest,
            ),
        )
        log_parked(after)
        if after.seq > job.seq and not after.is_parked:
            log.warning(
                "job stalled",
                extra={"event": "job.stalled", "job": job.id, "state": after.phase},
            )
        return after

    def _park(self, job: Job, why: str) -> Job:
        now = self.now()
        after = self.ledger.advance(job, lambda j: j.park(now, why))
        log_parked(after)
        return after

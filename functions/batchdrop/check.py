"""What is compared with the ledger once in a while: the inbox, and the service."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from batchdrop.batches import BatchesError, BatchJob
from batchdrop.errors import Superseded
from batchdrop.intake import Intake
from batchdrop.ledger import Ledger
from batchdrop.records import Phase, is_job_id
from batchdrop.service import Service, Services
from batchdrop.settings import Settings
from batchdrop.sweep import cancel_extra

log = logging.getLogger(__name__)

#: So many objects of the inbox are compared with the ledger in one read.
CHECKED_AT_ONCE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Finds drops whose event never came, and batches that no job follows."""

    ledger: Ledger
    intake: Intake
    services: Services
    settings: Settings
    now: Callable[[], datetime]

    def run(self, deadline: datetime) -> list[Exception]:
        """
        Does it when it is due, and again when it could not be finished.

        Returns:
            what went wrong on the way; nothing holds up anything else.
        """
        errors: list[Exception] = []
        start = self.now()
        checked = self.ledger.checked()
        every = timedelta(seconds=self.settings.check_every)
        # One that is said to have begun later than now was timed by a clock ahead.
        if checked.finished and timedelta(0) <= start - checked.finished < every:
            return errors
        try:
            window = timedelta(seconds=self.settings.missed_window)
            done = self._claim_missed(
                max(checked.first_start, start - window), deadline, errors
            )
            for service in self.services.chosen():
                done &= self._looked_through(service, start - window, deadline, errors)
        except Exception as exc:
            log.error("not checked", extra={"reason": repr(exc)})
            errors.append(exc)
            return errors
        if done:
            self.ledger.check_finished(start)
            log.info("checked")
        return errors

    def _claim_missed(
        self, since: datetime, deadline: datetime, errors: list[Exception]
    ) -> bool:
        """
        Claims what lies in the inbox and the ledger doesn't know: Eventarc drops an
        event after a day. What was there before the deployment was, and what the
        ledger may have forgotten, isn't touched.
        """
        found = self.intake.storage.objects(self.settings.inbox)
        # An event that is on its way right now needs no help.
        until = self.now() - timedelta(seconds=self.settings.settle)
        recent = (drop for drop, at in found if since <= at <= until)
        done = True
        while some := list(islice(recent, CHECKED_AT_ONCE)):
            known = self.ledger.known(drop.job_id for drop in some)
            for drop in some:
                if drop.job_id in known or self.intake.ignores(drop):
                    continue
                if self.now() >= deadline:
                    return False
                try:
                    self.intake.claim_missed(drop)
                except Exception as exc:
                    done = False
                    exc.add_note(f"while looking at {drop}")
                    log.error(
                        "not claimed", extra={"object": str(drop), "reason": repr(exc)}
                    )
                    errors.append(exc)
        return done

    def _looked_through(
        self,
        service: Service,
        since: datetime,
        deadline: datetime,
        errors: list[Exception],
    ) -> bool:
        """Whether one place was looked through; another's silence holds up none."""
        try:
            return self._find_orphans(service, since, deadline, errors)
        except BatchesError as exc:
            log.error("not checked", extra={"reason": repr(exc)})
            errors.append(exc)
            return False

    def _find_orphans(
        self,
        service: Service,
        since: datetime,
        deadline: datetime,
        errors: list[Exception],
    ) -> bool:
        """Finds batches with our marks that no job follows."""
        for job_id, answer in service.ours(since):
            if self.now() >= deadline:
                return False
            try:
                self._see_to(service, job_id, answer)
            except Superseded:
                continue
            except Exception as exc:
                exc.add_note(f"while looking at the batch {answer.name}")
                log.error(
                    "not seen to", extra={"batch": answer.name, "reason": repr(exc)}
                )
                errors.append(exc)
        return True

    def _see_to(self, service: Service, job_id: str, answer: BatchJob) -> None:
        """
        What is done about a batch with our marks:

            no job, or its input isn't the job's staging    reported
            the job's own                                   nothing
            the job has another, which may fail by the      nothing yet: this may be
            fence                                           the one that is kept
            the job has another, and this one was let in    cancelled, and told
            the job is parked without one                   adopted, if it may be
            the job is under way without one                nothing: it looks itself
        """
        job = self.ledger.get(job_id) if is_job_id(job_id) else None
        batch = service.read(job, answer) if job else None
        if job is None or batch is None or batch.epoch is None:
            log.error("orphan", extra={"batch": answer.name, "claims": job_id})
        elif job.batch is not None and job.batch.name != batch.name:
            if not (job.may_fail_by_fence or job.failed_by_fence(batch)):
                cancel_extra(self.ledger, service, job, batch, self.now())
        elif job.batch is None and job.is_parked and job.may_take_up(batch):
            log.warning("adopted", extra={"job": job.id, "batch": batch.name})
            self.ledger.advance(job, lambda j: j.submitted(batch, self.now()))
        elif job.phase is Phase.REJECTED:
            log.error("orphan", extra={"batch": batch.name, "job": job.id})

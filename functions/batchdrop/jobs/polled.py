"""When which stage of a tick has something to do with a job."""

from datetime import UTC, datetime
from enum import StrEnum

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.derived import Derived

#: From the beginning, whatever any worker's clock says.
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


class Stage(StrEnum):
    """The stages of a tick that select jobs by their documents, in their order."""

    AWAIT = "await"
    COLLECT = "collect"
    CANCEL = "cancel"
    POLICIES = "policies"
    DELETE = "delete"
    CEILINGS = "ceilings"
    ADMIT = "admit"
    RESUME = "resume"


def wanted(job: Derived) -> dict[Stage, datetime]:
    """
    From when on each stage has something to do with a job:

        await      it waits for its parts or a round            always
        collect    its answers are to be collected              once that is due
        cancel     a cancel request is to be passed on          always
        policies   it may be cancelled, or reported as stalled  `cancel_at`, `stall_at`
        delete     its batch is to be deleted                   `delete_at`
        ceilings   it is to give back what it has not cost      always
        admit      it waits for its turn                        always
        resume     it is on its way to a batch                  once it is due
    """
    collecting, request = job.collecting, job.cancel_request
    is_open = job.phase in (Phase.SUBMITTED, Phase.SPLIT)
    is_sent = request is None or request.sent_at is not None
    policies = [at for at in (job.cancel_at, job.stall_at) if at]
    is_unsent = job.phase in (Phase.ARRIVED, Phase.PREPARED, Phase.SUBMITTING)
    times = {
        Stage.AWAIT: ALWAYS if job.awaits else None,
        Stage.COLLECT: collecting.due if collecting else None,
        Stage.CANCEL: ALWAYS if is_open and not is_sent else None,
        Stage.POLICIES: min(policies, default=None),
        Stage.DELETE: job.delete_at,
        Stage.CEILINGS: ALWAYS if job.is_unsettled else None,
        Stage.ADMIT: ALWAYS if job.phase is Phase.WAITING else None,
        Stage.RESUME: job.due if is_unsent else None,
    }
    return {stage: at for stage, at in times.items() if at}


def due(job: Derived, now: datetime) -> set[Stage]:
    """The stages that have something to do with a job now."""
    return {stage for stage, at in wanted(job).items() if at <= now}


def tick_at(job: Derived) -> datetime | None:
    """From when on a tick reads the document; None if nothing is due by itself."""
    return min(wanted(job).values(), default=None)

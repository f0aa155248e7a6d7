"""The moves of a job: which phase may follow which, and why."""

from batchdrop.jobs.codes import Phase

#: Which phase may follow which, and what makes it happen. A job may always stay in its
#: phase.
MOVES: dict[Phase, dict[Phase, str]] = {
    Phase.ARRIVED: {
        Phase.PREPARED: "the rows are staged",
        Phase.SUBMITTING: "the ledger was lost, and a batch may exist",
        Phase.SPLIT: "all parts are staged",
        Phase.REJECTED: "the file can't be sent, or is cancelled",
        Phase.ATTACHED: "it is a manifest without rows",
    },
    Phase.PREPARED: {
        Phase.SUBMITTING: "the intent is written",
        Phase.SUBMITTED: "a search finds the batch",
        Phase.WAITING: "the queue is full, or a step fails",
        Phase.REJECTED: "cancelled, or not to be sent",
    },
    Phase.WAITING: {
        Phase.SUBMITTING: "its turn comes, and the intent is written",
        Phase.SUBMITTED: "a search finds the batch",
        Phase.REJECTED: "cancelled, or not to be sent",
    },
    Phase.SUBMITTING: {
        Phase.SUBMITTED: "the API has created the batch",
        Phase.WAITING: "nothing was created for now",
        Phase.PREPARED: "a search finds no batch, and the fence is set",
        Phase.REJECTED: "the API refuses the request, or it is cancelled",
    },
    Phase.SUBMITTED: {
        Phase.ENDED: "the batch ends, or is lost",
        Phase.WAITING: "the batch fails because of the fence",
    },
    # Even if none of its parts was sent: see `outcome`.
    Phase.SPLIT: {Phase.ENDED: "the last part is over"},
    Phase.ENDED: {},
    Phase.REJECTED: {},
    Phase.ATTACHED: {},
}
#: In these phases a worker holds the job, and another one takes over if it dies.
UNSENT = frozenset({Phase.ARRIVED, Phase.PREPARED, Phase.WAITING, Phase.SUBMITTING})

"""The commands on a job's page: the forms it offers, and what they do when sent."""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import flask
from werkzeug.exceptions import Conflict
from werkzeug.wrappers import Response

from batchdrop.dashboard import forms
from batchdrop.dashboard.asked import asked
from batchdrop.dashboard.errors import Denied
from batchdrop.errors import Superseded
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.values import is_job_id
from batchdrop.rows import RowOutcome, agreed

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job
    from batchdrop.worker.commands import Commands

log = logging.getLogger(__name__)
pages = flask.Blueprint("actions", __name__)

#: What the job's page says after an action, by the word for it in its address.
DONE = {
    "cancel": "The job is cancelled, or will be at the next tick of poll.",
    "rerun": "This is the new job. The next tick of poll takes it up.",
    "resume": "The next tick of poll resumes the job.",
    "retry": "The next tick of poll chooses the rows that go again.",
    "replay": "The announcements are in the outbox. The next tick of poll sends them.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An action that makes sense now, and what people should know before it."""

    name: str  #: the last part of its path
    label: str  #: of what opens the form
    happens: str  #: what will happen
    costs: str
    confirm: str  #: of the button that does it
    danger: bool = False
    #: The outcomes of rows to choose from, and how many rows have each.
    outcomes: tuple[tuple[str, int], ...] = ()
    #: How often this was done before, where doing it twice costs twice.
    known: int | None = None


@pages.post("/jobs/<id>/<any(cancel, rerun, resume, retry, replay):action>")
def act(id: str, action: str) -> Response:
    """Does what a form asks, and goes back to the job's page, or to the new job's."""
    here = asked()
    if not here.person.operates:
        raise Denied(
            f"{here.person.name} is none of the operators, who may {action} jobs; ask "
            "who runs this deployment to add you",
            who=here.person.name,
            action=action,
        )
    forms.check(action)
    if not is_job_id(id):
        raise LookupError("There is no such job.")
    try:
        went = _ACTIONS[action](here.wiring.worker().commands, id, here.person.name)
    except Superseded as exc:
        raise Conflict(f"{exc}; look at it again") from exc
    except ValueError as exc:
        if type(exc) is not ValueError:
            raise  # it is a mistake of ours, and none of the commands' texts
        raise Conflict(str(exc)) from exc
    return flask.redirect(f"/jobs/{went}?done={action}", 303)


def _cancel(commands: "Commands", id: str, by: str) -> str:
    commands.cancel(id, by)
    return id


def _rerun(commands: "Commands", id: str, by: str) -> str:
    # All rows are paid again, and a browser sends a form twice if it is clicked twice.
    known = flask.request.form.get("known", "")
    if not re.fullmatch("[0-9]{1,9}", known):
        flask.abort(400, "Reload the job's page, and use its button.")
    return commands.rerun(id, by, int(known)).id


def _resume(commands: "Commands", id: str, by: str) -> str:
    commands.unpark(id, by)
    return id


def _retry(commands: "Commands", id: str, by: str) -> str:
    only = flask.request.form.getlist("only")
    if not set(only) <= set(RowOutcome):
        flask.abort(400, "Choose outcomes of those that the job's page lists.")
    commands.retry(id, by, only)
    return id


def _replay(commands: "Commands", id: str, by: str) -> str:
    if not commands.replay(id, by):
        raise ValueError(f"all announcements of job {id} wait to be sent already")
    return id


_ACTIONS: dict[str, Callable[["Commands", str, str], str]] = {
    "cancel": _cancel,
    "rerun": _rerun,
    "resume": _resume,
    "retry": _retry,
    "replay": _replay,
}


def done() -> str:
    """What the action did that led to this page; empty if none did."""
    return DONE.get(flask.request.args.get("done", ""), "")


def offers(job: "Job") -> list[Offer]:
    """What this person may ask of a job now; nothing of a round: its job is asked."""
    if not asked().person.operates or job.retry_of:
        return []
    return [offer for make in _OFFERS for offer in make(job)]


def _is_possible(move: Callable[[], object]) -> bool:
    """Whether a job's own rules allow a move."""
    with suppress(ValueError):
        move()
        return True
    return False


def _offered_cancel(job: "Job") -> Iterator[Offer]:
    now = asked().now
    if job.cancel_request and not job.is_parked:
        return
    if not _is_possible(lambda: job.request_cancel("", now)):
        return
    happens = (
        "No more rows go again. What is answered so far is published."
        if job.is_over
        else "The job ends before its next request. A batch is cancelled at the API, "
        "and what it has answered is published."
    )
    yield Offer(
        name="cancel",
        label="Cancel",
        happens=happens,
        costs="Rows that the API has finished are paid; no others.",
        confirm="Cancel this job",
        danger=True,
    )


def _offered_resume(job: "Job") -> Iterator[Offer]:
    now = asked().now
    is_held = job.awaits == "round" and job.round_held is not None
    if is_held or _is_possible(lambda: job.unpark("", now)):
        yield Offer(
            name="resume",
            label="Resume",
            happens="Workers try it again, as often as at first. Mend first what "
            "stopped it.",
            costs="Nothing more than without the stop: each row is paid once.",
            confirm="Resume this job",
        )


def _offered_retry(job: "Job") -> Iterator[Offer]:
    now = asked().now
    outcomes = tuple(
        (str(outcome), count)
        for outcome, count in job.rows.outcomes.items()
        if count and outcome not in (RowOutcome.OK, RowOutcome.REFUSED)
    )
    if outcomes and _is_possible(lambda: job.retry_requested("", (), now)):
        yield Offer(
            name="retry",
            label="Retry rows",
            happens="The rows that are chosen are sent once more. The results of all "
            "rounds are then written anew, beside those that are there, and announced.",
            costs=f"These rows are paid once more. {_so_far(job)}",
            confirm="Send these rows again",
            outcomes=outcomes,
        )


def _offered_rerun(job: "Job") -> Iterator[Offer]:
    now = asked().now
    if _is_possible(lambda: job.rerun_counted("", now)):
        yield Offer(
            name="rerun",
            label="Run again",
            happens="A new job sends all rows of the dropped object, which must still "
            "be there. This job and its results stay as they are.",
            costs=f"All rows are paid{_again(job)}. {_so_far(job)}",
            confirm="Run all rows again",
            known=job.reruns,
        )


def _offered_replay(job: "Job") -> Iterator[Offer]:
    if job.seq:
        some = agreed(job.seq, "The announcement", f"All {job.seq:,} announcements")
        verb = agreed(job.seq, "is", "are")
        yield Offer(
            name="replay",
            label="Announce again",
            happens=f"{some} of this job {verb} sent again, with the same ids: "
            "subscribers that remember ids ignore a repeat.",
            costs="No row is sent. Pub/Sub's price of a message.",
            confirm="Announce again",
        )


_OFFERS = (
    *(_offered_cancel, _offered_resume, _offered_retry),
    *(_offered_rerun, _offered_replay),
)


def _again(job: "Job") -> str:
    return "" if job.phase is Phase.REJECTED else " again"


def _so_far(job: "Job") -> str:
    if job.phase is Phase.REJECTED:
        return "For this job nothing was paid."
    if job.cost:
        return f"So far this job has cost {job.cost}."
    if job.estimate and job.estimate.cost:
        return f"The estimate for this job was {job.estimate.cost}."
    return "What this job has cost is not known."

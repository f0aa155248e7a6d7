"""What people see of one job: what it waits for, its rounds, money and addresses."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchdrop.jobs.codes import Phase, Step
from batchdrop.rows import agreed, counted, some_are
from batchdrop.views.text import in_shell

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job
    from batchdrop.jobs.values import Collecting, Cost, Estimate, Round
    from batchdrop.jobs.waiting import WaitingFor
    from batchdrop.ledger import Ledger

#: Most rows that are named of those that failed in every round.
MAX_ALWAYS = 10


def waits_now(ledger: "Ledger", job: "Job") -> "WaitingFor | None":
    """
    What a job waits for, with how many are ahead of it now: its document has what was
    so when it began to wait.
    """
    waits = job.waiting_for
    if waits is None or waits.ahead is None:
        return waits
    return replace(waits, ahead=ledger.jobs_ahead(job.waiting_in, job.created_at))


def document(job: "Job", waits: "WaitingFor | None") -> dict[str, Any]:
    """A job's document, with its derived fields and what it waits for now."""
    from batchdrop.ledger.documents import DERIVED, encode, sparse

    derived = {name: getattr(job, name) for name in DERIVED} | {"waiting_for": waits}
    return sparse(encode(replace(job, version=None)) | encode(derived))


def sentence(job: "Job") -> str:
    """How far a job is, in one sentence."""
    if job.is_done:
        return _end(job)
    if job.phase is Phase.ENDED:
        assert job.collecting is not None
        left = job.collecting
        done = f" ({left.n:,} done)" if left.n else ""
        return f"Its answers become results: {STEPS[Step(left.step)]}{done}."
    progress = job.progress
    if job.phase is Phase.SPLIT and progress:
        over = agreed(progress.parts_over, "is", "are")
        return f"{progress.parts_over:,} of its {progress.parts:,} parts {over} over."
    if job.phase is Phase.SUBMITTED and job.batch and job.batch.has_begun:
        if not progress or not progress.rows:
            return "The API works on its batch."
        return f"{some_are(progress.answered, progress.rows, 'row')} answered."
    return PHASES[job.phase]


#: What happens in each phase before there are answers.
PHASES = {
    Phase.ARRIVED: "Its rows are checked and staged.",
    Phase.PREPARED: "Its rows are staged, and nothing is sent yet.",
    Phase.WAITING: "Its rows are staged, and nothing is sent yet.",
    Phase.SUBMITTING: "The request for its batch is sent.",
    Phase.SUBMITTED: "The API has its batch, and has not started it.",
}
#: What is next with its answers.
STEPS = {
    Step.COPY: "they are copied from the API",
    Step.DELIVER: "the copy is brought to its destination",
    Step.FREEZE: "their objects are listed",
    Step.MERGE: "they are joined to the rows",
    Step.SORT: "they are sorted",
    Step.RANGE: "they are joined to the rows",
    Step.COMPOSE: "they become one object",
    Step.PARTS: "those of all parts become one object",
    Step.RETRY: "rows are chosen that go again",
    Step.ROUND: "rows go again",
    Step.HEAL: "those of the round are joined to them",
}


def _end(job: "Job") -> str:
    """What a job that is done has come to."""
    if job.phase is Phase.ATTACHED:
        return "A manifest: the job of the file beside it reads it."
    if job.phase is Phase.REJECTED:
        return "No batch was made, and nothing was paid."
    if not job.rows.outcomes:
        return "It has ended, and makes no results."
    ok, total = job.rows.ok or 0, job.rows.total
    if ok == total:
        return agreed(total, "The row is ok.", f"All {total:,} rows are ok.")
    return f"{some_are(ok, total, 'row')} ok."


def step_of(left: "Collecting") -> str:
    """Which step of collecting is next, such as `sort (3 done)`."""
    return f"{left.step}{f' ({left.n:,} done)' if left.n else ''}"


def state_of_round(one: "Round") -> str:
    """How far a round is, such as `succeeded, 3 rows are better`."""
    if one.outcome:
        better = agreed(one.healed, "is better", "are better")
        return f"{one.outcome}, {counted(one.healed, 'row')} {better}"
    return "under way" if one.job else "its rows are to be chosen"


def always_failed(job: "Job") -> list[str]:
    """The ids of rows that failed in every round, the first few."""
    return [id for each in job.failures for id in each.always][:MAX_ALWAYS]


def compared(cost: "Cost", estimate: "Estimate | None") -> str:
    """
    How a cost compares with its estimate, such as `0.75 times the estimate`; empty if
    that isn't known.
    """
    guess = estimate and estimate.cost
    if not guess or not guess.micros or guess.currency != cost.currency:
        return ""
    return f"{cost.micros / guess.micros:.2f} times the estimate"


def api_count(job: "Job") -> str:
    """
    How many rows the API counts, where those have no ids of ours: in a table or a
    dataset. Empty for any other job.
    """
    stats = job.batch.completion_stats if job.batch else None
    if stats is None or not (job.spec and job.spec.source):
        return ""
    done, failed = stats.successful or 0, stats.failed or 0
    return f"the API counts {counted(done, 'answered row')}, and {failed:,} that failed"


def addresses(job: "Job") -> Iterator[tuple[str, str]]:
    """What belongs to a job, by what it is, and where it lies."""
    if job.results:
        yield "results", job.results.uri
        if job.results.strangers:
            yield f"{counted(job.strangers, 'answer')} to no row", job.results.strangers
    batch = job.batch
    place = batch and (batch.output_table or batch.output_directory)
    if place and not job.results:
        yield "answers", place
    if job.report:
        yield "refused lines", job.report
    if job.manifest:
        yield "manifest", job.manifest
    if batch:
        yield "batch", batch.name


def commands(job: "Job") -> Iterator[tuple[str, str]]:
    """Commands that get what belongs to a job, by what that is."""
    yield "this page in a terminal", f"batchdrop show {job.id}"
    if job.results:
        yield "results, in other formats too", f"batchdrop results {job.id}"
    for what, address in addresses(job):
        if address.startswith("gs://"):
            deep = "--recursive " if address.endswith("/") or what == "answers" else ""
            yield what, f"gcloud storage cp {deep}{in_shell(address)} ."
        else:
            yield what, in_shell(address)
    yield "dropped object", f"gcloud storage cp {in_shell(str(job.source))} ."

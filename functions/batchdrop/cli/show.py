"""`batchdrop show`: how far a job is, what became of its rows, and what to do."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from batchdrop.cli.deployment import deployment, deployment_option, job_id
from batchdrop.cli.output import json_option, print_json
from batchdrop.jobs.codes import Phase, WaitCode
from batchdrop.rows import agreed, counted
from batchdrop.views import job as views
from batchdrop.views.cures import cure, cure_of_error
from batchdrop.views.text import shown
from batchdrop.views.words import awaited

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job
    from batchdrop.jobs.values import Estimate, Moment
    from batchdrop.jobs.waiting import WaitingFor

#: `batchdrop show` lists this many kinds of errors of rows, and open parts.
MAX_FAILURES, MAX_PARTS = 3, 10


@click.command()
@click.argument("job")
@deployment_option
@json_option("Print the job's document as JSON.")
def show(job: str, as_json: bool) -> None:
    """
    Show how far a JOB is, and what to do if it is unhealthy.

    It has a time line, the rows by outcome, what failed, what was paid, and where the
    results are. A JOB is an id, the beginning of one, the dropped object,
    gs://inbox/name, or latest. Times are in UTC.

    \b
    Example:
      batchdrop show gs://my-inbox/reviews.jsonl
    """
    with deployment() as wiring:
        ledger = wiring.ledger()
        id = job_id(wiring, job)
        found = ledger.get(id)
        if found is None:
            raise LookupError(f"there is no job {id}")
        waits = views.waits_now(ledger, found)
        if as_json:
            print_json(views.document(found, waits))
            return
        parts = []
        if found.parts and not found.results:
            parts = ledger.get_all(found.parts)
        lines = [*summary(found, waits), *_parts(parts), *_time_line(found)]
        click.echo("\n".join(map(shown, lines)))


def summary(job: "Job", waits: "WaitingFor | None") -> Iterator[str]:
    """What is shown of a job but its parts and its time line."""
    yield from _head(job)
    if waits:
        yield from _waits(waits, {trouble.message for trouble in job.troubles})
    for section in SECTIONS:
        yield from section(job)


def _head(job: "Job") -> Iterator[str]:
    yield f"{job.source}, job {job.id}"
    state = f" ({job.batch.state})" if job.batch else ""
    done = ""
    if (progress := job.progress) and progress.rows and not job.is_done:
        of = counted(progress.rows, "row")
        done = f", {progress.answered:,} of {of} answered"
    # A rejected job's phase says how it ended.
    says_more = job.outcome and job.phase is not Phase.REJECTED
    outcome = f": {job.outcome}" if says_more else ""
    yield f"{job.phase}{outcome}{state}{done}"


def _waits(waits: "WaitingFor", said: set[str]) -> Iterator[str]:
    """
    What a job waits for, since when, and when it is tried again.

    Args:
        said: what is said of its health, below this.
    """
    if waits.code is WaitCode.PERSON:
        return  # its health says more
    again = ""
    if waits.next_try:
        soon = waits.next_try <= datetime.now(UTC)
        again = "at the next tick" if soon else f"{waits.next_try:%H:%M:%S}"
        again = f", next try {again}"
    yield f"waits for {awaited(waits)}, since {waits.since:%Y-%m-%d %H:%M:%S}{again}"
    if waits.message not in said:
        yield f"  {waits.message}"


def _trouble(job: "Job") -> Iterator[str]:
    if job.error:
        yield f"error: {job.error.code}: {job.error.message}"
        if mend := cure_of_error(job):
            yield f"  what to do: {mend}"
    for trouble in job.troubles:
        yield f"{trouble.code}: {trouble.message}"
        if do := cure(trouble.code, job.id):
            yield f"  what to do: {do}"
    if job.collecting:
        yield f"collecting: {views.step_of(job.collecting)}"


def _rows(job: "Job") -> Iterator[str]:
    if job.rows.total:
        yield str(job.rows)
    for each in job.failures[:MAX_FAILURES]:
        yield f"  {each.count:,} x {each.code}: {each.message}, such as {each.example}"


def _rounds(job: "Job") -> Iterator[str]:
    """The rounds in which rows went again, and why they did not."""
    for one in job.rounds:
        if not one.n:
            continue
        who = f", asked for by {one.by}" if one.by else ""
        state = views.state_of_round(one)
        yield f"round {one.n}: {counted(one.rows, 'row')} again{who}, {state}"
    if job.skipped:
        yield f"not sent again: {job.skipped.message}"
    if always := views.always_failed(job):
        yield f"failed in every round: {', '.join(always)}"


def _money(job: "Job") -> Iterator[str]:
    if job.estimate and not job.usage:
        yield from _estimate(job.estimate)
    if job.usage:
        yield str(job.usage)
    if job.cost:
        compared = views.compared(job.cost, job.estimate)
        yield f"{job.cost}{f', {compared}' if compared else ''}"
    elif job.no_cost:
        yield f"the cost isn't known: {job.no_cost}"


def _addresses(job: "Job") -> Iterator[str]:
    if count := views.api_count(job):
        yield count
    for what, address in views.addresses(job):
        yield f"{what}: {address}"
    if job.parent:
        yield f"runs again: job {job.parent}"
    if job.reruns:
        yield f"was run again as job {job.rerun_id}"


#: What is shown of a job below its head, in this order.
SECTIONS: tuple[Callable[["Job"], Iterator[str]], ...] = (
    _trouble,
    _rows,
    _rounds,
    _money,
    _addresses,
)


def _estimate(estimate: "Estimate") -> Iterator[str]:
    yield f"estimate: {estimate.tokens}"
    if estimate.cost:
        yield f"estimate: {estimate.cost}"
    else:
        yield f"the cost can't be estimated: {estimate.no_cost}"


def _parts(parts: "list[Job]") -> Iterator[str]:
    """How far the parts of a split job are that has no results yet."""

    def number(job: "Job") -> int:
        return job.part.n + 1 if job.part else 0

    parts = sorted(parts, key=number)
    ready = [part.results.uri for part in parts if part.results]
    if ready:
        have = agreed(len(ready), "has its", "have their")
        count = f"{len(ready):,} of {counted(len(parts), 'part')} {have} results"
        yield f"{count}: {ready[0]} and so on"
    open = [part for part in parts if not part.is_done]
    for part in open[:MAX_PARTS]:
        state = f" ({part.batch.state})" if part.batch else ""
        health = f", {part.health.code}: {part.health.message}" if part.health else ""
        if part.waiting_for and not health:
            health = f", waits for {part.waiting_for.code}"
        yield f"  part {number(part)}, job {part.id}: {part.phase}{state}{health}"
    if (left := len(open) - MAX_PARTS) > 0:
        yield f"  and {left:,} more"


def _time_line(job: "Job") -> Iterator[str]:
    """The phases and states that it went through, by our clock and the API's."""
    yield ""
    day = None
    for moment in job.history:
        if moment.at.date() != day:
            day = moment.at.date()
            yield f"{day} (UTC)"
        yield f"  {moment.at:%H:%M:%S}  {_moment(moment)}"


def _moment(moment: "Moment") -> str:
    state = f" {moment.state}" if moment.state else ""
    began = ""
    if moment.reported_at:
        began = f", since {moment.reported_at:%H:%M:%S} by the API"
    note = f": {moment.note}" if moment.note else ""
    return f"{moment.phase}{state}{began}{note}"

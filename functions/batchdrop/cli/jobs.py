"""`batchdrop show`: how far a job is, and what became of its rows."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from batchdrop.cli.deployment import deployment, deployment_option, job_id
from batchdrop.cli.output import json_option, print_json

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job
    from batchdrop.jobs.values import Cost, Estimate

#: `batchdrop show` lists this many kinds of errors of rows, and open parts.
MAX_FAILURES, MAX_PARTS = 3, 10


@click.command()
@click.argument("job")
@deployment_option
@json_option("Print the job's document as JSON.")
def show(job: str, as_json: bool) -> None:
    """
    Show how far a JOB is, and what became of its rows.

    A JOB is an id, or the address of the dropped object, gs://inbox/name.
    """
    with deployment() as wiring:
        id = job_id(wiring, job)
        found = wiring.ledger().get(id)
        if found is None:
            raise LookupError(f"there is no job {id}")
        if as_json:
            from batchdrop.ledger.documents import DERIVED, encode, sparse

            derived = {name: getattr(found, name) for name in DERIVED}
            document = encode(replace(found, version=None)) | encode(derived)
            print_json(sparse(document))
        else:
            lines = [*_lines(found)]
            if found.parts and not found.results:
                lines += _parts(wiring.ledger().get_all(found.parts))
            click.echo("\n".join(lines))


def _lines(job: "Job") -> Iterator[str]:
    yield f"{job.source}, job {job.id}"
    state = f" ({job.batch.state})" if job.batch else ""
    yield f"{job.phase}{f': {job.outcome}' if job.outcome else ''}{state}"
    if job.waiting_for:
        yield f"waits for {job.waiting_for.code}: {job.waiting_for.message}"
    if job.error:
        yield f"error: {job.error.code}: {job.error.message}"
    for trouble in job.troubles:
        yield f"{trouble.code}: {trouble.message}"
    if job.collecting:
        n = job.collecting.n
        yield f"collecting: {job.collecting.step}{f' ({n:,} done)' if n else ''}"
    if job.rows.total:
        yield str(job.rows)
    for each in job.failures[:MAX_FAILURES]:
        yield f"  {each.count:,} x {each.code}: {each.message}, such as {each.example}"
    if job.estimate and not job.usage:
        yield from _estimate(job.estimate)
    if job.usage:
        yield str(job.usage)
    if job.cost:
        yield f"{job.cost}{_compared(job.cost, job.estimate)}"
    elif job.no_cost:
        yield f"the cost isn't known: {job.no_cost}"
    if job.results:
        beside = job.results.strangers
        also = f", and {job.strangers:,} answers to no row: {beside}" if beside else ""
        yield f"results: {job.results.uri}{also}"
    if job.batch and job.spec and job.spec.source:
        # The rows of a table or dataset have no ids of ours: the API's word stands.
        if (stats := job.batch.completion_stats) is not None:
            done, failed = stats.successful or 0, stats.failed or 0
            yield f"the API counts {done:,} answered rows, and {failed:,} that failed"
        if place := job.batch.output_table or job.batch.output_directory:
            yield f"answers: {place}"


def _compared(cost: "Cost", estimate: "Estimate | None") -> str:
    """How a cost compares with its estimate; empty if that isn't known."""
    guess = estimate and estimate.cost
    if not guess or not guess.micros or guess.currency != cost.currency:
        return ""
    return f", {cost.micros / guess.micros:.2f} times the estimate"


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
        count = f"{len(ready):,} of {len(parts):,} parts have their results"
        yield f"{count}: {ready[0]} and so on"
    open = [part for part in parts if not part.is_done]
    for part in open[:MAX_PARTS]:
        state = f" ({part.batch.state})" if part.batch else ""
        health = f", {part.health.code}: {part.health.message}" if part.health else ""
        yield f"  part {number(part)}, job {part.id}: {part.phase}{state}{health}"
    if (left := len(open) - MAX_PARTS) > 0:
        yield f"  and {left:,} more"

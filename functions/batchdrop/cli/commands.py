"""`batchdrop cancel`, `resume` and `rerun`: what a person asks of jobs."""

import getpass
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from batchdrop.cli.deployment import deployment, deployment_option, job_id
from batchdrop.cli.failures import in_one_line
from batchdrop.cli.output import json_option, print_json
from batchdrop.errors import BadSetting, BatchdropError
from batchdrop.jobs.codes import Phase

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job


def of_jobs(command: Callable[..., Any]) -> Callable[..., Any]:
    """What commands have in common that are about jobs."""
    for option in (
        json_option("Print one JSON object per job."),
        deployment_option,
        click.argument("jobs", metavar="JOB...", nargs=-1, required=True),
    ):
        command = option(command)
    return command


@click.command()
@of_jobs
def cancel(jobs: tuple[str, ...], as_json: bool) -> None:
    """
    Cancel JOBs, whatever their phases. Rows that the API has finished are paid.

    A JOB is an id, the beginning of one, the dropped object, gs://inbox/name or
    gs://inbox/name#generation, or latest.

    \b
    Example:
      batchdrop cancel gs://my-inbox/reviews.jsonl
    """

    def cancel(wiring: ModuleType, id: str) -> tuple["Job", str]:
        after = wiring.worker().commands.cancel(id, by=getpass.getuser())
        request = after.cancel_request
        if after.phase is Phase.ENDED and request and after.ended_on < request.at:
            # Its batch had ended before, and rows of it could go again.
            return after, f"No more rows of job {after.id} go again."
        when = "" if after.is_over else " at the next tick of poll"
        return after, f"Job {id} is cancelled{when}."

    each_job(jobs, cancel, as_json)


@click.command()
@of_jobs
def resume(jobs: tuple[str, ...], as_json: bool) -> None:
    """
    Resume parked JOBs, once their trouble is fixed.

    A JOB is an id, the beginning of one, the dropped object, gs://inbox/name, or
    latest. The deployment's poll resumes the jobs.

    \b
    Example:
      batchdrop resume abcd2
    """

    def resume(wiring: ModuleType, id: str) -> tuple["Job", str]:
        after = wiring.worker().commands.unpark(id, by=getpass.getuser())
        return after, f"Job {id} resumes at the next tick of poll."

    each_job(jobs, resume, as_json)


@click.command()
@of_jobs
def rerun(jobs: tuple[str, ...], as_json: bool) -> None:
    """
    Run JOBs that are over again, as new jobs.

    A new job has the old one as its parent, and is paid too. It reads the dropped
    object again, which must still exist. Prints the new job's id.

    A JOB is an id, the beginning of one, the dropped object, gs://inbox/name, or
    latest. The deployment's poll starts the new jobs.

    \b
    Example:
      batchdrop rerun gs://my-inbox/reviews.jsonl
    """

    def rerun(wiring: ModuleType, id: str) -> tuple["Job", str]:
        new = wiring.worker().commands.rerun(id, by=getpass.getuser())
        return new, new.id

    each_job(jobs, rerun, as_json)


def each_job(
    jobs: tuple[str, ...],
    do: Callable[[ModuleType, str], "tuple[Job, str]"],
    as_json: bool,
) -> None:
    """
    Does something with each job, and says so; errors don't keep it from the others.
    Exits with 1 if there was one.

    Args:
        do: returns the job that it wrote, and a line for people.
    """
    failed = False
    with deployment(writes=True) as wiring:
        for job in jobs:
            try:
                after, line = do(wiring, job_id(wiring, job))
            except click.ClickException as exc:
                why = exc.message
            except BadSetting:
                raise  # it is not about this job
            except (BatchdropError, LookupError, ValueError) as exc:
                why = in_one_line(exc, writes=True)
            else:
                if as_json:
                    print_json(dict(_members(job, after)))
                else:
                    click.echo(line)
                continue
            failed = True
            click.echo(f"Error: {why}", err=True)
            if as_json:
                print_json({"job": job, "error": why})
    if failed:
        sys.exit(1)


def _members(job: str, after: "Job") -> Iterator[tuple[str, object]]:
    """A job that was written, as `--json` prints it."""
    yield "job", job
    yield "job_id", after.id
    yield "parent", after.parent
    yield "phase", after.phase
    yield "outcome", after.outcome
    yield "is_over", after.is_over

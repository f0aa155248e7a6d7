"""`batchdrop retry`: sends rows of jobs that are done once more."""

import getpass
from types import ModuleType
from typing import TYPE_CHECKING

import click

from batchdrop.cli.commands import each_job, of_jobs

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job


@click.command()
@click.option(
    "--only",
    metavar="OUTCOME,...",
    default="",
    help="The outcomes of the rows that go again, whatever the reason, such as "
    "failed,blocked. By default: those that failed for a reason that passes by "
    "itself, as 429.",
)
@of_jobs
def retry(jobs: tuple[str, ...], only: str, as_json: bool) -> None:
    """
    Send the rows of JOBs that have no answer once more.

    The job must be done, and its staged rows must still be there. A row that is ok
    never goes again. The rows are paid once more; the results of all rounds are
    written anew, beside those that are there.

    A JOB is an id, the beginning of one, the dropped object, gs://inbox/name, or
    latest. The deployment's poll sends the rows.

    \b
    Example:
      batchdrop retry gs://my-inbox/reviews.jsonl --only failed,blocked
    """
    outcomes = [each.strip() for each in only.split(",") if each.strip()]

    def retry(wiring: ModuleType, id: str) -> tuple["Job", str]:
        after = wiring.worker().commands.retry(id, getpass.getuser(), outcomes)
        passing = "that failed for a reason that passes"
        which = f"whose outcome is {' or '.join(outcomes)}" if outcomes else passing
        line = f"Rows of job {after.id} {which} go again at poll's next ticks"
        return after, f"{line}; `batchdrop show {after.id}` says how many."

    each_job(jobs, retry, as_json)

"""`batchdrop watch`: jobs while they run, until all are done."""

import sys

import click

from batchdrop.cli.deployment import deployment, deployment_option, job_id
from batchdrop.cli.options import every_option
from batchdrop.cli.output import json_option


@click.command()
@click.argument("jobs", metavar="[JOB]...", nargs=-1)
@every_option("How long to wait between two looks at the ledger.")
@deployment_option
@json_option("Print a JSON object for each change of a job.")
def watch(jobs: tuple[str, ...], every: float, as_json: bool) -> None:
    """
    Watch JOBs until all are done.

    Without a JOB: all that are open, and those that come, until none is open. A bar
    shows the answered rows by the API's count, of a split file those of the parts that
    are over. In a pipe a line is written for each change.

    The exit status is 0 if all rows of all jobs are ok, 3 if some are not, and 1 if a
    job failed. A JOB is an id, the beginning of one, the dropped object,
    gs://inbox/name, or latest.

    \b
    Example:
      batchdrop watch gs://my-inbox/reviews.jsonl
    """
    from batchdrop.cli.following import MOST, ends, exit_code, face, follow

    with deployment() as wiring:
        ledger = wiring.ledger()
        ids = [job_id(wiring, job) for job in jobs]
        if ids:
            found = ledger.listed_jobs_of(ids)
            for id in ids:
                if id not in {job.id for job in found}:
                    raise LookupError(f"there is no job {id}")
        else:
            found = ledger.listed_jobs(MOST, "open")
            if not found:
                if not as_json:
                    click.echo("no job is open; see all with `batchdrop jobs`")
                return
        names = {job.id: job.source.name for job in found}
        more = (lambda: ()) if ids else (lambda: ledger.listed_jobs(MOST, "open"))
        try:
            with face(as_json=as_json) as show:
                over = follow(ledger, names, show, every=every, more=more)
        except KeyboardInterrupt:
            click.echo(
                "the jobs continue; `batchdrop jobs --open` lists them", err=True
            )
            sys.exit(130)
    if not as_json:
        click.echo("\n".join(ends(over)))
    sys.exit(exit_code(over))

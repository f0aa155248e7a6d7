"""`batchdrop cancel`, `resume` and `rerun`: what a person asks of a job."""

import getpass

import click

from batchdrop.cli.deployment import deployment, job_id


@click.command()
@click.argument("job")
def cancel(job: str) -> None:
    """
    Cancel a JOB, whatever its phase. Rows that the API has finished are paid.

    A JOB is an id, or the address of the dropped object: gs://inbox/name for its
    present generation, or gs://inbox/name#generation. The environment's BATCHDROP_*
    variables name the deployment.
    """
    with deployment() as wiring:
        id = job_id(wiring, job)
        after = wiring.worker().commands.cancel(id, by=getpass.getuser())
    when = "" if after.is_over else " at the next tick of poll"
    click.echo(f"Job {id} is cancelled{when}.")


@click.command()
@click.argument("job")
def resume(job: str) -> None:
    """
    Resume a parked JOB, once you have fixed what stopped its workers.

    A JOB is an id, or the address of the dropped object, gs://inbox/name. The
    environment's BATCHDROP_* variables name the deployment, whose poll resumes the job.
    """
    with deployment() as wiring:
        after = wiring.worker().commands.unpark(
            job_id(wiring, job), by=getpass.getuser()
        )
    click.echo(f"Job {after.id} resumes at the next tick of poll.")


@click.command()
@click.argument("job")
def rerun(job: str) -> None:
    """
    Run a JOB that is over again, as a new job with the old one as its parent.

    The new job is paid too. It reads the dropped object again, which must still exist.
    Prints the new job's id.

    A JOB is an id, or the address of the dropped object, gs://inbox/name. The
    environment's BATCHDROP_* variables name the deployment, whose poll starts the new
    job.
    """
    with deployment() as wiring:
        new = wiring.worker().commands.rerun(job_id(wiring, job))
    click.echo(new.id)

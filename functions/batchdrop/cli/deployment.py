"""The deployment that a command works on, and the jobs that its arguments name."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import click

from batchdrop.cli.extras import needs


@contextmanager
def deployment() -> Iterator[ModuleType]:
    """
    The wiring of the deployment that the environment's BATCHDROP_* variables describe.

    Raises:
        click.ClickException: for each error of ours or of Google's that is raised
            inside, with its text.
    """
    with needs("worker"):
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError

        from batchdrop import wiring
        from batchdrop.errors import BatchdropError

    try:
        yield wiring
    except (BatchdropError, LookupError, ValueError) as exc:
        raise click.ClickException(str(exc)) from exc
    except (GoogleAPICallError, GoogleAuthError) as exc:
        raise click.ClickException(f"Firestore: {exc}") from exc


def job_id(wiring: ModuleType, job: str) -> str:
    """
    The id of a job that is given by its id or by the address of the dropped object:

        gs://inbox/x             the object's present generation
        gs://inbox/x#123         the same, if an object has this whole name;
                                 else generation 123 of gs://inbox/x

    Raises:
        click.ClickException: the address names no object, or there is none.
    """
    if not job.startswith("gs://"):
        return job
    from batchdrop.jobs.values import Drop
    from batchdrop.stored import split_uri

    bucket, name = split_uri(job)
    if not name:
        raise click.ClickException(f"{job} names no object; write gs://bucket/name")
    found: Drop | None = wiring.storage().find(bucket, name)
    if found is not None:
        return found.job_id
    name, _, generation = name.rpartition("#")
    if name and re.fullmatch("[0-9]+", generation):
        number = int(generation)
        return Drop(bucket=bucket, name=name, generation=number, size=0).job_id
    raise click.ClickException(f"{job} is not there; give the job's id")

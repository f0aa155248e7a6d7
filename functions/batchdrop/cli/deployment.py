"""The deployment that a command works on, and the jobs that its arguments name."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import click

from batchdrop.cli.deployments import EMULATORS, NoDeployment, find, is_described
from batchdrop.cli.extras import needs
from batchdrop.cli.output import shown

PREFIX = "BATCHDROP_"
#: Where a command's context has the error for commands that need a deployment.
_WHY_NONE = f"{__name__}.why_none"
_HOW_TO_CHOOSE = (
    "no deployment is chosen; name yours once with `batchdrop deployments add NAME "
    "--from-terraform DIR`, or start one on this machine with `batchdrop local up`"
)


def deployment_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """
    The option `--deployment NAME` of a command that works on a deployment.

    The environment is that deployment's while the command runs, so that options with a
    variable have its values for their defaults.
    """
    return click.option(
        "--deployment",
        metavar="NAME",
        expose_value=False,
        is_eager=True,
        callback=_choose,
        help="The deployment, of `batchdrop deployments list`. Default: that of the "
        "BATCHDROP_* variables, else the one in use, else the local stack.",
    )(command)


def _choose(context: click.Context, _: click.Parameter, name: str | None) -> None:
    """Makes the environment that of the chosen deployment, until the command ends."""
    before = dict(os.environ)
    try:
        chosen = find(name, before)
    except NoDeployment as exc:
        if name is not None:
            raise
        # Commands that work without a deployment, too, don't ask for it.
        context.meta[_WHY_NONE] = exc
        return
    if chosen is None:
        if not is_described(before):
            context.meta[_WHY_NONE] = NoDeployment(_HOW_TO_CHOOSE)
        return
    context.find_root().call_on_close(lambda: _restore(before))
    for key in before:
        # Who names a deployment means that one, whatever else is set.
        if name is not None and (key.startswith(PREFIX) or key in EMULATORS):
            del os.environ[key]
    for key, text in chosen.env.items():
        if not key.startswith(PREFIX) or not os.environ.get(key, "").strip():
            os.environ[key] = text
    # No file has a key, and no command needs one: the worker makes the requests.
    os.environ.setdefault("GEMINI_API_KEY", "not-set")


def _restore(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


@contextmanager
def deployment() -> Iterator[ModuleType]:
    """
    The wiring of the deployment that a command with `deployment_option` works on.

    Raises:
        click.ClickException: for each error of ours or of Google's that is raised
            inside, with its text; if no deployment is chosen, that says how to.
    """
    with needs("cli"):
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError

        from batchdrop import wiring
        from batchdrop.errors import BadSetting, BatchdropError

    try:
        yield wiring
    except BadSetting as exc:
        why_none = click.get_current_context().meta.get(_WHY_NONE)
        raise why_none or click.ClickException(shown(str(exc))) from exc
    except (BatchdropError, LookupError, ValueError) as exc:
        raise click.ClickException(shown(str(exc))) from exc
    except (GoogleAPICallError, GoogleAuthError) as exc:
        raise click.ClickException(shown(f"Firestore: {exc}")) from exc


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

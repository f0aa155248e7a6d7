"""The deployment that a command works on, and the jobs that its arguments name."""

import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import click

from batchdrop.cli.deployments import EMULATORS, LOCAL, NoDeployment, find, is_described
from batchdrop.cli.extras import needs
from batchdrop.cli.failures import in_one_line
from batchdrop.views.text import shown

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
    if chosen is None and not is_described(before):
        context.meta[_WHY_NONE] = NoDeployment(_HOW_TO_CHOOSE)
        return
    context.find_root().call_on_close(lambda: _restore(before))
    # No file has a key, and no command needs one: the worker makes the requests.
    os.environ.setdefault("GEMINI_API_KEY", "not-set")
    if chosen is None:
        return
    # Who names a deployment means that one, whatever else is set; and nothing that is
    # set for another is meant for the local stack.
    alone = name is not None or chosen.name == LOCAL
    for key in before:
        if alone and (key.startswith(PREFIX) or key in EMULATORS):
            del os.environ[key]
    for key, text in chosen.env.items():
        if not key.startswith(PREFIX) or not os.environ.get(key, "").strip():
            os.environ[key] = text


def _restore(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


@contextmanager
def deployment(*, writes: bool = False) -> Iterator[ModuleType]:
    """
    The wiring of the deployment that a command with `deployment_option` works on.

    Args:
        writes: the command writes the ledger.

    Raises:
        click.ClickException: for each error of ours or of Google's that is raised
            inside, in one line; if no deployment is chosen, that says how to.
    """
    # Python shows warnings of loggers that have no handler. Commands say what matters.
    logging.getLogger("batchdrop").addHandler(logging.NullHandler())
    with needs("cli"):
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError

        from batchdrop import wiring
        from batchdrop.errors import BadSetting, BatchdropError
        from batchdrop.ledger.documents import Raced

    _check_emulator()
    try:
        yield wiring
    except BadSetting as exc:
        why_none = click.get_current_context().meta.get(_WHY_NONE)
        raise why_none or click.ClickException(in_one_line(exc)) from exc
    except (
        *(BatchdropError, Raced, LookupError, ValueError),
        *(GoogleAPICallError, RetryError, GoogleAuthError),
    ) as exc:
        raise click.ClickException(in_one_line(exc, writes=writes)) from exc


def _check_emulator() -> None:
    """
    Firestore's client tries for minutes to reach an emulator that has ended, such as
    that of a local stack whose variables a shell still has.

    Raises:
        click.ClickException: nothing answers where the environment has the emulator.
    """
    if not (address := os.environ.get("FIRESTORE_EMULATOR_HOST")):
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as exc:
        raise click.ClickException(
            f"nothing answers at FIRESTORE_EMULATOR_HOST, {shown(address)}; if it was "
            "that of a local stack, start one again with `batchdrop local up`, or open "
            "a new terminal, which does not have its variables"
        ) from exc


#: An ambiguous beginning of an id lists at most this many jobs.
MAX_CANDIDATES = 5
#: How many jobs are read whose names begin like that of an object that is gone.
MAX_NAMED = 20


def job_id(wiring: ModuleType, job: str) -> str:
    """
    The id of a job that is given in one of these ways:

        26 characters            the id itself, whether there is such a job or not
        fewer of them            the beginning of one id
        latest                   the job that was dropped last
        gs://inbox/x             the object's present generation; if there is no object
                                 any more, the newest job of this name
        gs://inbox/x#123         the same, if an object has this whole name;
                                 else generation 123 of gs://inbox/x

    Raises:
        LookupError: there is no such job or object, or the address names none.
        click.ClickException: the beginning is that of several ids, which it lists.
    """
    from batchdrop.jobs.values import is_job_id

    if is_job_id(job):
        return job
    if job.startswith("gs://"):
        return _dropped(wiring, job)
    if job == "latest":
        if newest := wiring.ledger().listed_jobs(1):
            return str(newest[0].id)
        raise LookupError("there is no job yet")
    found = []
    if re.fullmatch("[a-z2-7]+", job):
        found = wiring.ledger().jobs_with_prefix(job, MAX_CANDIDATES + 1)
    if not found:
        raise LookupError(
            f"there is no job {job}; a JOB is an id, the beginning of one, the dropped "
            "object, gs://inbox/name, or latest"
        )
    if len(found) == 1:
        return str(found[0].id)
    lines = [f"{one.id}  {one.phase}  {shown(str(one.source))}" for one in found]
    if len(lines) > MAX_CANDIDATES:
        lines[MAX_CANDIDATES:] = ["and more"]
    raise click.ClickException(
        f"the ids of several jobs begin with {job}; write more of one:\n  "
        + "\n  ".join(lines)
    )


def _dropped(wiring: ModuleType, address: str) -> str:
    from batchdrop.errors import Misconfigured
    from batchdrop.jobs.values import Drop
    from batchdrop.stored import split_uri

    bucket, name = split_uri(address)
    refused = None
    if not name:
        raise LookupError(f"{address} names no object; write gs://bucket/name")
    try:
        found: Drop | None = wiring.storage().find(bucket, name)
        if found is not None:
            return found.job_id
    except Misconfigured as exc:
        refused = exc  # who may read the ledger need not read the inbox
    for one in wiring.ledger().listed_jobs_by_name(name, MAX_NAMED):
        if (one.source.bucket, one.source.name) == (bucket, name):
            return str(one.id)
    name, _, generation = name.rpartition("#")
    if name and re.fullmatch("[0-9]+", generation):
        number = int(generation)
        return Drop(bucket=bucket, name=name, generation=number, size=0).job_id
    if refused:
        raise refused
    raise LookupError(f"{address} is not there; give the job's id")

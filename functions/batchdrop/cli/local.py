"""`batchdrop local ...` and `batchdrop demo`: the local stack."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from batchdrop.cli.extras import needs
from batchdrop.cli.options import Pair
from batchdrop.cli.output import json_option, print_json

_install_option = click.option(
    "--install",
    is_flag=True,
    help="Have gcloud install the emulators that are missing.",
)


@click.group()
def local() -> None:
    """Run everything on this machine: Google's emulators, and batchsim as the API."""


@local.command()
@click.option("--no-poll", is_flag=True, help="Run no schedule: call poll yourself.")
@click.option(
    "--poll-every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two calls of poll.",
)
@click.option(
    "--queue-seconds",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a batch stays JOB_STATE_PENDING.",
)
@click.option(
    "--run-seconds",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a batch stays JOB_STATE_RUNNING.",
)
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=Pair(),
    metavar="PART=PORT",
    help="A fixed port for firestore, pubsub, gcs, batchsim, on_upload, poll or "
    "collect.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    type=Pair(),
    help="An environment variable of the functions, such as BATCHDROP_LEASE=60.",
)
@_install_option
def up(
    no_poll: bool,
    poll_every: float,
    queue_seconds: float,
    run_seconds: float,
    ports: tuple[tuple[str, str], ...],
    settings: tuple[tuple[str, str], ...],
    install: bool,
) -> None:
    """
    Start the local stack in the current directory, and keep it until Ctrl-C.

    The folder .batchdrop holds its logs, and stack.json, in which other programs find
    the addresses of all parts.
    """
    with needs("local"):
        from batchdrop_local import emulators
        from batchdrop_local.processes import StackError
        from batchdrop_local.stack import PARTS, Stack

    fixed = {}
    for name, text in dict(ports).items():
        if name not in PARTS or not text.isdecimal() or not 0 < int(text) < 65536:
            raise click.BadParameter(
                f"{name}={text}: it must be PART=PORT, with PART one of "
                f"{', '.join(PARTS)}",
                param_hint="--port",
            )
        fixed[name] = int(text)
    env = _checked(dict(settings))

    with _signals_interrupt():
        try:
            if install:
                emulators.install()
            with Stack(
                poll_every=None if no_poll else poll_every,
                queue_seconds=queue_seconds,
                run_seconds=run_seconds,
                ports=fixed,
                env=env,
                show=_show,
            ) as stack:
                click.echo(_how_to_use(stack.description, stack.file))
                stack.wait()
        except StackError as exc:
            raise click.ClickException(str(exc)) from exc
        except KeyboardInterrupt:
            click.echo("The local stack is down.")


@local.command()
def env() -> None:
    """
    Print the environment variables of the running stack.

    After eval "$(batchdrop local env)", gcloud, Google's clients and commands such as
    `batchdrop cancel` reach the stack.
    """
    import msgspec

    file = Path.cwd() / ".batchdrop/stack.json"
    try:
        stack = msgspec.json.decode(file.read_bytes())
    except FileNotFoundError:
        raise click.ClickException(
            f"no stack is running here: {file} does not exist; run `batchdrop local "
            "up` in another terminal, in this folder"
        ) from None
    for name, value in stack["env"].items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command()
@_install_option
@json_option()
def demo(install: bool, as_json: bool) -> None:
    """
    Run one job on a local stack, and show each step.

    With --json the steps go to standard error. The last line of standard output is the
    outcome, as one JSON object.
    """
    with needs("local"):
        from rich.console import Console

        from batchdrop_local import demo as script
        from batchdrop_local import emulators
        from batchdrop_local.processes import StackError

    with _signals_interrupt():
        try:
            if install:
                emulators.install()
            outcome = script.run(Path.cwd(), Console(stderr=as_json))
        except StackError as exc:
            raise click.ClickException(f"the demo failed at: {exc}") from exc
        except KeyboardInterrupt:
            sys.exit(130)
    if as_json:
        print_json(outcome)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """
    SIGTERM and a closed terminal raise KeyboardInterrupt, as Ctrl-C does. Only the
    first signal counts.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        # The shutdown ends by itself; a second signal would leave processes behind.
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _checked(pairs: dict[str, str]) -> dict[str, str]:
    """
    Returns the same pairs. A name that is no setting would have no effect.

    Raises:
        click.BadParameter: a name is no setting.
    """
    from batchdrop.errors import BadSetting
    from batchdrop.options.settings import check_names, variables
    from batchdrop.options.table import PREFIX

    try:
        check_names(pairs)
    except BadSetting as exc:
        raise click.BadParameter(str(exc), param_hint="--set") from exc
    for name in pairs:
        if PREFIX + name in variables():
            raise click.BadParameter(
                f"{name}: write {PREFIX}{name}", param_hint="--set"
            )
    return pairs


def _show(name: str, line: str) -> None:
    click.echo(f"{click.style(f'{name:>9}', dim=True)} | {line}")


def _how_to_use(stack: dict[str, Any], file: Path) -> str:
    """How to use a running stack."""
    inbox, project = stack["buckets"]["inbox"], stack["project"]
    addresses = "".join(f"  {k:<10} {v}\n" for k, v in stack["addresses"].items())
    return f"""
The local stack is up. {file} has its addresses.
To use it with gcloud or commands such as `batchdrop cancel`, run in another terminal:

  eval "$(batchdrop local env)"

{addresses}
Drop a file with gcloud:

  gcloud storage cp requests.jsonl gs://{inbox}/

or with Python:

  from google.cloud import storage
  inbox = storage.Client("{project}").bucket("{inbox}")
  inbox.blob("requests.jsonl").upload_from_filename("requests.jsonl")

Results are in gs://{stack["buckets"]["output"]}/NAME/JOB_ID/results.jsonl.
Pull announcements from {stack["subscription"]}.
Ctrl-C stops everything.
"""

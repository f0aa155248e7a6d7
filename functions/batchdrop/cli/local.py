"""`batchdrop local ...` and `batchdrop demo`: the local stack."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from batchdrop.cli import deployments
from batchdrop.cli.extras import needs
from batchdrop.cli.options import Pair
from batchdrop.cli.output import json_option, print_json
from batchdrop.views.text import shown

if TYPE_CHECKING:
    from batchdrop_local.demo import Outcome
    from batchdrop_local.follow import Follower
    from batchdrop_local.stack import Stack

#: Said when the stack has ended.
DOWN = "The local stack is down; its files, jobs and results are gone."

_install_option = click.option(
    "--install",
    is_flag=True,
    help="Have gcloud install the emulators that are missing.",
)


@click.group()
def local() -> None:
    """Run everything on this machine, with batchsim as the API."""


@local.command()
@click.option(
    "--sample",
    is_flag=True,
    help="Drop some files that show what can happen, and more of them later.",
)
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
    metavar="SECONDS",
    help="How long a batch stays JOB_STATE_PENDING. Default: 1; with --sample 4.",
)
@click.option(
    "--run-seconds",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long a batch stays JOB_STATE_RUNNING. Default: 2; with --sample 12.",
)
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=Pair(),
    metavar="PART=PORT",
    help="A fixed port for firestore, pubsub, gcs, batchsim, on_upload, poll, collect "
    "or dashboard.",
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
    sample: bool,
    no_poll: bool,
    poll_every: float,
    queue_seconds: float | None,
    run_seconds: float | None,
    ports: tuple[tuple[str, str], ...],
    settings: tuple[tuple[str, str], ...],
    install: bool,
) -> None:
    """
    Start the local stack in this directory, until Ctrl-C.

    Prints a line for each event of a job. Commands in other terminals find the stack
    automatically, as the deployment `local`. The folder .batchdrop holds its logs, and
    stack.json, in which other programs find the addresses of all parts.

    With --sample, some files are dropped: one is split, one rejected, one cancelled,
    one stalls, rows of others fail. Another one follows every 15 seconds, until
    there are 200.

    \b
    Example:
      batchdrop local up --queue-seconds 5 --port gcs=4443
    """
    with needs("local"):
        from batchdrop_local import emulators
        from batchdrop_local.follow import Follower
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
    queue, run = 1.0, 2.0
    if sample:
        from batchdrop_local import sample as files

        queue, run = files.QUEUE_SECONDS, files.RUN_SECONDS
        env = files.settings(Path.cwd() / ".batchdrop" / "sample") | env

    with _signals_interrupt():
        try:
            if install:
                emulators.install()
            click.echo("The local stack is starting ...")
            follower = Follower(_say)
            with Stack(
                poll_every=None if no_poll else poll_every,
                queue_seconds=queue if queue_seconds is None else queue_seconds,
                run_seconds=run if run_seconds is None else run_seconds,
                ports=fixed,
                env=env,
                show=follower.log_line,
            ) as stack:
                dropping = files.dropping(stack, _say) if sample else nullcontext()
                _stay(stack, follower, meanwhile=dropping)
        except StackError as exc:
            raise click.ClickException(str(exc)) from exc
        except KeyboardInterrupt:
            click.echo(DOWN)


@local.command()
def env() -> None:
    """
    Print the variables of the running stack, as commands of a shell.

    Commands of batchdrop find the stack without them; gcloud and Google's clients
    don't. Settings of another deployment are unset. Where no stack runs, what `eval`
    gets fails.

    \b
    Example:
      eval "$(batchdrop local env)" && gcloud storage ls
    """
    stack = _running()
    if stack is None:
        # Else `eval` would succeed, and what follows would go to the real cloud.
        click.echo("false")
        raise click.ClickException(
            "no local stack is running; run `batchdrop local up` in another terminal"
        )
    for name in os.environ:
        if name.startswith("BATCHDROP_") and name not in stack["env"]:
            click.echo(f"unset {shlex.quote(name)}")
    for name, value in stack["env"].items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command()
@click.option("--keep", is_flag=True, help="Leave the stack up, until Ctrl-C.")
@_install_option
@json_option()
def demo(keep: bool, install: bool, as_json: bool) -> None:
    """
    Run a good and a bad file on a local stack, step by step.

    The worker of the good file is killed, and its event delivered again. Nothing is
    paid. With --json the steps go to standard error, and one JSON object to standard
    output: the outcome, with the results, the counts of rows, and the cost.

    \b
    Example:
      batchdrop demo --keep
    """
    with needs("local"):
        from rich.console import Console

        from batchdrop_local import demo as script
        from batchdrop_local import emulators
        from batchdrop_local.follow import Follower
        from batchdrop_local.processes import StackError

    console = Console(stderr=as_json)
    ended = False

    def say(line: str) -> None:
        if ended:
            _say(line, err=as_json)

    def after(stack: "Stack", outcome: "Outcome") -> None:
        nonlocal ended
        ended = True
        if as_json:
            print_json(outcome)
        if keep:
            _stay(stack, follower, err=as_json)

    follower = Follower(say)
    with _signals_interrupt():
        try:
            if install:
                emulators.install()
            # Nobody sees the pages of a stack that ends with the demo.
            script.run(Path.cwd(), console, after, follower.log_line, pages=keep)
        except StackError as exc:
            raise click.ClickException(f"the demo failed at: {exc}") from exc
        except KeyboardInterrupt:
            if not ended:
                sys.exit(130)
            click.echo(DOWN, err=as_json)
    if not keep:
        click.echo(
            f"Next: `{_command(short=True)} demo --keep`, or docs/tutorial.md",
            err=as_json,
        )


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


def _say(line: str, err: bool = False) -> None:
    # Names of objects and texts of the API may hold anything.
    click.echo(shown(line), err=err)


def _stay(
    stack: "Stack",
    follower: "Follower",
    err: bool = False,
    meanwhile: AbstractContextManager[None] | None = None,
) -> None:
    """Let people use a stack, and say what happens in it, until it ends."""
    with _registered(stack) as registered:
        click.echo(_how_to_use(stack.description, stack.file, registered), err=err)
        with follower.listening(stack), meanwhile or nullcontext():
            stack.wait()


@contextmanager
def _registered(stack: "Stack") -> Iterator[bool]:
    """The stack is the deployment `local` meanwhile. Yields whether that could be."""
    lock = str(stack.lock)
    deployment = deployments.Deployment(
        name=deployments.LOCAL,
        env=stack.env,
        source=f"the local stack in {stack.file.parent.parent}",
        lock=lock,
    )
    try:
        deployments.write(deployment)
    except OSError:
        # Such as a home that can't be written to: the stack is of use all the same.
        yield False
        return
    try:
        yield True
    finally:
        # Another stack may have taken the name since.
        if _registered_lock() == lock:
            deployments.remove(deployments.LOCAL)


def _registered_lock() -> str | None:
    """The lock of the stack that is the deployment `local`, if one is."""
    try:
        return deployments.read(deployments.LOCAL).lock
    except deployments.NoDeployment:
        return None


def _running() -> Mapping[str, Any] | None:
    """What stack.json says of the stack that runs here, else of the one registered."""
    import msgspec

    with needs("local"):
        from batchdrop_local.folder import is_held

    lock = _registered_lock()
    for folder in (Path.cwd() / ".batchdrop", Path(lock).parent if lock else None):
        if folder and is_held(folder) and (file := folder / "stack.json").exists():
            found: dict[str, Any] = msgspec.json.decode(file.read_bytes())
            return found
    return None


def _command(short: bool = False) -> str:
    """How to call this command from any folder, whatever the PATH; or from this one."""
    called = Path(sys.argv[0])
    if called.name != "batchdrop":
        return f"{shlex.quote(sys.executable)} -m batchdrop.cli"
    path = called.absolute()
    if short and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def _how_to_use(stack: Mapping[str, Any], file: Path, registered: bool) -> str:
    """How to use a running stack, from a terminal that knows nothing of it."""
    command = _command()
    used = f" --deployment {deployments.LOCAL}" if deployments.in_use() else ""
    first, then = "", f'  eval "$({command} local env)" &&\n'
    if not registered:
        # Such as a home that can't be written to: all need the variables, which are
        # found in this folder alone.
        first, then = f"  cd {shlex.quote(str(file.parent.parent))} &&\n{then}", ""
        used = ""
    addresses = "".join(f"  {k:<10} {v}\n" for k, v in stack["addresses"].items())
    return f"""
The local stack is up. See its jobs in a browser:

  {stack["addresses"]["dashboard"]}/

To use it in another terminal:

{first}  {command} drop requests.jsonl --wait -o results.jsonl{used}
  {command} status{used}

gcloud and Google's clients need its variables:

{then}  gcloud storage cp requests.jsonl gs://{stack["buckets"]["inbox"]}/

{addresses}
Results are in gs://{stack["buckets"]["output"]}/NAME/JOB_ID/results.jsonl
Pull announcements from {stack["subscription"]}
Logs are in {file.parent / "logs"}
Ctrl-C stops it, and all that is in it is gone. What happens to jobs is said here:
"""

"""`batchdrop ...`: the command line, for people."""

import getpass
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

try:
    import click
except ImportError:
    sys.exit("The command line needs more: pip install 'batchdrop[cli]'")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchdrop")
def main() -> None:
    """Drop a JSONL of LLM requests into a bucket; get one batch job and its answers."""


@main.group()
def local() -> None:
    """Everything on this machine: Google's emulators, a stand-in for the batch API."""


@local.command()
@click.option("--no-poll", is_flag=True, help="Leave the schedule out.")
@click.option(
    "--poll-every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="From one call of poll to the next.",
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
    metavar="PART=PORT",
    help="A fixed port for firestore, pubsub, gcs, batchsim, on_upload or poll.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="An environment variable of the functions, such as BATCHDROP_LEASE=60.",
)
def up(
    no_poll: bool,
    poll_every: float,
    queue_seconds: float,
    run_seconds: float,
    ports: tuple[str, ...],
    settings: tuple[str, ...],
) -> None:
    """
    Start the local stack here and keep it until Ctrl-C.

    Its logs and stack.json, which tells other programs where everything is, go to
    .batchdrop in the current directory.
    """
    with _extra("local"):
        from batchdrop_local.processes import StackError
        from batchdrop_local.stack import PARTS, Stack

    fixed = {}
    for name, text in _pairs("--port", ports).items():
        if name not in PARTS or not text.isdecimal() or not 0 < int(text) < 65536:
            raise click.BadParameter(
                f"{name}={text}: it must be PART=PORT, with PART one of "
                f"{', '.join(PARTS)}",
                param_hint="--port",
            )
        fixed[name] = int(text)

    with _signals_interrupt():
        try:
            with Stack(
                poll_every=None if no_poll else poll_every,
                queue_seconds=queue_seconds,
                run_seconds=run_seconds,
                ports=fixed,
                env=_pairs("--set", settings),
                show=_show,
            ) as stack:
                click.echo(_how_to_use(stack.description, stack.file))
                stack.wait()
        except StackError as exc:
            raise click.ClickException(str(exc)) from exc
        except KeyboardInterrupt:
            click.echo("The local stack is down.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def demo(as_json: bool) -> None:
    """
    Run the main job once, on the local stack, and show it.

    With --json the steps go to standard error, and the outcome, one JSON object, is
    the last line of standard output.
    """
    with _extra("local"):
        import msgspec
        from rich.console import Console

        from batchdrop_local import demo as script
        from batchdrop_local.processes import StackError

    with _signals_interrupt():
        try:
            outcome = script.run(Path.cwd(), Console(stderr=as_json))
        except StackError as exc:
            raise click.ClickException(f"the demo failed at: {exc}") from exc
        except KeyboardInterrupt:
            sys.exit(130)
    if as_json:
        click.echo(msgspec.json.encode(outcome).decode())
    else:
        click.echo(
            f"{outcome.answers:,} answers to {outcome.rows['total']:,} rows "
            f"in {outcome.seconds:.1f} s"
        )


@main.command()
@click.argument("job")
def cancel(job: str) -> None:
    """
    Cancel a JOB, at whatever phase it is; what the service finished is paid.

    The deployment is the one that the environment's BATCHDROP_* variables describe.
    """
    with _extra("worker"):
        from batchdrop import wiring
        from batchdrop.errors import BatchdropError

        try:
            after = wiring.intake().cancel(job, by=getpass.getuser())
        except (BatchdropError, LookupError, ValueError) as exc:
            raise click.ClickException(str(exc)) from exc
    over = after.phase == "rejected"
    click.echo("It is cancelled." if over else "It will be, at the next tick of poll.")


@main.command()
@click.argument("job")
def rerun(job: str) -> None:
    """
    Run a JOB that is over once more, as a new job with the old one as its parent.

    It is paid again. The deployment is the one that the environment's BATCHDROP_*
    variables describe; its poll takes the new job up.
    """
    with _extra("worker"):
        from batchdrop import wiring
        from batchdrop.errors import BatchdropError

        try:
            new = wiring.intake().rerun(job)
        except (BatchdropError, LookupError, ValueError) as exc:
            raise click.ClickException(str(exc)) from exc
    click.echo(new.id)


@main.command()
@click.argument("file")
@click.option(
    "--backend",
    type=click.Choice(["vertex", "developer"]),
    envvar="BATCHDROP_BACKEND",
    default="vertex",
    show_default=True,
    help="Whose rules apply.",
)
@click.option(
    "--model",
    envvar="BATCHDROP_MODEL",
    default="gemini-2.5-flash",
    show_default=True,
    help="The model of the job.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.option("--fix", is_flag=True, help="Mend what needs no guess, into OUT.")
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --fix: the file to write, which must not be there yet.",
)
@click.option(
    "--allow",
    "places",
    multiple=True,
    metavar="GS_PREFIX",
    help="Where gs:// media may lie; anywhere, unless this is given.",
)
@click.option(
    "--prices",
    metavar="PRICES",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A price list of your own, as JSON.",
)
@click.option(
    "--answer-tokens",
    type=click.IntRange(min=0),
    default=250,
    show_default=True,
    metavar="N",
    help="How long an answer is taken to be.",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="How many errors to print; 20, and 10,000 as JSON.",
)
def check(
    file: str,
    backend: str,
    model: str,
    as_json: bool,
    fix: bool,
    output: Path | None,
    places: tuple[str, ...],
    prices: Path | None,
    answer_tokens: int,
    most: int | None,
) -> None:
    """
    Tell what is wrong with FILE, a path or a gs:// address, before a job is paid.

    The rules are those that a dropped file goes through. It ends with 1 if there is
    anything wrong.
    """
    from batchdrop import checked

    if fix != (output is not None):
        raise click.UsageError("--fix and -o OUT go together")
    with _extra("cli"):
        try:
            outcome = checked.check(
                file,
                backend=backend,
                model=model,
                output=output,
                places=places,
                prices=prices.read_bytes() if prices else None,
                answer_tokens=answer_tokens,
                most=most or (10_000 if as_json else 20),
            )
        except checked.CanNotCheck as exc:
            raise click.ClickException(str(exc)) from exc
        if as_json:
            click.echo(checked.as_json(outcome))
        else:
            checked.show(outcome)
    sys.exit(0 if outcome.is_good else 1)


@main.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sim(arguments: tuple[str, ...]) -> None:
    """Run batchsim alone: a stand-in for Google's batch APIs."""
    with _extra("local"):
        from batchsim.cli import main as batchsim

    batchsim.main(list(arguments), prog_name="batchdrop sim")


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as exc:
        raise click.ClickException(
            f"{exc}. This command needs more: pip install 'batchdrop[{name}]'"
        ) from exc


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and a closed terminal interrupt as Ctrl-C does; only the first counts."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> None:
        # The way down is bounded, and must not be left in the middle.
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(
                f"{text}: it must be NAME=VALUE", param_hint=option
            )
        pairs[name] = value
    return pairs


def _show(name: str, line: str) -> None:
    click.echo(f"{click.style(f'{name:>9}', dim=True)} | {line}")


def _how_to_use(stack: dict[str, Any], file: Path) -> str:
    """What to do with a stack that is up."""
    inbox, project = stack["buckets"]["inbox"], stack["project"]
    gcloud = "".join(
        f"  export {name}={value}\n"
        for name, value in stack["env"].items()
        if name.startswith("CLOUDSDK_")
    )
    addresses = "".join(f"  {k:<10} {v}\n" for k, v in stack["addresses"].items())
    return f"""
The local stack is up; {file} says where, and what to export.

{addresses}
Drop a file with gcloud:

{gcloud}  gcloud storage cp requests.jsonl gs://{inbox}/

or with Python:

  export STORAGE_EMULATOR_HOST={stack["env"]["STORAGE_EMULATOR_HOST"]}

  from google.cloud import storage
  inbox = storage.Client("{project}").bucket("{inbox}")
  inbox.blob("requests.jsonl").upload_from_filename("requests.jsonl")

Announcements also go to {stack["subscription"]}.
Ctrl-C ends everything.
"""


if __name__ == "__main__":
    main(prog_name="batchdrop")

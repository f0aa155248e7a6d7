"""`batchdrop ...`: the command line, for people."""

import getpass
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

try:
    import click
except ImportError:
    sys.exit("The command line needs more: pip install 'batchdrop[cli]'")

from batchdrop.cli.options import Pair
from batchdrop.cli.routes import routes
from batchdrop.preflight import MODEL

if TYPE_CHECKING:
    from batchdrop.announcements.message import Announcement
    from batchdrop.ledger import Ledger


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchdrop")
def main() -> None:
    """Drop a JSONL of LLM requests into a bucket; get one batch job and its answers."""


main.add_command(routes)


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
    type=Pair(),
    metavar="PART=PORT",
    help="A fixed port for firestore, pubsub, gcs, batchsim, on_upload or poll.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    type=Pair(),
    help="An environment variable of the functions, such as BATCHDROP_LEASE=60.",
)
def up(
    no_poll: bool,
    poll_every: float,
    queue_seconds: float,
    run_seconds: float,
    ports: tuple[tuple[str, str], ...],
    settings: tuple[tuple[str, str], ...],
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
    for name, text in dict(ports).items():
        if name not in PARTS or not text.isdecimal() or not 0 < int(text) < 65536:
            raise click.BadParameter(
                f"{name}={text}: it must be PART=PORT, with PART one of "
                f"{', '.join(PARTS)}",
                param_hint="--port",
            )
        fixed[name] = int(text)
    chosen = _known(dict(settings))

    with _signals_interrupt():
        try:
            with Stack(
                poll_every=None if no_poll else poll_every,
                queue_seconds=queue_seconds,
                run_seconds=run_seconds,
                ports=fixed,
                env=chosen,
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
    Print what to export to work with the stack that is up.

    With eval "$(batchdrop local env)" gcloud, `batchdrop cancel` and its like, and
    Google's own clients speak to the stack.
    """
    import msgspec

    file = Path.cwd() / ".batchdrop/stack.json"
    try:
        stack = msgspec.json.decode(file.read_bytes())
    except FileNotFoundError:
        raise click.ClickException(
            f"no stack is up here: there is no {file}; run `batchdrop local up` in "
            "another terminal, in this folder"
        ) from None
    for name, value in stack["env"].items():
        click.echo(f"export {name}={shlex.quote(value)}")


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

    A JOB is an id, or the address of what was dropped: gs://inbox/name, whose present
    generation is meant, or gs://inbox/name#generation. The deployment is the one that
    the environment's BATCHDROP_* variables describe.
    """
    with _deployment() as wiring:
        id = _job_id(wiring, job)
        after = wiring.intake().cancel(id, by=getpass.getuser())
    when = "" if after.is_over else " at the next tick of poll"
    click.echo(f"Job {id} is cancelled{when}.")


@main.command()
@click.argument("job")
def resume(job: str) -> None:
    """
    Let a parked JOB go on, when what stopped its workers is mended.

    A JOB is an id, or the address of what was dropped, gs://inbox/name. The deployment
    is the one that the environment's BATCHDROP_* variables describe; its poll takes the
    job up.
    """
    with _deployment() as wiring:
        after = wiring.intake().unpark(_job_id(wiring, job), by=getpass.getuser())
    click.echo(f"Job {after.id} goes on at the next tick of poll.")


@main.command()
@click.argument("job")
def rerun(job: str) -> None:
    """
    Run a JOB that is over once more, as a new job with the old one as its parent.

    It is paid again, and reads the object that was dropped again: it must be there yet.
    A JOB is an id, or the address of what was dropped, gs://inbox/name. The deployment
    is the one that the environment's BATCHDROP_* variables describe; its poll takes the
    new job up.
    """
    with _deployment() as wiring:
        new = wiring.intake().rerun(_job_id(wiring, job))
    click.echo(new.id)


@main.group()
def announcements() -> None:
    """
    What was announced, and what is to be announced again.

    The deployment is the one that the environment's BATCHDROP_* variables describe.
    """


def _moment(text: str) -> datetime:
    """A time with its zone (UTC if it has none), or how long ago it was."""
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if ago := re.fullmatch(r"([0-9]{1,6})([mhd])", text):
            return datetime.now(UTC) - timedelta(**{units[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither a time (2026-03-01T12:00Z) nor how long ago it was "
            "(90m, 12h, 7d)"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which announcements are meant."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="A JSON object a line."),
        click.option("--until", type=_moment, metavar="TIME", help="Made before then."),
        click.option(
            "--since",
            type=_moment,
            metavar="TIME",
            help="Made then or later: 2026-03-01T12:00Z, or 90m, 12h, 7d ago.",
        ),
        click.option(
            "--type",
            "types",
            multiple=True,
            metavar="TYPE",
            help="Such as failed, or dev.batchdrop.job.failed.v1. May be repeated.",
        ),
        click.option(
            "--job",
            metavar="JOB",
            help="Of one job: its id, or what was dropped, gs://inbox/name.",
        ),
    ):
        command = option(command)
    return command


@announcements.command("list")
@_chosen
def list_(
    job: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """List announcements, oldest first; without --job and --since, of the last day."""
    if not (job or since):
        since = datetime.now(UTC) - timedelta(days=1)
    with _deployment() as wiring:
        ledger = wiring.ledger()
        job = job and _job_id(wiring, job)
        found = _find(ledger, job, types, since, until)
        if as_json:
            for one in found:
                click.echo(_line(one))
        else:
            _table(found)


@announcements.command()
@_chosen
@click.option(
    "--new", "anew", is_flag=True, help="As new events, for who remembers ids."
)
def replay(
    job: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    anew: bool,
) -> None:
    """
    Announce again: the same ids and the same bytes, unless --new.

    Choose by --job, --type or --since, or several of them. They go into the outbox,
    and the next calls of poll send them. What was set aside is tried again; what is in
    the outbox anyway is left alone.
    """
    if not (job or types or since):
        raise click.UsageError("say which: by --job, --type or --since")
    with _deployment() as wiring:
        ledger = wiring.ledger()
        job = job and _job_id(wiring, job)
        again = [
            one for one in _find(ledger, job, types, since, until) if not one.is_waiting
        ]
        put = ledger.replay_anew if anew else ledger.replay
        sent = [put(one, datetime.now(UTC)) for one in again]
    if as_json:
        for one in sent:
            click.echo(_line(one))
    else:
        click.echo(f"{len(sent)} in the outbox; the next calls of poll send them")


def _job_id(wiring: ModuleType, job: str) -> str:
    """
    A job's id, given that or the address of what was dropped:

        gs://inbox/x             the object's present generation
        gs://inbox/x#123         the same, if there is an object of this whole name;
                                 else generation 123 of gs://inbox/x
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


@contextmanager
def _deployment() -> Iterator[ModuleType]:
    """The wiring of the deployment that the environment describes; its errors told."""
    with _extra("worker"):
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


def _find(
    ledger: "Ledger",
    job: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
) -> "list[Announcement]":
    from batchdrop.announcements.message import TYPES

    words = {type.split(".")[-2]: type for type in TYPES}
    wanted = [words.get(type, type) for type in types] or list(TYPES)
    for type in wanted:
        if type not in TYPES:
            raise click.BadParameter(
                f"{type!r} is none of {', '.join(words)}", param_hint="--type"
            )
    since = since or datetime(1970, 1, 1, tzinfo=UTC)
    until = until or datetime(9999, 1, 1, tzinfo=UTC)
    if job is None:
        return list(ledger.announced(since, until, wanted))
    return [
        one
        for one in ledger.announcements_of(job)
        if one.type in wanted and since <= one.created_at < until
    ]


def _line(one: "Announcement") -> str:
    import msgspec

    told = {
        "id": one.id,
        "job_id": one.job_id,
        "seq": one.seq,
        "type": one.type,
        "created_at": one.created_at,
        "published_at": one.published_at,
        "set_aside_at": one.set_aside_at,
        "reason": one.reason,
        "attempts": one.attempts,
        "attributes": one.attributes,
        "body": msgspec.Raw(one.body),
    }
    return msgspec.json.encode(told).decode()


def _table(found: "list[Announcement]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("made", "type", "job", "object", "sent", "id", box=box.SIMPLE)
    for one in found:
        sent = (
            f"{one.published_at:%Y-%m-%d %H:%M:%S}" if one.published_at else "not yet"
        )
        if one.set_aside_at:
            sent = f"set aside: {one.reason}"
        table.add_row(
            f"{one.created_at:%Y-%m-%d %H:%M:%S}",
            one.type.split(".")[-2],
            one.job_id,
            Text(one.attributes["object"]),
            Text(sent),
            one.id,
        )
    # Where no terminal sets a width, a line is as long as it is.
    Console(width=None if sys.stdout.isatty() else 250).print(table)


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
    default=MODEL,
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
    "--only-unanswered",
    is_flag=True,
    help="With --fix: of a file of answers, write the rows without one.",
)
@click.option(
    "--unknown",
    type=click.Choice(["reject", "allow"]),
    envvar="BATCHDROP_UNKNOWN",
    default="reject",
    show_default=True,
    help="Whether members that the API isn't known to have are wrong.",
)
@click.option(
    "--generation-config",
    "config",
    metavar="JSON|FILE",
    envvar="BATCHDROP_GENERATION_CONFIG",
    help="What a job merges into each row: JSON, or a file with it. Counted too.",
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
    only_unanswered: bool,
    unknown: str,
    config: str | None,
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
    from batchdrop.cli import file_check
    from batchdrop.errors import BadSetting
    from batchdrop.options.settings import check_names

    try:
        check_names(os.environ)
    except BadSetting as exc:
        raise click.ClickException(str(exc)) from exc
    if fix != (output is not None):
        raise click.UsageError("--fix and -o OUT go together")
    if only_unanswered and not fix:
        raise click.UsageError("--only-unanswered needs --fix and -o OUT")
    source = click.get_current_context().get_parameter_source("config")
    with _extra("cli"):
        try:
            outcome = file_check.check(
                file,
                backend=backend,
                model=model,
                output=output,
                only_unanswered=only_unanswered,
                unknown=unknown,
                config=config,
                for_all=source is click.core.ParameterSource.ENVIRONMENT,
                places=places,
                prices=prices.read_bytes() if prices else None,
                answer_tokens=answer_tokens,
                today=datetime.now(UTC).date(),
                most=most or (10_000 if as_json else 20),
            )
        except file_check.CanNotCheck as exc:
            raise click.ClickException(str(exc)) from exc
        if as_json:
            click.echo(file_check.as_json(outcome))
        else:
            file_check.show(outcome)
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


def _known(pairs: dict[str, str]) -> dict[str, str]:
    """The same pairs, if there are settings of these names; others would do nothing."""
    from batchdrop.errors import BadSetting
    from batchdrop.options.settings import PREFIX, check_names, variables

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
    """What to do with a stack that is up."""
    inbox, project = stack["buckets"]["inbox"], stack["project"]
    addresses = "".join(f"  {k:<10} {v}\n" for k, v in stack["addresses"].items())
    return f"""
The local stack is up; {file} says where. To use gcloud, `batchdrop
cancel` and its like with it, in another terminal:

  eval "$(batchdrop local env)"

{addresses}
Drop a file with gcloud:

  gcloud storage cp requests.jsonl gs://{inbox}/

or with Python:

  from google.cloud import storage
  inbox = storage.Client("{project}").bucket("{inbox}")
  inbox.blob("requests.jsonl").upload_from_filename("requests.jsonl")

Announcements also go to {stack["subscription"]}.
Ctrl-C ends everything.
"""


if __name__ == "__main__":
    main(prog_name="batchdrop")

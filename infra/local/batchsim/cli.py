"""`batchsim`: the stand-in from the shell."""

import signal
import threading
import tomllib
from pathlib import Path

import click

from batchsim import models
from batchsim.sentiment import classify
from batchsim.sim import BatchSim
from batchsim.wire import ApiError

MODELS = {"echo": models.echo, "classify": classify}


@click.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Where to listen.")
@click.option("--port", default=8080, help="0 takes a free one.")
@click.option(
    "--speed",
    default=1.0,
    help="Seconds of the simulator's clock a real second; 0: moved by hand.",
)
@click.option("--queue-seconds", default=2.0, help="How long jobs are PENDING.")
@click.option("--run-seconds", default=3.0, help="How long they are RUNNING.")
@click.option(
    "--answers",
    type=click.Choice(sorted(MODELS)),
    default="echo",
    help="Answer with the prompt, or with how positive it is if it asks that.",
)
@click.option("--template", help="Answer with this text; $text is the prompt.")
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file with [[fault]] tables.",
)
@click.option(
    "--retired",
    multiple=True,
    metavar="MODEL",
    help="A retired model: a create answers 404. * is a wildcard.",
)
@click.option("--seed", default=0, help="Seeds everything random.")
@click.option("--no-admin", is_flag=True, help="Serve nothing under /_sim.")
def main(
    host: str,
    port: int,
    speed: float,
    queue_seconds: float,
    run_seconds: float,
    answers: str,
    template: str | None,
    faults_file: Path | None,
    retired: tuple[str, ...],
    seed: int,
    no_admin: bool,
) -> None:
    """
    Serve Google's two LLM batch APIs on this machine, until Ctrl-C or SIGTERM.

    Objects and tables are those of the emulators at STORAGE_EMULATOR_HOST and
    BIGQUERY_EMULATOR_HOST.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        sim = BatchSim(
            host=host,
            port=port,
            speed=speed,
            queue_seconds=queue_seconds,
            run_seconds=run_seconds,
            model=models.template(template) if template else MODELS[answers],
            seed=seed,
            admin=not no_admin,
        )
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None
    sim.settings.retired_models = frozenset(retired)
    if faults_file:
        _load(sim, faults_file)
    try:
        sim.start()
    except OSError as exc:
        raise click.ClickException(f"can't listen on {host}:{port}: {exc}") from None
    try:
        click.echo(f"batchsim is ready at {sim.url}")
        stop.wait()
    finally:
        sim.stop()


def _load(sim: BatchSim, path: Path) -> None:
    """Put the rules of a TOML file in force: `[[fault]]` with `fault = "..."`."""
    try:
        rules = tomllib.loads(path.read_text()).get("fault", [])
        sim.faults.load(rules)
    except (tomllib.TOMLDecodeError, ApiError) as exc:
        raise click.UsageError(f"{path}: {exc}") from None

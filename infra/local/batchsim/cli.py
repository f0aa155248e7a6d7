"""`batchsim`: the stand-in from the shell."""

import signal
import threading

import click

from batchsim.clock import Clock
from batchsim.settings import Settings
from batchsim.sim import BatchSim


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--queue-seconds", default=2.0, show_default=True, help="How long jobs are PENDING."
)
@click.option(
    "--run-seconds", default=3.0, show_default=True, help="How long jobs are RUNNING."
)
@click.option(
    "--speed", default=1.0, show_default=True, help="Seconds a second; 0: by hand."
)
def main(
    host: str, port: int, queue_seconds: float, run_seconds: float, speed: float
) -> None:
    """Serve Google's LLM batch APIs on this machine. Ends at Ctrl-C or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sim = BatchSim(
        host=host,
        port=port,
        clock=Clock(speed),
        settings=Settings(queue_seconds=queue_seconds, run_seconds=run_seconds),
    )
    with sim:
        click.echo(f"batchsim is ready at {sim.url}")
        stop.wait()

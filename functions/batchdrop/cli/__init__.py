"""`batchdrop ...`: the command line, for people. One module a group of commands."""

import sys
from io import TextIOWrapper

try:
    import click
except ModuleNotFoundError:
    print(
        "The command `batchdrop` needs an extra: pip install 'batchdrop[cli]'",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

from batchdrop.cli import (
    announcements,
    check,
    commands,
    costs,
    deployments,
    drop,
    jobs,
    local,
    prices,
    results,
    retry,
    routes,
    show,
    status,
    watch,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchdrop")
def main() -> None:
    """Drop a JSONL of LLM requests into a bucket; get one batch job and its answers."""
    # What the terminal's encoding doesn't have is written as escapes.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


for command in (
    announcements.announcements,
    check.check,
    costs.costs,
    deployments.deployments,
    drop.drop,
    commands.cancel,
    commands.rerun,
    commands.resume,
    jobs.jobs,
    show.show,
    watch.watch,
    local.demo,
    local.local,
    prices.prices,
    results.results,
    retry.retry,
    routes.routes,
    status.status,
):
    main.add_command(command)

"""`batchdrop jobs`: the jobs of a deployment, the newest first."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from batchdrop.cli.deployment import deployment, deployment_option, job_id
from batchdrop.cli.options import Pair, moment
from batchdrop.cli.output import json_option, print_json, print_narrow
from batchdrop.rows import agreed, counted

if TYPE_CHECKING:
    from batchdrop.jobs.listed import ListedJob

COLUMNS = ("job", "age", "name", "state", "rows", "cost", "note")


def _state(name: str, help: str) -> Callable[..., Any]:
    return click.option(f"--{name}", f"is_{name}", is_flag=True, help=help)


@click.command()
@_state("open", "Only jobs that are not done: running, waiting, collecting.")
@_state("ended", "Only jobs of which nothing remains to be done.")
@_state("unhealthy", "Only jobs with which something is wrong.")
@click.option(
    "--since",
    type=moment,
    metavar="TIME",
    help="Only files dropped then or later: 2026-03-01T12:00Z, or 90m, 12h, 2d ago.",
)
@click.option(
    "--name",
    metavar="PATTERN",
    help="Only files of these names, such as 'nightly/*'; ** goes across folders.",
)
@click.option(
    "--label",
    "labels",
    type=Pair(),
    multiple=True,
    metavar="KEY=TEXT",
    help="Only jobs that have this label. May be repeated.",
)
@click.option("--route", default="", metavar="NAME", help="Only files of this route.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    metavar="N",
    help="How many jobs to list.",
)
@click.option(
    "--after", metavar="JOB", help="Continue after this job, where the last page ended."
)
@deployment_option
@json_option("Print one JSON object per job.")
def jobs(
    is_open: bool,
    is_ended: bool,
    is_unhealthy: bool,
    since: datetime | None,
    name: str | None,
    labels: tuple[tuple[str, str], ...],
    route: str,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """
    List jobs, the newest first. Parts of a split file are not listed.

    The note of a job is the code of its health, of what it waits for, or of its error.

    \b
    Example:
      batchdrop jobs --open --name 'nightly/*'
    """
    from batchdrop.views.listing import Filters, with_places

    asked = {"open": is_open, "ended": is_ended, "unhealthy": is_unhealthy}
    states = [state for state, is_asked in asked.items() if is_asked]
    if len(states) > 1:
        raise click.UsageError("give one of --open, --ended and --unhealthy")
    try:
        filters = Filters(
            state="".join(states),
            since=since,
            name=name or "",
            labels=dict(labels),
            route=route,
        )
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--name") from exc
    with deployment() as wiring:
        ledger, last = wiring.ledger(), None
        if after:
            (last,) = ledger.listed_jobs_of([job_id(wiring, after)]) or [None]
            if last is None or last.listed_at is None:
                raise LookupError(f"no list has a job {after}; give --after another")
        page = filters.page(ledger, limit, last)
        found = with_places(ledger, page.jobs)
    if as_json:
        for job in found:
            print_json(members(job))
    elif found:
        now = datetime.now(UTC)
        print_narrow(COLUMNS, [_cells(job, now) for job in found], "name")
    if not (found or page.last):
        click.echo("there are no such jobs", err=True)
    if page.last:
        were = agreed(page.read, "was", "were")
        looked = f"{counted(page.read, 'job')} {were} read; "
        read = looked if len(found) < limit else ""
        click.echo(f"{read}older ones: the same with --after {page.last.id}", err=True)


def members(job: "ListedJob") -> dict[str, Any]:
    """A job as `--json` prints it: fields of its document, and the `state` of lists."""
    import msgspec

    from batchdrop.ledger.documents import sparse
    from batchdrop.views.words import state_of

    data: dict[str, Any] = sparse(msgspec.to_builtins(job))
    return data | {"state": state_of(job)}


def _cells(job: "ListedJob", now: datetime) -> tuple[str, ...]:
    from batchdrop.views.words import SHORT, age, amount_of, note_of, rows_of, state_of

    return (
        job.id[:SHORT],
        age(now - job.created_at),
        job.source.name,
        state_of(job),
        rows_of(job),
        amount_of(job),
        note_of(job),
    )

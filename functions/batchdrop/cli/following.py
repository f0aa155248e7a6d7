"""Follows jobs until they are done: a live table, lines, or JSON."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Protocol

import click

from batchdrop.cli.output import narrow_table, print_json
from batchdrop.jobs.codes import Outcome
from batchdrop.jobs.shown import ENDED
from batchdrop.views.listing import with_places
from batchdrop.views.text import shown
from batchdrop.views.words import SHORT, note_of, rows_of, share_of, state_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from batchdrop.jobs.listed import ListedJob
    from batchdrop.ledger import Ledger

#: Most jobs that are followed at once.
MOST = 100
#: For how many waiting jobs the place in the queue is counted at each look.
PLACES = 10
#: Characters of a bar.
BAR = 10
COLUMNS = ("job", "name", "state", "", "rows", "note")
#: The share of the rows that must be answered before another line is written.
STEP = 0.1
#: Seconds after which a file without a job is pointed out.
LATE = 60
#: What is shown of a file before the ledger has its job.
UPLOADED = "uploaded"


class Face(Protocol):
    """Shows how far jobs are."""

    def __call__(self, jobs: "Sequence[ListedJob]", names: Mapping[str, str]) -> None:
        """
        Args:
            names: of the files by the ids of their jobs; some may have no job yet.
        """


def follow(
    ledger: "Ledger",
    names: Mapping[str, str],
    show: Face,
    *,
    every: float,
    more: "Callable[[], Iterable[ListedJob]]" = lambda: (),
) -> "list[ListedJob]":
    """
    Shows jobs until all are done.

    Args:
        names: of the files by the ids of the jobs; those without a job are awaited.
        every: seconds between two looks.
        more: jobs that are to be followed from now on as well.

    Returns:
        The jobs, in the order of their names.
    """
    followed = dict(names)
    done: dict[str, ListedJob] = {}
    begin, warned = monotonic(), False
    while True:
        for job in more():
            if len(followed) < MOST:
                followed.setdefault(job.id, job.source.name)
        # A job that is done has its last document: it is not read again.
        left = [id for id in followed if id not in done]
        found = {job.id: job for job in ledger.listed_jobs_of(left)}
        done |= {id: job for id, job in found.items() if ENDED in job.listed_as}
        jobs = [{**found, **done}[id] for id in followed if id in found or id in done]
        show(with_places(ledger, jobs, PLACES), followed)
        if len(done) == len(followed):
            return jobs
        if not warned and monotonic() - begin > LATE and len(found) < len(left):
            warned = True
            missing = next(followed[id] for id in left if id not in found)
            click.echo(
                f"no job was made of {shown(missing)} yet; see with `batchdrop status` "
                "what is wrong",
                err=True,
            )
        sleep(every)


@contextmanager
def face(*, as_json: bool = False) -> Iterator[Face]:
    """A table that is drawn anew on a terminal, else a line for each change."""
    if as_json:
        yield Changes(_json)
    elif not sys.stdout.isatty():
        yield Changes(_line)
    else:
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False)
        with Live(console=console, auto_refresh=False) as live:
            yield lambda jobs, names: live.update(
                table(jobs, names, console), refresh=True
            )


class Changes:
    """Writes a line when a job's state changes, and as its rows are answered."""

    def __init__(self, write: "Callable[[ListedJob], None]") -> None:
        self._write = write
        self._last: dict[str, tuple[str, str, int]] = {}

    def __call__(self, jobs: "Sequence[ListedJob]", names: Mapping[str, str]) -> None:
        for job in jobs:
            step = int((share_of(job) or 0) / STEP)
            now = (state_of(job), note_of(job).partition(",")[0], step)
            if now != self._last.get(job.id):
                self._last[job.id] = now
                self._write(job)


def _json(job: "ListedJob") -> None:
    from batchdrop.cli.jobs import members

    print_json(members(job))


def _line(job: "ListedJob") -> None:
    parts = (state_of(job), rows_of(job), note_of(job))
    said = " ".join(part for part in parts if part)
    click.echo(shown(f"{job.updated_at:%H:%M:%S} {job.source.name}: {said}"))


def table(
    jobs: "Sequence[ListedJob]", names: Mapping[str, str], console: "Console"
) -> "RenderableType":
    """The jobs, as many as the terminal has lines for: those not done come first."""
    known = {job.id: job for job in jobs}
    open = [id for id in names if id not in known or ENDED not in known[id].listed_as]
    ordered = [*open, *(id for id in names if id not in open)]
    room, plain = max(1, console.size.height - 4), console.options.ascii_only
    rows = [
        (id[:SHORT], names[id])
        + (_cells(known[id], plain) if id in known else (UPLOADED, "", "", ""))
        for id in ordered[:room]
    ]
    # Two places are left for the `^C` that a terminal writes behind a row.
    made = narrow_table(COLUMNS, rows, console.width - 2, "name")
    if (left := len(ordered) - room) > 0:
        made.caption = f"and {left:,} more"
    return made


def _cells(job: "ListedJob", plain: bool) -> tuple[str, ...]:
    drawn = bar(share_of(job), plain=plain)
    return (state_of(job), drawn, rows_of(job), note_of(job))


def bar(share: float | None, *, plain: bool) -> str:
    """
    A bar of BAR characters; empty if nothing is known.

    Args:
        plain: the terminal has no other characters than those of ASCII.
    """
    if share is None:
        return ""
    full = round(min(1.0, share) * BAR)
    done, left = "#-" if plain else "━╌"
    return done * full + left * (BAR - full)


def ends(jobs: "Iterable[ListedJob]") -> Iterator[str]:
    """How each job ended, in a line."""
    from batchdrop.views.words import amount_of

    for job in jobs:
        said = str(job.rows) if job.rows.outcomes else state_of(job)
        if job.error:
            words = (state_of(job), str(job.error.code), job.error.message)
            said = ": ".join(dict.fromkeys(words))
        amount = amount_of(job) if job.cost else ""
        where = job.results.uri if job.results else ""
        yield shown(", ".join(x for x in (f"{job.source.name}: {said}", amount) if x))
        if where:
            yield shown(f"  {where}")


def exit_code(jobs: "Iterable[ListedJob]") -> int:
    """0 if all rows of all jobs are ok, 3 if some are not, 1 if a job has failed."""
    return max(map(_exit_code, jobs), key=(0, 3, 1).index, default=0)


def _exit_code(job: "ListedJob") -> int:
    if job.outcome is None:
        return 0  # a manifest without rows
    done = job.outcome in (Outcome.SUCCEEDED, Outcome.PARTIALLY_SUCCEEDED)
    if job.rows.outcomes:
        if job.rows.ok == job.rows.total:
            return 0
        return 3 if done or job.rows.ok else 1
    if not done:
        return 1
    failed = job.progress.failed if job.progress else 0
    return 3 if failed or job.outcome is not Outcome.SUCCEEDED else 0

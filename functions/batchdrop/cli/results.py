"""`batchdrop results`: the results of a job, as JSONL, CSV or Parquet."""

import base64
import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchdrop.cli.deployment import deployment, deployment_option, job_id
from batchdrop.cli.extras import needs
from batchdrop.cli.files import new_file
from batchdrop.cli.output import json_option, print_json
from batchdrop.rows import RowOutcome, Rows
from batchdrop.views.results import why_none
from batchdrop.views.text import shown

if TYPE_CHECKING:
    from batchdrop.cli.result_columns import Column
    from batchdrop.cli.result_formats import Write
    from batchdrop.jobs.job import Job
    from batchdrop.jobs.values import Results
    from batchdrop.storage import Storage

FORMATS = ("jsonl", "csv", "parquet")


class Listed(click.ParamType[tuple[str, ...]]):
    """Names with commas between them, quoted as in CSV, of some or of any names."""

    name = "NAME,..."

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = names

    def convert(
        self,
        value: str | tuple[str, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, ...]:
        if not isinstance(value, str):
            return value
        found = tuple(name for row in csv.reader([value]) for name in row if name)
        for name in found:
            if self._names and name not in self._names:
                self.fail(f"{name!r} is none of {', '.join(self._names)}", param, ctx)
        return tuple(dict.fromkeys(found))


@click.command()
@click.argument("job")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to FILE, which must not exist, in place of standard output.",
)
@click.option(
    "--format",
    "wanted",
    type=click.Choice(FORMATS),
    help="Default: as FILE ends; else jsonl.",
)
@click.option(
    "--only",
    type=Listed([str(each) for each in RowOutcome]),
    metavar="OUTCOME,...",
    help="Write the rows with these outcomes alone, such as failed,blocked.",
)
@click.option(
    "--columns",
    type=Listed(),
    metavar="NAME,...",
    help="Write these columns alone, such as id,key,text or your own.",
)
@deployment_option
@json_option("Print what was written as JSON; without FILE, write JSONL.")
def results(
    job: str,
    output: Path | None,
    wanted: str | None,
    only: tuple[str, ...] | None,
    columns: tuple[str, ...] | None,
    as_json: bool,
) -> None:
    """
    Write a JOB's results, one for each line of its file.

    They are in the file's order. CSV and Parquet have your own columns beside those of
    the results. A name in --columns is a column of the results (id, line, key, outcome,
    text, json, error_code, error_message, usage_total and so on), else one of your own.

    A JOB is an id, the beginning of one, the dropped object, gs://inbox/name, or
    latest.

    \b
    Example:
      batchdrop results JOB -o results.csv
      batchdrop results JOB --only failed,blocked --columns id,key,error_message
    """
    wanted = wanted or format_of(output)
    if output is None and wanted != "jsonl":
        if as_json:
            raise click.UsageError(f"--json and {wanted} need -o FILE")
        if wanted == "parquet" and sys.stdout.isatty():
            raise click.UsageError("Parquet is not for terminals; give -o FILE")
    with deployment() as wiring:
        found = wiring.ledger().get(id := job_id(wiring, job))
        if found is None:
            raise LookupError(f"there is no job {id}")
        counts = fetch(wiring.storage(), found, output, wanted, only, columns)
    if output is None:
        return
    rows = sum(counts.values())
    if as_json:
        said = {"file": str(output), "format": wanted, "results": rows}
        print_json(said | {"outcomes": counts})
    else:
        accepted = {name: n for name, n in counts.items() if name != "refused"}
        refused = counts.get("refused", 0)
        click.echo(f"{output}: {Rows(total=rows, refused=refused, **accepted)}")


def fetch(
    storage: "Storage",
    job: "Job",
    output: Path | None,
    wanted: str,
    only: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, int]:
    """
    Writes a job's results, in constant memory.

    Args:
        output: a new file, which is removed again if not all can be written; None for
            standard output.
        wanted: "jsonl", "csv" or "parquet".
        only: the outcomes of the rows to write; None for all.
        names: of the columns to write; None for all.

    Returns:
        How many rows were written of each outcome.

    Raises:
        LookupError: the job has no results; the text says why.
        click.ClickException: the file can't be written, or pyarrow is missing.
        SourceGone, Unavailable, Misconfigured: the results can't be read.
    """
    where = _results_of(job)
    check_format(wanted)  # before anything is read
    with _opened(output) as write:
        source = _Source(storage, where, bar=output is not None)
        columns = _columns(source, wanted, names, _may_have_own(job))
        written = _written(source, write, wanted, only, columns)
    if only is None:
        outcomes = {str(each): n for each, n in job.rows.outcomes.items() if n}
        refused = {"refused": job.rows.refused} if job.rows.refused else {}
        return outcomes | refused
    return written


def check_format(wanted: str) -> None:
    """
    Raises:
        click.ClickException: the format takes pyarrow, which is missing.
    """
    if wanted == "parquet":
        with needs("parquet"):
            import pyarrow  # noqa: F401


def format_of(output: Path | None) -> str:
    ending = output.suffix[1:].lower() if output else ""
    return ending if ending in FORMATS else "jsonl"


def _results_of(job: "Job") -> "Results":
    """
    Raises:
        LookupError: the job has none; the text says why, and what to do.
    """
    if job.results:
        return job.results
    raise LookupError(f"job {job.id} has no results: {why_none(job)}")


def _may_have_own(job: "Job") -> bool:
    """Whether rows may have keys or columns of their own."""
    of_parts = [part.staging for part in job.parts.values()]
    staged = of_parts or ([job.staging] if job.staging else [])
    return not staged or any(each.sidecar for each in staged)


class _Source:
    """The object with the results, which may be read several times."""

    def __init__(self, storage: "Storage", where: "Results", *, bar: bool) -> None:
        self._storage = storage
        self._where = where
        self._bar = bar

    def chunks(self, label: str) -> Iterator[bytes]:
        """
        All bytes, held to their checksum.

        Raises:
            Unavailable: other bytes arrived than were written.
        """
        from google_crc32c import Checksum

        from batchdrop.errors import Unavailable

        where = self._where
        drop = where.drop
        checksum: Any = Checksum()  # type: ignore[no-untyped-call]
        with _progress(label, where.bytes, shown=self._bar) as advance:
            for chunk in self._storage.read(drop):
                checksum.update(chunk)
                yield chunk
                advance(len(chunk))
        if base64.b64encode(checksum.digest()).decode() != where.crc32c:
            raise Unavailable(f"{drop}: it arrived with another checksum; try again")

    def lines(self, label: str) -> Iterator[bytes]:
        from batchdrop.results.reading import lines_of

        for lines in lines_of(self.chunks(label)):
            yield from lines


def _columns(
    source: _Source, wanted: str, names: Sequence[str] | None, may_have_own: bool
) -> "list[Column]":
    """
    The columns to write, with their types. The rows are read for that if need be.

    Raises:
        ValueError: the rows have too many different columns.
    """
    from batchdrop.cli.result_columns import Survey, all_columns, named

    # `x` and `columns.x` may be the same column.
    columns = list({each.path: each for each in map(named, names or ())}.values())
    if wanted == "jsonl":
        return columns
    survey = Survey()
    typed = wanted == "parquet" and (not names or any(each.is_own for each in columns))
    if may_have_own and (typed or not names):
        for line in source.lines("looking at the columns"):
            survey.add(line)
    if not names:
        columns = all_columns(survey.kinds)
    return list(map(survey.typed, columns))


def _written(
    source: _Source,
    write: "Write",
    wanted: str,
    only: Sequence[str] | None,
    columns: "Sequence[Column]",
) -> dict[str, int]:
    """Writes all, or those with some outcomes; these are counted."""
    import msgspec

    from batchdrop.cli.result_columns import OWN, own_names
    from batchdrop.cli.result_formats import Csv, Format, JsonLines, Parquet

    counts = Counter[str]()
    to: Format
    match wanted:
        case "csv":
            to = Csv(write, columns)
        case "parquet":
            to = Parquet(write, columns)
        case _:
            to = JsonLines(write, columns)

    class Judged(msgspec.Struct, gc=False):
        outcome: str

    outcome_of = msgspec.json.Decoder(Judged).decode
    unseen = {each.path[-1] for each in columns if each.path[:-1] == (OWN,)}
    for line in source.lines("fetching the results"):
        if unseen:  # mostly not after the first line
            unseen.difference_update(own_names(line))
        if only is not None:
            outcome = outcome_of(line).outcome
            if outcome not in only:
                continue
            counts[outcome] += 1
        to.add(line)
    to.close()
    for name in sorted(unseen):
        click.echo(f"no row has a column {shown(name)}", err=True)
    return dict(counts)


@contextmanager
def _opened(output: Path | None) -> "Iterator[Write]":
    if output is None:
        stdout = sys.stdout.buffer
        is_shown = stdout.isatty()
        yield lambda data: stdout.write(_harmless(data) if is_shown else data)
        stdout.flush()
        return
    try:
        with new_file(output) as file:
            yield file.write
    except FileExistsError as exc:
        raise click.ClickException(
            f"{output} exists already; choose another name"
        ) from exc
    except OSError as exc:
        raise click.ClickException(f"{output}: {exc.strerror or exc}") from exc


def _harmless(data: bytes) -> bytes:
    """Whole lines for a terminal: what it would obey is written in words."""
    lines = data.decode().replace("\r\n", "\n").split("\n")
    return "\n".join(map(shown, lines)).encode()


@contextmanager
def _progress(label: str, size: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal and nothing else is printed."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        yield bar.update

"""`batchdrop drop`: checks files, uploads them to the inbox, and follows their jobs."""

import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from batchdrop.cli.deployment import deployment, deployment_option
from batchdrop.cli.options import Pair, every_option
from batchdrop.cli.output import json_option, print_json
from batchdrop.rows import agreed, counted
from batchdrop.views.text import shown

if TYPE_CHECKING:
    from batchdrop.cli.dropping import Candidate
    from batchdrop.cli.file_check import Report
    from batchdrop.jobs.values import Drop
    from batchdrop.ledger import Ledger
    from batchdrop.storage import Storage

_PATH = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=_PATH)
@click.option(
    "--to",
    default="",
    metavar="FOLDER/",
    help="The folder of the inbox, such as nightly/.",
)
@click.option("--model", help="The model; stronger than what the deployment chooses.")
@click.option(
    "--label",
    "labels",
    type=Pair(),
    multiple=True,
    metavar="KEY=TEXT",
    help="A label of the jobs, also at the API. May be repeated.",
)
@click.option(
    "--metadata",
    type=Pair(),
    multiple=True,
    help="Of the objects, such as batchdrop-fix=true. May be repeated.",
)
@click.option(
    "--anyway", is_flag=True, help="Drop files, too, in which errors are found."
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace objects of these names. Each makes a job of its own, which is paid.",
)
@click.option("--wait", is_flag=True, help="Follow the jobs until they are done.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --wait and one FILE: write the results to this new file, as JSONL, or "
    "as CSV or Parquet by its ending.",
)
@every_option("With --wait: how long to wait between two looks at the ledger.")
@deployment_option
@json_option("Print one JSON object per job, once they are dropped, or done.")
def drop(
    files: tuple[Path, ...],
    to: str,
    model: str | None,
    labels: tuple[tuple[str, str], ...],
    metadata: tuple[tuple[str, str], ...],
    anyway: bool,
    overwrite: bool,
    wait: bool,
    output: Path | None,
    every: float,
    as_json: bool,
) -> None:
    """
    Check FILEs, upload them to the inbox, follow their jobs.

    A file is held against what the deployment would choose for it. One with errors is
    not dropped. A manifest NAME.job.json may be dropped together with its file.

    The exit status is 0 if all rows of all jobs are ok, 3 if some are not, and 1 if a
    file is refused or a job failed. Without --wait it is 0 once all are dropped.

    \b
    Example:
      batchdrop drop reviews.jsonl --wait -o results.jsonl
    """
    from batchdrop.cli.dropping import Candidate, replaced, uploaded
    from batchdrop.options.table import METADATA

    if output:
        if not (wait and len(files) == 1):
            raise click.UsageError("-o needs --wait and one FILE")
        _check_output(output)
    chosen = dict(metadata)
    if model:
        chosen[f"{METADATA}model"] = model
    for key, text in labels:
        if "," in f"{key}{text}":
            raise click.UsageError(
                f"--label {shown(f'{key}={text}')}: a label has no comma; give --label "
                "for each"
            )
    if labels:
        chosen[f"{METADATA}labels"] = ",".join(f"{k}={text}" for k, text in labels)
    candidates = Candidate.all_of(files, to, chosen)
    with deployment() as wiring:
        bad = [
            report for one in candidates if (report := _bad(wiring, one, candidates))
        ]
        if bad and not anyway:
            raise click.ClickException(_why_none(bad, len(files)))
        # All before the first: what is uploaded is paid.
        there = [replaced(wiring, one, overwrite=overwrite) for one in candidates]
        drops = []
        for one, generation in zip(candidates, there, strict=True):
            made = uploaded(wiring, one, generation, is_shown=not as_json)
            drops.append(made)
            if as_json and not wait:
                print_json({"id": made.job_id, "source": made})
            elif not wait:
                click.echo(shown(f"{made} is job {made.job_id}"))
        if not wait:
            return
        ledger, storage = wiring.ledger(), wiring.storage()
        sys.exit(_follow(ledger, storage, drops, output, every, as_json))


def _bad(
    wiring: ModuleType, one: "Candidate", candidates: "list[Candidate]"
) -> "Report | None":
    """Checks a file, and prints what was found; returns it if a job is rejected."""
    from rich.console import Console

    from batchdrop.cli.dropping import checked, is_refused
    from batchdrop.cli.file_check import show

    report, spec = checked(wiring, one, candidates)
    if report is None or spec is None:
        return None
    if len(candidates) > 1:
        click.echo(shown(f"{one.path}:"), err=True)
    show(report, Console(stderr=True, highlight=False, soft_wrap=True))
    return report if is_refused(report, spec) else None


def _why_none(bad: "list[Report]", files: int) -> str:
    """Why no file is uploaded, and what may be done."""
    from batchdrop.options.table import METADATA

    do = ["mend them"]
    # Without a good line the job would be rejected in any case.
    if any(report.good_rows for report in bad):
        do.append(f"or leave bad lines out: --metadata {METADATA}on-invalid=skip")
    do.append("--anyway uploads them, to be rejected there")
    of = counted(files, "file")
    why = f"{len(bad):,} of {of} would be rejected, and none is uploaded"
    return "; ".join([why, *do])


def _check_output(output: Path) -> None:
    """
    Raises:
        click.ClickException: results could not be written there; better now than once
            they are paid.
    """
    from batchdrop.cli.results import check_format, format_of

    if output.exists():
        raise click.UsageError(f"{output} exists already; choose another name")
    if not output.parent.is_dir():
        raise click.UsageError(f"{output}: there is no folder {output.parent}")
    check_format(format_of(output))


def _nothing(jobs: object, names: object) -> None:
    """Shows nothing: programs want the end."""


def _follow(
    ledger: "Ledger",
    storage: "Storage",
    drops: "list[Drop]",
    output: Path | None,
    every: float,
    as_json: bool,
) -> int:
    """Follows the jobs to their end; returns the exit status."""
    from batchdrop.cli.following import ends, exit_code, face, follow
    from batchdrop.cli.jobs import members
    from batchdrop.cli.results import fetch, format_of

    names = {drop.job_id: drop.name for drop in drops}
    ids = " ".join(id[:10] for id in names)
    try:
        with nullcontext(_nothing) if as_json else face() as show:
            over = follow(ledger, names, show, every=every)
    except KeyboardInterrupt:
        what = agreed(len(names), "the job continues", "the jobs continue")
        click.echo(f"{what}; follow with `batchdrop watch {ids}`", err=True)
        return 130
    if as_json:
        for one in over:
            print_json(members(one))
    else:
        click.echo("\n".join(ends(over)))
    code = exit_code(over)
    job = ledger.get(over[0].id) if output else None
    if output and job and (job.results or code != 1):
        fetch(storage, job, output, format_of(output))
        if not as_json:
            click.echo(f"  {output}")
    return code

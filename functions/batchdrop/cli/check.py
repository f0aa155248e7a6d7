"""`batchdrop check`: what is wrong with a file, before a job is paid."""

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from batchdrop.cli.deployment import deployment_option
from batchdrop.cli.extras import needs
from batchdrop.cli.output import json_option, print_json
from batchdrop.cli.prices import price_list, prices_option
from batchdrop.jobs.codes import Backend
from batchdrop.preflight import MODEL


@click.command()
@click.argument("file")
@deployment_option
@click.option(
    "--backend",
    type=click.Choice([each.value for each in Backend]),
    envvar="BATCHDROP_BACKEND",
    default=Backend.VERTEX.value,
    show_default=True,
    help="The API whose rules apply.",
)
@click.option(
    "--model",
    envvar="BATCHDROP_MODEL",
    default=MODEL,
    show_default=True,
    help="The model of the job.",
)
@json_option()
@click.option(
    "--fix",
    is_flag=True,
    help="Write a copy to OUT, with each error fixed that needs no guess.",
)
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --fix: the file to write. It must not exist.",
)
@click.option(
    "--only-unanswered",
    is_flag=True,
    help="With --fix: from a file of answers, write only the rows without one.",
)
@click.option(
    "--unknown",
    type=click.Choice(["reject", "allow"]),
    envvar="BATCHDROP_UNKNOWN",
    default="reject",
    show_default=True,
    help="Whether a member that the API isn't known to have is an error.",
)
@click.option(
    "--generation-config",
    "config",
    metavar="JSON|FILE",
    envvar="BATCHDROP_GENERATION_CONFIG",
    help="What a job merges into each row, and counts: JSON, or the path of a file.",
)
@click.option(
    "--allow",
    "places",
    multiple=True,
    metavar="GS_PREFIX",
    help="A gs:// prefix that media may come from. Default: anywhere. May be repeated.",
)
@click.option(
    "--location",
    envvar="BATCHDROP_LOCATION",
    default="global",
    show_default=True,
    help="Where Vertex AI runs the job. Newer models cost more outside global.",
)
@prices_option()
@click.option(
    "--answer-tokens",
    type=click.IntRange(min=0),
    envvar="BATCHDROP_ANSWER_TOKENS",
    default=250,
    show_default=True,
    metavar="N",
    help="Assumed length of an answer, for the estimate.",
)
@click.option(
    "--thinking-tokens",
    type=click.IntRange(min=0),
    envvar="BATCHDROP_THINKING_TOKENS",
    default=0,
    show_default=True,
    metavar="N",
    help="Assumed length of the thoughts before an answer, for the estimate.",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="How many errors to print. Default: 20; 10,000 with --json.",
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
    location: str,
    prices: str | None,
    answer_tokens: int,
    thinking_tokens: int,
    most: int | None,
) -> None:
    """
    List what is wrong with FILE before you pay for a job.

    FILE is a path or a gs:// address. The rules are those for a dropped file. The exit
    status is 1 if anything is wrong.

    \b
    Example:
      batchdrop check reviews.jsonl --model gemini-3.8-flash
    """
    from batchdrop.cli import file_check
    from batchdrop.cli.past import past
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
    with needs("cli"):
        try:
            report = file_check.check(
                file,
                backend=backend,
                model=model,
                output=output,
                only_unanswered=only_unanswered,
                unknown=unknown,
                config=config,
                for_all=source is click.core.ParameterSource.ENVIRONMENT,
                places=places,
                location=location,
                prices=price_list(prices),
                answer_tokens=answer_tokens,
                thinking_tokens=thinking_tokens,
                today=datetime.now(UTC).date(),
                most=most or (10_000 if as_json else 20),
            )
        except file_check.CanNotCheck as exc:
            raise click.ClickException(str(exc)) from exc
        if cost := report.estimate.cost:
            found = past(report.rules.backend, report.rules.model, cost.currency)
            report = (
                replace(report, unread=found)
                if isinstance(found, str)
                else replace(report, past=found)
            )
        if as_json:
            print_json(file_check.members(report))
        else:
            file_check.show(report)
    sys.exit(0 if report.is_good else 1)

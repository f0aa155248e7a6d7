"""`batchdrop costs`: what the jobs of a deployment have cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from batchdrop.cli.deployment import deployment, deployment_option
from batchdrop.cli.output import json_option, print_json, print_table
from batchdrop.rows import counted
from batchdrop.views.cost_filters import by_of, label_of, since_of

if TYPE_CHECKING:
    from batchdrop.ledger.cost_report import CostReport, Group


def _since(_: Any, __: Any, text: str) -> date:
    with _refused(text):
        return since_of(text, datetime.now(UTC).date())


def _by(_: Any, __: Any, text: str) -> str:
    with _refused(text):
        return by_of(text)


def _label(_: Any, __: Any, text: str | None) -> str | None:
    with _refused(text):
        return None if text is None else label_of(text)


@contextmanager
def _refused(text: str | None) -> Iterator[None]:
    try:
        yield
    except ValueError as exc:
        raise click.BadParameter(f"{text!r}; {exc}") from None


@click.command()
@click.option(
    "--since",
    default="30d",
    show_default=True,
    metavar="DAYS|DAY",
    callback=_since,
    help="The first day (UTC): how many days ago, or a day such as 2026-03-01.",
)
@click.option(
    "--by",
    default="day",
    show_default=True,
    metavar="day|model|route|label:KEY",
    callback=_by,
    help="What to group by; label:team has a group for each text of the label team, "
    "and a total of all jobs, also of those without it.",
)
@click.option(
    "--label",
    metavar="KEY=TEXT",
    callback=_label,
    help="Only jobs that have this label.",
)
@deployment_option
@json_option("Print the report as JSON, with costs in millionths.")
def costs(since: date, by: str, label: str | None, as_json: bool) -> None:
    """
    Show what jobs have cost, by the price list.

    They count once their batches have ended: one batch for a job, for each part of a
    split file, and for each round of rows that went again. Jobs without results aren't
    counted.

    \b
    Example:
      batchdrop costs --since 7d --by model
    """
    with deployment() as wiring:
        from batchdrop.ledger.cost_report import cost_report

        report = cost_report(
            wiring.ledger(),
            by=by,
            since=since,
            until=datetime.now(UTC).date(),
            label=label,
        )
    if as_json:
        print_json(_members(report))
    else:
        _show(report)


def _members(report: "CostReport") -> dict[str, object]:
    return asdict(report) | {
        "groups": [_group(each) for each in report.groups],
        "total": _group(report.total),
    }


def _group(group: "Group") -> dict[str, object]:
    costs = [
        {"currency": currency, **asdict(amount), "ratio": amount.ratio}
        for currency, amount in group.amounts.items()
    ]
    members = asdict(group) | {"costs": costs}
    del members["amounts"]
    return members


def _show(report: "CostReport") -> None:
    total = report.total
    if not total.batches:
        click.echo(f"no job has ended with results since {report.since}")
        return
    print_table(
        (report.by, "batches", "prompt tokens", "answer tokens", "cost", "of estimate"),
        (tuple(_cells(each)) for each in (*report.groups, total)),
    )
    if report.more:
        click.echo(f"There are more groups than these {len(report.groups):,}.")
    if total.unknown:
        batches = counted(total.unknown, "batch", "batches")
        click.echo(
            f"The cost of {batches} isn't known and in no sum; `batchdrop show` of the "
            "job says why."
        )


def _cells(group: "Group") -> Iterator[str]:
    from batchdrop.jobs.values import amount_in_words
    from batchdrop.views.costs import ratio

    yield group.name or "none"
    yield f"{group.batches:,}"
    yield f"{group.prompt_tokens:,}"
    yield f"{group.answer_tokens:,}"
    amounts = group.amounts.items()
    yield ", ".join(amount_in_words(one.micros, name) for name, one in amounts) or "-"
    yield ratio(group)

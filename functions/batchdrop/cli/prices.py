"""`batchdrop prices`: the price list, how old it is, and its sources."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from batchdrop.cli.deployment import deployment_option
from batchdrop.cli.output import json_option, print_json, print_table
from batchdrop.rows import counted

if TYPE_CHECKING:
    from batchdrop.pricing.prices import Entry, Prices, Rates

#: Kinds with a column of their own.
_COLUMNS = ("input", "output", "cached")


def prices_option() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--prices`, which a command receives as `prices`."""
    return click.option(
        "--prices",
        metavar="PRICES",
        envvar="BATCHDROP_PRICES",
        help="A price list of your own, as JSON: a path or a gs:// address.",
    )


def price_list(place: str | None) -> "Prices":
    """
    Reads a price list; None for the built-in one.

    Raises:
        click.ClickException: it can't be read, or is none.
    """
    from batchdrop.cli.files import CanNotRead, chunks
    from batchdrop.pricing.prices import MAX_SIZE, Prices

    text = None
    try:
        if place:
            text = b""
            for chunk in chunks(place):
                text += chunk
                if len(text) > MAX_SIZE:
                    break
        return Prices.load(text)
    except CanNotRead as exc:
        raise click.ClickException(str(exc)) from exc
    except ValueError as exc:
        raise click.ClickException(f"{place}: {exc}") from exc


@click.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@deployment_option
@prices_option()
@json_option("Print the list, in the form of its file, and its age as JSON.")
def prices(models: tuple[str, ...], prices: str | None, as_json: bool) -> None:
    """
    Show the batch prices of MODELs, or of all.

    MODEL is a part of a name: each model is shown that has it. A row is for one tier:
    prompts up to a size, or over it. Prices that nobody could find are empty.
    `elsewhere` is the factor outside Vertex AI's location global.

    \b
    Example:
      batchdrop prices flash
    """
    import msgspec

    found = price_list(prices)
    shown = [
        entry
        for entry in found.prices
        if not models or any(text in name for text in models for name in entry.models)
    ]
    if models and not shown:
        raise click.ClickException(
            f"no model of the list has {' or '.join(models)} in its name; see all with "
            "`batchdrop prices`"
        )
    named = {name for entry in shown for name in entry.models}
    age = (datetime.now(UTC).date() - found.as_of).days
    if as_json:
        print_json(
            {
                "age_days": age,
                "one_source": sorted(
                    {n for each in shown if len(each.sources) == 1 for n in each.models}
                ),
                # Can be kept as a list of one's own.
                "list": msgspec.structs.replace(
                    found,
                    prices=shown,
                    aliases={a: m for a, m in found.aliases.items() if m in named},
                ),
            }
        )
        return
    click.echo(
        f"batch prices of {found.as_of}, {_days(age)} old, in {found.currency} for a "
        "million tokens"
    )
    print_table(
        (
            *("model", "backend", "from", "until", "prompt", *_COLUMNS, "other"),
            *("elsewhere", "sources"),
        ),
        (tuple(row.cells()) for entry in shown for row in _rows(entry)),
    )
    for entry in shown:
        if entry.note:
            click.echo(f"{', '.join(entry.models)} ({_backend(entry)}): {entry.note}")
    click.echo()
    for name, source in found.sources.items():
        if any(name in entry.sources for entry in shown):
            click.echo(f"{name}: {source.what}, read {source.read}")
    if found.note:
        click.echo(f"\n{found.note}")


@dataclass(frozen=True, slots=True)
class _Row:
    """One tier of an entry."""

    entry: "Entry"
    rates: "Rates"
    prompt: str

    def cells(self) -> Iterator[str]:
        from batchdrop.pricing.prices import KINDS

        entry, given = self.entry, self.rates
        yield ", ".join(entry.models)
        yield _backend(entry)
        yield "" if entry.since == date.min else f"{entry.since}"
        yield "" if entry.until == date.max else f"{entry.until}"
        yield self.prompt
        for kind in _COLUMNS:
            yield _number(getattr(given, kind))
        yield ", ".join(
            f"{kind.replace('_', ' ')} {_number(rate)}"
            for kind in KINDS
            if kind not in _COLUMNS
            and isinstance(rate := getattr(given, kind), Decimal)
        )
        yield _number(entry.elsewhere)
        alone = " alone" if len(entry.sources) == 1 else ""
        yield ", ".join(entry.sources) + alone


def _rows(entry: "Entry") -> Iterator[_Row]:
    if entry.long is None:
        yield _Row(entry, entry, "any")
        return
    yield _Row(entry, entry, f"to {entry.long.above:,}")
    yield _Row(entry, entry.long, f"over {entry.long.above:,}")


def _backend(entry: "Entry") -> str:
    return entry.backend or "both"


def _number(rate: Decimal | None) -> str:
    return "" if rate is None else f"{rate:f}"


def _days(count: int) -> str:
    return counted(count, "day")

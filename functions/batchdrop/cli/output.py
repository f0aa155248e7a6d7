"""What a command prints: a table for people, or JSON for programs."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from batchdrop.views.text import shown

if TYPE_CHECKING:
    from rich.table import Table


def json_option(
    help: str = "Print the outcome as JSON.",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--json`, which a command receives as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def print_json(value: object) -> None:
    """Prints a value as one line of JSON on standard output, always in UTF-8."""
    import msgspec

    click.echo(msgspec.json.encode(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows under the names of their columns. Cells may have users' text."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE)
    for row in rows:
        # A `[...]` in a str would be read as markup.
        table.add_row(*(Text(shown(cell)) for cell in row))
    # A pipe has no width: 250 columns keep each row on one line.
    Console(width=None if sys.stdout.isatty() else 250).print(table)


#: Characters that a cut column keeps, however narrow the terminal is.
MIN_CUT = 10


def narrow_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, cut: str
) -> "Table":
    """
    A table without lines of its own, each row on one line.

    Args:
        width: characters of a line.
        cut: the column whose cells lose their beginnings where the line is too short:
            the ends of names differ more often than their folders.
    """
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    at = list(columns).index(cut)
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [
        max(map(cell_len, column)) for column in zip(columns, *cells, strict=True)
    ]
    between = 2 * (len(columns) - 1)
    most = max(MIN_CUT, width - between - sum(widths) + widths[at])
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, no_wrap=True)
    for row in cells:
        if cell_len(row[at]) > most:
            row[at] = f"…{row[at][1 - most :]}"
        while cell_len(row[at]) > most:  # some characters take two places
            row[at] = f"…{row[at][2:]}"
        table.add_row(*map(Text, row))
    return table


def print_narrow(
    columns: Sequence[str], rows: Sequence[Sequence[str]], cut: str
) -> None:
    """Prints a `narrow_table`; in a pipe nothing is cut."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    console.print(narrow_table(columns, rows, console.width, cut))

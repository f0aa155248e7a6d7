"""What a command prints: a table for people, or JSON for programs."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click


def json_option(
    help: str = "Print the outcome as JSON.",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--json`, which a command receives as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=help)


def print_json(value: object) -> None:
    """Prints a value as one line of JSON on standard output."""
    import msgspec

    click.echo(msgspec.json.encode(value).decode())


def shown(text: str) -> str:
    """
    A text of anybody's, safe to show: control characters, line feeds and characters
    that nobody sees are written as escapes. Rich's markup is not its matter.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints rows under the names of their columns. Cells may have anybody's text."""
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

"""
The reference page of the settings, made from the table of options.

    python -m tests.settings_page            prints it
    python -m tests.settings_page --write    writes docs/reference/settings.md
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from batchdrop.options.table import (
    ENVIRONMENT,
    METADATA,
    OPTIONS,
    REQUIRED,
    By,
    Option,
    options,
)

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"

HEAD = """\
# Settings

<!-- Made from functions/batchdrop/options/table.py by `make settings`. -->

The functions read these from their environment. On Google Cloud, set the variables in
[`infra/variables.tf`](../../infra/variables.tf) instead
([deploy](../how-to/deploy.md#choices)). A
[route, a manifest or metadata](../how-to/choose-per-file.md) may choose otherwise for a
file.

## In the environment

A missing, wrong or unknown variable stops the start; the message names it, and for an
unknown one the nearest known name. Routes and prices in a bucket are read at the first
call, which fails while they are wrong.
"""

SENT = """\
Limits count what is sent: unpacked, with the generation configuration in each row,
without skipped lines. A table or dataset cannot be counted, so a job over one is
rejected where a limit of rows or bytes is set.

## By route, manifest or metadata

These options can also be chosen for some files, by the names that they have there.
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *variables(), "", SENT, *choices(), ""])


def variables() -> Iterator[str]:
    """Yields a line for each variable."""
    yield "| variable | what it sets | value | default |"
    yield "|---|---|---|---|"
    for option in options(ENVIRONMENT):
        cells = (
            f"`{option.variable}`",
            option.help,
            option.environment.words,
            default(option),
        )
        yield f"| {' | '.join(cells)} |"


def default(option: Option) -> str:
    """What holds where nobody sets an option."""
    if option.default is REQUIRED:
        return "required"
    if option.unset:
        return option.unset
    if option.default in (None, (), {}):
        return option.type.nothing
    if isinstance(option.default, bool):
        return f"`{str(option.default).lower()}`"
    if isinstance(option.default, float):
        return f"{option.default:.15g}"
    return f"`{option.default}`"


def choices() -> Iterator[str]:
    """Yields a line for each option that not only the environment may set."""
    yield "| environment | route | manifest | metadata | what it sets | value |"
    yield "|---|---|---|---|---|---|"
    for option in OPTIONS:
        if option.by == ENVIRONMENT:
            continue
        cells = (
            f"`{option.variable}`" if option.variable else "-",
            f"`{option.name}`" if By.ROUTE in option.by else "-",
            f"`{option.name}`" if By.MANIFEST in option.by else "-",
            f"`{METADATA}{option.key}`" if By.METADATA in option.by else "-",
            option.help,
            option.type.words,
        )
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")

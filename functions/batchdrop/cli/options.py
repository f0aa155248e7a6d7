"""Options that several commands have, and types of options."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from batchdrop.views import words


def every_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--every`, for commands that follow jobs."""
    return click.option(
        "--every",
        type=click.FloatRange(min=0.2),
        default=3,
        show_default=True,
        metavar="SECONDS",
        help=help,
    )


class Pair(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`. The value may be empty, and may contain `=`."""

    name = "NAME=VALUE"

    def convert(
        self,
        value: str | tuple[str, str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, str]:
        if not isinstance(value, str):
            return value
        name, equals, text = value.partition("=")
        if not (name and equals):
            self.fail(f"{value}: it must be NAME=VALUE", param, ctx)
        return name, text


def moment(text: str) -> datetime:
    """Reads a time (UTC, if it names no zone), or how long ago it was."""
    try:
        return words.moment(text, datetime.now(UTC))
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from None

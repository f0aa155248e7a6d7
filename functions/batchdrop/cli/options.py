"""Options that several commands have, and types of options."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click


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
    units = {"m": "minutes", "h": "hours", "d": "days"}
    try:
        if ago := re.fullmatch(r"([0-9]{1,6})([mhd])", text):
            return datetime.now(UTC) - timedelta(**{units[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither a time (2026-03-01T12:00Z) nor how long ago it was "
            "(90m, 12h, 7d)"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

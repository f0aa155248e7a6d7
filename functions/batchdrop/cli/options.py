"""Types of options that several commands have."""

import click


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

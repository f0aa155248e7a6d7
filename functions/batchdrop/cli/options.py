"""How options are read that more than one command has."""

import click


class Pair(click.ParamType[tuple[str, str]]):
    """`NAME=VALUE`, of which the value may be empty and may have `=` in it."""

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

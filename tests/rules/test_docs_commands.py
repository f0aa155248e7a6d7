"""The page of the command line lists every command, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from batchdrop.cli import main

PAGE = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()


def commands(group: click.Group, path: str) -> Iterator[str]:
    """The full names of all commands below a group."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


def test_the_page_lists_every_command_and_no_other() -> None:
    listed = re.findall(r"^\| `(batchdrop [a-z ]*[a-z])", PAGE, re.M)

    assert sorted(listed) == sorted(commands(main, "batchdrop"))

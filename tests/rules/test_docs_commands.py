"""The commands say the same things in the same way, and their page is made of them."""

import inspect
import re

import click
import pytest

from tests.cli_page import PAGE, commands, page

COMMANDS = list(commands())
each = pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS]
)

#: They print nothing that a program would read, or are no work on a deployment.
WITHOUT_JSON = {"batchdrop local up", "batchdrop local env"}
WITHOUT_DEPLOYMENT = re.compile("batchdrop (deployments|local|demo)( |$)")


def options(command: click.Command) -> set[str]:
    return {text for param in command.params for text in param.opts}


def test_the_reference_page_is_made_from_the_commands() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make cli`"


@each
def test_a_commands_help_ends_with_an_example(
    path: str, command: click.Command
) -> None:
    text = inspect.cleandoc(command.help or "")

    assert re.search(rf"\x08\nExample:\n(.*\n)*.*{path}\b", text), text


@each
def test_a_command_prints_json_too(path: str, command: click.Command) -> None:
    assert ("--json" in options(command)) == (path not in WITHOUT_JSON)


@each
def test_a_command_that_works_on_a_deployment_can_be_given_one(
    path: str, command: click.Command
) -> None:
    chosen = "--deployment" in options(command)

    assert chosen == (WITHOUT_DEPLOYMENT.match(path) is None)

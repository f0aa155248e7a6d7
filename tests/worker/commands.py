"""Runs commands in this process."""

from click.testing import CliRunner, Result

from batchdrop.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))

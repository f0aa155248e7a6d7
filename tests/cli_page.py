"""
The reference page of the command line, made from its commands.

    python -m tests.cli_page            prints it
    python -m tests.cli_page --write    writes docs/reference/cli.md
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from batchdrop.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

#: What comes before the commands.
HEAD = Path(__file__).parent / "cli_head.txt"

#: Where there is more about a command.
MORE = {
    "announcements": "announcements.md#replay",
    "cancel": "../how-to/cancel-rerun-resume.md#cancel",
    "check": "../how-to/check-a-file.md",
    "costs": "../explanation/costs.md#reports",
    "demo": "../tutorial.md",
    "deployments": "#deployments",
    "jobs": "job-document.md",
    "local": "../tutorial.md",
    "prices": "prices.md",
    "rerun": "../how-to/cancel-rerun-resume.md#rerun",
    "results": "../how-to/read-results.md#from-the-command-line",
    "retry": "../how-to/retry-rows.md#on-purpose-afterwards",
    "resume": "../how-to/cancel-rerun-resume.md#resume",
    "routes": "../how-to/choose-per-file.md#routes",
    "show": "job-document.md",
    "status": "../how-to/operate.md",
}


def commands(
    group: click.Group = main, path: str = "batchdrop"
) -> Iterator[tuple[str, click.Command]]:
    """All commands below a group, by their full names."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def page() -> str:
    """The page, in Markdown."""
    lines = [
        HEAD.read_text(encoding="utf-8"),
        "| command | what it does |",
        "|---|---|",
    ]
    for path, command in commands():
        short = _text(command.get_short_help_str(limit=300)).rstrip(".")
        where = f"[`{_called(path, command)}`](#{path.replace(' ', '-')})"
        lines.append(f"| {where} | {short[:1].lower()}{short[1:]} |")
    for path, command in commands():
        lines += ["", *_section(path, command)]
    return "\n".join([*lines, ""])


def _section(path: str, command: click.Command) -> Iterator[str]:
    yield f"### {path}"
    yield ""
    yield f"    {_called(path, command)}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield ""
        head, *rest = paragraph.splitlines()
        if head == "\b":
            shown = [line for line in rest if line.strip() != "Example:"]
            yield from (f"    {line.strip()}" for line in shown)
        else:
            yield _text(" ".join([head, *rest]))
    if more := MORE.get(path.split()[1]):
        yield ""
        yield f"See [{_title(more)}]({more})."
    options = [each for each in command.params if isinstance(each, click.Option)]
    options = [each for each in options if each.name != "deployment"]
    if options:
        yield ""
        yield "| option | what it does |"
        yield "|---|---|"
    for option in options:
        default = ""
        if option.show_default and option.default is not None:
            default = f" Default: {option.default}."
        help = _text(f"{option.help or ''}{default}")
        name = f"{', '.join(option.opts)}{_value(option)}".replace("|", "\\|")
        yield f"| `{name}` | {help} |"


def _called(path: str, command: click.Command) -> str:
    """How a command is called."""
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    return " ".join([path, *(_argument(each) for each in arguments)])


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or (argument.name or "").upper()
    many = "..." if argument.nargs == -1 and "..." not in name else ""
    return name + many


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return f" {'|'.join(option.type.choices)}"
    return f" {option.metavar or option.type.name.upper()}"


def _text(text: str) -> str:
    """A text as it is, in a line or a cell of Markdown."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*|<\[\]])", r"\\\1", part)
        for part in parts
    )


def _title(place: str) -> str:
    """The heading of a page of ours, or of a part of this one."""
    if place.startswith("#"):
        return place.removeprefix("#")
    file = PAGE.parent / place.partition("#")[0]
    return file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ").lower()


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")

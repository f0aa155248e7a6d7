"""The tutorial's commands do what the page shows, from the first to the last."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from tests.waiting import until
from tests.whole.test_local_up import local_up

PAGE = Path(__file__).parents[2] / "docs/tutorial.md"

#: What depends on how fast the machine is: a batch that has not ended yet.
UNDER_WAY = re.compile(r"\b(pending|running|JOB_STATE_(PENDING|RUNNING))\b")
#: Its batches end at once here, so these may find no open job.
OF_OPEN_JOBS = ("batchdrop jobs", "batchdrop watch")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the page, and the lines that it shows below."""

    command: str
    shown: tuple[str, ...] = ()


def steps(page: str) -> Iterator[Step]:
    """The commands after those that start the stack, and what writes the files."""
    lines = page.splitlines(keepends=True)
    while lines:
        line = lines.pop(0)
        if line == "```sh\n":
            end = lines.index("```\n")
            yield Step("".join(lines[:end]))
            del lines[: end + 1]
        elif found := re.match(r" {4}(?:\$ |(?=batchdrop ))(.+)", line):
            shown = [*takewhile(lambda each: re.match(r" {4}(?!\$ )|\n", each), lines)]
            yield Step(found[1], tuple(each.strip() for each in shown if each.strip()))


def bare(line: str) -> str:
    """A line without addresses, ids, numbers and widths, which differ in each run."""
    line = re.sub(r" \((POST|GET) .*\)", "", line)
    line = re.sub(r"\b[a-z2-7]{26}\b|\b[a-z2-7]{10}\b", "ID", line)
    line = re.sub(r"\d[\d.,:-]*", "N", re.sub("─+", "─", line))
    return re.sub(r"\b[kM]?B/s", "B/s", " ".join(line.split()))


@pytest.mark.proof  # it has a stack of its own
@pytest.mark.timeout(300)
def test_the_tutorials_commands_print_what_it_shows(
    tmp_path: Path, firestore_emulator: str, pubsub_emulator: str
) -> None:
    (desk := tmp_path / "desk").mkdir()
    programs = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "140"}
    commands = [*steps(PAGE.read_text("utf-8"))]
    lasting = ""

    at_once = ("--queue-seconds", "0", "--run-seconds", "0")
    with local_up(tmp_path, os.environ, at_once):
        until((tmp_path / ".batchdrop/stack.json").exists)
        for step in commands:
            if step.command.startswith("eval "):
                lasting = f"{step.command}\n"
            printed = output(lasting + step.command, desk, env)

            shown = [bare(line) for line in step.shown if not UNDER_WAY.search(line)]
            fails = any(line.startswith("Error: ") for line in shown)
            assert ("\nError: " in f"\n{printed}") == fails, printed
            if step.command not in OF_OPEN_JOBS:
                rest = map(bare, printed.splitlines())
                missing = [line for line in shown if line != "..." and line not in rest]
                assert not missing, printed

    assert len(commands) > 20


def output(script: str, directory: Path, env: Mapping[str, str]) -> str:
    """What a shell prints that runs the script; its exit status may be any."""
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return ran.stdout

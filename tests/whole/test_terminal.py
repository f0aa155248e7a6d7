"""
What a person sees of `drop --wait` and `watch` on a terminal of 80 columns, which is
tmux. What it shows at the end is kept in tests/captures. Set WRITE_CAPTURES=1 to write
these files anew, and look at them.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchdrop_local.stack import Stack
from tests.services import unavailable
from tests.waiting import until
from tests.worker.collecting import questions

CAPTURES = Path(__file__).parents[1] / "captures"
#: What differs from run to run.
DIFFERENT = (
    (r"\b[a-z2-7]{26}\b", "JOB_ID"),
    (r"(?m)^[a-z2-7]{10}(?=  )", "JOB_ID    "),
    (r"[0-9.,]+ [kM]?B(ytes)?, [0-9.,]+ (k|M)?B(ytes)?/s", "SIZE, SPEED"),
    (r"(?m)(?<=^JOB_ID      )[0-9]+[sm] +", "AGE  "),
    (r"[0-9,]+ bytes, [0-9.,]+ \w+/s", "SIZE, SPEED"),
)


class Terminal:
    """A shell in tmux, of 80 columns and 24 lines."""

    def __init__(self, folder: Path) -> None:
        # A socket's path may have some hundred characters: tmp_path is too long.
        self._folder = Path(tempfile.mkdtemp(prefix="tmux-"))
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "PS1": "$ ", "TERM": "screen"}
        shell = ("-c", str(folder), "bash", "--norc", "--noprofile")
        size = ("-x", "80", "-y", "24")
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, *shell, env=env)
        self.clear()

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """Runs a tmux command on this terminal's own server; returns its output."""
        command = ["tmux", "-S", str(self._folder / "socket"), *arguments]
        return subprocess.run(
            command, env=env, check=True, capture_output=True, text=True
        ).stdout

    def type(self, text: str) -> None:
        self._tmux("send-keys", text, "Enter")

    def clear(self) -> None:
        """Waits for the prompt: what is typed before it is there is shown twice."""
        self.type("clear")
        until(lambda: self.screen() == "$\n")

    def screen(self) -> str:
        """The lines on it, without trailing spaces; wrapped ones are joined."""
        lines = self._tmux("capture-pane", "-p", "-J").rstrip().splitlines()
        return "".join(f"{line.rstrip()}\n" for line in lines)

    def close(self) -> None:
        self._tmux("kill-server")
        shutil.rmtree(self._folder)


@pytest.fixture
def terminal(tmp_path: Path, stack: Stack) -> Iterator[Terminal]:
    """A terminal with the shared stack running; skips where tmux is missing."""
    if shutil.which("tmux") is None:
        unavailable("needs tmux on the PATH")
    made = Terminal(tmp_path)
    yield made
    made.close()


def seen(terminal: Terminal, command: str) -> str:
    """What is on the terminal once a command has ended, without what differs."""
    terminal.type(f"{command}; echo status $?")
    until(lambda: re.search(r"\nstatus \d+\n\$\n$", terminal.screen()))
    screen = terminal.screen()
    for pattern, word in DIFFERENT:
        screen = re.sub(pattern, word, screen)
    return screen


def kept(name: str, screen: str) -> str:
    """The capture of that name; WRITE_CAPTURES replaces it by this screen first."""
    file = CAPTURES / name
    if os.environ.get("WRITE_CAPTURES"):
        file.write_text(screen)
    return file.read_text()


@pytest.mark.proof  # it has a stack of its own
def test_a_file_is_dropped_and_followed_watched_and_listed(
    terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "reviews.jsonl").write_text(questions(40))
    options = "--to terminal/ --every 0.2 --wait -o results.jsonl"

    dropped = seen(terminal, f"batchdrop drop reviews.jsonl {options}")
    terminal.clear()
    watched = seen(
        terminal, "batchdrop watch gs://$BATCHDROP_INBOX/terminal/reviews.jsonl"
    )

    terminal.clear()
    listed = seen(terminal, "batchdrop jobs --name 'terminal/*'")

    assert dropped == kept("drop-wait.txt", dropped)
    assert watched == kept("watch.txt", watched)
    assert listed == kept("jobs.txt", listed)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 40

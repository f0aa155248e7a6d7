"""Steps as they happen: a live table on a terminal, plain lines anywhere else."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from batchdrop_local.processes import StackError


@dataclass(slots=True)
class Step:
    """One step; `say` adds a line about its progress."""

    title: str
    console: Console
    began: float = field(default_factory=time.monotonic)
    seconds: float | None = None  #: None: still at it, or failed
    failed: bool = False
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)
        if not self.console.is_terminal:
            self.console.out(f"  {self.title}: {text}", highlight=False)


class Steps:
    """The steps of something that takes a while."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: list[Step] = []
        self._live = Live(
            console=console, get_renderable=self._table, refresh_per_second=12
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    @contextmanager
    def step(self, title: str, log: Path | None = None) -> Iterator[Step]:
        """
        Do a step.

        Raises:
            StackError: in place of whatever was raised in it.
        """
        step = Step(title, self._console)
        self._steps.append(step)
        try:
            yield step
        except StackError:
            step.failed = True
            raise
        except Exception as exc:
            step.failed = True
            raise StackError(title, f"{type(exc).__name__}: {exc}", log) from exc
        step.seconds = time.monotonic() - step.began
        if not self._console.is_terminal:
            self._console.out(f"✓ {title} ({step.seconds:.2f} s)", highlight=False)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each finished step took, by title."""
        return {s.title: round(s.seconds, 3) for s in self._steps if s.seconds}

    def _table(self) -> RenderableType:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1, overflow="fold")
        table.add_column(justify="right", no_wrap=True)
        for step in self._steps:
            seconds = step.seconds or time.monotonic() - step.began
            said = Text("\n".join(step.said), "dim")
            table.add_row(_mark(step), step.title, said, f"{seconds:.2f} s")
        return table


def _mark(step: Step) -> RenderableType:
    if step.failed:
        return Text("✗", "red")
    return Spinner("dots") if step.seconds is None else Text("✓", "green")

"""
Answers beyond one step's size: sorted in slices and joined in ranges, against a store
that counts bytes.

The answers are made as they are read, in a mixed order, so that they need no disk. Runs
are files; results are counted and dropped. Between any two steps nothing is kept but
what a collector would read from the work bucket.
"""

import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from batchdrop.jobs.values import Staging
from batchdrop.pricing import Bill, Prices
from batchdrop.pricing.bill import Tokens
from batchdrop.results import Answers, OpenAt, Questions
from batchdrop.results import ranges as joining
from batchdrop.results import slices as sorting
from batchdrop.results.ranges import Segment
from batchdrop.results.slices import Run
from batchdrop.results.totals import Totals
from tests.bench.preflight import peak_mb

#: Bytes a second that a function reads from Cloud Storage, or writes to it.
STORE = 60e6
#: Half of the function's time, in seconds.
HALF = 540 / 2
#: Bytes that are read at a time.
CHUNK = 2**20
DIMENSIONS = 3072


def embedding(dice: random.Random) -> bytes:
    """The answer to a text that was embedded, as Vertex AI writes it, up to its id."""
    values = [round(dice.uniform(-0.1, 0.1), 15) for _ in range(DIMENSIONS)]
    found: dict[str, Any] = {
        "status": "",
        "processed_time": "2026-11-28T21:14:06.120+00:00",
        "request": {"content": {"parts": [{"text": "something to be embedded"}]}},
        "response": {
            "embedding": {"values": values},
            "usageMetadata": {"promptTokenCount": 110, "totalTokenCount": 110},
        },
    }
    return json.dumps(found).encode()[:-1]


@dataclass(frozen=True, slots=True)
class Made:
    """
    Answers to rows in a mixed order, as one object of lines of one length. `made` sums
    up the seconds that making them takes.
    """

    rows: int
    begins: list[bytes]  #: of lines, up to their ids: some, repeated
    made: list[float] = field(default_factory=lambda: [0.0])

    @classmethod
    def of(cls, rows: int, begins: list[bytes]) -> "Made":
        longest = max(map(len, begins))
        # A space behind a value is no part of it.
        return cls(rows, [each.ljust(longest) for each in begins])

    @property
    def width(self) -> int:
        """Bytes of a line."""
        return len(self.line(0))

    @property
    def size(self) -> int:
        return self.width * self.rows

    def line(self, n: int) -> bytes:
        """The line at a place: each row has one."""
        row = (n * self._step + 17) % self.rows + 1
        return b'%b, "key": "r%07d"}\n' % (self.begins[row % len(self.begins)], row)

    @property
    def _step(self) -> int:
        step = int(self.rows * 0.618) | 1
        while math.gcd(step, self.rows) > 1:
            step += 2
        return step

    def open(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        end = self.size if end is None else min(end, self.size)
        width = self.width
        for at in range(start, end, CHUNK):
            began = time.process_time()
            to = min(at + CHUNK, end)
            first = at // width
            lines = b"".join(map(self.line, range(first, -(-to // width))))
            piece = lines[at - first * width : to - first * width]
            self.made[0] += time.process_time() - began
            yield piece


@dataclass(slots=True)
class Store:
    """Files in a folder; counts what is read and written."""

    folder: Path
    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)

    def counted(self, kind: str, open: OpenAt) -> OpenAt:
        """The same, counted."""

        def read(start: int = 0, end: int | None = None) -> Iterator[bytes]:
            for piece in open(start, end):
                self.read[kind] += len(piece)
                yield piece

        return read

    def opened(self, kind: str, name: str, size: int = CHUNK) -> OpenAt:
        def read(start: int = 0, end: int | None = None) -> Iterator[bytes]:
            path = self.folder / name
            end = path.stat().st_size if end is None else end
            with path.open("rb", buffering=0) as source:
                source.seek(start)
                while start < end and (piece := source.read(min(size, end - start))):
                    start += len(piece)
                    yield piece

        return self.counted(kind, read)

    def writer(self, kind: str, name: str = "") -> Callable[[bytes], object]:
        """What writes to a new file; without a name what only counts."""
        out = (self.folder / name).open("wb", buffering=0) if name else None

        def write(data: bytes) -> None:
            self.written[kind] += len(data)
            if out is not None:
                out.write(data)

        return write


@dataclass(slots=True)
class Taken:
    """What the steps of one kind took."""

    steps: int = 0
    cpu: float = 0
    bytes: int = 0  #: read and written
    longest: float = 0  #: seconds of a step, at STORE and with its own CPU time

    @property
    def mb_per_s(self) -> float:
        """Of what is read and written, by the CPU alone."""
        return self.bytes / self.cpu / 1e6


@dataclass(slots=True)
class Job:
    """A job's steps, in one process as in one function."""

    made: Made
    store: Store
    taken: dict[str, Taken] = field(default_factory=dict)

    def _step(self, kind: str, step: Callable[[], Any]) -> Any:
        store, made = self.store, self.made.made
        moved = store.read.total() + store.written.total()
        began, making = time.process_time(), made[0]
        found = step()
        cpu = time.process_time() - began - (made[0] - making)
        moved = store.read.total() + store.written.total() - moved
        taken = self.taken.setdefault(kind, Taken())
        taken.steps += 1
        taken.cpu += cpu
        taken.bytes += moved
        taken.longest = max(taken.longest, moved / STORE + cpu)
        return found

    def run(self) -> None:
        store, rows = self.store, self.made.rows
        with (store.folder / "columns.jsonl").open("wb") as sidecar:
            for n in range(1, rows + 1):
                sidecar.write(
                    b'{"id":%d,"key":"customer-%d","columns":{"region":"eu"}}\n'
                    % (n, n)
                )
        questions = Questions(
            staging=Staging(epoch=1, uri="", rows=rows),
            open_sidecar=store.opened("sidecar", "columns.jsonl"),
        )
        answers = [
            Answers(
                "predictions.jsonl",
                True,
                store.counted("answers", self.made.open),
                self.made.size,
            )
        ]
        runs: list[Run] = []
        for k in range(sorting.count(answers)):
            found = self._step(
                "sort",
                partial(
                    sorting.sort,
                    questions,
                    answers,
                    k,
                    write=store.writer("runs", f"run-{k}"),
                    write_stranger=store.writer("strangers"),
                    marks=bytes,
                    before=runs[-1] if runs else None,
                ),
            )
            runs.append(_read_again(found.run, Run))
        plan = self._step("plan", lambda: joining.plan(questions, runs))
        size = joining.read_size(len(runs))
        opened = [store.opened("runs", f"run-{k}", size) for k in range(len(runs))]
        totals = [one.totals for one in runs]
        bill, since = _bill(), None
        for j in range(len(plan)):
            own = _bill()
            segment = self._step(
                "range",
                partial(
                    joining.merge,
                    questions,
                    answers,
                    plan,
                    j,
                    opened,
                    write=store.writer("results"),
                    write_stranger=store.writer("strangers"),
                    since=since,
                    bill=own,
                ),
            )
            segment = _read_again(segment, Segment)
            totals.append(segment.totals)
            since = segment.reached
            bill.include(_read_again(own.tokens(), Tokens))
        summary = self._step("compose", lambda: Totals.of(totals).summary(questions))
        assert summary.rows.ok == rows
        bill.cost()
        assert store.written["strangers"] == 0

    def figures(self, parser: float) -> dict[str, float]:
        """
        Reads and writes are multiples of the bytes of the answers.

        Args:
            parser: the seconds that the parser takes for all rows.
        """
        store, size = self.store, self.made.size
        cpu = sum(one.cpu for one in self.taken.values())
        found: dict[str, float] = {
            "rows": self.made.rows,
            "answers_mb": round(size / 1e6, 1),
            "reads": round((store.read["answers"] + store.read["runs"]) / size, 3),
            "writes": round(
                (store.written["runs"] + store.written["results"]) / size, 3
            ),
            "sidecar_reads": round(
                store.read["sidecar"] / (store.folder / "columns.jsonl").stat().st_size,
                3,
            ),
            "peak_mb": round(peak_mb(), 1),
            "steps": sum(one.steps for one in self.taken.values()),
            "longest_s": round(max(one.longest for one in self.taken.values()), 1),
            "half_s": HALF,
            "cpu_s": round(cpu, 1),
            "mb_per_s": round(size / cpu / 1e6, 1),
            "orjson_ratio": round(parser / cpu, 3),
        }
        for kind in ("sort", "range"):
            found[f"{kind}_steps"] = self.taken[kind].steps
            found[f"{kind}_mb_per_s"] = round(self.taken[kind].mb_per_s, 1)
            found[f"{kind}_longest_s"] = round(self.taken[kind].longest, 1)
        return found


def _read_again(value: Any, type: Any) -> Any:
    """What another collector would read of it."""
    return msgspec.json.decode(msgspec.json.encode(value), type=type)


def _bill() -> Bill:
    return Bill(
        Prices.load(), model="", backend="vertex", location="", day=date(2026, 11, 28)
    )

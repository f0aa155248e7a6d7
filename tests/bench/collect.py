"""
Compares collecting with a parser: `python -m tests.bench.collect`.

All rules are on: rows have keys and columns of their own, answers are joined by id,
judged, counted and billed, and the results are written to a local file. The parser,
orjson, reads the questions and the answers, and writes the answers back.

By default the answers are in the order of the file; `--shuffled` mixes them.

More answers than 200 MB are sorted and joined in steps, against a store that counts
bytes: see `collect_steps`. `--embeddings N` has N answers of 3,072 numbers. A million
of them need 60 GB of disk, in the folder that TMPDIR names.
"""

import argparse
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from batchdrop.jobs.values import Cost, Staging
from batchdrop.pricing import Bill, Prices
from batchdrop.results import Answers, OpenAt, Questions, collected
from batchdrop.results.reading import HELD
from tests.bench.collect_steps import Job, Made, Store, embedding
from tests.bench.preflight import CHUNK, SMALL, cpu_seconds, line, peak_mb, text

#: Bytes of an answer's line, with the request that it echoes.
ANSWER = 2000
#: Bytes of answers that the parser gets, where there are more.
SAMPLE = 100_000_000


@dataclass(frozen=True, slots=True)
class Files:
    """A job's objects, as local files."""

    folder: Path
    rows: int

    @property
    def staged(self) -> Path:
        return self.folder / "requests.jsonl"

    @property
    def sidecar(self) -> Path:
        return self.folder / "columns.jsonl"

    @property
    def answers(self) -> Path:
        return self.folder / "predictions.jsonl"

    @property
    def size(self) -> int:
        return self.staged.stat().st_size + self.answers.stat().st_size


def answer(request: bytes, dice: random.Random) -> bytes:
    """An answer as Vertex AI writes it, up to its id."""
    found: dict[str, Any] = {
        "status": "",
        "processed_time": "2026-11-28T21:14:06.120+00:00",
        "request": json.loads(request),
        "response": {
            "candidates": [
                {
                    "avgLogprobs": -dice.random(),
                    "content": {"parts": [{"text": ""}], "role": "model"},
                    "finishReason": "STOP",
                }
            ],
            "createTime": "2026-11-28T21:14:01.120430Z",
            "modelVersion": "gemini-3.8-flash",
            "responseId": f"{dice.getrandbits(80):x}",
            "usageMetadata": {
                "candidatesTokenCount": 290,
                "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 290}],
                "promptTokenCount": 110,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 110}],
                "thoughtsTokenCount": 50,
                "totalTokenCount": 450,
                "trafficType": "ON_DEMAND",
            },
        },
    }
    rest = ANSWER - len(json.dumps(found)) - len(', "key": "r0000001"')
    part = found["response"]["candidates"][0]["content"]["parts"][0]
    part["text"] = text(max(rest, 1), dice)
    return json.dumps(found).encode()[:-1]


def make(files: Files, shuffled: bool) -> None:
    """A job's questions and its answers; some texts, repeated."""
    dice = random.Random(files.rows)
    requests = [line(SMALL, dice) for _ in range(min(files.rows, 2000))]
    answers = [answer(request, dice) for request in requests]
    with files.staged.open("wb") as staged, files.sidecar.open("wb") as sidecar:
        for n in range(1, files.rows + 1):
            request = requests[n % len(requests)]
            staged.write(b'{"key":"r%07d","request":%b}\n' % (n, request))
            sidecar.write(
                b'{"id":%d,"key":"customer-%d","columns":{"region":"eu"}}\n' % (n, n)
            )
    order = list(range(1, files.rows + 1))
    if shuffled:
        dice.shuffle(order)
    with files.answers.open("wb") as out:
        out.writelines(
            b'%b, "key": "r%07d"}\n' % (answers[n % len(answers)], n) for n in order
        )


def opened(path: Path) -> OpenAt:
    def read(start: int = 0, end: int | None = None) -> Iterator[bytes]:
        end = path.stat().st_size if end is None else end
        with path.open("rb") as source:
            source.seek(start)
            for at in range(start, end, CHUNK):
                yield source.read(min(CHUNK, end - at))

    return read


def ours(files: Files) -> None:
    """Collects."""
    questions = Questions(
        staging=Staging(epoch=1, uri="", rows=files.rows),
        open_sidecar=opened(files.sidecar),
        open_staged=opened(files.staged),
    )
    answers = [Answers("predictions.jsonl", True, opened(files.answers))]
    bill = Bill(
        Prices.load(), model="", backend="vertex", location="", day=date(2026, 11, 28)
    )
    with tempfile.TemporaryFile(buffering=0, dir=files.folder) as out:
        found = collected(
            questions, answers, write=out.write, write_stranger=out.write, bill=bill
        )
    assert found.rows.ok == files.rows
    assert isinstance(bill.cost(), Cost)


def orjson(files: Files) -> None:
    """Parses both files, and writes the answers back."""
    import orjson

    with files.staged.open("rb") as source:
        for each in source:
            orjson.loads(each)
    with files.answers.open("rb") as source, tempfile.TemporaryFile() as out:
        for each in source:
            out.write(
                orjson.dumps(orjson.loads(each), option=orjson.OPT_APPEND_NEWLINE)
            )


def _whole(files: Files) -> tuple[float, float]:
    start = time.perf_counter()
    ours(files)
    return time.perf_counter() - start, peak_mb()


def whole(files: Files) -> tuple[float, float]:
    """Seconds, and the most megabytes of memory, of a process that only collects."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_whole, (files,))


def by_steps(rows: int, embeddings: int | None) -> dict[str, float]:
    """Collects in steps; `embeddings` counts the rows if it is given."""
    dice = random.Random(rows)
    if embeddings:
        made = Made.of(embeddings, [embedding(dice) for _ in range(50)])
    else:
        begins = [answer(line(SMALL, dice), dice) for _ in range(500)]
        made = Made.of(rows, begins)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(made, Store(Path(folder)))
        job.run()
        files = Files(Path(folder), min(made.rows, max(SAMPLE // made.width, 1)))
        sample = [made.line(n) for n in range(files.rows)]
        files.answers.write_bytes(b"".join(sample))
        requests = (json.loads(each)["request"] for each in sample)
        files.staged.write_text("".join(f"{json.dumps(each)}\n" for each in requests))
        best = min(
            cpu_seconds(lambda *_: orjson(files), files.answers, None) for _ in range(3)
        )
        return job.figures(best / files.rows * made.rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.collect")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument(
        "--rounds", type=int, default=3, help="take the best of this many rounds"
    )
    parser.add_argument(
        "--shuffled", action="store_true", help="answers in another order"
    )
    parser.add_argument(
        "--steps", action="store_true", help="in steps, however few answers"
    )
    parser.add_argument("--embeddings", type=int, help="so many vectors, in steps")
    parser.add_argument("--json", action="store_true", help="one object, last")
    chosen = parser.parse_args()
    many = chosen.rows * ANSWER > HELD
    if chosen.steps or chosen.embeddings or many:
        found = by_steps(chosen.rows, chosen.embeddings)
        for name, value in found.items():
            print(f"{name:18} {value:,}")
        if chosen.json:
            print(json.dumps(found))
        return

    with tempfile.TemporaryDirectory() as folder:
        files = Files(Path(folder), chosen.rows)
        make(files, chosen.shuffled)
        best: dict[Callable[[Files], None], float] = {}
        for _ in range(chosen.rounds):
            for run in (ours, orjson):
                taken = cpu_seconds(lambda *_, run=run: run(files), files.answers, None)
                best[run] = min(best.get(run, taken), taken)
        seconds, peak = whole(files)
        found = {
            "orjson_ratio": round(best[orjson] / best[ours], 3),
            "mb_per_s": round(files.size / best[ours] / 1e6, 1),
            "peak_mb": round(peak, 1),
            "seconds": round(seconds, 2),
        }
    print(f"{chosen.rows:,} rows: {found['seconds']} s, {found['mb_per_s']} MB/s")
    print(f"{found['orjson_ratio']} of orjson, at most {found['peak_mb']} MB of memory")
    if chosen.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

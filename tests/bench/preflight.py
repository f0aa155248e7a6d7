"""
The speed of the check, beside what only parses: `python -m tests.bench.preflight`.

All rules are on, and what is checked is staged to a local file. The others are given
the same lines, and drop what they make of them.
"""

import argparse
import itertools
import json
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from batchdrop.preflight import Checker, Rules
from batchdrop.settings import Location

#: Bytes read at a time, as from a bucket.
CHUNK = 8 * 1024 * 1024
WORDS = Path(__file__).read_text().split()


def text(length: int, dice: random.Random) -> str:
    """Words and line ends, as prompts have them."""
    words = itertools.chain.from_iterable(
        (dice.choice(WORDS), "\n" if dice.random() < 0.05 else " ")
        for _ in itertools.count()
    )
    made = ""
    for word in words:
        made += word
        if len(made) >= length:
            break
    return made[:length]


def line(size: int, dice: random.Random, keyed: bool = False) -> bytes:
    """A request with a system instruction and a configuration, of about that size."""
    request: dict[str, Any] = {
        "systemInstruction": {"parts": [{"text": "Answer in one word."}]},
        "contents": [{"role": "user", "parts": [{"text": ""}]}],
        "generationConfig": {"temperature": 0.2, "maxOutputTokens": 256},
    }
    rest = size - len(json.dumps(request))
    request["contents"][0]["parts"][0]["text"] = text(rest, dice)
    if keyed:
        key = f"id-{dice.getrandbits(60)}"
        return json.dumps({"key": key, "request": request}).encode()
    return json.dumps(request).encode()


def make(path: Path, size: int, megabytes: int, keyed: bool = False) -> None:
    """A file of different lines, repeated until it is large enough."""
    dice = random.Random(size)
    want = megabytes * 1_000_000
    if keyed:
        with path.open("wb") as out:
            while out.tell() < want:
                out.write(line(size, dice, keyed) + b"\n")
        return
    block = b"".join(line(size, dice) + b"\n" for _ in range(4_000_000 // size))
    with path.open("wb") as out:
        while out.tell() < want:
            out.write(block)


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        yield from iter(lambda: source.read(CHUNK), b"")


def ours(path: Path, rows: int | None = None) -> None:
    """Checks and stages."""
    checker = Checker(Rules(sources=(Location(bucket="inbox", prefix=""),)))
    with tempfile.TemporaryFile(buffering=0, dir=path.parent) as out:
        for block in checker.blocks(chunks(path)):
            out.write(block.staged)
    assert checker.rows.refused == 0
    assert checker.rows.accepted > 0


def per_line(parse: Callable[[bytes], Any]) -> Callable[..., None]:
    def run(path: Path, rows: int | None = None) -> None:
        with path.open("rb") as source:
            for each in itertools.islice(source, rows):
                parse(each)

    return run


def genai() -> Callable[[bytes], Any]:
    """The official SDK's model of a request."""
    from google.genai.types import InlinedRequest

    def parse(each: bytes) -> Any:
        # It has the system instruction and the configuration in one.
        request = json.loads(each)
        config = request.pop("generationConfig")
        config["systemInstruction"] = request.pop("systemInstruction")
        return InlinedRequest.model_validate({**request, "config": config})

    return parse


def seconds(run: Callable[..., None], path: Path, rows: int | None = None) -> float:
    start = time.perf_counter()
    run(path, rows)
    return time.perf_counter() - start


def _peak(path: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours(path)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(before, after) / 1024


def peak(path: Path) -> float:
    """The most memory, in MB, of a process that checks and stages the file."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (path,))


def measured(path: Path, size: int, rounds: int) -> dict[str, float]:
    """MB/s of each, the best of some rounds taken in turn, so that noise is shared."""
    import orjson

    total = path.stat().st_size
    # The slow ones get as many lines as take them about as long.
    runs: dict[str, tuple[Callable[..., None], int | None]] = {
        "batchdrop": (ours, None),
        "orjson": (per_line(orjson.loads), None),
        "json": (per_line(json.loads), max(1, total // size // 4)),
        "genai": (per_line(genai()), max(1, min(total // size, 20_000))),
    }
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, (run, rows) in runs.items():
            taken = seconds(run, path, rows)
            read = total if rows is None else rows * size
            best[name] = max(best.get(name, 0.0), read / taken / 1e6)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.preflight")
    parser.add_argument("--mb", type=int, default=100, help="size of the files")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many")
    parser.add_argument("--json", action="store_true", help="one object, last")
    chosen = parser.parse_args()

    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        peaks = []
        for name, size, keyed in (
            ("500 B", 500, False),
            ("5 KB", 5000, False),
            ("500 B, keyed", 500, True),
        ):
            # With keys one file is enough, for the memory that they take.
            make(path, size, min(chosen.mb, 100) if keyed else chosen.mb, keyed)
            if keyed:
                import orjson

                total = path.stat().st_size / 1e6
                found[name] = {
                    "batchdrop": max(total / seconds(ours, path) for _ in range(3)),
                    "orjson": max(
                        total / seconds(per_line(orjson.loads), path) for _ in range(3)
                    ),
                }
            else:
                found[name] = measured(path, size, chosen.rounds)
            peaks.append(peak(path))

    for name, speeds in found.items():
        print(f"lines of {name}, {chosen.mb} MB")
        for what, speed in speeds.items():
            ratio = found[name]["batchdrop"] / speed
            print(
                f"  {what:<10} {speed:8.1f} MB/s   batchdrop is {ratio:5.2f} times it"
            )
    print(f"peak memory {max(peaks):.0f} MB")
    if chosen.json:
        small, large = found["500 B"], found["5 KB"]
        outcome = {
            "mb_per_s": round(large["batchdrop"], 1),
            "mb_per_s_500": round(small["batchdrop"], 1),
            "orjson_ratio_5k": round(large["batchdrop"] / large["orjson"], 3),
            "orjson_ratio_500": round(small["batchdrop"] / small["orjson"], 3),
            "orjson_ratio_500_keyed": round(
                found["500 B, keyed"]["batchdrop"] / found["500 B, keyed"]["orjson"], 3
            ),
            "genai_ratio_500": round(small["batchdrop"] / small["genai"], 1),
            "peak_mb": round(max(peaks), 1),
        }
        print(json.dumps(outcome))


if __name__ == "__main__":
    main()

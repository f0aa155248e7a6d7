"""
Compares the check with parsers: `python -m tests.bench.preflight`.

All rules are on, and the checked lines are staged to a local file. The parsers get the
same lines, and drop the result.
"""

import argparse
import itertools
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from batchdrop.jobs.values import Location
from batchdrop.preflight import Checker, Rules
from batchdrop.preflight.fast import one_by_one

#: The most megabytes of a round: on a busy machine, many short rounds in turns measure
#: better than a few long ones.
TIMED = 40
#: Bytes read at a time, as from a bucket.
CHUNK = 8 * 1024 * 1024
WORDS = Path(__file__).read_text().split()


KEYED = b'{"key": "id-%(id)d", "request": %(request)b}'
COLUMNS = (
    b'{"key": "id-%(id)d", "customer": "c-%(id)d", "n": 1.50, "request": %(request)b}'
)
BODY = (
    b'{"custom_id": "id-%(id)d", "method": "POST", "url": "/v1/chat/completions", '
    b'"body": %(request)b}'
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What the lines of a file are like."""

    name: str
    size: int  #: of a request
    form: bytes = b"%(request)b"
    model: str = "gemini-3.8-flash"
    configuration: bytes | None = None  #: the job's, merged into each line's own
    bad: bool = False  #: all lines are bad, and none is explained
    varied: bool = False  #: each of them in another way
    own: bool = False  #: the rows' own keys and columns are kept, as the worker does

    @property
    def rules(self) -> Rules:
        return Rules(
            model=self.model,
            generation_config=self.configuration,
            sources=(Location(bucket="inbox", prefix=""),),
        )


SMALL, LARGE = Kind("500 B", 500), Kind("5 KB", 5000)
SMALL_KEYED = Kind("500 B, keyed", 500, form=KEYED)
LARGE_KEYED = Kind("5 KB, keyed", 5000, form=KEYED)
#: These are timed beside orjson alone.
MERGED = Kind(
    "500 B, with a configuration that the job's is merged into",
    500,
    configuration=b'{"temperature": 0.5, "topP": 0.9}',
)
TEXTS = Kind("500 B, to be embedded", 500, model="gemini-embedding-2")
KEYS = Kind("500 B, keyed, with the keys kept", 500, form=KEYED, own=True)
OWN = Kind("500 B, keyed, with two columns, all kept", 500, form=COLUMNS, own=True)
NOT_KEPT = Kind("500 B, keyed, with two columns, none kept", 500, form=COLUMNS)
OPEN = Kind("500 B, OpenAI-style", 400, form=BODY, model="publishers/meta/models/llama")
BAD, LARGE_BAD = (
    Kind(f"{each.name}, all bad", each.size, bad=True) for each in (SMALL, LARGE)
)
VARIED = Kind("500 B, all bad, each in another way", 500, bad=True, varied=True)
MORE = {
    "bad": BAD,
    "large_bad": LARGE_BAD,
    "varied": VARIED,
    "merged": MERGED,
    "embedding": TEXTS,
    "open": OPEN,
    "keys_kept": KEYS,
    "columns_kept": OWN,
    "columns_not_kept": NOT_KEPT,
}


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


def line(kind: Kind, dice: random.Random) -> bytes:
    """A request of about that size, with what requests have beside the prompt."""
    prompt: dict[str, Any] = {"text": ""}
    request: dict[str, Any]
    if kind is TEXTS:
        request = prompt
    elif kind is OPEN:
        prompt = {"role": "user", "content": ""}
        system = {"role": "system", "content": "Answer in one word."}
        request = {"messages": [system, prompt], "max_tokens": 256}
    else:
        request = {
            "systemInstruction": {"parts": [{"text": "Answer in one word."}]},
            "contents": [{"role": "user", "parts": [prompt]}],
            "generationConfig": {"temperature": 0.2, "maxOutputTokens": 256},
        }
    if kind.varied:
        spoil(request, dice)
    elif kind.bad:
        request["contents"][0]["role"] = "me"
    rest = kind.size - len(json.dumps(request))
    prompt["content" if kind is OPEN else "text"] = text(rest, dice)
    return json.dumps(request).encode()


def spoil(request: dict[str, Any], dice: random.Random) -> None:
    """Makes a request bad in a way of its own."""
    name, word = f"n{dice.getrandbits(40)}", f"w{dice.getrandbits(40)}"
    config, (content,) = request["generationConfig"], request["contents"]
    match dice.randrange(6):
        case 0:
            request[name] = word
        case 1:
            config[name] = 1
        case 2:
            config["mediaResolution"] = word
        case 3:
            request["labels"] = {name: "x"}
            content["role"] = word
        case 4:
            request["labels"] = {name: None}
        case _:
            request["labels"] = {name: "x"}
            del content["role"]


def make(path: Path, kind: Kind, megabytes: int) -> None:
    """A file of different requests, repeated until it is large enough."""
    dice = random.Random(kind.size)
    some = [line(kind, dice) for _ in range(4_000_000 // kind.size)]
    want = megabytes * 1_000_000
    with path.open("wb") as out:
        while out.tell() < want:
            out.writelines(
                kind.form % {b"id": dice.getrandbits(60), b"request": one} + b"\n"
                for one in some
            )


def chunks(path: Path, rows: int | None = None) -> Iterator[bytes]:
    with path.open("rb") as source:
        if rows is None:
            yield from iter(lambda: source.read(CHUNK), b"")
        else:
            yield b"".join(itertools.islice(source, rows))


def ours(
    path: Path, rows: int | None = None, kind: Kind = SMALL, without: str = ""
) -> None:
    """
    Checks and stages.

    Args:
        without: "fast": without all fast paths; "runs": without `GoodLines.runs`.
    """
    explained = 0 if kind.bad else None
    checker = Checker(kind.rules, explained, fast=without != "fast", own=kind.own)
    if without == "runs" and checker._good:
        checker._good._cutter = lambda *_: None  # type: ignore[method-assign]
        checker._good.runs = lambda _, texts: one_by_one(texts)  # type: ignore
    with (
        tempfile.TemporaryFile(buffering=0, dir=path.parent) as out,
        tempfile.TemporaryFile(buffering=0, dir=path.parent) as beside,
    ):
        for block in checker.blocks(chunks(path, rows)):
            out.write(block.staged)
            if block.own:
                beside.write(block.own)
    found = checker.rows
    assert 0 < found.total == (found.refused if kind.bad else found.accepted)


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
        request = request.get("request", request)
        config = request.pop("generationConfig")
        config["systemInstruction"] = request.pop("systemInstruction")
        return InlinedRequest.model_validate({**request, "config": config})

    return parse


def cpu_seconds(run: Callable[..., None], path: Path, rows: int | None) -> float:
    """The CPU time of this process, whatever else the machine does."""
    start = time.process_time()
    run(path, rows)
    return time.process_time() - start


@dataclass(frozen=True, slots=True)
class Whole:
    """How a process of its own has checked a whole file."""

    mb_per_s: float
    peak_mb: float  #: the most memory that the process ever had


def _whole(path: Path) -> Whole:
    start = time.perf_counter()
    ours(path)
    taken = time.perf_counter() - start
    return Whole(path.stat().st_size / taken / 1e6, peak_mb())


def peak_mb() -> float:
    """
    The most memory that this process has had. Except on Linux, it includes what the
    process had before it became this program.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)


def whole(path: Path) -> Whole:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_whole, (path,))


def measured(
    path: Path, kind: Kind, rounds: int, without: bool = False
) -> dict[str, float]:
    """MB per second of CPU time: the best of some rounds, in which all take turns."""
    import orjson

    total = path.stat().st_size
    # The slow ones get as many lines as take them about as long.
    runs: dict[str, tuple[Callable[..., None], int | None]] = {
        "batchdrop": (partial(ours, kind=kind), None),
        "orjson": (per_line(orjson.loads), None),
    }
    if without:
        # These take up to fifty times as long as with the fast paths.
        few = max(1, total // kind.size // 50)
        runs["no fast path"] = partial(ours, kind=kind, without="fast"), few
        if not kind.bad:
            runs["no runs"] = partial(ours, kind=kind, without="runs"), None
    elif kind not in MORE.values():
        runs["json"] = per_line(json.loads), max(1, total // kind.size // 4)
        runs["genai"] = per_line(genai()), max(1, min(total // kind.size, 2_000))
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, (run, rows) in runs.items():
            taken = cpu_seconds(run, path, rows)
            read = total if rows is None else rows * kind.size
            best[name] = max(best.get(name, 0.0), read / taken / 1e6)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.preflight")
    parser.add_argument("--mb", type=int, default=100, help="size of the files")
    parser.add_argument(
        "--rounds", type=int, default=9, help="take the best of this many rounds"
    )
    parser.add_argument(
        "--without-fast",
        action="store_true",
        help="instead of all else: with and without the fast paths of the check",
    )
    parser.add_argument("--json", action="store_true", help="one object, last")
    chosen = parser.parse_args()

    ratios: dict[Kind, dict[str, float]] = {}
    speeds: dict[Kind, float] = {}
    peaks: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requests.jsonl"
        kinds = (SMALL, LARGE, SMALL_KEYED, LARGE_KEYED)
        # First, before large files keep the disk busy.
        for kind in (*kinds, *MORE.values()):
            make(path, kind, min(chosen.mb, TIMED))
            found = measured(path, kind, chosen.rounds, chosen.without_fast)
            speeds[kind] = found["batchdrop"]
            ratios[kind] = {who: found["batchdrop"] / its for who, its in found.items()}
            print(f"lines of {kind.name}")
            for who, its in found.items():
                ratio = f"batchdrop is {ratios[kind][who]:5.2f} times it"
                print(f"  {who:<10} {its:8.1f} MB/s   {ratio}")
        if chosen.without_fast:
            return
        for kind in kinds:
            print(f"lines of {kind.name}, a file in one go")
            for size in sorted({min(chosen.mb, 10), chosen.mb}):
                make(path, kind, size)
                done = whole(path)
                peaks[size] = max(peaks.get(size, 0.0), done.peak_mb)
                print(
                    f"  {size:>5} MB {done.mb_per_s:10.1f} MB/s, "
                    f"at most {done.peak_mb:.0f} MB of memory"
                )
    if chosen.json:
        outcome = {
            "mb_per_s": round(speeds[LARGE], 1),
            "mb_per_s_500": round(speeds[SMALL], 1),
            "mb_per_s_500_keyed": round(speeds[SMALL_KEYED], 1),
            "orjson_ratio_5k": round(ratios[LARGE]["orjson"], 3),
            "orjson_ratio_500": round(ratios[SMALL]["orjson"], 3),
            "orjson_ratio_5k_keyed": round(ratios[LARGE_KEYED]["orjson"], 3),
            "orjson_ratio_500_keyed": round(ratios[SMALL_KEYED]["orjson"], 3),
            "genai_ratio_500": round(ratios[SMALL]["genai"], 1),
            "genai_ratio_500_keyed": round(ratios[SMALL_KEYED]["genai"], 1),
            "peak_mb": round(peaks[chosen.mb], 1),
            "peak_mb_of_10_mb": round(peaks[min(chosen.mb, 10)], 1),
            "mb_per_s_500_bad": round(speeds[BAD], 1),
            "orjson_ratio_5k_bad": round(ratios[LARGE_BAD]["orjson"], 3),
            **{
                f"orjson_ratio_500_{name}": round(ratios[kind]["orjson"], 3)
                for name, kind in MORE.items()
                if kind is not LARGE_BAD
            },
        }
        print(json.dumps(outcome))


if __name__ == "__main__":
    main()

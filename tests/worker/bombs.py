"""
Small files that are large when they are decoded, each read in this process, which first
limits its own memory: `python -m tests.worker.bombs`.
"""

import gzip
import resource
from collections.abc import Callable
from typing import Any

#: A function has 512 MiB, and reads up to four files at once.
MEMORY = 460 * 2**20
#: Bytes of a line, just under the limit.
FULL = 19_800_000
#: Bytes that a report may have: texts in it are cut.
REPORT = 7_000_000

HI = b'"contents":[{"role":"user","parts":[{"text":"hi"}]}]'
SAID = b'{"contents":[{"role":"user","parts":[{"text":"%b"}]}]}'
CALL = (
    b'{"contents":[{"role":"user","parts":[{"functionCall":{"name":"f","args":%b}}]}]}'
)
TOOL = (
    b'{%b,"labels":null,"tools":'
    b'[{"functionDeclarations":[{"name":"f","parametersJsonSchema":%b}]}]}'
)


def listed(item: bytes) -> bytes:
    return b"[" + (item + b",") * (FULL // (len(item) + 1)) + item + b"]"


def nested(name: bytes, levels: int, inner: bytes) -> bytes:
    return (b'{"' + name + b'":') * levels + inner + b"}" * levels


def packed(times: int, data: bytes) -> bytes:
    for _ in range(times):
        data = gzip.compress(data, 1)
    return data


Bomb = tuple[Callable[[], bytes], dict[str, Any], str]
DEVELOPER = {"backend": "developer"}

#: How each is made, the rules that it is read by, and what becomes of it.
BOMBS: dict[str, Bomb] = {
    "objects": (lambda: b'{"src":' + listed(b"{}") + b"}", {}, "too_many_values"),
    "contents": (
        lambda: b'{"contents":' + listed(b'{"role":"user","parts":[{}]}') + b"}",
        {},
        "too_many_values",
    ),
    "texts": (lambda: CALL % listed(b'""'), DEVELOPER, "too_many_values"),
    "lists": (lambda: CALL % listed(b"[[1,[]]]"), DEVELOPER, "too_many_values"),
    "a column": (
        lambda: packed(2, b'{"request":{%b},"x":%b}' % (HI, listed(b"[]"))),
        {},
        "too_many_values",
    ),
    "marks in a text": (lambda: SAID % (b"[{,:" * (FULL // 4)), {}, "sent"),
    "quotes in a text": (lambda: SAID % (rb"\"" * (FULL // 2)), {}, "sent"),
    "an emoji": (lambda: SAID % ("\U0001f600".encode() + b"x" * FULL), {}, "sent"),
    "long names": (
        lambda: CALL % nested(b"x" * 80_000, 200, b"1"),
        DEVELOPER,
        "sent",
    ),
    "deep, to be mended": (
        lambda: TOOL % (HI, nested(b"x", 400, b'"' + b"x" * 19_000_000 + b'"')),
        {"fix": True},
        "too_deep",
    ),
    "no UTF-8": (lambda: b"\xff" * FULL, {}, "not_utf8"),
    "NUL": (lambda: b"\0" * FULL, {}, "not_json"),
    "packed": (lambda: packed(1, b"x" * 150_000_000), {}, "too_long"),
    "packed twice": (lambda: packed(2, b"x" * 150_000_000), {}, "too_long"),
    "packed four times": (lambda: packed(4, b"{}"), {}, "bad_gzip"),
}


def read(data: bytes, chosen: dict[str, Any]) -> str:
    from batchdrop.errors import NotReadable
    from batchdrop.preflight import Rules
    from batchdrop.reading import BadRows, Limits, Reading

    reading = Reading(Rules(**chosen), Limits(rows=None, bytes=10**9))
    report: list[int] = []
    try:
        for _ in reading.pieces([("", iter([data]))], lambda x: report.append(len(x))):
            pass
    except NotReadable as exc:
        return exc.code
    except BadRows:
        return reading.faults[0].code if sum(report) < REPORT else "a large report"
    return "sent"


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for name, (make, chosen, _) in BOMBS.items():
        print(f"{name}: {read(make(), chosen)}", flush=True)


if __name__ == "__main__":
    main()

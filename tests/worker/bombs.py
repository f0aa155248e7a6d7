"""
Reads small files that become large when they are decoded, in a process that limits its
own memory first: `python -m tests.worker.bombs lines`, `choices` or `events`. Of
`lines`, only those that are named after it, if any are.
"""

import gzip
import io
import logging
import os
import resource
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from pathlib import Path
from typing import Any

#: A function has 512 MiB, and reads up to four files at once.
MEMORY = 460 * 2**20
#: Bytes of a line, just under the limit.
FULL = 19_800_000
#: The most bytes of a report, whose texts are cut.
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

#: What makes each, the rules to read it by, and the outcome.
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
    from batchdrop.worker.reading import BadRows, Limits, Reading

    reading = Reading(Rules(**chosen), Limits(rows=None, bytes=10**9))
    report: list[int] = []
    try:
        for _ in reading.pieces([("", iter([data]))], lambda x: report.append(len(x))):
            pass
    except NotReadable as exc:
        return exc.code
    except BadRows:
        return reading.row_errors[0].code if sum(report) < REPORT else "a large report"
    return "sent"


def read_all() -> Iterator[tuple[str, object]]:
    for name in sys.argv[2:] or BOMBS:
        make, chosen, _ = BOMBS[name]
        yield name, read(make(), chosen)


# -- choices for a file ------------------------------------------------

#: Metadata of an object. Cloud Storage accepts 8 KiB.
METADATA: dict[str, Callable[[], dict[str, str]]] = {
    "deep": lambda: {"batchdrop-generation-config": '{"a":' * 4_000_000},
    "wide config": lambda: {
        "batchdrop-generation-config": '{"a":[' + "{}," * 6_000_000 + "{}]}"
    },
    "wide": lambda: {"batchdrop-labels": "a=b," * 5_000_000},
    "long": lambda: {"batchdrop-display-name": "x" * FULL},
    "many": lambda: {f"batchdrop-{n}": "" for n in range(300_000)},
    "a long name": lambda: {"batchdrop-" + "x" * FULL: ""},
}
#: Files of routes. The limit is half a megabyte.
ROUTES: dict[str, Callable[[], bytes]] = {
    "deep": lambda: b"a=" + b"[" * 400_000,
    "deep tables": lambda: b"[" + b"a." * 5_000 + b"a]",
    "wide": lambda: b"a=[" + b"{}," * 160_000 + b"]",
    "many": lambda: b"[[route]]\n" * 49_000,
    "large": lambda: b"#" * FULL,
}


def choose_all() -> Iterator[tuple[str, object]]:
    from batchdrop.errors import BadChoice, BadSetting
    from batchdrop.options.resolve import choose
    from batchdrop.options.routes import Routes
    from batchdrop.options.settings import Settings
    from tests.rules.test_settings import ENOUGH

    settings = Settings.from_env(ENOUGH)
    for name, metadata in METADATA.items():
        try:
            choose(
                settings, Routes.none(), "a.jsonl", metadata=metadata(), manifest=None
            )
            yield f"metadata, {name}", "taken"
        except BadChoice as exc:
            yield f"metadata, {name}", exc.code if len(str(exc)) < 2_000 else "long"
    for name, text in ROUTES.items():
        try:
            Routes.parse(text(), "routes.toml")
            yield f"routes, {name}", "taken"
        except BadSetting as exc:
            yield f"routes, {name}", "refused" if len(str(exc)) < 9_000 else "long"


# -- events -----------------------------------------------------------------------

MAIN = Path(__file__).parents[2] / "functions" / "main.py"
IS_EVENT = {
    "ce-id": "1",
    "ce-source": "//storage.googleapis.com/projects/_/buckets/inbox",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.storage.object.v1.finalized",
    "content-type": "application/json",
}
STRUCTURED = {"content-type": "application/cloudevents+json"}
LONG = "x" * 5_000_000


class Body(io.RawIOBase):
    """A request body that is generated while it is read."""

    def __init__(self, head: bytes, item: bytes, times: int, tail: bytes) -> None:
        self._pieces = chain([head], repeat(item, times), [tail])
        self._held = b""
        self.size = len(head) + len(item) * times + len(tail)

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._held = piece
        taken = self._held[: len(into)]
        into[: len(taken)] = taken
        self._held = self._held[len(taken) :]
        return len(taken)


#: Bodies and headers. Eventarc sends at most 512 KB; Cloud Run accepts 32 MiB.
EVENTS: dict[str, tuple[Callable[[], Body], dict[str, str]]] = {
    "large": (lambda: Body(b'{"name":"', b"x" * 10**6, 30, b'"}'), IS_EVENT),
    "large, wide": (lambda: Body(b"[", b"{}," * 10**6, 10, b"1]"), IS_EVENT),
    "deep": (lambda: Body(b"", b"[" * 10**6, 1, b""), IS_EVENT),
    "deep objects": (lambda: Body(b"", b'{"a":' * 200_000, 1, b""), IS_EVENT),
    "wide": (lambda: Body(b"[", b"{}," * 349_000, 1, b"1]"), IS_EVENT),
    "wide, structured": (
        lambda: Body(b'{"data":[', b"[]," * 349_000, 1, b"1]}"),
        STRUCTURED,
    ),
    "digits": (lambda: Body(b'{"generation":', b"9" * 10**6, 1, b"}"), IS_EVENT),
    "a long header": (
        lambda: Body(b"{}", b"", 0, b""),
        IS_EVENT | {"ce-subject": LONG},
    ),
    "a long trace": (
        lambda: Body(b"{}", b"", 0, b""),
        IS_EVENT | {"traceparent": LONG},
    ),
}


def deliver_all() -> Iterator[tuple[str, object]]:
    """Sends each event four times at once, twice without a Content-Length."""
    import functions_framework

    from tests.rules.test_settings import ENOUGH

    os.environ.update(ENOUGH)
    app = functions_framework.create_app("on_upload", str(MAIN))
    logging.disable()

    def post(name: str, with_size: bool) -> int:
        make, headers = EVENTS[name]
        body = make()
        environ = {
            "wsgi.input": body,
            "wsgi.input_terminated": True,
            "CONTENT_LENGTH": str(body.size) if with_size else "",
        }
        answer = app.test_client().post("/", headers=headers, environ_overrides=environ)
        return int(answer.status_code)

    with ThreadPoolExecutor(4) as pool:
        for name in EVENTS:
            yield name, set(pool.map(post, [name] * 4, [True, False] * 2))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    kinds = {"lines": read_all, "choices": choose_all, "events": deliver_all}
    for name, end in kinds[sys.argv[1]]():
        print(f"{name}: {end}", flush=True)


if __name__ == "__main__":
    main()

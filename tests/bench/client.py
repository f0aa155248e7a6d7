"""
How fast the Batches client is, compared with the official SDK and with bare httpx.

    python -m tests.bench.client [--rounds N] [--seconds S] [--json]

One local server, in a process of its own, answers all clients with the same bytes. The
clients take turns in short rounds, and each figure is the best of its rounds: other
work on the machine can only make a round slower.

The floor is the least that a program with one fixed request does: a bare httpx.Client,
and msgspec for the answer. `--json` prints one object as the last line.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PAGE = 100
PAGES = 5

IMPORTS = {
    "batchdrop": "from batchdrop import Client, JobState",
    "google-genai": (
        "from google.genai import Client; from google.genai.types import JobState"
    ),
}


# The server.


def job(number: int) -> dict[str, Any]:
    """A finished job, as Vertex describes one."""
    return {
        "name": f"projects/27988/locations/us-central1/batchPredictionJobs/{number}",
        "displayName": f"nightly translation {number}",
        "model": "publishers/google/models/gemini-3.8-flash",
        "inputConfig": {
            "instancesFormat": "jsonl",
            "gcsSource": {"uris": [f"gs://inbox/2026/{number}/requests.jsonl"]},
        },
        "outputConfig": {
            "predictionsFormat": "jsonl",
            "gcsDestination": {"outputUriPrefix": f"gs://outbox/2026/{number}"},
        },
        "outputInfo": {
            "gcsOutputDirectory": f"gs://outbox/2026/{number}/prediction-model-2026"
        },
        "state": "JOB_STATE_SUCCEEDED",
        "completionStats": {"successfulCount": "2000", "failedCount": "3"},
        "createTime": "2026-02-28T08:22:22.313780Z",
        "startTime": "2026-02-28T08:23:22.313780Z",
        "endTime": "2026-02-28T08:33:22.313780Z",
        "updateTime": "2026-02-28T08:33:22.313780Z",
        "labels": {"team": "translation", "batchdrop_job": "k3j4h5"},
        "encryptionSpec": {},
        "modelVersionId": "1",
    }


class _Answers(asyncio.Protocol):
    line = b'{"request":{"contents":[{"role":"user","parts":[]}]}}\n'
    one = json.dumps(job(7737084104264384512)).encode()
    pages = [  # noqa: RUF012
        json.dumps(
            {"batchPredictionJobs": [job(10**18 + n) for n in range(PAGE)]}
            | ({"nextPageToken": str(page + 1)} if page + 1 < PAGES else {})
        ).encode()
        for page in range(PAGES)
    ]

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while b"\r\n\r\n" in self._held:
            head, _, rest = self._held.partition(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line[15:])
            if len(rest) < length:
                return
            self._held = rest[length:]
            body = self._body(head.split(b" ", 2))
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )

    def _body(self, request: list[bytes]) -> bytes:
        method, target = request[0], request[1]
        if b"/o/in.jsonl" in target:
            return self.line
        if method != b"GET" or target.partition(b"?")[0].rpartition(b"/")[2].isdigit():
            return self.one
        _, found, token = target.partition(b"pageToken=")
        return self.pages[int(token.partition(b"&")[0])] if found else self.pages[0]


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answers, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def serving() -> Iterator[str]:
    """Runs the server in a process of its own, and yields its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.client", "--serve"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


# The clients, each as {"create" | "get" | "list": a call}.


def _calls(client: Any, **config: Any) -> dict[str, Callable[[], Any]]:
    config |= {"dest": "gs://outbox/2026/1", "display_name": "nightly"}
    return {
        "create": lambda: _create(client, config),
        "get": lambda: client.batches.get(name="7737084104264384512"),
        "list": lambda: sum(1 for _ in client.batches.list(config={"page_size": PAGE})),
    }


def _create(client: Any, config: dict[str, Any]) -> Any:
    return client.batches.create(
        model="gemini-3.8-flash", src="gs://inbox/in.jsonl", config=config
    )


def _floor(url: str) -> dict[str, Callable[[], Any]]:
    import httpx
    import msgspec

    from batchdrop.batches.vertex import _Job, _Page

    http = httpx.Client()
    parent = f"{url}/v1beta1/projects/p/locations/us-central1/batchPredictionJobs"
    headers = {"authorization": "Bearer t", "content-type": "application/json"}
    one = msgspec.json.Decoder(_Job, strict=False)
    page = msgspec.json.Decoder(_Page, strict=False)
    body = msgspec.json.encode({"displayName": "nightly", "model": "m"})

    def walk() -> int:
        count, token = 0, ""
        while True:
            answer = http.get(f"{parent}?pageSize={PAGE}{token}", headers=headers)
            read = page.decode(answer.content)
            for raw in read.batch_prediction_jobs or ():
                one.decode(raw)
                count += 1
            if not read.next_page_token:
                return count
            token = f"&pageToken={read.next_page_token}"

    return {
        "create": lambda: one.decode(
            http.post(parent, content=body, headers=headers).content
        ),
        "get": lambda: one.decode(
            http.get(f"{parent}/7737084104264384512", headers=headers).content
        ),
        "list": walk,
    }


def _clients(url: str) -> dict[str, dict[str, Callable[[], Any]]]:
    from tests.client.official import VERTEX, ours, theirs

    return {
        # The others don't read a file before they submit its address.
        "batchdrop": _calls(ours(url, VERTEX), as_is=True),
        "google-genai": _calls(theirs(url, VERTEX)),
        "floor": _floor(url),
    }


def _per_second(call: Callable[[], Any], seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        call()
        done += 1
    return done / took


def calls(url: str, rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Calls a second (for `list`, jobs a second), by operation and client."""
    clients = _clients(url)
    figures: dict[str, dict[str, float]] = {}
    for operation in ("create", "get", "list"):
        seen: dict[str, list[float]] = {name: [] for name in clients}
        for ours in clients.values():
            ours[operation]()  # the connection is made outside the measurement
        for _ in range(rounds):
            for name, ours in clients.items():
                seen[name].append(_per_second(ours[operation], seconds))
        times = PAGE * PAGES if operation == "list" else 1
        figures[operation] = {name: max(rates) * times for name, rates in seen.items()}
    return figures


def creates_that_read_the_file(url: str, rounds: int, seconds: float) -> float:
    """
    `create` calls a second that read the file's first line; not a promised figure.
    """
    from tests.client.official import VERTEX, ours

    os.environ["STORAGE_EMULATOR_HOST"] = url
    with ours(url, VERTEX) as client:
        _create(client, {})
        return max(
            _per_second(lambda: _create(client, {}), seconds) for _ in range(rounds)
        )


async def async_calls(url: str, rounds: int, seconds: float) -> dict[str, float]:
    """`get` calls a second from asyncio, 20 at once; not a promised figure."""
    from google import genai

    from batchdrop import Client
    from tests.client.official import VERTEX, ours, theirs

    clients: dict[str, Client | genai.Client] = {
        "batchdrop": ours(url, VERTEX),
        "google-genai": theirs(url, VERTEX),
    }
    seen: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(rounds + 1):
        for name, client in clients.items():
            done, began = 0, time.perf_counter()
            while (took := time.perf_counter() - began) < seconds:
                await asyncio.gather(
                    *(client.aio.batches.get(name="7737") for _ in range(20))
                )
                done += 20
            seen[name].append(done / took)
    for client in clients.values():
        await client.aio.aclose()
        client.close()
    return {name: max(rates[1:]) for name, rates in seen.items()}


# Imports, each in a process of its own.

_IMPORT = """
import time
def memory():
    with open("/proc/self/status") as status:
        return next(int(l.split()[1]) for l in status if l.startswith("VmRSS")) / 1024
before, began = memory(), time.perf_counter()
{statement}
took, grown = time.perf_counter() - began, memory() - before
client = Client(vertexai=True, project="p", location="l", http_options=
                {{"base_url": "{url}"}}, credentials=__import__(
                "tests.client.credential", fromlist=["x"]).Token())
client.batches.get(name="7")
print(took * 1000, grown, (time.perf_counter() - began) * 1000)
"""


def imports(url: str, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds and MiB of an import, and milliseconds to the first answer."""
    seen: dict[str, list[tuple[float, ...]]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        for name, statement in IMPORTS.items():
            code = _IMPORT.format(statement=statement, url=url)
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=True
            )
            seen[name].append(tuple(map(float, done.stdout.split())))
    figures: dict[str, dict[str, float]] = {}
    for at, what in enumerate(("import_ms", "import_mib", "first_answer_ms")):
        figures[what] = {
            name: min(run[at] for run in runs) for name, runs in seen.items()
        }
    return figures


# The report.

_ROWS = {
    "import_ms": "import, ms",
    "import_mib": "memory of the import, MiB",
    "first_answer_ms": "import to first answer, ms",
    "create": "create, calls/s",
    "create_look": "create that reads gs://, calls/s",
    "get": "get, calls/s",
    "list": f"list ({PAGE} a page), jobs/s",
    "async_get": "get from asyncio, 20 at once, calls/s",
}


def ratios(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """The promised figures: how many times better, and how near the floor."""

    def times(what: str) -> float:
        return figures[what]["batchdrop"] / figures[what]["google-genai"]

    return {
        "import_ratio": round(1 / times("import_ms"), 2),
        "create_ratio": round(times("create"), 2),
        "get_ratio": round(times("get"), 2),
        "list_ratio": round(times("list"), 2),
        "get_floor_ratio": round(
            figures["get"]["batchdrop"] / figures["get"]["floor"], 2
        ),
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures side by side."""
    names = ("batchdrop", "google-genai", "floor")
    lines = [f"{'':38}" + "".join(f"{name:>14}" for name in names)]
    for what, label in _ROWS.items():
        cells = (figures[what].get(name) for name in names)
        shown = ("" if cell is None else f"{cell:,.1f}" for cell in cells)
        lines.append(f"{label:38}" + "".join(f"{cell:>14}" for cell in shown))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.client",
        description="Compares the Batches client with the official SDK and bare httpx.",
    )
    parser.add_argument("--rounds", type=int, default=12, help="of each measurement")
    parser.add_argument("--seconds", type=float, default=0.2, help="of one round")
    parser.add_argument("--json", action="store_true", help="one object, last")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(_serve())
        return
    # Settings in the environment would change what is measured.
    for name in [n for n in os.environ if n.startswith(("GOOGLE_", "GEMINI_"))]:
        del os.environ[name]
    with serving() as url:
        figures = imports(url, asked.rounds) | calls(url, asked.rounds, asked.seconds)
        reading = creates_that_read_the_file(url, asked.rounds, asked.seconds)
        figures["create_look"] = {"batchdrop": reading}
        figures["async_get"] = asyncio.run(
            async_calls(url, asked.rounds, asked.seconds)
        )
    print(table(figures))
    print()
    for name, value in ratios(figures).items():
        print(f"{name:18}{value:8.2f}")
    if asked.json:
        print(json.dumps({**ratios(figures), "figures": figures}))


if __name__ == "__main__":
    main()

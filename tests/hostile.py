"""Files and events made to stop a worker, dropped among good ones."""

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: In the text of each file that can hold it. No log, document or message may have it.
CANARY = "zqsoakcanary"
#: Bytes of a large line, just under the limit; a manifest may have half of that.
FULL = 19_800_000

_CONTENTS = '"contents":[{"role":"user","parts":[{"text":"hi"}]}]'
_GOOD = f"{{{_CONTENTS}}}\n".encode()
_OF_MANIFESTS = ".job.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """
    A file, and its outcome.

    end: the code that it is rejected with, or "ended" for a good file.
    name: added before the suffix of the object's name.
    metadata: the object's.
    """

    data: Callable[[], bytes]
    end: str
    suffix: str = ".jsonl"
    name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def _repeated(item: bytes, size: int = FULL) -> bytes:
    """A JSON array of about this many bytes."""
    return b"[" + b",".join([item] * (size // (len(item) + 1))) + b"]"


def _packed(data: bytes, times: int = 1) -> bytes:
    for _ in range(times):
        data = gzip.compress(data, 1)
    return data


def _manifest(src: Any = None, end: str = "bad_manifest", **config: Any) -> Hostile:
    members = {"src": src} if src is not None else {}
    text = json.dumps(members | ({"config": config} if config else {}))
    return Hostile(data=text.encode, end=end, suffix=_OF_MANIFESTS)


def _bad(data: Callable[[], bytes], end: str = "bad_rows", **more: Any) -> Hostile:
    return Hostile(data=data, end=end, **more)


def _many_bad_kinds() -> bytes:
    lines = [
        b"not json",
        b"\xff\xfe",
        b"[]",
        b'{"contents":7}',
        b'{"request":{"contents":[]}}',
        b'{"custom_id":"a","method":"POST","url":"/v1/x","body":{}}',
        b'{"%b":1}' % CANARY.encode(),
        b'{"contents":[{"role":"nobody","parts":[{"text":"x"}]}]}',
        b'{"contents":[{"parts":[{"nothing":1}]}],"x":'
        + b"[" * 500
        + b"]" * 500
        + b"}",
        b'{"key":{"a":1},"request":{%b}}' % _CONTENTS.encode(),
    ]
    return b"\n".join(lines * 3000) + b"\n"


def _signed(n: int = 0) -> str:
    return f"https://storage.googleapis.com/b/{n}.jsonl?X-Goog-Signature={CANARY}"


_REQUEST = json.loads(f"{{{_CONTENTS}}}")
#: Files by their description.
FILES: dict[str, Hostile] = {
    # -- manifests
    "9.9 MB of empty requests": _bad(
        lambda: b'{"src":' + _repeated(b"{}", FULL // 2) + b"}",
        "bad_manifest",
        suffix=_OF_MANIFESTS,
    ),
    "40,000 addresses": _manifest(
        [f"gs://elsewhere/{n}.jsonl" for n in range(40_000)], "not_allowed"
    ),
    "40,000 addresses in the inbox": _manifest(
        [f"gs://inbox.localhost/none-{n}.jsonl" for n in range(40_000)], "over_limit"
    ),
    "1.1 MB of generation_config": _manifest(
        [_REQUEST],
        "bad_manifest",
        generation_config={"stopSequences": ["x" * 1_100_000]},
    ),
    "60 long labels": _manifest(
        [_REQUEST], "bad_manifest", labels={f"l{n}": "é" * 500 for n in range(60)}
    ),
    "a manifest of brackets": _bad(
        lambda: b'{"src":' + b"[" * 5_000_000, "bad_manifest", suffix=_OF_MANIFESTS
    ),
    "a manifest over the limit": _bad(
        lambda: b'{"src":' + b" " * 25_000_000, "over_limit", suffix=_OF_MANIFESTS
    ),
    "a signed address": _manifest(_signed()),
    "signed addresses": _manifest([_signed(n) for n in range(100)]),
    "a password": _manifest(f"gs://u:{CANARY}@bucket/o.jsonl"),
    "another project's table": _manifest("bq://others.data.rows", "not_allowed"),
    "a table with a backtick": _manifest(f"bq://p.d.`t` WHERE {CANARY}"),
    "a table of 1 MB": _manifest(f"bq://p.d.{CANARY}" * 60_000),
    "wildcard tables": _manifest("bq://p.d.rows_*"),
    "another project's dataset": _manifest(
        "projects/others/locations/us-central1/datasets/7", "not_allowed"
    ),
    # -- lines
    "a line of many values": _bad(
        lambda: b'{"request":{%b},"x":%b}\n' % (_CONTENTS.encode(), _repeated(b"[]"))
    ),
    "the same, packed": _bad(
        lambda: _packed(
            b'{"request":{%b},"x":%b}\n' % (_CONTENTS.encode(), _repeated(b"[]"))
        )
    ),
    "the same, packed twice": _bad(
        lambda: _packed(
            b'{"request":{%b},"x":%b}\n' % (_CONTENTS.encode(), _repeated(b"{}")), 2
        )
    ),
    "a line of objects": _bad(
        lambda: b'{"contents":' + _repeated(b'{"role":"user","parts":[{}]}') + b"}\n"
    ),
    "a deep line": _bad(
        lambda: (
            b'{%b,"x":%b1%b}\n'
            % (_CONTENTS.encode(), b'{"a":' * 100_000, b"}" * 100_000)
        )
    ),
    "bad lines alone": _bad(lambda: b'{"contents": 7}\n' * 200_000),
    "short bad lines alone": _bad(lambda: b"x\n" * 1_000_000),
    "many kinds of bad lines": _bad(_many_bad_kinds, "not_utf8"),
    "UTF-16": _bad(lambda: (_GOOD * 1000).decode().encode("utf-16"), "not_utf8"),
    "NUL": _bad(lambda: b"\0" * 5_000_000),
    # -- packing
    "150 MB packed into 650 kB": _bad(lambda: _packed(b"x" * 150_000_000)),
    "150 MB packed twice": _bad(lambda: _packed(b"x" * 150_000_000, 2)),
    "packed four times": _bad(lambda: _packed(_GOOD, 4), "bad_gzip"),
    "cut gzip": _bad(
        lambda: _packed(_GOOD * 1000)[:-20], "bad_gzip", suffix=".jsonl.gz"
    ),
    # -- names and metadata
    "a name of 1,020 bytes": _bad(
        lambda: _GOOD, "name_too_long", name="é" * 480 + "x" * 40
    ),
    "a name with line feeds": Hostile(
        data=lambda: _GOOD, end="ended", name="a\nb\r\u2028c?d#e%41*"
    ),
    "an unknown key": _bad(
        lambda: _GOOD, "bad_metadata", metadata={"batchdrop-" + "x" * 1000: CANARY}
    ),
    "another's model": _bad(
        lambda: _GOOD, "not_allowed", metadata={"batchdrop-model": f"x/{CANARY}"}
    ),
    "a model with a path": _bad(
        lambda: _GOOD, "not_allowed", metadata={"batchdrop-model": "../../" + CANARY}
    ),
    "another's bucket": _bad(
        lambda: _GOOD,
        "not_allowed",
        metadata={"batchdrop-destination": f"gs://others/{CANARY}/"},
    ),
    "labels of 7 kB": _bad(
        lambda: _GOOD, "bad_metadata", metadata={"batchdrop-labels": CANARY * 600}
    ),
}


def _about(**members: Any) -> bytes:
    event = {"bucket": "inbox.localhost", "name": "x.jsonl", "generation": "1"}
    return json.dumps(event | {"size": "9"} | members).encode()


#: Bodies of events that can't become a job.
EVENTS: dict[str, bytes] = {
    "generation 0": _about(generation="0"),
    "a negative generation": _about(generation=-5),
    "a generation of 65 bits": _about(generation=str(2**64)),
    "a generation of 5,000 digits": _about(generation="9" * 5000),
    "a lone surrogate": _about(name="\ud800.jsonl"),
    "a long name": _about(name="é" * 600 + ".jsonl"),
    "a negative size": _about(size="-1"),
    "deep JSON": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "many values": b"[{}" + b",{}" * 300_000 + b"]",
    "no JSON": b"{broken",
    "nothing": b"",
    "2 MB": b'"' + b"x" * 2_000_000 + b'"',
}

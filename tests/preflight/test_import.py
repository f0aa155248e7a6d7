"""The import takes what passes here; what it refuses is a row error here."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.errors import NotReadable
from batchdrop.preflight import Checker, Rules
from batchsim import importing
from batchsim.formats import of_vertex_model
from batchsim.jobs import JobFailed
from batchsim.rows import Rows, scratch

#: Names that the import likes, and some that it doesn't.
names = st.sampled_from(
    [
        *("a", "b", "key", "topP", "top_p", "a-b", "_", "1a", "$defs", "a b", "", "ä"),
        *("A", "_table_x", "timeRangeFilter"),
    ]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def deep(draw: st.DrawFn) -> Any:
    """Nested objects, about as deep as the import allows."""
    value: Any = draw(scalars)
    for _ in range(draw(st.integers(11, 16))):
        value = {"a": value}
        if draw(st.booleans()):
            value = [value]
    return value


@dataclass(frozen=True)
class Family:
    """Lines for a kind of model, with any values in them."""

    model: str
    request: Callable[[dict[str, Any], str], Any]  #: of its members, and a text
    line: Callable[[Any, str], Any]  #: of a request, and a key

    @property
    def payload(self) -> str:
        """The member that the API requires in each line."""
        return of_vertex_model(self.model).payload


def _text_embedding(members: dict[str, Any], text: str) -> Any:
    # Of other members none are sent, so that they may be anything.
    title = dict(zip(["title"], members.values(), strict=False))
    return {**title, "content": text or "x"}


FAMILIES = {
    "gemini": Family(
        "publishers/google/models/gemini-3.8-flash",
        lambda members, text: {
            **members,
            "contents": [{"role": "user", "parts": [{"text": text}]}],
        },
        lambda request, key: {"request": request},
    ),
    "gemini, keyed": Family(
        "gemini-3.8-flash",
        lambda members, text: {
            **members,
            "contents": [{"role": "user", "parts": [{"text": text}]}],
        },
        lambda request, key: {"key": key, "request": request},
    ),
    "embeddings": Family(
        "publishers/google/models/gemini-embedding-2",
        lambda members, text: {**members, "content": {"parts": [{"text": text}]}},
        lambda request, key: {"key": key, "request": request},
    ),
    "text embeddings": Family(
        "publishers/google/models/text-embedding-005",
        _text_embedding,
        lambda request, key: request,
    ),
    "claude": Family(
        "publishers/anthropic/models/claude-sonnet-5-5",
        lambda members, text: {
            **members,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 9,
            "anthropic_version": "vertex-2023-10-16",
        },
        lambda request, key: {"custom_id": key, "request": request},
    ),
    "open models": Family(
        "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas",
        lambda members, text: {
            **members,
            "messages": [{"role": "user", "content": text}],
        },
        lambda request, key: {
            "custom_id": key,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": request,
        },
    ),
}
members = st.dictionaries(names, values | deep(), max_size=3)
texts = st.text(max_size=3)


def requests(family: Family) -> st.SearchStrategy[Any]:
    return st.builds(family.request, members, texts)


#: Lines that aren't even JSON, or a request, whatever the model.
NO_LINES = [
    b"",
    b"  ",
    b"[]",
    b"nope",
    b'{"PAYLOAD":',
    b'{"PAYLOAD": 1e999}',
    b'{"PAYLOAD": {"contents": [1e999]}}',
    rb'{"PAYLOAD": {"contents": "\ud800"}}',
    b'{"PAYLOAD": {"contents": "\xff"}}',
    b'{"PAYLOAD": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
    b'{"key": "a"}',
    b'{"PAYLOAD": {"messages": [{"content": "x"}], "n": null}, "custom_id": "a"}',
    b'{"PAYLOAD": {"content": {"parts": [{"text": {}}]}}, "key": "a"}',
]


@st.composite
def files(draw: st.DrawFn, family: Family) -> bytes:
    """
    Lines in the backend's form, some of them no lines, all of them twice: a decoder has
    been made of what was good by then. No key comes twice.
    """
    written = []
    some = draw(
        st.lists(requests(family) | st.sampled_from(NO_LINES), max_size=5),
    )
    for number, one in enumerate(some * 2):
        if isinstance(one, bytes):
            written.append(one.replace(b"PAYLOAD", family.payload.encode()))
            continue
        line = family.line(one, f"k{number}")
        ascii = draw(st.booleans())
        text = json.dumps(line, ensure_ascii=ascii)
        written.append(text.encode(errors="surrogatepass"))
    return b"\n".join(written)


def imported(text: bytes, family: Family) -> str | None:
    """Why the import refuses a file, if it does."""
    source = scratch()
    source.write(text)
    rows = Rows.of_file(source)
    try:
        importing.check(rows, family.payload, 200_000)
    except JobFailed as failed:
        return failed.status.message
    finally:
        rows.close()
    return None


def read(text: bytes, family: Family) -> tuple[bytes, set[int]]:
    """The staged lines of a file with any names, and the refused lines."""
    rules = Rules(model=family.model, unknown="allow")
    try:
        blocks = list(Checker(rules).blocks([text]))
    except NotReadable:  # as a whole, such as one in Latin-1: nothing of it is staged
        return b"", set(range(1, text.count(b"\n") + 2))
    staged = b"".join(block.staged for block in blocks)
    return staged, {one.line for block in blocks for one in block.refused}


each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@each_family
@given(st.data())
def test_what_is_staged_is_imported(family: Family, data: st.DataObject) -> None:
    text = data.draw(files(family))

    staged, _ = read(text, family)

    assert not staged or imported(staged, family) is None


@each_family
@given(st.data())
def test_a_line_that_the_import_refuses_has_a_row_error(
    family: Family, data: st.DataObject
) -> None:
    text = data.draw(files(family))

    _, refused = read(text, family)

    why = imported(text, family)
    match = re.search(r"Row (\d+)", why or "")
    if match:
        numbers = [n for n, line in enumerate(text.split(b"\n"), 1) if line.strip()]
        assert numbers[int(match[1]) - 1] in refused, why


@given(st.data())
def test_what_is_left_when_bad_lines_are_skipped_is_imported(
    data: st.DataObject,
) -> None:
    family = FAMILIES[data.draw(st.sampled_from(sorted(FAMILIES)))]
    some = data.draw(st.lists(requests(family), min_size=1, max_size=4))
    times = data.draw(st.integers(1, 12))
    text = b"\n".join(
        json.dumps(family.line(request, f"k{number}")).encode()
        for number, request in enumerate(some * times)
    )

    staged, _ = read(text, family)

    assert not staged or imported(staged, family) is None

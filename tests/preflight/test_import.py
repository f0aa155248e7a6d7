"""What passes here, the service's import takes; what it refuses, is told here."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchdrop.preflight import Checker, Rules
from batchsim import importing
from batchsim.jobs import JobFailed
from batchsim.rows import Rows, scratch

#: Names that the import likes, and some that it doesn't.
names = st.sampled_from(
    ["a", "b", "key", "topP", "top_p", "a-b", "_", "1a", "$defs", "a b", "", "ä"]
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
    """Objects within one another, about as deep as the import goes."""
    value: Any = draw(scalars)
    for _ in range(draw(st.integers(11, 16))):
        value = {"a": value}
        if draw(st.booleans()):
            value = [value]
    return value


requests = st.builds(
    lambda members, text: {
        **members,
        "contents": [{"role": "user", "parts": [{"text": text}]}],
    },
    st.dictionaries(names, values | deep(), max_size=3),
    st.text(max_size=3),
)
#: Lines that are requests, and some that are not even JSON.
lines = st.one_of(
    requests.map(lambda request: json.dumps({"request": request}).encode()),
    requests.map(
        lambda request: json.dumps({"request": request}, ensure_ascii=False).encode(
            errors="surrogatepass"
        )
    ),
    st.sampled_from(
        [
            b"",
            b"  ",
            b"[]",
            b"nope",
            b'{"request":',
            b'{"request": 1e999}',
            b'{"request": {"contents": [1e999]}}',
            rb'{"request": {"contents": "\ud800"}}',
            b'{"request": {"contents": "\xff"}}',
            b'{"request": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
            b'{"key": "a"}',
        ]
    ),
)
files = st.lists(lines, max_size=5).map(lambda some: b"\n".join(some * 2))


def imported(text: bytes) -> str | None:
    """Why the import refuses a file, if it does."""
    source = scratch()
    source.write(text)
    rows = Rows.of_file(source)
    try:
        importing.check(rows, "request", 200_000)
    except JobFailed as failed:
        return failed.status.message
    finally:
        rows.close()
    return None


def read(text: bytes) -> tuple[bytes, set[int]]:
    """What is staged of a file, and the lines that were refused."""
    blocks = list(Checker(Rules()).blocks([text]))
    staged = b"".join(block.staged for block in blocks)
    return staged, {one.line for block in blocks for one in block.refused}


@given(files)
def test_what_is_staged_is_imported(text: bytes) -> None:
    staged, _ = read(text)

    assert not staged or imported(staged) is None


@given(files)
def test_what_the_import_refuses_is_told_on_the_same_line(text: bytes) -> None:
    _, refused = read(text)

    why = imported(text)
    match = re.search(r"Row (\d+)", why or "")
    if match:
        numbers = [n for n, line in enumerate(text.split(b"\n"), 1) if line.strip()]
        assert numbers[int(match[1]) - 1] in refused, why


@given(st.lists(requests, min_size=1, max_size=4), st.integers(1, 12))
def test_what_is_left_when_bad_lines_are_skipped_is_imported(
    some: list[Any], times: int
) -> None:
    text = b"\n".join(json.dumps(request).encode() for request in some * times)

    staged, _ = read(text)

    assert not staged or imported(staged) is None

"""From bytes to lines: pieces, packing, byte order marks, line ends, long lines."""

import functools
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.errors import NotReadable
from batchdrop.preflight import Checker, Rules
from batchdrop.preflight.lines import LINE_LIMIT, split_lines, unpacked
from tests.often import mostly
from tests.preflight.reading import GOOD, file

#: The same bytes each time, as they name tests.
packed = functools.partial(gzip.compress, mtime=0)
LINES = file(GOOD, GOOD, GOOD)


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[i : i + size] for i in range(0, len(text), size)]


@given(st.lists(st.binary(max_size=12)), st.integers(1, 7))
def test_lines_are_the_same_however_the_bytes_arrive(
    parts: list[bytes], size: int
) -> None:
    text = b"\n".join(parts)

    found = [line for block in split_lines(pieces(text, size)) for line in block]

    lines = [line + b"\n" for line in text.split(b"\n")]
    lines[-1] = lines[-1].removesuffix(b"\n")
    assert found == (lines if lines[-1] else lines[:-1])


def test_a_long_line_is_stripped_without_a_copy() -> None:
    text = b"x" * 2_000_000 + b"\n" + b"y\n"

    found = [line for block in split_lines(pieces(text, 50_000)) for line in block]

    assert found == [b"x" * 2_000_000, b"y\n"]
    assert found[0].strip() is found[0]


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        LINES + b"\n",
        LINES + b"\n\n  \n",
        LINES.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + LINES,
        b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n") + b"\r\n",
        packed(LINES),
        packed(b"\xef\xbb\xbf" + LINES),
        packed(LINES[:50]) + packed(LINES[50:]),
        packed(LINES) + b"\0" * 512,
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 64, 1_000_000])
def test_a_file_is_read_however_it_was_saved(text: bytes, size: int) -> None:
    checker = Checker(Rules())

    sent = b"".join(block.staged for block in checker.blocks(pieces(text, size)))

    assert checker.rows.accepted == 3
    assert checker.rows.refused == 0
    assert json.loads(sent.splitlines()[0]) == {"key": "r0000001", "request": GOOD}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (packed(LINES)[:-4], "bad_gzip"),
        (packed(LINES)[:20], "bad_gzip"),
        (b"\x1f\x8bnot gzip at all", "bad_gzip"),
        (packed(LINES) + b"trailing", "bad_gzip"),
        (packed(b"x" * 2000), "too_large_unpacked"),
    ],
)
def test_a_file_that_can_not_be_unpacked_is_an_error(text: bytes, code: str) -> None:
    with pytest.raises(NotReadable) as caught:
        list(unpacked([text], most=1000))

    assert caught.value.code == code


def test_a_small_file_that_unpacks_to_a_huge_one_is_stopped_early() -> None:
    bomb = packed(b"\n" * 50_000_000)
    read: list[int] = []

    with pytest.raises(NotReadable, match="1,000,000"):
        read.extend(len(piece) for piece in unpacked([bomb], most=1_000_000))

    assert sum(read) <= 1_000_000


#: Of the sizes, the second cuts between the carriage return and the line feed.
SIZES = (1_000_000, LINE_LIMIT + 1)
ends_and_sizes = pytest.mark.parametrize(
    ("end", "size"),
    mostly(
        (b"", SIZES[0]),
        (b"\n", SIZES[0]),
        (b"\r\n", SIZES[1]),
        also=[(b"", SIZES[1]), (b"\n", SIZES[1]), (b"\r\n", SIZES[0])],
    ),
)


def long_line(size: int) -> bytes:
    head, tail = b'{"contents":[{"role":"user","parts":[{"text":"', b'"}]}]}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


@ends_and_sizes
def test_a_line_just_within_the_limit_is_read(end: bytes, size: int) -> None:
    checker = Checker(Rules())

    for block in checker.blocks(pieces(long_line(LINE_LIMIT) + end, size)):
        assert not block.refused

    assert checker.accepted == 1


@ends_and_sizes
def test_a_line_just_over_the_limit_is_refused(end: bytes, size: int) -> None:
    checker = Checker(Rules())
    text = long_line(LINE_LIMIT + 1) + end + file(GOOD)

    blocks = list(checker.blocks(pieces(text, size)))

    codes = [each.row_errors[0].code for block in blocks for each in block.refused]
    assert codes == ["too_long"]
    assert checker.accepted == (1 if end else 0)


def test_the_rest_of_a_line_beyond_the_limit_is_not_dropped_silently() -> None:
    """If it were cut at the limit, it would be a good line."""
    line = file(GOOD).ljust(LINE_LIMIT + 1) + b"garbage"
    checker = Checker(Rules())

    (block,) = checker.blocks([line])

    assert [refused.row_errors[0].code for refused in block.refused] == ["too_long"]

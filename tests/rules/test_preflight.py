"""What a row must be, and what is said of one that isn't."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.jobs import Fault
from batchdrop.preflight import LINE_LIMIT, Row, rows, split_lines

GOOD = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'


def faults(text: bytes) -> list[Fault]:
    return [row for row in rows([text]) if isinstance(row, Fault)]


def test_a_plain_request_is_wrapped_as_it_was_written() -> None:
    line = b'{ "contents" : [ 1 ], "n": 123456789012345678901234567890 }'

    (row,) = rows([line + b"\n"])

    assert isinstance(row, Row)
    assert row.wrapped() == b'{"key":"r0000001","request":' + line + b"}\n"


def test_a_wrapped_request_is_taken_out_of_its_wrapping() -> None:
    (row,) = rows([b'{"key": "mine", "request": %b, "more": 1}' % GOOD])

    assert isinstance(row, Row)
    assert row.request == GOOD


def test_a_row_is_named_after_its_line_blank_ones_counted() -> None:
    found = list(rows([b"\n" + GOOD + b"\r\n\n  \n" + GOOD]))

    assert [row.key for row in found if isinstance(row, Row)] == [
        "r0000002",
        "r0000005",
    ]


@pytest.mark.parametrize(
    ("line", "code", "path", "says"),
    [
        (b"nope", "not_json", "", "write one JSON object a line"),
        (b'{"contents": [1,]}', "not_json", "", "trailing comma"),
        (b'{"contents": [1]} {}', "not_json", "", "trailing characters"),
        (b'{"contents": ["', "not_json", "", "write one JSON object a line"),
        (b"[1, 2]", "not_an_object", "", "one JSON object a line"),
        (b'"text"', "not_an_object", "", "one JSON object a line"),
        (b'{"contents": ["\xff"]}', "not_utf8", "", "byte 16 is not UTF-8"),
        (b"{}", "no_contents", "", '{"contents":'),
        (b'{"prompt": "x"}', "no_contents", "", '{"contents":'),
        (b'{"request": {"prompt": 1}}', "no_contents", "request", '{"contents":'),
        (b'{"request": 7}', "not_an_object", "request", "must be a JSON object"),
        (b'{"contents": "x"}', "bad_contents", "contents", "must be an array"),
        (b'{"contents": [ ]}', "bad_contents", "contents", "not empty"),
        (b'{"request":{"contents":{}}}', "bad_contents", "request.contents", "array"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_place(
    line: bytes, code: str, path: str, says: str
) -> None:
    (fault,) = faults(GOOD + b"\n" + line + b"\n" + GOOD)

    assert (fault.line, fault.code, fault.path) == (2, code, path)
    assert says in fault.message


def test_a_line_without_end_is_refused_and_the_next_one_is_read() -> None:
    long = b'{"contents":["' + b"x" * (LINE_LIMIT + 1000) + b'"]}'

    found = list(rows([long[:1000], long[1000:] + b"\n" + GOOD]))

    assert [getattr(row, "code", "row") for row in found] == ["too_long", "row"]


@given(st.lists(st.binary(max_size=12)), st.integers(1, 7))
def test_lines_are_the_same_however_the_bytes_arrive(
    parts: list[bytes], size: int
) -> None:
    text = b"\n".join(parts)
    chunks = [text[i : i + size] for i in range(0, len(text), size)]

    lines = text.split(b"\n")
    assert list(split_lines(chunks)) == (lines if lines[-1] else lines[:-1])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_request_comes_out_of_its_wrapping_unchanged(value: object) -> None:
    line = json.dumps({"contents": [value]}).encode()

    (row,) = rows([line])

    assert isinstance(row, Row)
    wrapped = json.loads(row.wrapped())
    assert wrapped == {"key": "r0000001", "request": {"contents": [value]}}


@given(st.binary(max_size=40))
def test_no_line_whatever_breaks_the_reader(line: bytes) -> None:
    for row in rows([line]):
        assert isinstance(row, Row | Fault)

"""Finding rows in JSONL by ranges of its bytes."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.results import seeking
from batchdrop.results.seeking import (
    Found,
    NotReached,
    Row,
    Seeker,
    entry_after,
    entry_before,
    lines,
)

_HEADS = (b'{"id":"r%07d","line":1', b'{"custom_id":"r%07d"', b'{"line":%d')


def seeker(data: bytes) -> Seeker:
    def read(start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(data)
        return data[start:end]

    return Seeker(read, len(data))


@st.composite
def objects(draw: st.DrawFn) -> tuple[bytes, list[Row]]:
    """Lines of all lengths, with other lines between them; and where rows begin."""
    made = random.Random(draw(st.integers(0, 2**32)))
    head = draw(st.sampled_from(_HEADS))
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    longest = draw(st.sampled_from([0, 30, 300, 3000]))
    data, rows, number = bytearray(), [], 0
    for _ in range(draw(st.integers(0, 60))):
        number += made.choice([1, 1, 1, 2, 50])
        if made.random() < 0.2:
            data += made.choice([b"", b"  ", b"no row", b"x" * longest]) + end
        rows.append(Row(len(data), number))
        size = made.randint(0, longest) if made.random() < 0.8 else longest
        data += head % number + b',"x":"' + b"y" * size + b'"}' + end
    if data and draw(st.booleans()):
        del data[-len(end) :]
    return bytes(data), rows


@given(objects())
def test_each_row_is_found_and_each_other_number_has_its_neighbours(
    made: tuple[bytes, list[Row]],
) -> None:
    data, rows = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeking, "WINDOW", 200)
        # Windows are so short here that a long line takes several reads.
        patch.setattr(seeking, "MAX_READS", 100)
        for n, row in [*enumerate(rows)][:: max(1, len(rows) // 6)]:
            guess = rows[0], Row(len(data), rows[-1].number + 1)
            found = seeker(data).find(row.number, guess)
            assert found.row == row
            assert found.before in (None, rows[n - 1] if n else None)
            assert found.after in (None, rows[n + 1] if n + 1 < len(rows) else None)
        there = {row.number for row in rows}
        for number in {0, *(row.number + 1 for row in rows[::9])} - there:
            left = [row for row in rows if row.number < number]
            right = [row for row in rows if row.number > number]
            assert seeker(data).find(number, (Row(0, 0), Row(len(data), 99))) == Found(
                None, left[-1] if left else None, right[0] if right else None
            )


def test_a_row_of_a_large_object_takes_few_reads() -> None:
    made = random.Random(1)
    rows, data = [], bytearray()
    for number in range(1, 40_001):
        rows.append(Row(len(data), number))
        data += b'{"key":"r%07d","request":"%b"}\n' % (
            number,
            b"x" * made.randint(1, 900),
        )
    object = bytes(data)

    for row in made.sample(rows, 50):
        looked = seeker(object)
        guess = Row(0, 1), Row(len(object), 40_001)
        assert looked.find(row.number, guess).row == row
        assert looked.reads <= 4


def test_a_row_among_lines_of_many_mb_is_found_or_given_up_within_bounds() -> None:
    line = b'{"key":"r%%07d","x":"%b"}\n' % (b"x" * 5_000_000)
    object = b"".join(line % n for n in range(1, 7))

    looked = seeker(object)
    found = looked.find(5, (Row(0, 1), Row(len(object), 7)))
    assert found.row == Row(4 * len(line % 1), 5)
    assert looked.reads <= seeking.MAX_READS
    assert looked.bytes <= seeking.MAX_BYTES

    unending = Seeker(lambda start, end: b"x" * (end - start), 10**9)
    with pytest.raises(NotReached):
        unending.find(2, (Row(0, 1), Row(10**9, 3)))


def test_numbers_on_any_line_do_not_mislead() -> None:
    """A number counts only where a line begins."""
    first = b'{"key":"r0000001","t":"\\n{\\"key\\":\\"r0000009\\""}\n'
    object = first + b'{"key":"r0000002"}\n'

    assert seeker(object).find(9, (Row(0, 1), Row(99, 9))) == Found(
        None, Row(len(first), 2), None
    )


def test_an_entry_of_the_index_is_found_by_how_many_results_lie_before() -> None:
    offsets = [(0, 0), (1000, 412_903), (2000, 826_110)]

    assert entry_before(offsets, 0) == (0, 0)
    assert entry_before(offsets, 999) == (0, 0)
    assert entry_before(offsets, 1000) == (1000, 412_903)
    assert entry_before(offsets, 9_999) == (2000, 826_110)
    assert entry_before([], 7) == (0, 0)
    assert entry_after(offsets, 0) == (1000, 412_903)
    assert entry_after(offsets, 2000) is None


@given(
    st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b" "))),
    st.integers(1, 9),
    st.integers(0, 9),
)
def test_lines_keep_their_beginnings_whatever_pieces_they_come_in(
    texts: list[bytes], size: int, most: int
) -> None:
    data = b"\n".join(texts)
    pieces = [data[n : n + size] for n in range(0, len(data), size)]

    found = list(lines(pieces, most, start=100))

    wanted = texts if texts and texts[-1] else texts[:-1]
    assert [line.size for line in found] == list(map(len, wanted))
    assert [line.head for line in found] == [text[:most] for text in wanted]
    for line in found:
        assert data[line.start - 100 :].startswith(line.head)
    assert all(line.is_ended for line in found[:-1])

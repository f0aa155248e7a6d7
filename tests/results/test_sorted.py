"""Answers that are sorted in steps give the results that they give in one."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.jobs.values import Input
from batchdrop.results import Answers, DoesNotAddUp, TooLarge, ranges, slices
from batchdrop.results.lines import Kind
from tests.results.made import (
    Collected,
    File,
    answer,
    collect,
    opened,
    part,
    request,
    response,
    shard,
)
from tests.results.sorted import bill, collect_sorted, steps_of

#: Lines whose requests are equal.
EQUAL = range(3, 7)
INPUTS = tuple(
    Input(uri=f"gs://a/{first}", generation=1, size=9, first=first) for first in (1, 4)
)


@st.composite
def files(draw: st.DrawFn) -> File:
    """Files with all that staging may record of a line."""
    first = draw(st.sampled_from([1, 5]))
    kinds = draw(st.lists(st.sampled_from(Kind), min_size=1, max_size=14))
    lines = range(first, first + len(kinds))
    refused = [n for n, kind in zip(lines, kinds, strict=True) if kind is Kind.REFUSED]
    explained = [n for n in refused if draw(st.booleans())]
    own = st.sampled_from([b'"key":"a"', b'"columns":{"b":1}', b'"key":"\xc3\xa9"'])
    return File(
        kinds=kinds,
        first=first,
        json=draw(st.sampled_from(["none", "all"])),
        columns={n: draw(own) for n in lines if draw(st.booleans())},
        refused={n: [{"code": "no_role", "message": f"{n}"}] for n in explained},
        report=[{"lines": [lines[-1], lines[-1] + 9]}] if draw(st.booleans()) else [],
        requests=dict.fromkeys(EQUAL, request("the same")),
        inputs=draw(st.sampled_from([(), INPUTS])),
    )


@st.composite
def lines(draw: st.DrawFn, asked: list[int], named: bool) -> bytes:
    """An answer, or what may lie in its place."""
    line = draw(st.sampled_from(asked) | st.integers(0, 30))
    text = draw(st.sampled_from(["", "a", "b", '{"a": 1}', "Ü" * 40]))
    asks = request("the same" if line in EQUAL else f"question {line}")
    members: dict[str, Any] = {"request": asks} if not named else {}
    id = line if named else None
    match draw(st.sampled_from(["ok", "ok", "failed", "cut", "torn", "blank", "odd"])):
        case "failed":
            status = draw(st.sampled_from(["Bad request 1", "Bad request 2", "Quota"]))
            return answer(id, status=status, response=..., **members)
        case "cut":
            said = response("a", finishReason="MAX_TOKENS")
            return answer(id, **members, response=said)
        case "torn":
            return answer(id)[: draw(st.integers(1, 80))]
        case "blank":
            return draw(st.sampled_from([b"", b"  ", b"\t"]))
        case "odd":
            odd = [b"[]", b"7", b'{"a":1}', b" " + answer(id, **members) + b" "]
            return draw(st.sampled_from(odd))
    return answer(id, text, **members)


@st.composite
def objects(draw: st.DrawFn, asked: list[int]) -> list[Answers]:
    """Objects with answers that all have ids, or none: final ones, shards, or both."""
    named = draw(st.booleans())
    found = []
    for n in range(draw(st.integers(1, 4))):
        some = draw(st.lists(lines(asked, named), max_size=12))
        data = draw(st.sampled_from([b"\n", b"\r\n"])).join(some)
        data += draw(st.sampled_from([b"\n", b""]))
        final = draw(st.booleans())
        found.append(Answers(f"{n}.jsonl", final, opened(data, 97), len(data)))
    return found


@given(data=st.data())
def test_the_sorted_path_gives_the_same(data: st.DataObject) -> None:
    file = data.draw(files())
    answers = data.draw(objects(file.lines or [1]))
    full, round = data.draw(st.booleans()), data.draw(st.integers(0, 1))
    whole, summed = bill(), bill()

    found = collect(file, *answers, full=full, round=round, bill=whole)
    sizes = data.draw(st.tuples(st.integers(20, 3000), st.integers(1, 3000)))
    with steps_of(*sizes, read=data.draw(st.integers(1, 500))):
        steps = collect_sorted(
            file.questions(), *answers, full=full, round=round, total=summed
        )

    assert same(steps) == same(found)
    assert summed.cost() == whole.cost()
    assert summed.items() == whole.items()


def same(found: Collected) -> tuple[Any, ...]:
    """What has to be equal: results in their order, strangers in any."""
    strangers = sorted(json.dumps(each, sort_keys=True) for each in found.strangers)
    before = dict(found.summary.offsets)
    data, lines = found.data, found.data.splitlines(keepends=True)
    for n, at in before.items():
        assert at == sum(map(len, lines[:n]))
    return data, strangers, dataclasses.replace(found.summary, offsets=[])


def test_100_rows_in_any_order_take_several_slices_and_ranges() -> None:
    file = File.of(100)
    shuffled = [answer(n * 37 % 100 + 1, f"to {n}") for n in range(100)]
    answers = [shard(*shuffled)]

    with steps_of(5000, 9000):
        assert slices.count(answers) > 5
        found = collect_sorted(file.questions(), *answers)

    assert same(found) == same(collect(file, *answers))
    assert found.summary.rows.ok == 100


def test_10000_rows_in_any_order_are_sorted() -> None:
    file = File.of(10_000)
    tiny = b'{"key":"r%07d","response":{"candidates":[]}}'
    answers = [shard(*(tiny % (n * 3_333 % 10_000 + 1) for n in range(9_990)))]

    with steps_of(150_000, 200_000, read=4000):
        found = collect_sorted(file.questions(), *answers)

    assert same(found) == same(collect(file, *answers))
    assert (found.summary.rows.empty, found.summary.rows.missing) == (9_990, 10)


def test_of_equally_good_answers_the_one_that_was_read_first_is_kept() -> None:
    file = File.of(9)
    answers = [
        part(answer(7), answer(8, "first"), n=0),
        part(answer(4), answer(8, "later"), n=1),  # its 8 is read before the other
    ]

    with steps_of(answers[0].size, 1_000_000, read=10_000):
        found = collect_sorted(file.questions(), *answers)

    assert same(found) == same(collect(file, *answers))
    assert found.results[7]["text"] == "first"


@pytest.mark.parametrize("slice", [700, 1_000_000])
def test_answers_without_ids_replace_those_of_shards(slice: int) -> None:
    file = File.of(2, requests=dict.fromkeys((1, 2), request("same")))
    final = [answer(None, text, request=request("same")) for text in "ab"]
    late = [answer(None, text, request=request("same")) for text in "bcd"]
    answers = [part(*late), shard(*final)]

    with steps_of(slice, 1000):
        found = collect_sorted(file.questions(), *answers)

    assert same(found) == same(collect(file, *answers))
    assert (found.summary.superseded, found.summary.strangers) == (3, 0)


def test_a_range_has_no_more_bytes_than_asked() -> None:
    file = File.of(400)
    answers = [part(*(answer(n) for n in range(1 + k, 401, 4)), n=k) for k in range(4)]
    runs: list[slices.Run] = []
    with steps_of(answers[0].size, 8000, read=400):
        for k in range(4):
            found = slices.sort(
                file.questions(),
                answers,
                k,
                write=len,
                write_stranger=len,
                marks=bytes,
                before=runs[-1] if runs else None,
            )
            runs.append(found.run)
        plan = ranges.plan(file.questions(), runs)

    assert [each.first for each in plan] == [0, *(each.end for each in plan[:-1])]
    assert plan[-1].end == 400
    assert all(4000 < each.size < 12_000 for each in plan[:-1])


def test_a_range_has_no_more_rows_than_take_half_of_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("batchdrop.results.ranges.ROWS", 30)
    monkeypatch.setattr("batchdrop.results.runs.EVERY", 1)
    run: list[bytes] = []
    found = slices.sort(
        *(File.of(100).questions(), [shard(*map(answer, range(1, 101)))], 0),
        write=run.append,
        write_stranger=len,
        marks=bytes,
    )

    plan = ranges.plan(File.of(100).questions(), [found.run])

    assert [each.end - each.first for each in plan] == [31, 31, 31, 7]


def test_a_stranger_keeps_the_number_of_its_line() -> None:
    lines = [b"" if n % 3 else b"torn %d" % n for n in range(50)]
    answers = [part(*lines, n=0), shard(*lines), part(*lines, n=1)]

    with steps_of(37, 1000):
        found = collect_sorted(File.of(1).questions(), *answers)

    assert same(found) == same(collect(File.of(1), *answers))
    assert {each["line"] for each in found.strangers} == set(range(1, 51, 3))


def test_a_line_may_be_longer_than_several_slices() -> None:
    file = File.of(3)
    answers = [shard(answer(2), answer(1, "long" * 500), answer(3))]

    with steps_of(300, 1000):
        found = collect_sorted(file.questions(), *answers)

    assert same(found) == same(collect(file, *answers))


def test_rows_get_their_results_where_no_answer_came() -> None:
    file = File(kinds=[Kind.STAGED, Kind.REFUSED, Kind.BLANK, Kind.STAGED])

    found = collect_sorted(file.questions())

    assert same(found) == same(collect(file))
    assert found.outcomes == {1: "missing", 2: "refused", 4: "missing"}


def test_the_sidecar_is_gone_when_ranges_are_written() -> None:
    from batchdrop.errors import SourceGone

    def gone(start: int = 0, end: int | None = None) -> Any:
        raise SourceGone("columns.jsonl")

    file = File.of(9)
    questions = dataclasses.replace(file.questions(), open_sidecar=gone)
    answers = [shard(*map(answer, range(1, 10)))]

    with steps_of(700, 700):
        found = collect_sorted(questions, *answers)

    assert found.summary.columns_lost
    assert found.summary.rows.ok == 9


def test_with_and_without_ids_equal_rows_of_one_slice_get_one_answer_each() -> None:
    file = File.of(4, requests=dict.fromkeys(range(1, 5), request("same")))
    nameless = [answer(None, f"{n}", request=request("same")) for n in range(3)]
    answers = [shard(*nameless, answer(2, "to 2"))]

    found = collect_sorted(file.questions(), *answers)

    assert same(found) == same(collect(file, *answers))
    assert found.summary.rows.ok == 4


def test_with_and_without_ids_nothing_is_lost_across_slices() -> None:
    file = File.of(4, requests=dict.fromkeys(range(1, 5), request("same")))
    nameless = [answer(None, f"{n}", request=request("same")) for n in range(3)]
    answers = [shard(*nameless, answer(2, "to 2"))]

    with steps_of(answers[0].size // 3, 1000):
        found = collect_sorted(file.questions(), *answers)

    summary = found.summary
    assert summary.answers_read == 4
    assert (summary.rows.ok, summary.rows.missing, summary.strangers) == (3, 1, 1)


def test_a_run_that_was_cut_does_not_add_up() -> None:
    file, answers, run = File.of(2), [shard(answer(1), answer(2))], bytearray()
    found = slices.sort(
        file.questions(),
        answers,
        0,
        write=run.extend,
        write_stranger=len,
        marks=bytes,
    )

    plan = ranges.plan(file.questions(), [found.run])
    cut = opened(bytes(run[:-1]))
    with pytest.raises(DoesNotAddUp):
        ranges.merge(
            *(file.questions(), answers, plan, 0, [cut]),
            write=len,
            write_stranger=len,
        )


def test_answers_to_one_row_that_do_not_fit_into_memory_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("batchdrop.results.ranges._MOST", 20_000)
    answers = [shard(*(answer(1, f"{n}") for n in range(100)))]

    with pytest.raises(TooLarge):
        collect_sorted(File.of(1).questions(), *answers)


def test_runs_are_read_in_pieces_that_fit_into_memory_together() -> None:
    assert ranges.read_size(1) == ranges.read_size(150) == 1024**2
    assert ranges.read_size(1000) * 1000 <= 200_000_000

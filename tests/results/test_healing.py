"""The results of a round are joined to those before it."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.results import DoesNotAddUp
from batchdrop.results.again import Again, selected
from batchdrop.results.healing import Healed, heal, plan
from batchdrop.results.totals import Totals
from tests.results.made import Json, jsonl, opened, row_id

#: Best first.
OUTCOMES = (
    *("ok", "truncated", "malformed", "blocked", "empty", "unclear", "failed"),
    "missing",
)
EVERY = Again(passing=True)


def result(line: int, outcome: str = "ok", round: int = 0, **members: Any) -> bytes:
    """A line of results. Its own columns say what they like."""
    made: Json = {"id": row_id(line), "line": line, "key": '"outcome":"ok"'}
    made |= {"columns": {"outcome": "ok", "line": 1}, "outcome": outcome}
    if outcome == "failed":
        made["error"] = {"code": 503, "message": f"overloaded {line}"}
    return json.dumps(made | members | {"round": round}).encode()


def failed(
    line: int, code: int | None, status: str | None = None, **more: Any
) -> bytes:
    error = {"code": code, "status": status, "message": "so it is"}
    error = {name: value for name, value in error.items() if value is not None}
    return result(line, "failed", error=error, **more)


@dataclass
class Joined:
    """What came of joining, range by range."""

    data: bytes
    parts: list[Healed]

    @property
    def totals(self) -> Totals:
        return Totals.of(part.totals for part in self.parts)

    @property
    def healed(self) -> int:
        return sum(part.healed for part in self.parts)

    @property
    def results(self) -> list[Json]:
        return [json.loads(line) for line in self.data.splitlines()]


def joined(
    before: list[bytes],
    sent: list[bytes],
    *,
    again: Again = EVERY,
    range: int = 1024**3,
    every: int = 1000,
) -> Joined:
    """Joins two files range by range; what a range leaves is written as JSON."""
    old, new, out = jsonl(before), jsonl(sent), bytearray()
    offsets, at = [], 0
    for n, line in enumerate(before):
        if n % every == 0:
            offsets.append((n, at))
        at += len(line) + 1
    parts: list[Healed] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batchdrop.results.healing.RANGE", range)
        ranges = plan(offsets, len(old))
    for j, (start, end) in enumerate(ranges):
        since = parts[-1].reached if parts else 0
        found = heal(
            opened(old)(start, end),
            opened(new)(since),
            write=out.extend,
            again=again,
            since=since,
            is_last=j + 1 == len(ranges),
        )
        parts.append(msgspec.json.decode(msgspec.json.encode(found), type=Healed))
    return Joined(bytes(out), parts)


@pytest.mark.parametrize("n", range(len(OUTCOMES)))
def test_a_row_keeps_its_best_outcome_and_of_equal_ones_the_latest(
    n: int,
) -> None:
    outcome = OUTCOMES[n]
    before = [result(1, outcome), result(2, outcome), result(3, outcome)]
    better, worse = OUTCOMES[max(n - 1, 0)], OUTCOMES[min(n + 1, 7)]
    sent = [result(1, better, 1), result(2, outcome, 1), result(3, worse, 1)]

    found = joined(before, sent)

    assert [each["outcome"] for each in found.results] == [better, outcome, outcome]
    last = 1 if worse == outcome else 0
    assert [each["round"] for each in found.results] == [1, 1, last]
    assert found.healed == (better != outcome)


@pytest.mark.parametrize(("code", "kept"), [(1, 0), (499, 0), (503, 1)])
def test_a_row_that_was_only_cancelled_keeps_why_it_failed_before(
    code: int, kept: int
) -> None:
    cancelled = Again(cancelled=frozenset({1}))

    found = joined([failed(1, 503)], [failed(1, code, round=1)], again=cancelled)

    assert [each["round"] for each in found.results] == [kept]
    assert found.totals.passing == 1


def test_rows_that_did_not_go_again_keep_their_bytes() -> None:
    before = [result(1), result(2, "failed"), result(4, "refused"), result(5)]

    found = joined(before, [result(2, "ok", 1)])

    assert found.data == jsonl([before[0], result(2, "ok", 1), *before[2:]])
    assert found.totals.outcomes == {"ok": 3, "refused": 1}


@pytest.mark.parametrize("line", [3, 9])
def test_a_row_that_nobody_staged_is_not_joined(line: int) -> None:
    with pytest.raises(DoesNotAddUp, match=f"line {line}, which was not staged"):
        joined([result(2), result(4)], [result(line, "ok", 1)])


def test_results_out_of_order_are_not_joined() -> None:
    with pytest.raises(DoesNotAddUp, match="not in the file's order"):
        joined([result(2), result(4)], [result(4, "ok", 1), result(2, "ok", 1)])


def test_a_line_that_is_no_result_is_not_joined() -> None:
    with pytest.raises(DoesNotAddUp, match="can't be read"):
        joined([b'{"outcome":"ok"}'], [])


def test_rows_that_failed_again_are_named_up_to_ten() -> None:
    before = [result(line, "failed") for line in range(1, 14)]

    found = joined(before, [result(line, "failed", 1) for line in range(2, 14)])

    (failure,) = found.totals.failures
    assert (failure.count, failure.example) == (13, row_id(1))
    assert failure.always == tuple(map(row_id, range(2, 12)))


def test_one_round_names_no_row_that_failed_always() -> None:
    (failure,) = joined([result(1, "failed")], []).totals.failures

    assert failure.always == ()


lines = st.lists(st.integers(1, 40), unique=True, min_size=1, max_size=25).map(sorted)


@given(data=st.data())
def test_joining_is_as_by_hand_in_ranges_of_any_size(data: st.DataObject) -> None:
    every = data.draw(lines)
    outcomes = st.sampled_from(OUTCOMES)
    before = {line: result(line, data.draw(outcomes)) for line in every}
    sent = {
        line: result(line, data.draw(outcomes), 1)
        for line in every
        if data.draw(st.booleans())
    }

    found = joined(
        list(before.values()),
        list(sent.values()),
        range=data.draw(st.integers(1, 3000)),
        every=data.draw(st.integers(1, 4)),
    )

    expected, healed, counts = [], 0, Counter[str]()
    for line in every:
        old = new = json.loads(before[line])
        if line in sent:
            new = json.loads(sent[line])
            ranks = [OUTCOMES.index(one["outcome"]) for one in (old, new)]
            healed += ranks[1] < ranks[0]
            new = old if ranks[1] > ranks[0] else new
        expected.append(new)
        counts[new["outcome"]] += 1
    assert found.results == expected
    assert found.healed == healed
    totals = found.totals
    assert {each.value: n for each, n in totals.outcomes.items()} == counts
    assert (totals.lines, totals.size) == (len(every), len(found.data))
    assert totals.passing == counts["failed"]
    assert sum(failure.count for failure in totals.failures) == counts["failed"]
    for n, at in totals.offsets:
        assert json.loads(found.data[at:].split(b"\n")[0])["line"] == every[n]


# -- which rows go again ---------------------------------------------------------------


def chosen(lines: list[bytes], again: Again) -> list[int]:
    return list(selected(opened(jsonl(lines))(), again))


@pytest.mark.parametrize(
    ("code", "status", "passes"),
    [
        (408, None, True),
        (409, "ABORTED", True),
        (409, None, True),
        (409, "ALREADY_EXISTS", False),
        (429, "RESOURCE_EXHAUSTED", True),
        (500, "INTERNAL", True),
        (503, None, True),
        (599, None, True),
        (600, None, False),
        (4, None, True),
        (8, None, True),
        (10, None, True),
        (13, None, True),
        (14, None, True),
        (1, None, True),
        (499, None, True),
        (2, None, False),
        (3, None, False),
        (5, None, False),
        (7, None, False),
        (400, None, False),
        (403, None, False),
        (404, None, False),
        (None, "overloaded_error", True),
        (None, "rate_limit_error", True),
        (None, "api_error", True),
        (None, "invalid_request_error", False),
        (None, None, False),
        (10**30, None, False),
    ],
)
def test_failures_for_a_passing_reason_go_again(
    code: int | None, status: str | None, passes: bool
) -> None:
    assert chosen([failed(7, code, status)], Again()) == [7] * passes


@pytest.mark.parametrize("code", [1, 499])
def test_requests_of_a_cancelled_batch_do_not_go_again(code: int) -> None:
    again = Again(cancelled=frozenset({1}))

    assert chosen([failed(1, code), failed(2, code, round=1)], again) == [1]


def test_missing_rows_go_again_only_where_the_api_counted_none_of_them() -> None:
    lines = [result(1), result(2, "missing")]

    assert chosen(lines, Again()) == []
    assert chosen(lines, Again(missing=True)) == [2]


def test_chosen_outcomes_go_again_whatever_the_reason() -> None:
    lines = [result(n, outcome) for n, outcome in enumerate(OUTCOMES, 1)]
    lines.append(failed(9, 400))
    lines.append(result(10, "truncated", finish_reason="MAX_TOKENS"))
    asked = Again(outcomes=frozenset({"failed", "blocked", "truncated"}), passing=False)

    # An embedding of a part of its text has no finish reason: it stays as it is.
    assert chosen(lines, asked) == [4, 7, 9, 10]

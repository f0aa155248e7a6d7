"""Values to places: what is drawn of a value."""

from itertools import pairwise

import pytest

from batchdrop.dashboard.charts import columns, labels, stacked, ticks

#: A label of a day is no wider, and a chart on a phone of 360 px no narrower.
LABEL_PX, PHONE_PX, DESK_PX = 44, 262, 560


def test_a_stacked_bar_is_as_wide_as_its_values() -> None:
    found = stacked([("ok", 75), ("failed", 0), ("missing", 25)])

    assert [(each.name, each.x, each.width) for each in found] == [
        ("ok", 0, 75),
        ("missing", 75, 25),
    ]


def test_a_stacked_bar_of_less_than_the_whole_leaves_room() -> None:
    (found,) = stacked([("used", 30)], total=120)

    assert (found.x, found.width) == (0, 25)
    assert stacked([], total=5) == stacked([("used", 0)]) == []


@pytest.mark.parametrize(
    "values",
    [
        [1, 1_000_000_000, 1],
        [10**15, 1, 1, 1, 1, 1, 1, 1, 1],
        [1] * 9,
        [3],
    ],
)
def test_the_least_of_many_values_is_seen_and_nothing_overlaps(
    values: list[int],
) -> None:
    found = stacked([(f"{n}", value) for n, value in enumerate(values)])

    assert len(found) == len(values)
    assert all(each.width >= 0.5 for each in found)
    for before, after in pairwise(found):
        assert before.x + before.width == pytest.approx(after.x, abs=0.01)
    assert found[-1].x + found[-1].width == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize(
    ("most", "values"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (4, [0, 1, 2, 3, 4]),
        (7, [0, 2, 4, 6, 8]),
        (8_184_000, [0, 5_000_000, 10_000_000]),
        (81_000_000, [0, 50_000_000, 100_000_000]),
        (120_000_000, [0, 50_000_000, 100_000_000, 150_000_000]),
        (10**18, [0, 5 * 10**17, 10**18]),
    ],
)
def test_ticks_are_round_and_reach_the_highest_value(
    most: int, values: list[int]
) -> None:
    found = ticks(most, 100)

    assert [each.value for each in found] == values
    assert (found[0].y, found[-1].y) == (100, 0)
    assert most <= values[-1]


def test_columns_stand_on_the_axis_beside_each_other() -> None:
    found = columns([0, 1, 500, 1000], 1000, 200)

    assert [(each.y, each.height) for each in found] == [
        (200, 0),
        (198, 2),  # the least that is seen
        (100, 100),
        (0, 200),
    ]
    for before, after in pairwise(found):
        assert before.x + before.width < after.x
    assert found[0].x > 0
    assert found[-1].x + found[-1].width < 100


def test_one_column_is_no_wall() -> None:
    (found,) = columns([5], 5, 200)

    assert found.width <= 10
    assert found.middle == 50
    assert columns([], 1, 200) == []


@pytest.mark.parametrize("count", [1, 2, 5, 6, 10, 11, 14, 30, 31, 60])
def test_labels_never_overlap_and_the_last_column_has_one(count: int) -> None:
    found = labels(count)

    assert found[-1].index == count - 1
    assert not found[-1].is_minor
    for px, shown in (
        (DESK_PX, found),
        (PHONE_PX, [each for each in found if not each.is_minor]),
    ):
        for before, after in pairwise(shown):
            assert (after.middle - before.middle) / 100 * px >= LABEL_PX
    assert labels(0) == []

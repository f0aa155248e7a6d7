"""A machine whose clock is wrong goes by Firestore's."""

from datetime import datetime, timedelta

import pytest

from batchdrop.ledger.clock import COMPARE_EVERY, SharedClock
from tests.clock import Clock

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("minutes", [10, -10])
def test_a_clock_ten_minutes_off_goes_by_firestore_s(
    clock: Clock, minutes: int
) -> None:
    now = SharedClock(lambda: clock() + minutes * MINUTE, clock)

    assert now() == clock()
    clock.advance(seconds=90)
    assert now() == clock()


def test_a_clock_that_is_right_is_left_as_it_is(clock: Clock) -> None:
    now = SharedClock(clock, lambda: clock() - timedelta(seconds=4))

    assert now() == clock()


def test_the_way_of_an_answer_is_not_taken_for_a_difference(clock: Clock) -> None:
    def slowly() -> datetime:
        shown = clock()
        clock.advance(seconds=30)
        return shown

    now = SharedClock(clock, slowly)

    assert now() == clock()


def test_a_clock_that_comes_to_be_wrong_is_found_out(clock: Clock) -> None:
    ahead = timedelta(0)
    now = SharedClock(lambda: clock() + ahead, clock)
    assert now() == clock()

    ahead = 10 * MINUTE
    assert now() == clock()


def test_without_an_answer_the_last_known_difference_counts(clock: Clock) -> None:
    answers = True

    def remote() -> datetime:
        if not answers:
            raise TimeoutError
        return clock()

    now = SharedClock(lambda: clock() + 10 * MINUTE, remote)
    assert now() == clock()

    answers = False
    clock.time += 2 * COMPARE_EVERY
    assert now() == clock()


def test_firestore_is_asked_once_in_five_minutes(clock: Clock) -> None:
    asked: list[datetime] = []

    def remote() -> datetime:
        asked.append(clock())
        return clock()

    now = SharedClock(clock, remote)
    for _ in range(11):
        now()
        clock.time += MINUTE

    assert len(asked) == 3

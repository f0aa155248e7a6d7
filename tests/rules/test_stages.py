"""How a tick shares out its time."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from batchdrop.worker.stages import AT_ONCE, few_at_once, rotated, share
from tests.clock import Clock


def test_a_stage_has_its_part_of_the_time_that_is_left(clock: Clock) -> None:
    deadline = clock() + timedelta(seconds=100)

    assert share(clock(), deadline, 1 / 4) == clock() + timedelta(seconds=25)
    clock.advance(seconds=60)
    assert share(clock(), deadline, 1 / 4) == clock() + timedelta(seconds=10)
    clock.advance(seconds=60)
    assert share(clock(), deadline, 1 / 4) == clock()


def test_as_many_are_asked_at_once_as_are_let_and_no_more() -> None:
    together = threading.Barrier(AT_ONCE, timeout=30)
    under_way = 0
    most = 0
    lock = threading.Lock()

    def ask(n: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait()
        with lock:
            under_way -= 1
        return n * n

    answers = {n: one.result() for n, one in few_at_once(ask, range(3 * AT_ONCE))}

    assert answers == {n: n * n for n in range(3 * AT_ONCE)}
    assert most == AT_ONCE


def test_one_that_hangs_holds_up_no_other() -> None:
    others_are_there = threading.Event()

    def ask(n: int) -> int:
        if n == 0:
            assert others_are_there.wait(30)
        return n

    order = []
    for n, _ in few_at_once(ask, range(20)):
        order.append(n)
        if len(order) == 19:
            others_are_there.set()

    assert sorted(order[:19]) == list(range(1, 20))
    assert order[19] == 0


def test_what_is_asked_for_may_end_when_the_time_is_up(clock: Clock) -> None:
    deadline = clock() + timedelta(seconds=10)

    def due() -> Iterator[int]:
        for n in range(100):
            if clock() >= deadline:
                return
            clock.advance(seconds=3)
            yield n

    assert sorted(n for n, _ in few_at_once(str, due())) == [0, 1, 2, 3]


def test_what_was_not_come_to_is_first_the_next_time() -> None:
    assert rotated(["c", "a", "d", "b"], "b", str) == ["c", "d", "a", "b"]
    assert rotated(["c", "a"], "", str) == ["a", "c"]
    assert rotated(["c", "a"], "z", str) == ["a", "c"]


def test_the_answers_to_those_asked_come_before_an_error_of_reading_more() -> None:
    def due() -> Iterator[int]:
        yield from range(AT_ONCE + 1)
        raise ValueError("no more can be read")

    answers: list[tuple[int, str]] = []

    def read() -> None:
        answers.extend((n, one.result()) for n, one in few_at_once(str, due()))

    with pytest.raises(ValueError, match="no more"):
        read()
    assert sorted(answers) == [(n, str(n)) for n in range(AT_ONCE + 1)]

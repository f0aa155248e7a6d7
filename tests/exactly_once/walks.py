"""Every state that a protocol can reach, and the shortest way to each."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

S = TypeVar("S")


@dataclass
class Walk(Generic[S]):
    """
    The states that were reached, and how. A state is known by its number in the order
    in which they were reached: to hash one takes long.
    """

    states: list[S]
    #: Of each the step to it on a shortest way, and the state before; None: the start.
    came_from: list[tuple[str, int] | None]
    #: All steps from the states, by name, to the numbers of others.
    nexts: list[list[tuple[str, int]]]
    cut: set[int]  #: states with a step beyond the bounds of the walk
    wrong: list[str] | None = None  #: the shortest way to a wrong state, if any

    def dead_end(
        self, good: Callable[[S], bool], without: Collection[str] = ()
    ) -> list[str] | None:
        """
        A shortest way to a state from which no good one can be reached any more.

        Args:
            without: steps that never happen again, by name.
        """
        before: list[list[int]] = [[] for _ in self.states]
        for number, steps in enumerate(self.nexts):
            for name, after in steps:
                if name not in without:
                    before[after].append(number)
        # A state at the bounds of the walk may have a good end beyond them.
        fine = {number for number, state in enumerate(self.states) if good(state)}
        fine |= self.cut
        left = list(fine)
        while left:
            for number in before[left.pop()]:
                if number not in fine:
                    fine.add(number)
                    left.append(number)
        ends = (number for number in range(len(before)) if number not in fine)
        return next((self.way_to(number) for number in ends), None)

    def way_to(self, number: int) -> list[str]:
        """The steps of a shortest way to a state."""
        steps = []
        while (step := self.came_from[number]) is not None:
            name, number = step
            steps.append(name)
        return steps[::-1]


def walked(
    start: S,
    steps: Callable[[S], Iterable[tuple[str, S | None]]],
    is_wrong: Callable[[S], bool],
) -> Walk[S]:
    """
    Visits every reachable state, nearest first, and stops at the first wrong one.

    Args:
        steps: all that can happen next in a state, by name; None instead of a state
            is a step beyond the bounds of the walk.
    """
    done: Walk[S] = Walk(states=[start], came_from=[None], nexts=[], cut=set())
    numbers = {start: 0}
    for number, state in enumerate(done.states):  # which grows meanwhile
        nexts: list[tuple[str, int]] = []
        done.nexts.append(nexts)
        for name, after in steps(state):
            if after is None:
                done.cut.add(number)
                continue
            # One that is new gets the next number.
            there = numbers.setdefault(after, len(done.states))
            nexts.append((name, there))
            if there < len(done.states):
                continue
            done.states.append(after)
            done.came_from.append((name, number))
            if is_wrong(after):
                done.wrong = done.way_to(there)
                return done
    return done


def swapped(
    several: Iterable[S],
    before: S | None,
    after: S | None,
    key: Callable[[S], Any] | None = None,
) -> tuple[S, ...]:
    """
    The same with `after` in place of `before`, where None is nobody, sorted: which is
    which doesn't matter, and so there are fewer states.
    """
    kept = list(several)
    if before is not None:
        kept.remove(before)
    if after is not None:
        kept.append(after)
    return tuple(sorted(kept, key=key))  # type: ignore[type-var, arg-type]

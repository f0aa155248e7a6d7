"""Every state that a protocol can reach, and the shortest way to each."""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

S = TypeVar("S")


@dataclass
class Walk(Generic[S]):
    """The states that were reached, and how."""

    #: Each state's step and state before, on a shortest way; None for the start.
    came_from: dict[S, tuple[str, S] | None]
    nexts: dict[S, list[S]]
    cut: set[S]  #: states with a step beyond the bounds of the walk
    wrong: list[str] | None = None  #: the shortest way to a wrong state, if any

    def way_to(self, state: S) -> list[str]:
        """The steps of a shortest way to a state."""
        steps = []
        before = self.came_from[state]
        while before is not None:
            steps.append(before[0])
            before = self.came_from[before[1]]
        return steps[::-1]

    def dead_end(self, good: Callable[[S], bool]) -> list[str] | None:
        """A shortest way to a state from which no good one can be reached any more."""
        before: dict[S, list[S]] = {}
        for state, nexts in self.nexts.items():
            for after in nexts:
                before.setdefault(after, []).append(state)
        # A state at the bounds of the walk may have a good end beyond them.
        fine = {state for state in self.came_from if good(state)} | self.cut
        left = list(fine)
        while left:
            for state in before.get(left.pop(), ()):
                if state not in fine:
                    fine.add(state)
                    left.append(state)
        ends = (state for state in self.came_from if state not in fine)
        return next((self.way_to(state) for state in ends), None)

    def dead_end_without(
        self,
        faults: Collection[str],
        steps: Callable[[S], Iterable[tuple[str, S | None]]],
        good: Callable[[S], bool],
    ) -> list[str] | None:
        """The same, if these steps, by name, never happen again."""
        calm = {
            state: [
                after
                for name, after in steps(state)
                if after is not None and name not in faults
            ]
            for state in self.came_from
        }
        return replace(self, nexts=calm).dead_end(good)


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
    done: Walk[S] = Walk(came_from={start: None}, nexts={}, cut=set())
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        nexts = done.nexts[state] = []
        for name, after in steps(state):
            if after is None:
                done.cut.add(state)
                continue
            nexts.append(after)
            if after in done.came_from:
                continue
            done.came_from[after] = (name, state)
            if is_wrong(after):
                done.wrong = done.way_to(after)
                return done
            waiting.append(after)
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

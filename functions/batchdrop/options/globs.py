"""Patterns for names of objects: `translations/**`."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from batchdrop.options import readers


@dataclass(frozen=True, slots=True)
class Pattern:
    """
    A pattern that is held against the whole name of an object:

        *        anything within a folder
        **       anything, across folders; `**/` may also match nothing
        ?        one character other than a slash
        [a-z]    one character of a set, [!a-z] one outside it; never a slash

    Whoever uploads chooses the names, and a name can make a regular expression run for
    hours. `matches` looks at each character once, against all parts of the pattern at
    once: those that may come next are the bits of a number.
    """

    parts: tuple[Any, ...]  #: characters, sets, or one of the constants below

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Reads a pattern.

        Raises:
            ValueError: it isn't a pattern, or can't match any object's name.
        """
        if not text or not text.isprintable():
            raise ValueError(f"{readers.short(text)} is no pattern")
        if text.startswith(("/", "gs://")):
            raise ValueError(
                f"{readers.short(text)} begins with {text[: text.index('/') + 1]}; "
                "names of objects don't: write the folder first"
            )
        parts: list[Any] = []
        at = 0
        while at < len(text):
            if text.startswith("**/", at) and (at == 0 or text[at - 1] == "/"):
                parts += (_FOLDERS, _IN_A_FOLDER)
                at += 3
            elif text.startswith("**", at):
                parts.append(_ALL)
                at += 2
            elif text[at] == "*":
                parts.append(_SOME)
                at += 1
            elif text[at] == "?":
                parts.append(re.compile(r"[^/]"))
                at += 1
            elif text[at] == "[":
                end = text.find("]", at + (3 if text[at + 1 : at + 2] == "!" else 2))
                if end < 0:
                    raise ValueError(f"{readers.short(text)} has a [ without its ]")
                parts.append(_one_of(text[at + 1 : end]))
                at = end + 1
            else:
                parts.append(text[at])
                at += 1
        return cls(tuple(parts))

    def matches(self, name: str) -> bool:
        """Whether the pattern matches the whole name."""
        some, every, folders, inside = (
            self._bits(lambda part, kind=kind: part == kind)
            for kind in (_SOME, _ALL, _FOLDERS, _IN_A_FOLDER)
        )

        def reached(at: int) -> int:
            """Adds the positions that are reached without reading a character."""
            while True:
                more = at | (at & (some | every)) << 1 | (at & folders) << 2
                if more == at:
                    return at
                at = more

        # The bit n stands for the position before the part n.
        at, reads = reached(1), dict[str, int]()
        for each in name:
            if each not in reads:
                reads[each] = self._bits(lambda part, each=each: _reads(part, each))
            if each == "/":
                stays = at & (every | folders) | (at & inside) >> 1
            else:
                stays = at & (some | every | inside) | (at & folders) << 1
            at = reached((at & reads[each]) << 1 | stays)
            if not at:
                return False
        return bool(at >> len(self.parts))

    def _bits(self, holds: Callable[..., bool]) -> int:
        """The parts for which something holds, as bits of a number."""
        return sum(1 << n for n, part in enumerate(self.parts) if holds(part))


def _reads(part: Any, character: str) -> bool:
    """Whether a part other than the constants below reads one character."""
    if isinstance(part, re.Pattern):
        return part.match(character) is not None
    return bool(part == character)


#: Longer than one character, so that none of them equals a part that is one.
_SOME, _ALL, _FOLDERS, _IN_A_FOLDER = "some", "all", "folders", "in a folder"


def _one_of(inside: str) -> re.Pattern[str]:
    negated = inside.startswith("!")
    # Each character is escaped: in a regular expression more of them are special.
    items = re.findall("(.)-(.)|(.)", inside[negated:], re.DOTALL)
    if wrong := next((f"{a}-{b}" for a, b, _ in items if a > b), None):
        raise ValueError(f"[{inside}] is no set of characters: {wrong} is none")
    body = "".join(
        re.escape(one) if one else f"{re.escape(a)}-{re.escape(b)}"
        for a, b, one in items
    )
    return re.compile(f"(?!/)[{'^' if negated else ''}{body}]", re.DOTALL)

"""Patterns for names of objects: `translations/**`."""

import re
from collections.abc import Iterator
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
    hours. `matches` looks at each character once, against each part of the pattern, so
    its time is bounded by the product of both lengths.
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
        at = self._reached({0})
        for character in name:
            at = self._reached(set(self._after(at, character)))
            if not at:
                return False
        return len(self.parts) in at

    def _reached(self, at: set[int]) -> set[int]:
        """Adds the positions that are reached without reading a character."""
        todo = list(at)
        while todo:
            position = todo.pop()
            part = self.parts[position] if position < len(self.parts) else None
            step = _EMPTY_STEPS.get(part) if isinstance(part, str) else None
            if step and position + step not in at:
                at.add(position + step)
                todo.append(position + step)
        return at

    def _after(self, at: set[int], character: str) -> Iterator[int]:
        slash = character == "/"
        for position in at:
            part = self.parts[position] if position < len(self.parts) else None
            if part == _ALL or (part == _SOME and not slash):
                yield position
            elif part == _FOLDERS:
                yield position if slash else position + 1
            elif part == _IN_A_FOLDER:
                yield position - 1 if slash else position
            elif part == character or (
                isinstance(part, re.Pattern) and part.match(character)
            ):
                yield position + 1


#: Longer than one character, so that none of them equals a part that is one.
_SOME, _ALL, _FOLDERS, _IN_A_FOLDER = "some", "all", "folders", "in a folder"
#: How far each of these steps ahead when it matches nothing.
_EMPTY_STEPS = {_SOME: 1, _ALL: 1, _FOLDERS: 2}


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

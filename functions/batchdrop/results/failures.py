"""Counts the errors of rows that say the same."""

import re
from collections import Counter
from collections.abc import Iterable

from batchdrop.jobs.values import Failure
from batchdrop.quoting import unquoted

#: Most failures in a job's document, and most kinds that are distinguished at once.
MOST, _KINDS = 10, 1000
#: Most characters of a message that are read, and that are kept; and of a code, which
#: may be a word of a model's server.
_READ, _KEPT, _CODE = 2000, 300, 100
#: Most ids of rows that are named because they failed in every round.
_NAMED = 10
_WORD = re.compile(r"[\w/.:-]+")


def common(message: str) -> str:
    """
    A message without what differs between rows: numbers, ids, addresses, and texts in
    quotes.
    """
    return _WORD.sub(_without_digits, unquoted(message[:_READ]))[:_KEPT]


def _without_digits(word: re.Match[str]) -> str:
    if not any(map(str.isdigit, word[0])):
        return word[0]
    return "…" + word[0][len(word[0].rstrip("/.:-")) :]


def code_of(code: int | None, status: str | None) -> str:
    """The code of an error, as failures are counted by it."""
    return status or "unknown" if code is None else str(code)


class Failures:
    """The errors of rows, by code and message."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}
        self._always: dict[tuple[str, str], tuple[str, ...]] = {}
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def add(self, error: tuple[str, str], id: str, *, always: bool = False) -> None:
        """
        Counts a row's error, given as code and message.

        Args:
            always: whether the row has failed in every round, of several.
        """
        error = (error[0][:_CODE], error[1][:_READ])
        kind = self._known.get(error)
        if kind is None:
            kind = (error[0], common(error[1]))
            kind = self._told_apart(kind, id)
            if len(self._known) < _KINDS:
                self._known[error] = kind
        self._counts[kind] += 1
        if always:
            self._name(kind, (id,))

    def include(self, failures: Iterable[Failure]) -> None:
        """Adds what was counted elsewhere, of later rows."""
        for one in failures:
            kind = self._told_apart((one.code, one.message), one.example)
            self._counts[kind] += one.count
            self._name(kind, one.always)

    def all(self) -> tuple[Failure, ...]:
        """All errors with their counts, in the order of their first rows."""
        return self._listed(self._counts.items())

    def most_frequent(self) -> tuple[Failure, ...]:
        """The errors that most rows have, with their counts."""
        return self._listed(self._counts.most_common(MOST))

    def _name(self, kind: tuple[str, str], ids: tuple[str, ...]) -> None:
        if ids and len(named := self._always.get(kind, ())) < _NAMED:
            self._always[kind] = (*named, *ids)[:_NAMED]

    def _told_apart(self, kind: tuple[str, str], id: str) -> tuple[str, str]:
        """The kind; if there are too many, the one that stands for the rest."""
        if kind not in self._examples:
            if len(self._examples) >= _KINDS:
                kind = (kind[0], "")
            if len(self._examples) >= 2 * _KINDS and kind not in self._examples:
                kind = ("other", "")
            self._examples.setdefault(kind, id)
        return kind

    def _listed(
        self, counts: Iterable[tuple[tuple[str, str], int]]
    ) -> tuple[Failure, ...]:
        return tuple(
            Failure(
                code=kind[0],
                message=kind[1],
                count=count,
                example=self._examples[kind],
                always=self._always.get(kind, ()),
            )
            for kind, count in counts
        )

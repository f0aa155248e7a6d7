"""Counts the errors of rows that say the same."""

import re
from collections import Counter
from collections.abc import Iterable

from batchdrop.jobs.values import Failure
from batchdrop.quoting import unquoted

#: Most failures that a job's document has, and most kinds that are told apart at once.
MOST, _KINDS = 10, 1000
#: Most characters of a message that are read, and that are kept; and of a code, which
#: may be a word of a model's server.
_READ, _KEPT, _CODE = 2000, 300, 100
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


class Failures:
    """The errors of rows, by code and message."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def add(self, error: tuple[str, str], id: str) -> None:
        """Counts a row's error, given as code and message."""
        error = (error[0][:_CODE], error[1][:_READ])
        kind = self._known.get(error)
        if kind is None:
            kind = (error[0], common(error[1]))
            kind = self._told_apart(kind, id)
            if len(self._known) < _KINDS:
                self._known[error] = kind
        self._counts[kind] += 1

    def include(self, failures: Iterable[Failure]) -> None:
        """Adds what was counted elsewhere, of later rows."""
        for one in failures:
            kind = self._told_apart((one.code, one.message), one.example)
            self._counts[kind] += one.count

    def all(self) -> tuple[Failure, ...]:
        """All errors with their counts, in the order of their first rows."""
        return self._listed(self._counts.items())

    def most_frequent(self) -> tuple[Failure, ...]:
        """The errors that most rows have, with their counts."""
        return self._listed(self._counts.most_common(MOST))

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
                code=kind[0], message=kind[1], count=count, example=self._examples[kind]
            )
            for kind, count in counts
        )

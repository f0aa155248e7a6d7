"""How far the lists of the endpoints are read: a long list takes several ticks."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any

from batchdrop.backends import Backend, Listed, ListPage
from batchdrop.batches import ClientError
from batchdrop.ledger.documents import decode, encode, sparse
from batchdrop.quoting import public_text
from batchdrop.ready import ready
from batchdrop.worker.stages import Tick, few_at_once

log = logging.getLogger(__name__)

#: How long recording a page may take where the sweep's share of the tick is used up.
PAGE_TIME = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A walk through the list of one endpoint, from its first page to its last."""

    began: datetime
    since: datetime  #: how far back it reaches; its token is valid for this list alone
    token: str | None = None  #: of the next page; None: the first


@dataclass(slots=True, kw_only=True)
class Rounds:
    """The sweep's cursor. Maps have endpoints as keys."""

    going: dict[str, Round] = field(default_factory=dict)
    #: When the last whole round began, of the endpoints that have had one since the
    #: last recorded sweep.
    finished: dict[str, datetime] = field(default_factory=dict)
    failed: tuple[str, ...] = ()  #: ids of jobs to look at again, of all rounds
    first: str = ""  #: the endpoint to begin with

    @classmethod
    def of(
        cls, cursor: dict[str, Any], now: datetime, listed: Collection[str]
    ) -> "Rounds":
        """
        The rounds in a cursor. Those that nobody can read, or that a clock which is
        ahead began, begin anew.
        """
        try:
            rounds = decode(cursor, Rounds)
            going, finished = rounds.going.items(), rounds.finished.items()
            rounds.going = {k: v for k, v in going if k in listed and v.began <= now}
            rounds.finished = {k: v for k, v in finished if k in listed and v <= now}
        except (TypeError, ValueError):
            return Rounds()
        return rounds

    def read(
        self,
        listed: Mapping[str, Backend],
        anew: Round,
        tick: Tick,
        record: Callable[[Listed, Tick], bool],
    ) -> None:
        """
        Reads the lists of the endpoints, from where the last tick stopped, until the
        time is up.

        Args:
            listed: the endpoints.
            anew: the round of an endpoint that has none under way.
            record: takes what is on a page, and the time there is for it; returns
                whether that was enough.
        """
        order = sorted(sorted(listed), key=lambda name: name < self.first)
        left = [*order]

        def due() -> Iterator[str]:
            for name in order:
                if tick.is_over:
                    return
                left.remove(name)
                yield name

        def ask(name: str) -> tuple[Round, Iterator[ListPage]]:
            return _opened(listed[name], self.going.get(name), anew)

        # The first pages at once: a silent endpoint doesn't hold up the other lists.
        for name, answer in few_at_once(ask, due()):
            try:
                round, pages = answer.result()
                for found, token in pages:
                    # A page that took all the time to come is recorded, too: else a
                    # slow list would never get to its end.
                    if not record(found, tick.at_least(PAGE_TIME)):
                        break
                    self._advance(name, round, token)
                    if tick.is_over:
                        break
            except Exception as exc:
                # Nothing is concluded from no answer; the next tick asks again.
                log.error(
                    "list failed",
                    extra={"event": "sweep.list_failed", "reason": public_text(exc)},
                )
                tick.errors.append(exc)
        # A long list doesn't come first in each tick.
        self.first = (left or [*order[1:], order[0]])[0]

    def _advance(self, endpoint: str, round: Round, token: str | None) -> None:
        self.going.pop(endpoint, None)
        if token is None:
            self.finished[endpoint] = round.began
        else:
            self.going[endpoint] = replace(round, token=token)

    def whole_since(self, listed: Collection[str]) -> datetime | None:
        """
        When the oldest of the last rounds began, if each endpoint has had one since
        the last recorded sweep.
        """
        starts = [self.finished.get(name) for name in listed]
        known = [start for start in starts if start is not None]
        return min(known) if known and len(known) == len(starts) else None

    def cursor(self) -> dict[str, Any]:
        """As `of` reads it; empty if no round is under way."""
        if not (self.going or self.finished):
            return {}
        return sparse(encode(self))


ready(Rounds)


def _opened(
    backend: Backend, going: Round | None, anew: Round
) -> tuple[Round, Iterator[ListPage]]:
    """
    A list whose first page is read already: from where the round stopped, or from the
    start where its token has expired.
    """
    if going is not None:
        try:
            return going, _begun(backend, going)
        except ClientError as exc:
            if exc.code != 400:
                raise
    return anew, _begun(backend, anew)


def _begun(backend: Backend, round: Round) -> Iterator[ListPage]:
    pages = backend.pages(round.since, round.token)
    first = list(islice(pages, 1))
    return chain(first, pages)

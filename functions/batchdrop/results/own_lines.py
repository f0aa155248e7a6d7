"""Joins rows of the Batches client with the caller's own lines, without the worker."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from batchdrop.batches import ResultRow
from batchdrop.batches.outcomes import Judged, asks_for_json, judged
from batchdrop.results.content import mark_of
from batchdrop.results.values import BEST_FIRST, Why
from batchdrop.rows import RowOutcome

_KEYS = ("key", "custom_id")
_WRAPPERS = ("request", "body")
#: Members of a line that are sent with its request.
_SENT = frozenset({*_KEYS, *_WRAPPERS, "method", "url"})


def join(
    rows: Iterable[ResultRow],
    inputs: Iterable[Mapping[str, Any] | str | bytes],
    *,
    full: bool = False,
) -> Iterator[dict[str, Any]]:
    """
    Yields a result for each of your lines, in their order, with the members that a line
    of the worker's `results.jsonl` has: line, key, columns, outcome, text or json,
    response, error, finish_reason, candidates, usage. A member that a row doesn't have
    is left out.

        with open("requests.jsonl", "rb") as lines:
            table = pandas.DataFrame(join(client.batches.results(job), lines))

    A row is joined by its key; a line without one has the key that `create` gave it. A
    row without a key is joined by the request that it echoes. Answers that belong to no
    line come last, with `why` and `answer`.

    All rows are kept in memory.

    Args:
        rows: what `client.batches.results(job)` returns.
        inputs: the lines of the file that you sent, as JSON or as objects. Blank ones
            are counted, and have no result.
        full: whether each result has the whole response.

    Raises:
        ValueError: a line is not a JSON object, or has the key of an earlier one.
    """
    found = _Rows(rows)
    keys: dict[str, int] = {}
    for number, given in enumerate(inputs, 1):
        line = _line(given, number)
        if line is None:
            continue
        key = _key(line)
        name = f"request-{number}" if key is None else str(key)
        if (first := keys.setdefault(name, number)) != number:
            raise ValueError(f"line {number} has the key of line {first}")
        wrapper = next((each for each in _WRAPPERS if each in line), None)
        request = line[wrapper] if wrapper else line
        result: dict[str, Any] = {"line": number}
        if key is not None:
            result["key"] = key
        if wrapper and (columns := {n: v for n, v in line.items() if n not in _SENT}):
            result["columns"] = columns
        json = asks_for_json({"request": request, **line})
        answer = found.take(name, request, json)
        if answer is None:
            result["outcome"] = RowOutcome.MISSING.value
        else:
            result |= _said(*answer, full)
        yield result
    yield from found.strangers()


def _line(given: Mapping[str, Any] | str | bytes, number: int) -> Any:
    """A line as an object; None if it is blank."""
    if isinstance(given, Mapping):
        return dict(given)
    if not given.strip():
        return None
    try:
        return msgspec.json.decode(given, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"line {number} is not a JSON object: {exc}") from None


def _key(line: Mapping[str, Any]) -> Any:
    """The key of a line; None if it has none."""
    for name in _KEYS:
        if line.get(name) is not None:
            return line[name]
    metadata = line.get("metadata")
    return metadata.get("key") if isinstance(metadata, Mapping) else None


class _Rows:
    """Rows until they are taken."""

    def __init__(self, rows: Iterable[ResultRow]) -> None:
        self._by_key: dict[str, list[ResultRow]] = defaultdict(list)
        self._by_request: dict[bytes, list[ResultRow]] = defaultdict(list)
        self._strangers: list[tuple[Why, ResultRow]] = []
        for row in rows:
            if row.key is not None:
                self._by_key[row.key].append(row)
            elif "line" in row.raw and row.error is not None and len(row.raw) == 1:
                self._strangers.append((Why.UNREADABLE, row))
            elif (request := _request(row)) is not None:
                self._by_request[mark_of(request)].append(row)
            else:
                self._strangers.append((Why.NO_MATCH, row))

    def take(
        self, key: str, request: Any, json: bool
    ) -> tuple[ResultRow, Judged] | None:
        """The row of a line, with what became of it; of several the best one."""
        answers = self._by_key.pop(key, [])
        if not answers and self._by_request:
            equal = self._by_request.get(mark_of(request))
            if equal:
                answers = [equal.pop(0)]
        if not answers:
            return None
        pairs = [
            (row, judged(row, json=json or asks_for_json(row.raw))) for row in answers
        ]
        best = min(pairs, key=lambda pair: BEST_FIRST.index(pair[1].outcome))
        for pair in pairs:
            if pair is not best:
                self._strangers.append((Why.DOUBLED, pair[0]))
        return best

    def strangers(self) -> Iterator[dict[str, Any]]:
        """What was not taken."""
        for why, several in (
            (Why.NO_SUCH_ROW, self._by_key),
            (Why.NO_MATCH, self._by_request),
        ):
            for rows in several.values():
                self._strangers += ((why, row) for row in rows)
        for why, row in self._strangers:
            yield {"why": why.value, "answer": row.raw}


def _request(row: ResultRow) -> Any:
    """The request that a row echoes."""
    return next((row.raw[name] for name in _WRAPPERS if name in row.raw), None)


def _said(row: ResultRow, found: Judged, full: bool) -> dict[str, Any]:
    """The members of a result that come from the answer."""
    result: dict[str, Any] = {"outcome": found.outcome.value}
    if found.json is not UNSET:
        result["json"] = found.json
    elif found.text is not None:
        result["text"] = found.text
    response = row.response or row.raw.get("response")
    if response and (full or found.needs_response):
        result["response"] = response
    if error := found.error:
        members = {"code": error.code, "status": error.status, "message": error.message}
        result["error"] = {n: v for n, v in members.items() if v is not None}
    if found.finish_reason:
        result["finish_reason"] = found.finish_reason
    if found.candidates > 1:
        result["candidates"] = found.candidates
    usage = msgspec.structs.asdict(found.usage)
    if any(usage.values()):
        result["usage"] = usage
    return result

"""
What is shown of a row: its question, and its answer or why it has none. Texts are the
user's, unescaped: templates write them with the filter `content`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from batchdrop.dashboard.legible import (
    cut,
    plain,
    pretty,
    size_of_data,
    value_of,
    without_data,
)
from batchdrop.jobs.values import brief
from batchdrop.rows import RowOutcome

#: Characters of a table's cell.
CELL = 180
#: Pieces of a question or an answer, and columns, that are shown. A line can have
#: thousands, each of which takes its time, and a page of its own size.
MOST_PIECES = 500
_MORE = f"Only the first {MOST_PIECES} are shown."
#: Bytes of a result in which its outcome is looked for at first.
_BEGINNING = 2048
#: Members of a request that are its question; the others are its options.
_SYSTEM = ("systemInstruction", "system_instruction", "system", "instructions")
_QUESTIONS = ("contents", "content", "messages", "input", "prompt")
_ENVELOPES = ("request", "body")
_MEDIA_TYPES = ("mimeType", "mime_type", "media_type")
#: What stands beside the parts of an answer, and is not one of them.
_ASIDE = frozenset({"thoughtSignature", "thought_signature", "thought", "signature"})


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a question or an answer."""

    label: str  #: who says it, or what it is; empty for the text of an answer
    text: str
    kind: str = "text"  #: or "json"; or "data", of which `text` is the size


@dataclass(frozen=True, slots=True)
class Listed:
    """A row in a table of rows."""

    line: int
    id: str
    key: str
    outcome: str
    start: str  #: of its answer, or of what went wrong
    is_error: bool
    bytes: int  #: of its line, or a lower bound
    is_cut: bool  #: only the beginning of the line was read


@dataclass(frozen=True, slots=True)
class Error:
    """Why a row has no answer."""

    name: str  #: such as `400 INVALID_ARGUMENT`
    message: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One row."""

    line: int
    id: str
    key: str
    place: str
    outcome: str
    columns: list[tuple[str, str]]
    answer: list[Piece]
    error: Error | None
    response: str  #: the API's own, as JSON; empty if the result has none
    facts: list[tuple[str, str]]


def listed(head: bytes, size: int) -> Listed:
    """
    What a table shows of a result.

    Args:
        head: its line, or the beginning of a long one.
        size: bytes of the line.
    """
    found = _members(head)
    error = _error(found.get("error"))
    if error:
        start = error.message or error.name
    else:
        # A cell takes no more than the beginning of the first piece.
        first = next(_answer(found), Piece("", ""))
        named = first.label and "json" not in found
        start = f"{first.label}: {first.text}" if named else first.text
    return Listed(
        line=_line(found),
        id=_text(found.get("id", "")),
        key=_cell(_key(found)),
        outcome=_outcome(found),
        start=_cell(start),
        is_error=error is not None,
        bytes=size,
        is_cut=len(head) < size,
    )


def outcome_of(head: bytes) -> str:
    """
    The outcome of a result. It comes before the answer, so mostly a short beginning of
    its line has it.

    Args:
        head: its line, or the beginning of a long one.
    """
    outcome = _outcome(_members(head[:_BEGINNING]))
    is_there = outcome != RowOutcome.UNCLEAR  # else it may have been cut
    return outcome if is_there else _outcome(_members(head))


def shown(head: bytes) -> Shown:
    """
    What a page shows of a result.

    Args:
        head: its line, or the beginning of a long one.
    """
    found = _members(head)
    columns = found.get("columns")
    named = columns if isinstance(columns, dict) else {}
    response = found.get("response")
    return Shown(
        line=_line(found),
        id=_text(found.get("id", "")),
        key=_text(_key(found)),
        place=_text(found.get("place", "")),
        outcome=_outcome(found),
        columns=_columns(named),
        answer=[*_answer(found)],
        error=_error(found.get("error")),
        response=_json(response) if response is not None else "",
        facts=[*_facts(found)],
    )


def raw(head: bytes) -> str:
    """A line as it is, but for data."""
    return cut(without_data(head.decode(errors="backslashreplace")))


def question(head: bytes) -> list[Piece]:
    """
    What a row asks, of any publisher's model: instructions, who says what, and the
    options last.

    Args:
        head: its line as it was sent, or the beginning of a long one.
    """
    found = value_of(head)
    if not isinstance(found, dict):
        return [Piece("line", raw(head), "json")]
    request = next(
        (found[name] for name in _ENVELOPES if isinstance(found.get(name), dict)), found
    )
    pieces: list[Piece] = []
    for name in (*_SYSTEM, *_QUESTIONS):
        if name in request:
            who = "instructions" if name in _SYSTEM else ""
            pieces += _some(_said(request[name], who))
    asked = {*_SYSTEM, *_QUESTIONS, *_IDS} if pieces else set(_IDS)
    options = {name: each for name, each in request.items() if name not in asked}
    if options:
        pieces.append(Piece("options", _json(options), "json"))
    return pieces


_IDS = ("key", "custom_id")


def refused(head: bytes) -> list[Piece]:
    """
    A line that was not sent, by the report.

    Args:
        head: its line of the report, or the beginning of a long one.
    """
    found = value_of(head)
    text = found.get("text") if isinstance(found, dict) else None
    return [Piece("line", _text(text), "json")] if isinstance(text, str) else []


def _members(head: bytes) -> dict[str, Any]:
    found = value_of(head)
    return found if isinstance(found, dict) else {}


def _line(found: dict[str, Any]) -> int:
    line = str(found.get("line"))
    return int(line) if re.fullmatch("[0-9]{1,18}", line) else 0


def _outcome(found: dict[str, Any]) -> str:
    outcome = str(found.get("outcome"))
    return outcome if outcome in {*RowOutcome} else RowOutcome.UNCLEAR


def _key(found: dict[str, Any]) -> str:
    return plain(found["key"]) if "key" in found else ""


def _error(error: Any) -> Error | None:
    if not isinstance(error, dict):
        return None
    names = (plain(error[name]) for name in ("code", "status") if name in error)
    return Error(_text(" ".join(names)), _text(error.get("message", "")))


def _facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    usage = found.get("usage")
    if isinstance(usage, dict):
        counts = (f"{plain(n)} {name}" for name, n in usage.items() if plain(n) != "0")
        yield "Tokens", _text(", ".join(counts))
    for name, label in (
        ("finish_reason", "Finish reason"),
        ("candidates", "Candidates"),
        ("round", "Round"),
    ):
        if name in found and found[name] != "0":  # no row went again
            yield label, _text(found[name])


def _answer(found: dict[str, Any]) -> Iterator[Piece]:
    """What a result answers: the API's parts, where the text alone does not say all."""
    if "json" in found:
        yield Piece("JSON", _json(found["json"]), "json")
        return
    parts = [*_some(_parts_of(found.get("response")))]
    if any(part.label for part in parts) or "text" not in found:
        yield from parts
    else:
        yield Piece("", _text(found["text"]))


def _parts_of(response: Any) -> Iterator[Piece]:
    """The parts of the API's response, of whatever publisher."""
    if not isinstance(response, dict):
        return
    inner = response.get("body")
    body: dict[str, Any] = inner if isinstance(inner, dict) else response
    candidates = body.get("candidates") or body.get("choices")
    if isinstance(candidates, list):
        several = len(candidates) > 1
        for n, each in enumerate(candidates, 1):
            said: Any = {}
            if isinstance(each, dict):
                said = each.get("content") or each.get("message") or {}
            for piece in _said(said, ""):
                names = (f"candidate {n}" if several else "", _unless_model(piece))
                label = ", ".join(filter(None, names))
                yield Piece(label, piece.text, piece.kind)
    elif isinstance(body.get("content"), list):
        for piece in _said(body["content"], ""):
            yield Piece(_unless_model(piece), piece.text, piece.kind)
    elif isinstance(feedback := body.get("promptFeedback"), dict):
        reasons = (feedback.get(name) for name in ("blockReason", "blockReasonMessage"))
        yield Piece(
            "prompt blocked", ": ".join(_text(each) for each in reasons if each)
        )
    else:
        yield Piece("response", _json(body), "json")


def _columns(named: dict[str, Any]) -> list[tuple[str, str]]:
    some = islice(named.items(), MOST_PIECES)
    found = [(_text(name), _text(value)) for name, value in some]
    return [*found, ("more", _MORE)] if len(named) > MOST_PIECES else found


def _some(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces, as many as a page shows, and whether there are more."""
    yield from islice(pieces, MOST_PIECES)
    if next(pieces, None):
        yield Piece("more", _MORE, "data")


def _unless_model(piece: Piece) -> str:
    """What it is, without that the model says it, as it says all of an answer."""
    return re.sub(r"\A(?:model|assistant)(?:, |\Z)", "", piece.label)


def _said(value: Any, who: str) -> Iterator[Piece]:
    """
    The pieces of a content, a message, or several of them.

    Args:
        who: who says it, if the value doesn't say so.
    """
    if isinstance(value, list):
        for each in value:
            yield from _said(each, who)
        return
    if not isinstance(value, dict):
        yield Piece(who, _text(value))
        return
    role = value.get("role")
    who = _text(role) if isinstance(role, str) else who
    if "parts" in value:
        yield from _said(value["parts"], who)
    elif "content" in value and ("role" in value or value.keys() == {"content"}):
        if value["content"] is not None:
            yield from _said(value["content"], who)
        more = {n: each for n, each in value.items() if n not in ("role", "content")}
        if more := {name: each for name, each in more.items() if each}:
            yield from _part(more, who)
    elif value.keys() - {"role"}:
        yield from _part(value, who)


def _part(part: dict[str, Any], who: str) -> Iterator[Piece]:
    """One part: a text, data of which the size is shown, or something else as JSON."""
    kind = part.get("type")
    thinks = part.get("thought") is True or kind == "thinking"
    who = ", ".join(filter(None, (who, "thoughts" if thinks else "")))
    rest = {name: each for name, each in part.items() if name not in _ASIDE}
    for name in ("text", "thinking"):
        if isinstance(part.get(name), str):
            yield Piece(who, _text(part[name]))
            if rest.keys() <= {name, "type"}:
                return
            del rest[name]
    label = kind if isinstance(kind, str) else next(iter(rest), "part")
    for holder in rest.values():
        if isinstance(holder, dict) and isinstance(holder.get("data"), str):
            named = (holder[name] for name in _MEDIA_TYPES if name in holder)
            media = _text(next(named, label))
            size = f"{size_of_data(holder['data'])}, not shown"
            yield Piece(", ".join(filter(None, (who, media))), size, "data")
            return
    yield Piece(", ".join(filter(None, (who, _words(label)))), _json(rest), "json")


def _words(name: str) -> str:
    """`functionCall` as `function call`."""
    return _text(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).lower())


def _text(value: Any) -> str:
    return cut(plain(value))


def _json(value: Any) -> str:
    return cut(pretty(value))


def _cell(text: str) -> str:
    return brief(" ".join(text[: 4 * CELL].split()), CELL)

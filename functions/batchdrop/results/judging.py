"""The members of a result that depend on its answer alone, such as the outcome."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from batchdrop.batches.answer_lines import row_of
from batchdrop.batches.answers import body_of
from batchdrop.batches.outcomes import judged
from batchdrop.batches.usage import MOST_TOKENS
from batchdrop.results.failures import code_of
from batchdrop.results.questions import error_member
from batchdrop.rows import RowOutcome


class Said(NamedTuple):
    """What one answer says."""

    outcome: RowOutcome
    members: bytes  #: of the result, from `outcome` to `usage`
    usage: tuple[int, int, int, int, int]  #: prompt, cached, output, thoughts, total
    error: tuple[str, str] | None = None  #: code or status, and message
    #: What a bill has to know of the answer: its model, and its tokens by modality.
    #: None if the answer costs nothing.
    body: Mapping[str, Any] | None = None
    day: date | None = None  #: on which it was made (UTC), if it says so


class _Spliced(Struct, gc=False):
    """The members of an answer that are copied as bytes."""

    response: Raw | UnsetType = UNSET
    predictions: Raw | UnsetType = UNSET
    prediction: Raw | UnsetType = UNSET


_spliced = msgspec.json.Decoder(_Spliced).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


def judge(line: bytes, json: bool, full: bool) -> Said:
    """
    What an answer says.

    Args:
        line: the answer, a JSON object without spaces around it.
        json: whether its row asked for JSON.
        full: whether the result has the response even where text or JSON say all.

    Raises:
        MsgspecError, UnicodeDecodeError, RecursionError: it can't be read.
    """
    return usual(line, json, full) or any_answer(line, json, full)


# -- any answer ------------------------------------------------------------------------


def any_answer(line: bytes, json: bool, full: bool) -> Said:
    """The same as `judge`, for an answer of any shape."""
    row = row_of(msgspec.json.decode(line, type=dict[str, Any]))
    found = judged(row, json=json)
    members = [b'"outcome":"%b"' % found.outcome.encode()]
    if found.json_bytes is not None:
        members.append(b'"json":' + found.json_bytes)
    elif found.text is not None:
        members.append(b'"text":' + _encode(found.text))
    if full or found.needs_response:
        members += _response(line)
    error = body = day = None
    if found.error is None:
        body = body_of(row.response)
        day = _day(row.raw.get("processed_time")) or _day(body.get("createTime"))
    else:
        code, status = found.error.code, found.error.status
        message = found.error.message or ""
        members.append(error_member(code, status, message)[1:])
        error = (code_of(code, status), message)
    if found.finish_reason:
        members.append(b'"finish_reason":' + _encode(found.finish_reason))
    if found.candidates > 1:
        members.append(b'"candidates":%d' % found.candidates)
    own = found.usage
    usage = (own.prompt, own.cached, own.output, own.thoughts, own.total)
    if any(usage):
        members.append(_USAGE % usage)
    if found.outcome is RowOutcome.BLOCKED and not any(usage):
        body = None  # a prompt that no model has read
    return Said(found.outcome, b",".join(members), usage, error, body, day)


_USAGE = b'"usage":{"prompt":%d,"cached":%d,"output":%d,"thoughts":%d,"total":%d}'


def _response(line: bytes) -> list[bytes]:
    """The response with the API's bytes."""
    found = _spliced(line)
    if found.response is not UNSET:
        return [b'"response":' + bytes(found.response)]
    for name in ("predictions", "prediction"):
        if (raw := getattr(found, name)) is not UNSET:
            return [b'"response":{"%b":%b}' % (name.encode(), raw)]
    return []


def _day(text: Any) -> date | None:
    """The day (UTC) of a time, such as 2026-11-28T21:14:06.120+00:00."""
    if not isinstance(text, str):
        return None
    if text[10:11] == "T" and text.endswith(("Z", "+00:00")):
        text = text[:10]
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo is None else at.astimezone(UTC)).date()
    except (ValueError, OverflowError):
        return None


# -- usual answers ---------------------------------------------------------------------


class _Part(Struct, forbid_unknown_fields=True, gc=False):
    text: Raw
    thoughtSignature: str | UnsetType = UNSET


class _Content(Struct, forbid_unknown_fields=True, gc=False):
    parts: tuple[_Part]
    role: str | UnsetType = UNSET


class _Candidate(Struct, forbid_unknown_fields=True, gc=False):
    # Other members mean that the text does not say all, or may mean it.
    content: _Content
    finishReason: Literal["STOP"]
    index: int | UnsetType = UNSET
    avgLogprobs: float | UnsetType = UNSET
    safetyRatings: Raw | UnsetType = UNSET


_Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]


class _Tokens(Struct, gc=False):
    totalTokenCount: Annotated[int, Meta(gt=0, le=MOST_TOKENS)]
    promptTokenCount: _Count = 0
    cachedContentTokenCount: _Count = 0
    candidatesTokenCount: _Count = 0
    thoughtsTokenCount: _Count = 0
    toolUsePromptTokenCount: Literal[0] = 0
    promptTokensDetails: Any = None
    cacheTokensDetails: Any = None
    candidatesTokensDetails: Any = None


class _Response(Struct, forbid_unknown_fields=True, gc=False):
    candidates: tuple[_Candidate]
    usageMetadata: _Tokens
    modelVersion: str | None = None
    createTime: str | None = None
    responseId: str | UnsetType = UNSET


class _Usual(Struct, gc=False):
    response: _Response
    status: Literal[""] = ""
    error: None = None
    processed_time: Any = None


_usual = msgspec.json.Decoder(_Usual).decode


def usual(line: bytes, json: bool, full: bool) -> Said | None:
    """
    The same as `judge`, for the answer that nearly all rows have: Gemini's, one
    candidate that ends with STOP, one piece of text. None for any other.
    """
    try:
        found = _usual(line)
        response = found.response
        raw = bytes(response.candidates[0].content.parts[0].text)
        tokens = response.usageMetadata
        usage = (
            tokens.promptTokenCount,
            tokens.cachedContentTokenCount,
            tokens.candidatesTokenCount,
            tokens.thoughtsTokenCount,
            tokens.totalTokenCount,
        )
        if usage[0] + usage[2] + usage[3] != usage[4] or not _is_text(raw):
            return None
        name = b"text"
        if json:
            name, raw = b"json", msgspec.json.format(_text(raw).encode(), indent=-1)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if full:
        raw = b",".join((raw, *_response(line)))
    body = {
        "modelVersion": response.modelVersion,
        "usageMetadata": {
            "promptTokensDetails": tokens.promptTokensDetails,
            "cacheTokensDetails": tokens.cacheTokensDetails,
            "candidatesTokensDetails": tokens.candidatesTokensDetails,
        },
    }
    day = _day(found.processed_time) or _day(response.createTime)
    return Said(RowOutcome.OK, _OK % (name, raw, *usage), usage, None, body, day)


_OK = b'"outcome":"ok","%b":%b,"finish_reason":"STOP",' + _USAGE
#: The first letters of a text that isn't blank, without looking at the others.
_LETTERS = frozenset(range(0x21, 0x7F)) - frozenset(rb'"\\')


def _is_text(raw: bytes) -> bool:
    """Whether this is a JSON string that isn't blank."""
    if raw[:1] != b'"':
        return False
    return raw[1] in _LETTERS or not _blank(raw)


def _blank(raw: bytes) -> bool:
    text = _text(raw)
    return not text or text.isspace()

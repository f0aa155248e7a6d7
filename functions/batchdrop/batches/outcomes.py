"""The answer to one request, and the outcome of its row."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from batchdrop.batches import answers
from batchdrop.batches.answers import FINISH_REASONS, Answer
from batchdrop.batches.types import JobError
from batchdrop.batches.usage import NOTHING, RowUsage, usage_of
from batchdrop.rows import RowOutcome

# An enum's members are slow to look up, and this runs for each row.
_OK, _BLOCKED, _EMPTY = RowOutcome.OK, RowOutcome.BLOCKED, RowOutcome.EMPTY
_TRUNCATED, _MALFORMED = RowOutcome.TRUNCATED, RowOutcome.MALFORMED
_UNCLEAR = RowOutcome.UNCLEAR

#: Also of numbers that are too large for a float.
_decode = msgspec.json.Decoder(float_hook=float).decode

#: Outcomes of answers that may turn out not to be the JSON that was asked for.
_WHOLE = (_OK, _UNCLEAR)


class Judged(Struct, frozen=True, kw_only=True):
    """
    What became of one row that was answered, in the same words for all publishers.

    `json` and `text` are never both set. Of a blocked answer neither is.
    """

    outcome: RowOutcome
    text: str | None = None
    #: The text as JSON without spaces, if JSON was asked for and it is JSON.
    json_bytes: bytes | None = None
    finish_reason: str | None = None  #: in the publisher's word
    blocked: str | None = None  #: why it was withheld, in the publisher's word
    error: JobError | None = None
    usage: RowUsage = NOTHING
    candidates: int = 0
    #: Whether the answer says more than text and JSON: a call, a picture, a vector,
    #: grounding, other candidates, why it was blocked.
    needs_response: bool = False

    @property
    def json(self) -> Any:
        """The JSON value; `msgspec.UNSET` if there is none."""
        return UNSET if self.json_bytes is None else _decode(self.json_bytes)


class ResultRow(Struct, frozen=True, kw_only=True):
    """
    The answer to one request.

    At most one of `response` and `error` is set. Rows come in any order: join them by
    `key`.

        >>> from batchdrop.batches.answer_lines import row_of
        >>> row_of({"key": "a", "response": {"candidates": []}}).outcome
        <RowOutcome.EMPTY: 'empty'>
    """

    key: str | None = None  #: `key`, `custom_id` or `metadata.key` of the request
    response: dict[str, Any] | None = None
    error: JobError | None = None
    metadata: dict[str, Any] | None = None
    raw: dict[str, Any] = {}  #: the whole row, unchanged

    @property
    def outcome(self) -> RowOutcome:
        """
        What became of the row. An answer that is not JSON is `malformed` only if the
        row has its request, as on Vertex AI, and that asks for JSON.
        """
        return judged(self, json=asks_for_json(self.raw)).outcome

    @property
    def text(self) -> str | None:
        """
        The text of the answer (Gemini's first candidate, Claude's content, OpenAI's
        first choice), its pieces joined, without thoughts. If it is None, then `error`,
        `blocked` or `finish_reason` says why.
        """
        return answers.read(self.response).text

    @property
    def thoughts(self) -> str | None:
        """The text of the thoughts in the answer, joined; None if it has none."""
        return answers.read(self.response).thoughts

    @property
    def json(self) -> Any:
        """The text, decoded from JSON; None if there is no text or it is not JSON."""
        text = self.text
        try:
            return None if text is None else _decode(text)
        except (msgspec.DecodeError, RecursionError):
            return None

    @property
    def finish_reason(self) -> str | None:
        """
        Why the model stopped, in its publisher's word, such as STOP, MAX_TOKENS,
        end_turn or length; None if the answer doesn't say, or there is no answer.
        """
        return answers.read(self.response).finish_reason

    @property
    def blocked(self) -> str | None:
        """
        Why the prompt or the answer was withheld, such as PROHIBITED_CONTENT, SAFETY,
        refusal or content_filter; None if it wasn't.
        """
        return answers.read(self.response).blocked

    @property
    def usage(self) -> RowUsage:
        """The tokens that the answer counts, in the same words for all publishers."""
        return usage_of(answers.body_of(_answer(self)))

    @property
    def embedding(self) -> list[float] | None:
        """The vector, the first if there are several; None if there is none."""
        return answers.embedding_of(self.response)


def judged(row: ResultRow, *, json: bool = False) -> Judged:
    """
    What became of a row. The first that holds:

        failed      an error, even beside a response
        blocked     the prompt or the answer was withheld
        truncated   a finish reason of length; an embedding of a part of its text
        malformed   a finish reason of form; JSON was asked for and the text is none
        empty       no content: thoughts, signatures and blank text are none
        unclear     a finish reason that is not known, or none where there should be one
        ok

    Args:
        json: whether the row asked for JSON.
    """
    response = _answer(row)
    answer = answers.read(response)
    usage = usage_of(answers.body_of(response)) if response else NOTHING
    if row.error is not None:
        return Judged(
            outcome=RowOutcome.FAILED,
            finish_reason=answer.finish_reason,
            error=row.error,
            usage=usage,
            candidates=answer.candidates,
            needs_response=answer.content,
        )
    outcome, text, found = _outcome(answer), answer.text, None
    more = answer.more
    if outcome is _BLOCKED:
        # What there is of it may be what was to be withheld.
        text, more = None, more or answer.content
    elif json and text and outcome in _WHOLE and not text.isspace():
        found = _in_one_line(text)
        if found is None:
            outcome = _MALFORMED
        else:
            text = None
    return Judged(
        outcome=outcome,
        text=text,
        json_bytes=found,
        finish_reason=answer.finish_reason,
        blocked=answer.blocked,
        usage=usage,
        candidates=answer.candidates,
        needs_response=more,
    )


def _answer(row: ResultRow) -> Mapping[str, Any] | None:
    """The row's answer; of one that failed, what stands beside the error."""
    if row.error is None:
        return row.response
    beside = row.raw.get("response")
    if not isinstance(beside, dict) or "error" in answers.body_of(beside):
        return None
    return beside


def _outcome(answer: Answer) -> RowOutcome:
    if answer.blocked is not None:
        return _BLOCKED
    named = FINISH_REASONS.get(answer.finish_reason or "")
    if answer.cut or named is _TRUNCATED:
        return _TRUNCATED
    if named is _MALFORMED:
        return _MALFORMED
    if not answer.content:
        return _EMPTY
    if named is _OK or answer.reasonless:
        return _OK
    return _UNCLEAR


def _in_one_line(text: str) -> bytes | None:
    """
    JSON without the spaces around its tokens, whose numbers and texts keep their bytes;
    None if the text is not JSON.
    """
    try:
        return msgspec.json.format(text.encode(), indent=-1)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None


def asks_for_json(raw: Mapping[str, Any]) -> bool:
    """
    Whether the request that a row echoes asks for JSON, as preflight's `asking` says of
    lines: by type, or by a schema where no type is named.
    """
    request = _object(raw, "request") or _object(raw, "body")
    config = _either(request, "generationConfig", "generation_config") or {}
    if isinstance(config, dict) and config:
        mime = _either(config, "responseMimeType", "response_mime_type")
        if mime:
            return str(mime).partition(";")[0].strip().lower() == "application/json"
        if _either(config, "responseSchema", "response_schema") is not None:
            return True
        if _either(config, "responseJsonSchema", "response_json_schema") is not None:
            return True
        form = _either(config, "responseFormat", "response_format")
        text = _object(form, "text") if isinstance(form, dict) else {}
        mime = _either(text, "mimeType", "mime_type")
        return str(mime).upper() == "APPLICATION_JSON"
    forms = (
        _object(request, "response_format"),
        _object(_object(request, "output_config"), "format"),
        _object(request, "output_format"),
    )
    return any(form.get("type") in ("json_schema", "json_object") for form in forms)


def _either(holder: Mapping[str, Any], name: str, other: str) -> Any:
    """A member in either spelling."""
    return holder[name] if name in holder else holder.get(other)


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}

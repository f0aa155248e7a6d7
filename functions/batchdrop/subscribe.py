"""For subscribers: read announcements from any delivery, and handle each once.

    from batchdrop.subscribe import Handled, once, parse

    @once(Handled("mailer", firestore.Client))
    def mail(event: JobEvent) -> None: ...

    def callback(message):            # a pull subscription's
        mail(parse(message))
        message.ack()

Needs only batchdrop itself, and google-cloud-firestore for `Handled`.
"""

import base64
import binascii
import inspect
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, wraps
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from google.cloud import firestore

T = TypeVar("T")

#: Eventarc's event type for a published message (google.events.cloud.pubsub.v1
#: MessagePublishedData).
MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


#: Kinds of functions whose call does no work yet.
LAZY = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)


class BadAnnouncement(ValueError):
    """
    The message is not an announcement of batchdrop, or can't be read. A redelivery
    won't help: acknowledge it, or let it go to the dead letters.
    """


class Busy(Exception):
    """
    Another delivery of the same event is being handled now. Don't acknowledge this
    one: if the other handler dies, this delivery gets the event handled.
    """


# Constraints that the JSON Schemas state and that `parse` doesn't enforce.
Id = Annotated[str, Meta(extra_json_schema={"pattern": "^[a-z2-7]{26}$"})]
Count = Annotated[int, Meta(extra_json_schema={"minimum": 0})]
Time = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"})]
GsUri = Annotated[str, Meta(extra_json_schema={"pattern": "^gs://"})]
BqUri = Annotated[str, Meta(extra_json_schema={"pattern": "^bq://"})]


class Source(Struct, frozen=True, kw_only=True):
    """The dropped object."""

    bucket: str
    #: Shortened if it is very long; the attribute `object` has all of it.
    name: str
    generation: int
    #: Bytes.
    size: Count


class Rows(Struct, frozen=True, kw_only=True):
    """What became of the dropped file's rows."""

    total: Count = 0
    accepted: Count = 0
    refused: Count = 0
    #: Accepted rows that were corrected first.
    fixed: Count = 0
    #: What became of the accepted rows; null until their answers are collected.
    ok: Count | None = None
    truncated: Count | None = None
    blocked: Count | None = None
    malformed: Count | None = None
    empty: Count | None = None
    failed: Count | None = None
    unclear: Count | None = None
    missing: Count | None = None


class Stats(Struct, frozen=True, kw_only=True):
    """The API's own row counts; null where it gives none."""

    successful: int | None = None
    failed: int | None = None
    incomplete: int | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens that the answers count."""

    #: Includes cached tokens.
    prompt: Count = 0
    #: Of the prompt.
    cached: Count = 0
    #: Without thoughts.
    output: Count = 0
    thoughts: Count = 0
    total: Count = 0


class Cost(Struct, frozen=True, kw_only=True):
    """What tokens cost by a price list, before discounts and taxes."""

    #: Millionths of the currency.
    micros: Count
    #: Such as USD.
    currency: str
    #: The day of the price list, such as 2026-11-28.
    prices_as_of: str


class Failure(Struct, frozen=True, kw_only=True):
    """A kind of error that rows have in common."""

    code: str
    #: Without what differs between rows; never a row's text.
    message: str
    count: Count
    #: The id of one of the rows.
    example: str


class Results(Struct, frozen=True, kw_only=True):
    """The object with a result for each line of the dropped file, in its order."""

    #: A gs:// URI; null if it is very long.
    uri: GsUri | None = None
    generation: int
    #: Base64, as Cloud Storage writes it.
    crc32c: str
    bytes: Count
    #: The object with the byte offset of each 1,000th line: a gs:// URI.
    index: GsUri | None = None
    #: The object with the answers that belong to no row: a gs:// URI.
    strangers: GsUri | None = None


class Parts(Struct, frozen=True, kw_only=True):
    """How the parts of a split job ended."""

    total: Annotated[int, Meta(extra_json_schema={"minimum": 1})]
    succeeded: Count = 0
    partially_succeeded: Count = 0
    #: Includes parts that were rejected or lost.
    failed: Count = 0
    cancelled: Count = 0
    expired: Count = 0


class Problem(Struct, frozen=True, kw_only=True):
    """A code, and a message for a person."""

    code: str
    message: str


class Health(Problem, frozen=True, kw_only=True):
    """A problem on our side, and when it began."""

    since: Time


class JobEvent(Struct, frozen=True, kw_only=True):
    """
    One announcement, as it was delivered. Every repeat has the same `id`; `seq` grows
    with each announcement of a job.

    The fields from `job_id` on are the body, in its order. This is their one
    definition: the announcements are encoded from it, and `make schemas` writes the
    JSON Schemas from the types and comments here.
    """

    # Attributes of the message.
    id: str
    type: str  #: such as dev.batchdrop.job.succeeded.v1
    deployment: str  #: the CloudEvent's source
    seq: int  #: for subscriptions without message ordering
    replay_of: str | None = None  #: the event id that this event repeats
    message_id: str | None = None  #: Pub/Sub's; each publication has its own
    attempt: int | None = None  #: deliveries so far, if there is a dead-letter topic

    #: The job; also the ordering key and the CloudEvent's subject.
    job_id: Id
    #: The job that this one is a rerun of.
    parent: Id | None = None
    #: The split job of this part. Parts announce `stalled` only.
    part_of: Id | None = None
    #: How the parts of a split job ended; null for any other job.
    parts: Parts | None = None
    #: How far the job is in batchdrop.
    phase: str
    #: The batch's state, as the API writes it; for a split job, the state that its
    #: parts add up to.
    state: str | None = None
    #: How the job ended: "succeeded", "partially_succeeded", "failed", "cancelled",
    #: "expired", "rejected" or "lost"; null if it has not. Later versions may add more.
    outcome: str | None = None
    #: The dropped object.
    source: Source
    #: What the batch does: `generation` or `embedding`.
    kind: str | None = None
    #: `vertex` or `developer`.
    backend: str | None = None
    #: Region of the batch, or `global`.
    location: str | None = None
    #: Model of the batch.
    model: str | None = None
    #: Labels of the batch.
    labels: dict[str, str] = {}
    #: The batch's full resource name at the API; null for a split job.
    batch: str | None = None
    #: Where the answers are: a gs:// URI. For a split job, each part has a folder
    #: under it.
    output_directory: GsUri | None = None
    #: The table with the answers: a bq:// URI.
    output_table: BqUri | None = None
    #: What became of the dropped file's rows.
    rows: Rows
    #: The object that lists every refused line, and why: a gs:// URI.
    report: GsUri | None = None
    #: The API's own row counts; for a split job, the sum over its parts.
    stats: Stats | None = None
    #: The result of each line; null until the answers are collected.
    results: Results | None = None
    #: The tokens of all answers; null until they are collected.
    usage: Usage | None = None
    #: What these tokens cost; null until they are collected, or if it isn't known: the
    #: job's document says why.
    cost: Cost | None = None
    #: The most frequent errors of rows, the most frequent first.
    failures: tuple[Failure, ...] = ()
    #: How many answers belong to no row.
    strangers: Count = 0
    #: How many answers another answer to the same row replaces.
    superseded: Count = 0
    #: The last round of requests that the results have answers of, from 0.
    round: Count = 0
    #: Why rows that failed for a passing reason were not sent (once more).
    skipped: Problem | None = None
    #: Why the job failed, in the API's words or ours.
    error: Problem | None = None
    #: What is wrong on our side.
    health: Health | None = None
    #: The person or policy that requested the cancel; the batch may have ended before.
    cancelled_by: str | None = None
    #: When the first event of the drop arrived.
    created_at: Time
    #: When the API accepted the batch.
    submitted_at: Time | None = None
    #: When the API started the batch; if it doesn't say, when a tick first saw it run.
    started_at: Time | None = None
    #: When the API finished the batch.
    ended_at: Time | None = None
    #: When this announcement was recorded; the CloudEvent's time.
    announced_at: Time
    #: The fields that were too long and are shortened or left out here; the job's
    #: document has them whole.
    shortened: tuple[str, ...] = ()

    def body(self) -> bytes:
        """The announcement's body: every field that no attribute carries, as JSON."""
        return msgspec.json.encode({name: getattr(self, name) for name in BODY})

    @property
    def event(self) -> str:
        """
        What is announced: "ended" or "rejected", by the job's outcome; "results", that
        they are ready; "stalled", that a person should look. Also the attribute `event`
        of the message, for filters. Later versions may add more.
        """
        kind, word = self.type.split(".")[-3:-1]
        if kind == "job":
            return word if word in ("rejected", "stalled") else "ended"
        return kind


#: The fields of a `JobEvent` that come from the message's attributes.
ATTRIBUTES = ("id", "type", "deployment", "seq", "replay_of", "message_id", "attempt")
#: The fields of its body.
BODY = tuple(each for each in JobEvent.__struct_fields__ if each not in ATTRIBUTES)

#: What `batchdrop.ready` does, without the imports that a client needs.
_ready = msgspec.json.Decoder(JobEvent)


def parse(message: object, headers: Mapping[str, str] | None = None) -> JobEvent:
    """
    Reads an announcement from any delivery:

        pull                parse(message), of google.cloud.pubsub_v1's callback or pull
        push                parse(body), or parse(body, headers); a dict or its JSON
        push, unwrapped     parse(body, headers), with the message's metadata on
        Eventarc            parse(event), a CloudEvent of functions-framework or a dict

    Args:
        message: the delivery. Its content is validated, its sender is not: make sure
            that only Pub/Sub can call you.
        headers: the headers of the HTTP request.

    Raises:
        BadAnnouncement: names what is missing or wrong.
    """
    letter = _opened(message, headers)
    about = letter.attributes
    if not re.fullmatch(r"dev\.batchdrop\.[a-z_.]+\.v1", about.get("ce-type", "")):
        raise BadAnnouncement(
            f"the attribute ce-type is {about.get('ce-type')!r}, not a type of "
            "batchdrop's that this version reads (dev.batchdrop.*.v1)"
        )
    if not re.fullmatch(r"[a-z2-7]{26}", about.get("ce-id", "")):
        raise BadAnnouncement(
            f"the attribute ce-id is {about.get('ce-id')!r}, not an event id of "
            "batchdrop's"
        )
    body = letter.data if isinstance(letter.data, Mapping) else _json(letter.data)
    sequence = about.get("ce-sequence", "")
    context = {
        "id": about["ce-id"],
        "type": about["ce-type"],
        "deployment": about.get("ce-source", ""),
        "seq": int(sequence) if re.fullmatch(r"[0-9]{1,18}", sequence) else 0,
        "replay_of": about.get("ce-replayof"),
        "message_id": letter.message_id,
        "attempt": letter.attempt,
    }
    try:
        event = msgspec.convert({**body, **context}, JobEvent)
    except (msgspec.ValidationError, TypeError) as exc:
        raise BadAnnouncement(f"the body is no announcement: {exc}") from exc
    if about.get("ce-subject") != event.job_id:
        raise BadAnnouncement(
            f"the attribute ce-subject is {about.get('ce-subject')!r}, and the body "
            f"is about job {event.job_id!r}"
        )
    return event


def schema(type: str) -> dict[str, Any]:
    """
    The JSON Schema (draft 2020-12) of a type's body, complete.

        jsonschema.validate(body, schema("dev.batchdrop.job.failed.v1"))

    Raises:
        LookupError: the type does not exist.
    """
    folder = resources.files("batchdrop") / "schemas"
    known = {path.name.removesuffix(".json"): path for path in folder.iterdir()}
    if type not in known:
        raise LookupError(
            f"no schema of {type!r}; there are {', '.join(sorted(known))}"
        )
    found: dict[str, Any] = msgspec.json.decode(known[type].read_bytes())
    if "$ref" in found:
        shared = known[found["$ref"].rpartition(":")[2]]
        found["$defs"] = {"job": msgspec.json.decode(shared.read_bytes())}
    return found


# -- once -----------------------------------------------------------------------


class Handled:
    """
    The events that a handler has handled: one document each in Firestore,
    `handled/HANDLER.EVENT`, which expires at its field `expire_at`.

        no document              claim: take a lease, then call the handler
        handled                  nothing to do
        lease is running         Busy
        lease is over            claim: the holder died, or the handler failed
    """

    def __init__(
        self,
        handler: str,
        connect: "Callable[[], firestore.Client]",
        *,
        collection: str = "handled",
        lease: timedelta = timedelta(minutes=10),
        keep: timedelta = timedelta(days=45),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """
        Args:
            handler: a name; each handler handles each event once.
            connect: returns the client, on first use, such as `firestore.Client`.
            lease: longer than the handler ever takes.
            keep: longer than redeliveries are possible; Pub/Sub keeps messages for up
                to 31 days.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", handler):
            raise ValueError(
                f"handler is {handler!r}; it becomes a document's name, so it must be "
                "letters, digits, - and _"
            )
        self._handler = handler
        self._connect = connect
        self._collection = collection
        self._lease = lease
        self._keep = keep
        self._now = now

    def claim(self, event_id: str) -> str | None:
        """
        Claims an event. Returns the claim's name; None if it is handled already.

        Raises:
            Busy: another delivery has it.
        """
        from google.api_core import exceptions

        document, by, now = self._document(event_id), uuid.uuid4().hex, self._now()
        mine = {"by": by, "until": now + self._lease, "expire_at": now + self._keep}
        try:
            document.create(
                {"handler": self._handler, "event": event_id, "done_at": None, **mine}
            )
            return by
        except exceptions.AlreadyExists:
            held = document.get()
        data = held.to_dict() or {}
        if data.get("done_at"):
            return None
        if data.get("by") == by:
            return by  # our own commit, whose answer was lost
        if not data or (data["until"] and data["until"] > now):
            raise Busy(f"event {event_id} is with another delivery")
        option = self._client.write_option(last_update_time=held.update_time)
        try:
            document.update(mine, option=option)
        except exceptions.FailedPrecondition:
            # Again: ours, unless another delivery was faster.
            if (document.get().to_dict() or {}).get("by") != by:
                raise Busy(f"event {event_id} is with another delivery") from None
        return by

    def done(self, event_id: str, by: str) -> None:
        """Marks the event as handled, unless another delivery has claimed it since."""
        self._write(event_id, by, {"done_at": self._now()})

    def release(self, event_id: str, by: str) -> None:
        """Ends the lease after a failure, so that the next delivery need not wait."""
        # Null and not a time: a clock that is ahead would make others wait.
        self._write(event_id, by, {"until": None})

    def _write(self, event_id: str, by: str, changes: dict[str, Any]) -> None:
        from google.api_core import exceptions

        document = self._document(event_id)
        held = document.get()
        if not held.exists or held.get("by") != by:
            return
        option = self._client.write_option(last_update_time=held.update_time)
        with suppress(exceptions.FailedPrecondition):  # another delivery holds it now
            document.update(changes, option=option)

    @cached_property
    def _client(self) -> "firestore.Client":
        return self._connect()

    def _document(self, event_id: str) -> Any:
        name = f"{self._handler}.{event_id}"
        return self._client.collection(self._collection).document(name)


def once(
    ledger: Handled,
) -> Callable[[Callable[[JobEvent], T]], Callable[[JobEvent], T | None]]:
    """
    Decorates a handler so that it handles each event once, however often the event is
    delivered. It runs again only after it raised, or was killed before its end could be
    recorded; nobody knows then how far it came.

    The decorated handler returns what the handler returns, or None for an event that
    was handled before. It raises Busy while another delivery of the event is handled.

    Raises:
        TypeError: the handler is a coroutine function or a generator function, whose
            call returns before any work is done.
    """

    def decorate(handler: Callable[[JobEvent], T]) -> Callable[[JobEvent], T | None]:
        if any(is_lazy(handler) for is_lazy in LAZY):
            raise TypeError(
                f"{handler!r} does its work after its call returns, so `once` can't "
                "know when it is done; give `once` a plain function"
            )

        @wraps(handler)
        def wrapped(event: JobEvent) -> T | None:
            by = ledger.claim(event.id)
            if by is None:
                return None
            try:
                result = handler(event)
            except BaseException:
                # The handler's exception matters more; the lease ends by itself.
                with suppress(Exception):
                    ledger.release(event.id, by)
                raise
            ledger.done(event.id, by)
            return result

        return wrapped

    return decorate


# -- the pieces -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """The parts that all deliveries have."""

    attributes: Mapping[str, str]
    data: Any  #: bytes, or the decoded JSON object
    message_id: str | None = None
    attempt: int | None = None


def _opened(message: Any, headers: Mapping[str, str] | None) -> _Letter:
    named = {name.lower(): value for name, value in (headers or {}).items()}
    if "ce-type" in named:
        return _event(
            {k.removeprefix("ce-"): v for k, v in named.items() if k[:3] == "ce-"},
            message,
            named.get("x-goog-pubsub-message-id"),
        )
    if isinstance(message, bytes | bytearray | str):
        message = _json(message)
    if isinstance(message, Mapping):
        if "specversion" in message:
            return _event(message, message.get("data"))
        return _pushed(message)
    if hasattr(message, "get_attributes") and hasattr(message, "get_data"):
        return _event(message.get_attributes(), message.get_data())
    attempt = getattr(message, "delivery_attempt", None) or None
    if hasattr(message, "message"):  # a ReceivedMessage
        message = message.message
    if not (hasattr(message, "attributes") and hasattr(message, "data")):
        raise BadAnnouncement(
            f"a {type(message).__name__} is no Pub/Sub message, push body or CloudEvent"
        )
    return _Letter(
        attributes=_texts(message.attributes),
        data=message.data,
        message_id=getattr(message, "message_id", None) or None,
        attempt=attempt,
    )


def _event(
    context: Mapping[str, Any], data: Any, message_id: str | None = None
) -> _Letter:
    """A CloudEvent: Eventarc's, with a message inside, or batchdrop's own."""
    if context.get("type") == MESSAGE_PUBLISHED:
        return _pushed(data if isinstance(data, Mapping) else _json(data))
    attributes = {f"ce-{k}": str(v) for k, v in context.items() if k != "data"}
    return _Letter(attributes=attributes, data=data, message_id=message_id)


def _pushed(push: Mapping[str, Any]) -> _Letter:
    """A push body or a bare message as JSON, with camelCase or snake_case names."""
    message = push.get("message", push)
    if not isinstance(message, Mapping) or "attributes" not in message:
        raise BadAnnouncement(
            "no message with attributes: a push subscription without wrapping must "
            "write the metadata (no_wrapper.write_metadata), and its headers are needed"
        )
    data = message.get("data", b"")
    if isinstance(data, str):
        try:
            data = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as exc:
            raise BadAnnouncement(f"the message's data is not Base64: {exc}") from exc
    attempt = _either(push, "deliveryAttempt", "delivery_attempt")
    message_id = _either(message, "messageId", "message_id")
    return _Letter(
        attributes=_texts(message["attributes"]),
        data=data,
        message_id=message_id if isinstance(message_id, str) else None,
        attempt=attempt if isinstance(attempt, int) else None,
    )


def _either(values: Mapping[str, Any], one: str, other: str) -> Any:
    return values.get(one, values.get(other))


def _texts(attributes: Any) -> dict[str, str]:
    try:
        found = dict(attributes)
    except (TypeError, ValueError):
        raise BadAnnouncement("the message's attributes are no map") from None
    if not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise BadAnnouncement("the message's attributes are not all texts")
    return found


def _json(data: Any) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError) as exc:
        raise BadAnnouncement(f"not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise BadAnnouncement("a JSON value that is no object")
    return value

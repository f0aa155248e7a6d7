"""Reading what the service sent, whatever it sent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from batchdrop.batches.errors import UnclearAnswer, envelope

S = TypeVar("S", bound=Struct)
T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[S], body: bytes) -> S:
    """
    A Struct from a JSON object.

    A member of an unforeseen type is left at its default, the others are kept: a
    service that changes one member tomorrow must not make a job unreadable.

    Raises:
        UnclearAnswer: the body is no JSON object.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        return _what_fits(decoder.type, read_object(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise unclear(body) from exc


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object as a dict; UnclearAnswer for anything else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise unclear(body) from exc
    if not isinstance(value, dict):
        raise unclear(body)
    return value


def page_of(
    decoder: msgspec.json.Decoder[S],
    body: bytes,
    items: Callable[[S], Sequence[Raw] | None],
    read_one: Callable[[bytes], T],
) -> tuple[list[T], str | None]:
    """
    What a page lists, and the next page's token, None at the end. An item that can't be
    read hides no other.

    Args:
        decoder: of a Struct with the members `next_page_token` and `error`.
        items: the list in that Struct.

    Raises:
        UnclearAnswer: it is no page, as far as can be seen: a member has another type,
            or none of the items can be read. Whoever takes such a one for empty
            concludes that there is nothing, and may make a job a second time.
    """
    try:
        page: Any = decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise unclear(body, "is no list") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise unclear(body) from exc
    listed = items(page) or ()
    found = []
    for wire in map(bytes, listed):
        try:
            found.append(read_one(wire))
        except UnclearAnswer:
            continue
    if page.error is not None or (listed and not found):
        raise unclear(body, "is no list")
    return found, page.next_page_token or None


def _what_fits(kind: type[S], value: Mapping[str, Any]) -> S:
    fitting: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in value:
            continue
        member = value[field.encode_name]
        try:
            fitting[field.name] = msgspec.convert(member, field.type, strict=False)
        except msgspec.ValidationError:
            inner = _struct_in(field.type)
            if inner is not None and isinstance(member, dict):
                fitting[field.name] = _what_fits(inner, member)
    return kind(**fitting)


def _struct_in(annotation: Any) -> type[Struct] | None:
    """The Struct of an annotation such as `Struct | None`."""
    for part in getattr(annotation, "__args__", (annotation,)):
        if isinstance(part, type) and issubclass(part, Struct):
            return part
    return None


def unclear(
    body: bytes,
    what: str = "is no JSON object",
    then: str = "the request may have been carried out",
) -> UnclearAnswer:
    """
    The error for a success status over such a body, with the service's own words if
    the body has any.

    Args:
        what: what is wrong with the answer.
        then: what that means to the caller.
    """
    error = envelope(body)
    if error:
        words = f"{error.get('code', '')} {error.get('status', '')}".strip()
        said = f"{words}: {error.get('message', '')}"[:500]
        what = f"has a success status, and is an error: {said}"
    else:
        what = f"{what} but {body[:100]!r}"
    return UnclearAnswer(f"the answer {what}; {then}", sent=True)

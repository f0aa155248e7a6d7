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


def items_of(items: Sequence[Raw] | None, read_one: Callable[[bytes], T]) -> list[T]:
    """What a page lists. An item that can't be read hides no other."""
    found = []
    for wire in map(bytes, items or ()):
        try:
            found.append(read_one(wire))
        except UnclearAnswer:
            continue
    return found


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

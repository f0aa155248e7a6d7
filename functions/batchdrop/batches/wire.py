"""Reading what the service sent, whatever it sent."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from batchdrop.batches.errors import UnclearAnswer

S = TypeVar("S", bound=Struct)


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
        raise _unclear(body) from exc


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object as a dict; UnclearAnswer for anything else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _unclear(body) from exc
    if not isinstance(value, dict):
        raise _unclear(body)
    return value


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


def _unclear(body: bytes) -> UnclearAnswer:
    return UnclearAnswer(
        f"the answer is no JSON object but {body[:100]!r}; the request may have been "
        "carried out",
        sent=True,
    )

"""Decodes answers, including unexpected ones."""

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

    A member of an unexpected type keeps its default, and the others are read: if an API
    changes one member, jobs must stay readable.

    Raises:
        UnclearAnswer: the body is not a JSON object.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        kind: Any = decoder.type  # any form of a type, as msgspec annotates it
        found: S = _what_fits(kind, read_object(body))
        return found
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
    The items of a page, and the token of the next one, None at the end. Items that
    can't be read are skipped.

    Args:
        decoder: of a Struct with the members `next_page_token` and `error`.
        items: the list in that Struct.

    Raises:
        UnclearAnswer: the body doesn't look like a page: a member has another type, or
            no item can be read. Taken for an empty page, it would make a caller create
            a job a second time.
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
    The error for a success status over such a body, with the API's own error if the
    body has one.

    Args:
        what: what is wrong with the answer.
        then: what that means for the caller.
    """
    error = envelope(body)
    if error:
        words = f"{error.get('code', '')} {error.get('status', '')}".strip()
        detail = f"{words}: {error.get('message', '')}"[:500]
        what = f"has a success status, and is an error: {detail}"
    else:
        what = f"{what} but {body[:100]!r}"
    return UnclearAnswer(f"the answer {what}; {then}", sent=True)

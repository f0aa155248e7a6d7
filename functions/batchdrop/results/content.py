"""
Compares the request in an answer with the rows as sent, for answers without an id.

The API writes the request anew: a number may have another form (1.0 is 1, 1e3 is
1000.0), members may change places, and members that are null may be added or left out
(users' reports). So requests are compared in a form in which none of these differ.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

#: Where a line holds its request. A line of an older embedding model is the request
#: itself, and its answer has it in `instance`.
_IDS = frozenset({"key", "custom_id"})
#: Bytes of a hash.
MARK = 16
_encode = msgspec.json.Encoder(order="sorted").encode
#: An object of nulls alone is added as one null is.
_NOTHING: tuple[Any, ...] = (None, {}, [])


class _Holding(Struct, gc=False):
    request: Raw | UnsetType = UNSET
    body: Raw | UnsetType = UNSET
    instance: Raw | UnsetType = UNSET


_holding = msgspec.json.Decoder(_Holding).decode


def mark_of_answer(line: bytes) -> bytes | None:
    """A hash of the request in an answer; None if it has none."""
    found = _holding(line)
    for raw in (found.request, found.body, found.instance):
        if raw is not UNSET:
            return mark_of(msgspec.json.decode(raw))
    return None


def mark_of_row(line: bytes) -> bytes:
    """The same hash of the request in a row as sent."""
    found = _holding(line)
    for raw in (found.request, found.body):
        if raw is not UNSET:
            return mark_of(msgspec.json.decode(raw))
    return mark_of(msgspec.json.decode(line))


def mark_of(request: Any) -> bytes:
    """A hash of a request that is the same however the API has written it."""
    if isinstance(request, dict):
        request = {n: v for n, v in request.items() if n not in _IDS}
    return hashlib.blake2b(_encode(_plain(request)), digest_size=MARK).digest()


def _plain(value: Any) -> Any:
    """The value with one form for each number, without members that hold nothing."""
    if isinstance(value, dict):
        plain = ((name, _plain(member)) for name, member in value.items())
        return {name: member for name, member in plain if member not in _NOTHING}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return str(value)
    return value

"""Reads the id that an answer echoes."""

import msgspec
from msgspec import Struct

from batchdrop.batches.answer_lines import row_of

#: What can't be decoded, whatever the reason.
UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Keyed(Struct, gc=False):
    key: str | None = None


class _Instance(Struct, gc=False):
    content: str | None = None
    key: str | None = None
    custom_id: str | None = None


class _Ids(Struct, gc=False):
    """The members of an answer that may have its id."""

    key: str | None = None
    custom_id: str | None = None
    instance: _Instance | None = None
    metadata: _Keyed | None = None


_ids = msgspec.json.Decoder(_Ids).decode


def id_of(line: bytes) -> str | None:
    """
    The id that an answer echoes; None if it has none. It is read as by `row_of`.

    Raises:
        MsgspecError, UnicodeDecodeError, RecursionError: it is not a JSON object.
    """
    try:
        found = _ids(line)
    except msgspec.ValidationError:
        value = msgspec.json.decode(line)
        if not isinstance(value, dict):
            raise
        return row_of(value).key
    if found.key is not None:
        return found.key
    if found.custom_id is not None:
        return found.custom_id
    instance = found.instance
    if instance is not None and instance.content is not None:
        if instance.key is not None:
            return instance.key
        if instance.custom_id is not None:
            return instance.custom_id
    return found.metadata.key if found.metadata is not None else None

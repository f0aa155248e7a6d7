"""The bytes of values in Firestore, and its limits."""

from collections.abc import Iterable, Mapping
from typing import Any

#: Most bytes of a document: https://firebase.google.com/docs/firestore/quotas.
MAX_DOCUMENT = 1_048_576
#: Most bytes of one commit. Firestore takes 10 MiB, and its emulator, limited by gRPC's
#: default, 4 MiB: a commit that works there works everywhere.
MAX_COMMIT = 4_000_000
#: Most bytes of a job's spec and the addresses of its rows. The rest of the document is
#: for 300 parts, the history and the row errors.
MAX_CHOSEN = 400_000
#: Most bytes of a generation configuration, which is merged into each row.
MAX_CONFIG = 100_000

#: The overhead of each value in a commit: tags and lengths of the value and its name.
_FRAME = 14


def size_of(value: Any) -> int:
    """
    The bytes of a value in a document or in a commit, whichever is more, rounded up:
    see https://firebase.google.com/docs/firestore/storage-size.

    Args:
        value: as the client accepts it: maps, lists, texts, bytes, times, numbers.
    """
    match value:
        case str():
            return len(value.encode(errors="replace")) + 1 + _FRAME
        case bytes():
            return len(value) + _FRAME
        case Mapping():
            named = (len(str(name).encode(errors="replace")) + 1 for name in value)
            return sum(named) + size_of(value.values())
        case Iterable():
            return _FRAME + sum(map(size_of, value))
    return 8 + _FRAME

"""How many bytes values take in Firestore, and how many it takes."""

from collections.abc import Iterable, Mapping
from typing import Any

#: Of a document: https://firebase.google.com/docs/firestore/quotas.
MAX_DOCUMENT = 1_048_576
#: Of all that one commit writes. Firestore takes 10 MiB; its emulator, whose server is
#: gRPC's own, 4 MiB: what works there works everywhere.
MAX_COMMIT = 4_000_000
#: Of what is chosen for a job, with the addresses of its rows. The rest of its document
#: is for what becomes of it: three hundred parts, its history, the first bad lines.
MAX_CHOSEN = 400_000
#: Of a generation configuration, which each row gets.
MAX_CONFIG = 100_000

#: Of each value on its way: tags and lengths, its own and its name's.
_FRAME = 14


def size_of(value: Any) -> int:
    """
    The bytes of a value in a document, or in a commit, of which the larger counts: see
    https://firebase.google.com/docs/firestore/storage-size. A little more rather than
    less.

    Args:
        value: as the client takes it: maps, lists, texts, bytes, times, numbers.
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

"""The keys of a file, to find one that is given twice."""

import struct

#: A hash, and the line behind it.
_entry = struct.Struct("<qQ")
_packed = _entry.pack
#: In a file of a million keys, each bucket has a few entries.
_BUCKETS = 2**16


class Keys:
    """
    The line of each key of a file. A key is kept as 64 bits of its hash, with its line
    as 64 bits beside it: millions of keys have to fit into a function's memory, and a
    dict takes five times as much. Of a million different keys, two have the same hash
    once in many million files.
    """

    def __init__(self) -> None:
        # `bytes`: a bytearray would reserve more memory than it uses.
        self._buckets = [b""] * _BUCKETS

    def first(self, key: bytes, line: int) -> int:
        """The first line with this key: the given one, if the key is new."""
        found = hash(key)
        number = found % _BUCKETS
        bucket = self._buckets[number]
        entry = _packed(found, line)
        wanted = entry[:8]
        at = _at(bucket, wanted)
        if at < 0:
            self._buckets[number] = bucket + entry
            return line
        return int(_entry.unpack_from(bucket, at)[1])

    def __contains__(self, key: bytes) -> bool:
        found = hash(key)
        return _at(self._buckets[found % _BUCKETS], _packed(found, 0)[:8]) >= 0


def _at(bucket: bytes, wanted: bytes) -> int:
    """Where the entry with a hash is; negative if there is none."""
    at = bucket.find(wanted)
    # In the middle of an entry the same bytes mean nothing.
    while at > 0 and at % _entry.size:
        at = bucket.find(wanted, at + 1)
    return at

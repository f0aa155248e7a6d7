"""The keys of a file, to find one that comes twice."""

import struct

#: A hash, and the line behind it.
_entry = struct.Struct("<qQ")
_packed = _entry.pack
#: So many that in a file of a million keys each has a few entries.
_BUCKETS = 2**16


class Keys:
    """
    Where each key of a file stands. A key is kept as 64 bits of its hash, so that in a
    million keys two meet by chance once in many million files, and its line as 64 bits
    beside it: millions of them have to fit into a function's memory, and a dict takes
    five times as much.
    """

    def __init__(self) -> None:
        # Bytes, which are made anew for each entry, have no room to spare.
        self._buckets = [b""] * _BUCKETS

    def first(self, key: bytes, line: int) -> int:
        """The line in which a key is first seen: this one, if it is new."""
        found = hash(key)
        number = found % _BUCKETS
        bucket = self._buckets[number]
        entry = _packed(found, line)
        wanted = entry[:8]
        at = bucket.find(wanted)
        # In the middle of an entry the same bytes mean nothing.
        while at > 0 and at % _entry.size:
            at = bucket.find(wanted, at + 1)
        if at < 0:
            self._buckets[number] = bucket + entry
            return line
        return int(_entry.unpack_from(bucket, at)[1])

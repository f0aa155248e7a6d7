"""Splits a stream of JSONL into lines."""

from collections.abc import Iterable, Iterator

#: On Vertex AI, the member with the key and columns of the caller's line, as one string
#: of JSON. The import, which is BigQuery's, doesn't change a string, and the API
#: returns it with the answer.
OWN = "batchdrop_own"


class Splitter:
    """Takes bytes in any pieces, and returns whole lines without their line ends."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return lines

    def end(self) -> list[bytes]:
        """The last line, if no line end follows it."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a stream."""
    splitter = Splitter()
    for piece in pieces:
        yield from splitter.feed(piece)
    yield from splitter.end()

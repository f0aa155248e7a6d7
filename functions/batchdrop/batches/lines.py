"""JSONL as a stream: lines out of pieces."""

from collections.abc import Iterable, Iterator

#: Beside a request on Vertex AI: what stood beside it in the caller's line, as a string
#: of JSON. The import, which is BigQuery's, leaves such a string alone whatever is in
#: it, and the service gives it back with the answer.
OWN = "batchdrop_own"


class Splitter:
    """Bytes in as they come, whole lines out, without their ends."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completes."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return lines

    def end(self) -> list[bytes]:
        """The last line, if it didn't end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a stream."""
    splitter = Splitter()
    for piece in pieces:
        yield from splitter.feed(piece)
    yield from splitter.end()

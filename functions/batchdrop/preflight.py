"""What a row must be: reads a file line by line and says what is wrong, and where."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from batchdrop.jobs import Fault

#: A line longer than this is cut, and what is cut off is dropped: nothing that the
#: service takes is longer, and a file without line ends must not fill the memory.
LINE_LIMIT = 20 * 1024 * 1024

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Row:
    """
    A request as it was written, under an id that the service will echo.

    The id carries the number of the row's line in the file, counted from 1. A letter
    stands first: the service's import would make a number of digits alone.
    """

    line: int
    request: bytes

    @property
    def key(self) -> str:
        return f"r{self.line:07}"

    def wrapped(self) -> bytes:
        """The line to send. The request's own bytes are spliced, not written again."""
        return b'{"key":"%s","request":%s}\n' % (self.key.encode(), self.request)


def rows(chunks: Iterable[bytes]) -> Iterator[Row | Fault]:
    """
    Reads the lines of a file, given its bytes in any pieces; each that isn't blank
    becomes a row or a fault.

    A row is `{"contents": [...], ...}`, which is the request itself, or
    `{"request": {...}}`; members beside `request` are not sent.
    """
    for number, line in enumerate(split_lines(chunks), start=1):
        text = line.strip()
        if text:
            yield _row(number, text)


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """
    The lines in a stream of bytes, without line feeds. A line longer than LINE_LIMIT
    comes cut to one byte more than that, so that it can be told from a whole one.
    """
    rest = b""
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        rest = (rest + first)[: LINE_LIMIT + 1]
        for other in others:
            yield rest
            rest = other[: LINE_LIMIT + 1]
    if rest:
        yield rest


def _row(number: int, text: bytes) -> Row | Fault:
    def fault(code: str, message: str, path: str = "") -> Fault:
        return Fault(line=number, path=path, code=code, message=message)

    if len(text) > LINE_LIMIT:
        return fault("too_long", f"a line may have at most {LINE_LIMIT:,} bytes")
    try:
        text.decode()
        members = _members.decode(text)
    except UnicodeDecodeError as exc:
        return fault(
            "not_utf8", f"byte {exc.start + 1} is not UTF-8; save the file as UTF-8"
        )
    except msgspec.ValidationError:
        return fault(
            "not_an_object", 'write one JSON object a line: {"contents": [...]}'
        )
    except msgspec.DecodeError as exc:
        return fault("not_json", f"{exc}; write one JSON object a line")
    if "request" in members:
        request, path = bytes(members["request"]), "request."
        if not request.startswith(b"{"):
            return fault("not_an_object", "must be a JSON object", "request")
        members = _members.decode(request)
    else:
        request, path = text, ""
    if "contents" not in members:
        return fault(
            "no_contents",
            'has no contents; write {"contents": [{"role": "user", "parts": '
            '[{"text": "..."}]}]}, or that as the value of "request"',
            path[:-1],
        )
    contents = bytes(members["contents"])
    if not contents.startswith(b"[") or not contents[1:-1].strip():
        return fault("bad_contents", "must be an array, not empty", f"{path}contents")
    return Row(number, request)

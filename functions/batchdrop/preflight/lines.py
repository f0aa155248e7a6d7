"""Splits an object's bytes into lines; unpacks gzip, drops a byte order mark."""

import codecs
import re
import threading
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO

from batchdrop.errors import NotReadable

#: A longer line is cut and its rest is dropped: the API takes no longer one, and a file
#: without line ends must not fill the memory.
LINE_LIMIT = 20 * 1024 * 1024
#: Values and names of a line. Each takes a hundred bytes or more once it is parsed,
#: however few bytes it has in the line.
MOST_VALUES = 200_000
#: Longer lines are decoded one at a time, however many files are read at once: what is
#: made of one holds several copies of it, with four bytes a character.
LONG = 1_000_000
one_long_line = threading.Lock()
#: Bytes that are processed at a time: few enough for a processor's cache, which others
#: use too. Of the lines that are read together, only the first can be longer.
SLICE = 64 * 1024

#: How often a file may be packed with gzip: a packed file that `gsutil cp -Z` packs
#: again is packed twice.
LAYERS = 3
#: How a packed file begins. No JSON does.
GZIP = b"\x1f\x8b"
#: Text with two or four bytes a character begins with its byte order mark, or, as JSON
#: begins with ASCII, with a character that has zeros beside it (RFC 4627, 3). The
#: longer ones come first.
_WIDE = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_WIDE_WITHOUT_MARK = (
    (re.compile(rb"[^\0]\0\0\0", re.DOTALL), "UTF-32LE"),
    (re.compile(rb"\0\0\0[^\0]", re.DOTALL), "UTF-32BE"),
    (re.compile(rb"[^\0]\0[^\0]\0", re.DOTALL), "UTF-16LE"),
    (re.compile(rb"\0[^\0]\0[^\0]", re.DOTALL), "UTF-16BE"),
)
#: They have the same letters.
LATIN = "Latin-1 or Windows-1252"
#: A letter of Latin-1, and what UTF-8 has in its place.
_latin = re.compile(rb"[\xc0-\xff]").search
_utf8_pair = re.compile(rb"[\xc0-\xff][\x80-\xbf]").search
#: Each value and name of a line but the first has one of these before it.
_MARKS = (b"{", b"[", b",", b":")
_strings_and_marks = re.compile(rb'"[^"]*"|[{\[,:]').finditer


def split_lines(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """
    Yields the lines of a stream of bytes, some at a time. Each has its line feed, but
    one of a million bytes or more; the last may have none.

    A line longer than LINE_LIMIT, its end not counted, is cut to LINE_LIMIT bytes, and
    a NUL is put behind them, so that the line can't be JSON.
    """
    rest: list[bytes] = []
    held = 0
    for piece in _sliced(chunks):
        # Four times as fast as `bytes.split`, which compares byte by byte.
        first, *others = BytesIO(piece).readlines() or [b""]
        # A line over many pieces is put together once, at its end.
        if held <= LINE_LIMIT + 1:
            rest.append(first)
            held += len(first)
        if first.endswith(b"\n"):
            last = b"" if piece.endswith(b"\n") else others.pop()
            line = _joined(rest, held)
            # The pieces of a long line are gone while it is read.
            rest, held = [last], len(last)
            yield [line, *others]
    if held:
        line = _joined(rest, held)
        rest.clear()
        yield [line]


def unpacked(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """
    Yields what `gunzipped` does, without a UTF-8 byte order mark.

    Args:
        most: how many bytes it may unpack to.

    Raises:
        NotReadable: the packing is broken, or unpacks to more; or the text is UTF-16 or
            UTF-32, so that each line would be wrong.
    """
    plain = gunzipped(chunks, most)
    start = _head(plain, 4)
    if encoding := _wide(start):
        raise not_utf8(encoding)
    yield start.removeprefix(codecs.BOM_UTF8)
    yield from plain


def not_utf8(encoding: str, where: str = "") -> NotReadable:
    """The error of a file in another encoding, in place of one for each line."""
    return NotReadable(
        "not_utf8",
        f"{where}the file is {encoding}, and must be UTF-8; save it as UTF-8, or run "
        f"`iconv -f {encoding.split()[-1]} -t UTF-8 FILE > NEW`",
    )


def _wide(start: bytes) -> str | None:
    for mark, encoding in _WIDE:
        if start.startswith(mark):
            return encoding
    for first, encoding in _WIDE_WITHOUT_MARK:
        if first.match(start):
            return encoding
    return None


def looks_latin(line: bytes) -> bool:
    """
    Whether a line that isn't UTF-8 looks like Latin-1, or Windows-1252, which has the
    same letters: no letter is followed by what UTF-8 would have there.
    """
    return _latin(line) is not None and _utf8_pair(line) is None


def gunzipped(chunks: Iterable[bytes], most: int | None) -> Iterator[bytes]:
    """
    Unpacks a file that may be packed with gzip, up to LAYERS times. The first bytes
    decide; its name and its `Content-Encoding` may be wrong.

    Args:
        most: how many bytes each layer may unpack to; None: any number.

    Raises:
        NotReadable: the packing is broken, or too deep, or unpacks to more.
    """
    pieces = iter(chunks)
    for _ in range(LAYERS + 1):
        head = _head(pieces, 2)
        pieces = _joined_again(head, pieces)
        if not head.startswith(GZIP):
            return pieces
        pieces = _inflated(pieces, most)
    raise NotReadable(
        "bad_gzip", f"the file is packed more than {LAYERS} times; pack it once"
    )


def _inflated(chunks: Iterator[bytes], most: int | None) -> Iterator[bytes]:
    """Unpacks all members of a gzip file, one after another, as gunzip does."""
    total = 0
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    # What follows a member is copied; small pieces keep that cheap for many members.
    for chunk in _sliced(chunks):
        packed, more = chunk, False
        while packed or more:
            if inflate.eof:
                if not packed.strip(b"\0"):
                    break  # padding behind the last member
                inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                piece = inflate.decompress(packed, SLICE)
            except zlib.error as exc:
                raise NotReadable(
                    "bad_gzip", f"the file is not whole gzip: {exc}; pack it again"
                ) from exc
            packed = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            more = len(piece) == SLICE  # it may hold back what did not fit
            total += len(piece)
            if most is not None and total > most:
                raise NotReadable(
                    "too_large_unpacked",
                    f"the file unpacks to more than {most:,} bytes; "
                    "drop it in several files",
                )
            if piece:
                yield piece
    if not inflate.eof:
        raise NotReadable(
            "bad_gzip", "the gzip file ends in its middle; upload it again"
        )


def _head(pieces: Iterator[bytes], length: int) -> bytes:
    """The first bytes: at least this many, if there are as many."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= length:
            break
    return head


def _joined_again(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _sliced(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if len(chunk) <= SLICE:
            yield chunk
            continue
        for start in range(0, len(chunk), SLICE):
            yield chunk[start : start + SLICE]


def _joined(parts: list[bytes], size: int) -> bytes:
    if size >= LONG:
        # Who reads a line strips it, and that would copy it.
        parts[-1] = parts[-1].removesuffix(b"\n")
    line = parts[0] if len(parts) == 1 else b"".join(parts)
    return line[:LINE_LIMIT] + b"\0\n" if is_too_long(line) else line


def is_too_long(line: bytes) -> bool:
    """Whether a line is longer than LINE_LIMIT, its end not counted, or was cut."""
    if len(line) <= LINE_LIMIT:
        return False
    return len(line.removesuffix(b"\n").removesuffix(b"\r")) > LINE_LIMIT


def is_crowded(line: bytes) -> bool:
    """
    Whether a line has more than MOST_VALUES values and names. It isn't decoded for
    that: 20 MB of small values would take 1 GB.
    """
    if len(line) <= MOST_VALUES or sum(map(line.count, _MARKS)) <= MOST_VALUES:
        return False
    # Commas in texts are not marks.
    unescaped = line.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = 0
    for seen, match in enumerate(_strings_and_marks(unescaped)):
        marks += unescaped[match.start()] != ord('"')
        # JSON has no two strings without a mark between them.
        if marks > MOST_VALUES or seen > 2 * MOST_VALUES:
            return True
    return False


def broken_at(line: bytes) -> int | None:
    """The index of the first byte that isn't UTF-8; None if all are."""
    if line.isascii():
        return None
    # A text with one emoji takes four bytes a character: not all of it at once.
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(line), SLICE):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(line[start : start + SLICE], start + SLICE >= len(line))
        except UnicodeDecodeError as exc:
            return start - held + exc.start
    return None

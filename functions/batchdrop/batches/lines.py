"""JSONL as a stream: lines out of pieces, and a job's config put into every line."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from batchdrop.batches import inline

_BOM = b"\xef\xbb\xbf"
_PIECE = 1024 * 1024  # bytes gathered before they are passed on

_object_of_raw = msgspec.json.Decoder(dict[str, Raw])


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


def merged_lines(
    lines: Iterable[bytes], config: Mapping[str, Any], where: str
) -> Iterator[bytes]:
    """
    Every line with the job's config put in where it has no value of its own; in pieces
    of about a MiB. Blank lines are left out. What a line says is kept byte for byte.

    Args:
        where: what to call the source in an error, such as "gs://b/in.jsonl".

    Raises:
        ValueError: a line that isn't an object with a `request` object.
    """
    merge = Merge(config)
    gathered: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, 1):
        text = line.strip().removeprefix(_BOM)
        if not text:
            continue
        try:
            made = merge.line(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise ValueError(
                f"{where}, line {number}: generation_config can't be merged, as this "
                f'is not a JSON object like {{"request": {{"contents": ...}}}} ({exc})'
            ) from exc
        gathered += (made, b"\n")
        size += len(made) + 1
        if size >= _PIECE:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


class Merge:
    """
    A job's flat config, put into requests under their own values:

        systemInstruction, safetySettings, tools, ...   beside the contents, whole
        temperature, topP, ...                          in generationConfig, one by one

    A request's own value wins, in either spelling.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        beside, generation = inline.split_config(config)
        self._beside = {name: Raw(msgspec.json.encode(v)) for name, v in beside.items()}
        self._generation = {
            name: Raw(msgspec.json.encode(v)) for name, v in generation.items()
        }

    def line(self, text: bytes) -> bytes:
        """One line; msgspec.DecodeError if it is no object with a request object."""
        members = _object_of_raw.decode(text)
        if "request" not in members:
            raise msgspec.ValidationError("it has no member `request`")
        members["request"] = Raw(self.request(bytes(members["request"])))
        return msgspec.json.encode(members)

    def request(self, text: bytes) -> bytes:
        """One GenerateContentRequest as JSON."""
        request = _object_of_raw.decode(text)
        _fill(request, self._beside)
        if self._generation:
            own = "generationConfig"
            if own not in request and "generation_config" in request:
                own = "generation_config"
            generation = {}
            if own in request and bytes(request[own]) != b"null":
                generation = _object_of_raw.decode(bytes(request[own]))
            _fill(generation, self._generation)
            request[own] = Raw(msgspec.json.encode(generation))
        return msgspec.json.encode(request)

    def value(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One GenerateContentRequest as a value."""
        merged = self.request(msgspec.json.encode(request))
        return msgspec.json.decode(merged, type=dict[str, Any])


def _fill(members: dict[str, Raw], defaults: Mapping[str, Raw]) -> None:
    own = {inline.camel(name) for name in members}
    for name, value in defaults.items():
        if name not in own:
            members[name] = value

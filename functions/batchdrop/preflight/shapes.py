"""How people write a line, and the line that the backend takes."""

import re
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from batchdrop.preflight.names import camel, snake
from batchdrop.preflight.rules import Family, Rules

IDS = ("key", "custom_id")
#: Ids of which the import makes numbers (seen live).
NUMERIC = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_URLS = Literal["/v1/chat/completions", "/v1/embeddings"]
_Id = Annotated[str, msgspec.Meta(min_length=1)]
_Absent = Annotated[str, msgspec.Meta(min_length=1, max_length=0)]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_id = msgspec.json.Decoder(_Id).decode
_items = msgspec.json.Decoder(list[msgspec.Raw])

_GENERATION_CONFIG = ("generationConfig", "generation_config")
#: What a plain embedding line may say besides its content.
_EMBEDDING_CONFIG = ("taskType", "title", "outputDimensionality", "autoTruncate")


@dataclass(frozen=True, slots=True)
class Shape:
    """Which members of a line are what. `id` is the user's own, if there is one."""

    id: str | None
    wrapper: str | None
    embeds: str | None = None  #: without a wrapper: what is to be embedded

    def __str__(self) -> str:
        names = [f'"{n}"' for n in (self.id, self.wrapper, self.embeds) if n]
        return f"{{{', '.join(names)}}}" if names else "a plain request"


class Unwrapped(NamedTuple):
    """What is taken of a line. Bytes are the user's, as far as they can be."""

    id: bytes | None
    request: bytes
    beside: bytes = (
        b""  #: members to be sent beside the request, each ending in a comma
    )


class WrongShape(msgspec.ValidationError):
    """A line that the model can't take; the text says what it looks like."""

    def __init__(self, what: str, path: str = "") -> None:
        super().__init__(what)
        self.path = path


class NotOneContent(msgspec.ValidationError):
    """`contents` of an embedding line that holds several, or none."""


class OtherModel(msgspec.ValidationError):
    """A line for another model than the job's, in a member that isn't sent."""


def shape_of(names: Set[str], family: Family) -> Shape:
    """
    The shape of a line with these members.

    Raises:
        WrongShape: it is none for this kind of model.
    """
    id = next((name for name in IDS if name in names), None)
    openai = "body" in names or ("method" in names and "url" in names)
    if family.wrapper == "body":
        if not openai:
            raise WrongShape("a line without method, url and body")
        return Shape(id, "body")
    # Beside what is sent, a column may have any name.
    if "request" in names:
        return Shape(id, "request")
    plain = next((name for name in family.plain if name in names), None)
    if plain is not None and family.embeds:
        return Shape(id, None, plain)
    if openai:
        raise WrongShape("an OpenAI-style line")
    if plain is not None:
        if id is not None:
            raise WrongShape(f'a request with "{id}" among its members')
        return Shape(None, None)
    if "messages" in names:
        raise WrongShape("a Claude or OpenAI-style request")
    if "contents" in names:
        raise WrongShape("a request of Gemini")
    if names & {"content", "text"}:
        raise WrongShape("an embedding line")
    raise WrongShape("")


def other_request(names: set[str], family: Family) -> str:
    """What the inside of a wrapper is, if it is a request of another kind."""
    mains = {
        "contents": "a request of Gemini",
        "messages": "a Claude or OpenAI-style request",
        "content": "an embedding request",
    }
    ours = set(family.plain) | (
        {"messages", "input"} if family.wrapper == "body" else set()
    )
    if names & ours:
        return ""
    return next((text for name, text in mains.items() if name in names), "")


def unwrapper(shape: Shape, rules: Rules) -> Callable[[bytes], Unwrapped] | None:
    """
    Takes lines of one shape apart; None where the line is the request itself. It raises
    msgspec.MsgspecError for a line of any other shape.
    """
    family = rules.family
    if shape.wrapper is None:
        return _embedding(shape, rules) if family.embeds else None
    names = {"request": shape.wrapper}
    fields: list[Any] = [("request", msgspec.Raw)]
    if shape.id is not None:
        names["id"] = shape.id
        fields.append(("id", _Id))
    # Where a line with this member has another shape, it may not pass as this one.
    for number, name in enumerate(IDS[: IDS.index(shape.id) if shape.id else None]):
        names[f"not{number}"] = name
        fields.append((f"not{number}", _Absent, msgspec.UNSET))
    if family.beside:
        fields += [("method", Literal["POST"]), ("url", _URLS)]
    decode = msgspec.json.Decoder(
        msgspec.defstruct("Line", fields, rename=names, kw_only=True, gc=False)
    ).decode
    text_only = family.wrapper is None

    def unwrap(line: bytes) -> Unwrapped:
        found: Any = decode(line)
        id = found.id.encode() if shape.id else None
        request = bytes(found.request)
        if text_only:
            return Unwrapped(id, _text_embedding(_members.decode(request), rules))
        if family.beside:
            beside = f'"method":"{found.method}","url":"{found.url}",'
            return Unwrapped(id, request, beside.encode())
        return Unwrapped(id, request)

    return unwrap


def opening(shape: Shape, rules: Rules) -> re.Pattern[bytes] | None:
    """
    What most lines of a shape with a wrapper begin with, up to the request, with the
    user's key as its first group. The rest of such a line is the request and a brace:
    where that is one JSON object, the line has no other members. There is none for
    requests that aren't sent as they are, and where more is sent than the request.
    """
    if shape.wrapper is None or rules.family.wrapper is None or rules.family.beside:
        return None
    space, colon = rb"[ \t\r]*", rb"[ \t\r]*:[ \t\r]*"
    members = rb'"%b"' % shape.wrapper.encode() + colon
    if shape.id is not None:
        # Without escapes, bytes that may not be UTF-8, and what needs a look.
        no_number = rb'(?!%b")' % NUMERIC.pattern if rules.imports else b""
        key = rb'"%b([ !#-\[\]-~]+)"' % no_number
        id = rb'"%b"' % shape.id.encode() + colon + key
        members = id + space + b"," + space + members
    return re.compile(rb"\{" + space + members)


def appender(rules: Rules) -> Callable[[bytes], bytes] | None:
    """
    Does what a merger does, to requests that have no configuration of their own, of
    which no more is known than that each begins and ends with a brace. It raises
    msgspec.ValidationError for one that may have one.
    """
    if rules.generation_config is None:
        return None
    whole = _whole(_ours(rules))

    def append(request: bytes) -> bytes:
        # A letter of the member's name may be written by its number.
        if b'"generation' in request or b"\\u00" in request:
            raise msgspec.ValidationError("may have a configuration")
        return request[:-1] + whole

    return append


def _ours(rules: Rules) -> dict[str, bytes]:
    """The job's configuration, in camelCase."""
    assert rules.generation_config is not None
    members = _members.decode(rules.generation_config)
    return {camel(name): bytes(raw) for name, raw in members.items()}


def _whole(ours: dict[str, bytes]) -> bytes:
    """An object's end, with the configuration as its last member."""
    return b',"generationConfig":' + an_object(ours) + b"}"


def merger(rules: Rules) -> Callable[[bytes], bytes] | None:
    """
    Merges the job's generation configuration into requests. What a line says itself
    stays, in its own bytes. The configuration's own members come to be in camelCase, so
    that all lines have the same columns.
    """
    if rules.generation_config is None:
        return None
    ours = _ours(rules)
    whole = _whole(ours)

    def merge(request: bytes) -> bytes:
        members = _members.decode(request)
        if not ours or not members:
            return request
        owns = [members.pop(n) for n in _GENERATION_CONFIG if n in members]
        if not owns:
            return request.rstrip()[:-1] + whole
        own = bytes(owns[0])
        if own == b"null" and not rules.imports:
            own = b"{}"  # as good as not there
        if len(owns) > 1 or not own.startswith(b"{"):
            return request  # a fault, to be told as it stands
        found = _members.decode(own)
        theirs = {camel(name): bytes(raw) for name, raw in found.items()}
        if len(theirs) < len(found):
            return request  # two spellings of one member: another
        kept = {name: bytes(raw) for name, raw in members.items()}
        return an_object({**kept, "generationConfig": an_object({**ours, **theirs})})

    return merge


# -- embeddings --------------------------------------------------------------------


def _embedding(shape: Shape, rules: Rules) -> Callable[[bytes], Unwrapped]:
    """Makes a request of `{"content"}`, `{"text"}` or `{"contents"}`."""
    family = rules.family

    def unwrap(line: bytes) -> Unwrapped:
        members = _members.decode(line)
        if shape_of(members.keys(), family) != shape:
            raise msgspec.ValidationError("has another shape")
        id = _id(members[shape.id]).encode() if shape.id else None
        if family.wrapper is None:
            return Unwrapped(id, _text_embedding(members, rules))
        request = {"content": _content(_given(members))}
        config = {
            name: bytes(members[name])
            for name in members
            if camel(name) in _EMBEDDING_CONFIG
        }
        if rules.imports:
            # On Vertex these stand in an object of their own, in snake_case.
            config = {snake(name): raw for name, raw in config.items()}
            for name in ("embedContentConfig", "embed_content_config"):
                if name in members:
                    config |= {
                        snake(inner): bytes(raw)
                        for inner, raw in _members.decode(members[name]).items()
                    }
            if config:
                request["embed_content_config"] = an_object(config)
        else:
            request |= config
        if "model" in members:
            request["model"] = bytes(members["model"])
        return Unwrapped(id, an_object(request))

    return unwrap


def _given(members: dict[str, msgspec.Raw]) -> bytes:
    """What is to be embedded: a text, or a content."""
    for name in ("content", "text", "contents"):
        if name in members:
            value = bytes(members[name])
            if name == "contents" and value.startswith(b"["):
                items = _items.decode(value)
                if len(items) != 1:
                    raise NotOneContent(f"holds {len(items)} contents")
                return bytes(items[0])
            return value
    raise msgspec.ValidationError("has no content")


def _content(value: bytes) -> bytes:
    if value.startswith(b'"'):
        return b'{"parts":[{"text":%b}]}' % value
    return value


def _text_embedding(members: dict[str, msgspec.Raw], rules: Rules) -> bytes:
    """A legacy instance: its content is a string."""
    if "model" in members:
        model = msgspec.json.decode(members["model"])
        if not re.search(rules.model_pattern, str(model)):
            raise OtherModel
    value = _given(members)
    if value.startswith(b"{"):
        parts = _items.decode(_members.decode(value).get("parts", msgspec.Raw(b"[]")))
        texts = [_members.decode(part).get("text") for part in parts]
        if len(texts) == 1 and texts[0] is not None:
            value = bytes(texts[0])
    instance = {"content": value}
    for name, raw in members.items():
        if camel(name) in _EMBEDDING_CONFIG:
            instance[snake(name) if camel(name) == "taskType" else name] = bytes(raw)
    return an_object(instance)


def as_written(path: str, line: Mapping[str, Any]) -> str:
    """
    Where in an embedding line stands what stands at a path of the request that is made
    of it.

    Args:
        line: its members; those of objects in it are pairs.
    """
    first, rest = _first(path)
    if first == "content":
        name = next(each for each in ("content", "text", "contents") if each in line)
        given, at = line[name], name
        if name == "contents" and type(given) is list:
            given, at = given[0], f"{name}[0]"
        # What was written as a text stands deeper in the request.
        return at if isinstance(given, str) else at + rest
    if camel(first) == "embedContentConfig":
        inner, more = _first(rest.removeprefix("."))
        for name, value in line.items():
            pairs = value if camel(name) == "embedContentConfig" else ()
            for each, _ in pairs:
                if camel(each) == camel(inner):
                    return f"{name}.{each}{more}"
        first, rest = inner, more
    return next((each for each in line if camel(each) == camel(first)), first) + rest


def _first(path: str) -> tuple[str, str]:
    """The first name of a path, and the rest with the dot or bracket it begins with."""
    end = re.match(r"[^.\[]*", path)
    assert end is not None
    return end[0], path[end.end() :]


def an_object(members: dict[str, bytes]) -> bytes:
    """JSON, of values that are JSON already."""
    inner = b",".join(
        msgspec.json.encode(name) + b":" + raw for name, raw in members.items()
    )
    return b"{" + inner + b"}"

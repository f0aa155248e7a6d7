"""The shapes of lines: those that people write, and the line that the backend takes."""

import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, count, repeat
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from batchdrop.preflight.members import of_request, strays
from batchdrop.preflight.names import camel, snake
from batchdrop.preflight.rules import Family, Rules

IDS = ("key", "custom_id")
#: What is sent beside a body.
BESIDE = b'"method":"POST","url":"%b",'
#: Put around a text, these make it a content.
BARE = b'{"parts":[{"text":', b"}]}"
_Id = Annotated[str, msgspec.Meta(min_length=1)]
_Absent = Annotated[str, msgspec.Meta(min_length=1, max_length=0)]
#: A column of the user's own, or the response of a row that failed.
_NoAnswer = (
    str
    | float
    | bool
    | list[Any]
    | Annotated[dict[str, Any], msgspec.Meta(max_length=0)]
    | None
)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_id = msgspec.json.Decoder(_Id).decode
_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(list[msgspec.Raw])
_NUMBER = b"-0123456789"
#: The options of this many lines are remembered, by the names of their members; if
#: those have this many characters at most: a line may have megabytes of names.
_REMEMBERED, _REMEMBERED_NAMES = 100, 1000

#: What a plain embedding line may say besides its content.
_EMBEDDING_CONFIG = ("taskType", "title", "outputDimensionality", "autoTruncate")
#: The same, as an object.
_NESTED = ("embedContentConfig", "embed_content_config")
#: A batch of text embeddings doesn't read these: in an online request they are
#: parameters, beside the instances (Vertex AI docs).
_PARAMETERS = ("outputDimensionality", "autoTruncate")
#: All the members that it does read.
_INSTANCE_NAMES = frozenset(
    {"content", "text", "contents", "model", "title", "taskType", "task_type"}
)
#: Where online requests and clients have their options, which no batch reads.
_OPTIONS = frozenset({"parameters", "config", "generationConfig", "generation_config"})

#: What an answer has in its `response`.
_ANSWERS = frozenset(
    {
        *("candidates", "promptFeedback", "usageMetadata", "modelVersion", "usage"),
        *("embedding", "embeddings", "tokenCount", "choices", "stop_reason"),
    }
)


#: All the names by which `shape_of` tells shapes.
TELLING = frozenset(
    {
        *(*IDS, "request", "body", "method", "url"),
        *("messages", "contents", "content", "text"),
    }
)
#: Members beside a request that are read, besides those that belong into it.
READ_BESIDE = TELLING | {"model", "response", "predictions"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The names of the members that mean something in a line."""

    id: str | None  #: holds the user's key
    wrapper: str | None  #: holds the request
    embeds: str | None = None  #: without a wrapper: holds what is to be embedded

    def __str__(self) -> str:
        names = [f'"{n}"' for n in (self.id, self.wrapper, self.embeds) if n]
        return f"{{{', '.join(names)}}}" if names else "a plain request"


class Unwrapped(NamedTuple):
    """What is sent of a line. Bytes are the user's wherever they can be."""

    id: bytes | None  #: the user's key, if the shape has one
    request: bytes
    beside: bytes = b""  #: members to send beside the request, each with a comma behind


class Envelope(NamedTuple):
    """What a staged line has around the request."""

    head: bytes  #: takes the line's number, for the row's id
    open: bytes
    close: bytes

    @classmethod
    def of(cls, family: Family) -> "Envelope":
        head = b'{"%b":"r%%07d",' % family.id.encode()
        if family.wrapper is None:
            return cls(head, b"", b"\n")
        return cls(head, f'"{family.wrapper}":'.encode(), b"}\n")

    def around(self, number: int, taken: Unwrapped) -> tuple[bytes, ...]:
        """The pieces of the line to send."""
        head = self.head % number
        if not self.open:
            return head, taken.request[1:], self.close
        return head, taken.beside, self.open, taken.request, self.close

    def around_each(self, number: int, requests: list[bytes]) -> Iterator[bytes]:
        """The same for requests of lines that follow one another."""
        heads = map((self.head + self.open).__mod__, count(number))
        return chain.from_iterable(zip(heads, requests, repeat(self.close)))


class WrongShape(msgspec.ValidationError):
    """A line for another kind of model; the text says what it looks like."""

    def __init__(self, what: str, path: str = "") -> None:
        super().__init__(what)
        self.path = path


class KeyInside(msgspec.ValidationError):
    """A request with the user's key inside of it."""

    def __init__(self, key: str, plain: str) -> None:
        super().__init__(f'stands beside "{plain}", inside of the request')
        self.path = key
        self.fix = (
            f'put the request into a member of its own: {{"{key}": "...", "request": '
            f'{{"{plain}": ...}}}}'
        )


class NotOneContent(msgspec.ValidationError):
    """`contents` of an embedding line that holds several, or none."""


class OtherModel(msgspec.ValidationError):
    """A line that names another model than the job's, in a member that isn't sent."""


def shape_of(names: Set[str], family: Family) -> Shape:
    """
    The shape of a line with these members.

    Raises:
        WrongShape: this kind of model takes no such line.
        KeyInside: the key isn't beside the request, but in it.
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
            raise KeyInside(id, plain)
        return Shape(None, None)
    if "messages" in names:
        raise WrongShape("a Claude or OpenAI-style request")
    if "contents" in names:
        raise WrongShape("a request of Gemini")
    if names & {"content", "text"}:
        raise WrongShape("an embedding line")
    raise WrongShape("")


def is_openai(line: bytes) -> bool:
    """Whether a line is OpenAI-style: it has a body, and no request of Gemini's."""
    if b'"body"' not in line:
        return False
    try:
        members = _members.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    body = bytes(members.get("body", b""))
    return body.startswith(b"{") and members.keys().isdisjoint(("request", "contents"))


def other_request(names: set[str], family: Family) -> str:
    """What a wrapper holds, in words, if it is a request for another kind of model."""
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


def answered(line: Mapping[str, Any]) -> str | None:
    """
    The member of a line that holds a batch's answer; None if the line has no answer.

    Args:
        line: its members; an object in it is a list of pairs.
    """
    response = _pairs(line.get("response"))
    # An OpenAI-style answer is wrapped, and one of a row that failed is too.
    body = _pairs(response.get("body"))
    if _ANSWERS & response.keys() or (body and "error" not in body):
        return "response"
    return "predictions" if line.get("predictions") and "instance" in line else None


def _pairs(value: Any) -> dict[str, Any]:
    """The members of an object that is a list of pairs; none for anything else."""
    if not isinstance(value, list):
        return {}
    return dict(pair for pair in value if isinstance(pair, tuple))


def unread(line: Mapping[str, Any], shape: Shape, family: Family) -> Iterator[str]:
    """
    Yields the paths at which an embedding line has options that would not be sent.

    Args:
        line: its members; an object in it is a list of pairs.
    """
    for name in _OPTIONS.intersection(line):
        if {camel(each) for each in _pairs(line[name])}.intersection(_EMBEDDING_CONFIG):
            yield name
    if family.wrapper is not None:
        return
    if shape.wrapper is not None:
        names = [name for name, _ in line[shape.wrapper]]
        yield from (f"{shape.wrapper}.{n}" for n in names if n not in _INSTANCE_NAMES)
    else:
        yield from (name for name in line if camel(name) in _PARAMETERS)


def unsent(
    members: Mapping[str, msgspec.Raw], shape: Shape, family: Family
) -> dict[str, msgspec.Raw]:
    """The members of a line that aren't sent: the user's key and columns."""
    if shape.wrapper is not None:
        others = dict(members)
        for name in (shape.wrapper, *family.beside):
            others.pop(name, None)
        return others
    options = {*_EMBEDDING_CONFIG, camel(_NESTED[1]), "model"}
    return {
        name: raw
        for name, raw in members.items()
        if name != shape.embeds and camel(name) not in options
    }


def unwrapper(
    shape: Shape, rules: Rules, *, fine: bool = False
) -> Callable[[bytes], Unwrapped] | None:
    """
    Returns what unwraps lines of one shape; None where the line is the request itself.
    It raises msgspec.MsgspecError for a line of any other shape.

    Args:
        fine: whether it also raises for each line that needs an inspection of what
            stands beside the request, such as a member that belongs into it.
    """
    family = rules.family
    if shape.wrapper is None:
        return _embedding(shape, rules, fine) if family.embeds else None
    names = {"request": shape.wrapper}
    fields: list[Any] = [("request", msgspec.Raw)]
    if shape.id is not None:
        names["id"] = shape.id
        fields.append(("id", msgspec.Raw))
    # A line with one of these has another shape, and may not pass as this one.
    for number, name in enumerate(IDS[: IDS.index(shape.id) if shape.id else None]):
        names[f"not{number}"] = name
        fields.append((f"not{number}", _Absent, msgspec.UNSET))
    if family.beside:
        fields += [("method", Literal["POST"]), ("url", Literal[family.urls])]
    if fine:
        model = Annotated[str, msgspec.Meta(pattern=rules.model_pattern)]
        fields += [("model", model, msgspec.UNSET), ("response", _NoAnswer, None)]
        fields.append(("predictions", _Absent, msgspec.UNSET))  # may be an answer
        apart = strays(of_request(family.members)) if rules.strict else {}
        for number, name in enumerate(apart):
            names[f"apart{number}"] = name
            fields.append((f"apart{number}", _Absent, msgspec.UNSET))
    decode = msgspec.json.Decoder(
        msgspec.defstruct("Line", fields, rename=names, kw_only=True, gc=False)
    ).decode
    text_only = family.wrapper is None

    def unwrap(line: bytes) -> Unwrapped:
        found: Any = decode(line)
        id = _id_of(found.id, rules) if shape.id else None
        request = bytes(found.request)
        if text_only:
            members = _members.decode(request)
            if fine and not _INSTANCE_NAMES.issuperset(members):
                raise msgspec.ValidationError("has other members")
            return Unwrapped(id, _text_embedding(members, rules))
        if family.beside:
            return Unwrapped(id, request, BESIDE % found.url.encode())
        return Unwrapped(id, request)

    return unwrap


def _id_of(raw: msgspec.Raw, rules: Rules) -> bytes:
    """
    A key, as UTF-8: a number as it is written, a text without its quotes. So the number
    7 is the same key as the text "7".

    Raises:
        msgspec.ValidationError: it is no key.
    """
    id = bytes(raw)
    if rules.key_numbers and id[0] in _NUMBER:
        return id
    return _id(id).encode()


# -- embeddings --------------------------------------------------------------------


def _embedding(
    shape: Shape, rules: Rules, strict: bool
) -> Callable[[bytes], Unwrapped]:
    """
    Returns what makes requests of `{"content"}`, `{"text"}` and `{"contents"}`.

    Args:
        strict: raise for a line that needs an inspection.
    """
    family = rules.family
    apart = _OPTIONS | {"response", "predictions"}
    if family.wrapper is None:
        apart |= {spell(name) for name in _PARAMETERS for spell in (camel, snake)}

    @lru_cache(_REMEMBERED)
    def config_of(names: tuple[str, ...]) -> list[tuple[str, str]]:
        """
        The options that a line with these members has beside its content: pairs of the
        name that is sent, and the name as written.

        Raises:
            msgspec.ValidationError: it has another shape.
        """
        if shape_of(set(names), family) != shape or (
            strict and not apart.isdisjoint(names)
        ):
            raise msgspec.ValidationError("has another shape")
        options = [name for name in names if camel(name) in _EMBEDDING_CONFIG]
        return [(snake(name) if rules.imports else name, name) for name in options]

    def unwrap(line: bytes) -> Unwrapped:
        members = _members.decode(line)
        names = tuple(members)
        if sum(map(len, names)) <= _REMEMBERED_NAMES:
            options = config_of(names)
        else:
            options = config_of.__wrapped__(names)
        id = _id_of(members[shape.id], rules) if shape.id else None
        if family.wrapper is None:
            return Unwrapped(id, _text_embedding(members, rules))
        request = {"content": _content(_given(members))}
        config = {sent: bytes(members[name]) for sent, name in options}
        if rules.imports:
            # On Vertex these stand in an object of their own, in snake_case.
            for name in _NESTED:
                if name in members:
                    config |= {
                        snake(inner): bytes(raw)
                        for inner, raw in _members.decode(members[name]).items()
                    }
            if config:
                request["embed_content_config"] = an_object(config)
        else:
            nested = (name for name in _NESTED if name in members)
            request |= config | {name: bytes(members[name]) for name in nested}
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
    return value.join(BARE) if value.startswith(b'"') else value


def _text_embedding(members: dict[str, msgspec.Raw], rules: Rules) -> bytes:
    """An instance for the first embedding models, whose content is a string."""
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
    The path in an embedding line of what is at a path of the request made of it.

    Args:
        line: its members; an object in it is a list of pairs.
    """
    first, rest = _first(path)
    if first == "content":
        name = next(each for each in ("content", "text", "contents") if each in line)
        given, at = line[name], name
        if name == "contents" and type(given) is list:
            given, at = given[0], f"{name}[0]"
        # What was written as a text stands deeper in the request.
        return at if isinstance(given, str) else at + rest
    if camel(first) == "embedContentConfig" and rest:
        inner, more = _first(rest.removeprefix("."))
        for name, value in line.items():
            inside = camel(name) == "embedContentConfig"
            for each in _pairs(value) if inside else ():
                if camel(each) == camel(inner):
                    return f"{name}.{each}{more}"
        first, rest = inner, more
    return next((each for each in line if camel(each) == camel(first)), first) + rest


def _first(path: str) -> tuple[str, str]:
    """The first name of a path, and the rest with the dot or bracket it begins with."""
    end = re.match(r"[^.\[]*", path)
    assert end is not None
    return end[0], path[end.end() :]


def an_object(members: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    """JSON, of values that are JSON already."""
    inner = b",".join([b"%b:%b" % (_encode(n), raw) for n, raw in members.items()])
    return b"{" + inner + b"}"

"""
The members of requests, and what their values may be.

They are listed in `members.json`, which `make members` makes of what the APIs publish;
its head has the versions and the day. A member that isn't listed is misspelt, belongs
somewhere else, or is newer than the list.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import msgspec

from batchdrop.preflight.names import LONGEST_COMPARED, camel, nearest, snake

#: Protobuf's JSON takes numbers and booleans in quotes too.
_QUOTED_NUMBER = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"
_QUOTED_BOOLEAN = r"^(?:true|false)$"
_PROTOBUF = {"a number": _QUOTED_NUMBER, "a boolean": _QUOTED_BOOLEAN}

_WORDS = {
    "string": "a string",
    "number": "a number",
    "integer": "a number",
    "boolean": "a boolean",
}

#: What people write who think of another API, or of a client's options.
_ELSEWHERE = {
    "config": "generationConfig",
    "maxTokens": "generationConfig.maxOutputTokens",
    "maxCompletionTokens": "generationConfig.maxOutputTokens",
    "messages": "contents",
    "n": "generationConfig.candidateCount",
    "prompt": "contents",
    "responseFormat": "generationConfig.responseMimeType",
    "stop": "generationConfig.stopSequences",
    "system": "systemInstruction",
}


#: Words of JSON Schema that Gemini's own Schema doesn't have.
_JSON_SCHEMA = frozenset(
    {
        *("$ref", "$defs", "$schema", "$id", "additionalProperties", "definitions"),
        *("const", "oneOf", "allOf", "not", "if", "then", "else", "examples"),
        *("exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems"),
        *("patternProperties", "dependentRequired", "prefixItems", "contains"),
    }
)


class _Lists(msgspec.Struct, frozen=True):
    made: str
    sources: dict[str, str]
    objects: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """What a value may be; `ANY` allows everything."""

    #: Words such as "a string"; an array counts by its items. Empty: anything.
    kinds: frozenset[str] = frozenset()
    whole: bool = False  #: numbers without a fraction
    pattern: str | None = None  #: a string must match this; None: any string
    choices: tuple[str, ...] = ()  #: a string must be one of these; empty: any
    each: "Type | None" = None  #: values of an object with the user's own names
    object: str = ""  #: the name of the list of its members; empty: no list
    items: "Type | None" = None  #: items of an array; None: it may not be an array
    google: bool = False  #: protobuf's JSON, with two spellings of a name

    def member(self, name: str) -> "Type | None":
        """What a member must be; None if the API has no member of this name."""
        if not self.object:
            return self.each or ANY
        members = _members(self.object)
        text = members.get(name)
        if text is None and self.google and name.islower():
            # Protobuf's JSON takes no mix of the two spellings.
            text = members.get(camel(name))
        return None if text is None else _parsed(self.object.partition(".")[0], text)

    @property
    def names(self) -> Collection[str]:
        """The members that are listed."""
        return _members(self.object) if self.object else ()

    def has(self, name: str) -> bool:
        """Whether the API has such a member."""
        return self.member(name) is not None

    def takes(self, text: str) -> bool:
        """Whether a string is one of the choices, or matches the pattern."""
        if self.choices:
            if text in self.choices:
                return True
            if not self.google:
                return False
            # As protobuf's JSON reads enums: by name, whatever its case, or number.
            return text.upper().replace("-", "_") in self._upper or text.isdecimal()
        return self.pattern is None or re.search(self.pattern, text) is not None

    def fits(self, kind: str) -> bool:
        """Whether a value of a kind, or "an array", may be there."""
        if not self.kinds and self.items is None:
            return True
        return self.items is not None if kind == "an array" else kind in self.kinds

    @property
    def spellings(self) -> tuple[str, ...]:
        """The choices, as most people write them."""
        if not self.google:
            return self.choices
        each = ((c, c.lower(), c.capitalize()) for c in self.choices)
        return tuple(dict.fromkeys(word for words in each for word in words))

    @property
    def _upper(self) -> frozenset[str]:
        return frozenset(choice.upper() for choice in self.choices)

    def meant(self, name: str, root: "Type") -> str:
        """
        What to write in place of an unknown member; empty if nothing is close to it.

        Args:
            name: as it was written.
            root: the request.
        """
        # What was found is kept, and a name may have megabytes.
        if len(name) > LONGEST_COMPARED:
            return ""
        return _meant(self, camel(name) if self.google else name, root)


ANY = Type()

#: Members of one word that are hardly ever a column of the user's own.
_TELLING = frozenset({"contents", "messages", "system", "temperature", "tools"})
#: Clients have their options in this.
CONFIG = "config"


def of_request(root: str) -> Type:
    """What a request must be; ANY if it has no list."""
    if not root:
        return ANY
    family = root.partition(".")[0]
    return Type(kinds=frozenset({"an object"}), object=root, google=_is_google(family))


def strays(root: Type) -> dict[str, Type]:
    """
    The members that belong into a request, and that people write beside it by mistake:
    its own, and those of its configuration. Most names of one word are left out, as
    they may be the user's own columns.
    """
    config = root.member("generationConfig") if root.google else None
    found: dict[str, Type] = {}
    for of in (root, config):
        for name in _members(of.object) if of is not None and of.object else ():
            spellings = {name, camel(name), snake(name)}
            type = of.member(name) if of is not None else None
            if type is not None and name == "systemInstruction":
                # The official SDK takes a text here, so people write one.
                type = replace(type, kinds=type.kinds | {"a string"})
            if type is not None and (len(spellings) > 1 or name in _TELLING):
                for spelled in spellings if root.google else {name}:
                    found.setdefault(spelled, type)
    if config is not None:
        found[CONFIG] = config
    return found


def version() -> str:
    """The day on which the lists were made."""
    return _lists().made.partition(",")[0]


def public(path: str) -> str:
    """
    A path with `?` for each name that no API has: `contents[0].?` of
    `contents[0].partz`. Paths are logged, stored and announced, and such a name may be
    anything.
    """

    def shown(match: re.Match[str]) -> str:
        word = match[0]
        return word if word in _words() or _INDEX.fullmatch(word) else "?"

    return re.sub(r"\[\d+\]|[^.\[\]]+|[\[\]]", shown, path)


#: Few enough digits that it can't be a telephone number.
_INDEX = re.compile(r"\[\d{1,7}\]")
#: Names beside a request.
_BESIDE = frozenset(
    {
        *("key", "custom_id", "request", "body", "method", "url", "model", "content"),
        *("contents", "messages", "response", "error", "status", "predictions"),
    }
)


@cache
def _words() -> frozenset[str]:
    names = {name for members in _lists().objects.values() for name in members}
    return _BESIDE | names | set(map(snake, names))


@cache
def _lists() -> _Lists:
    from importlib.resources import files  # not at a cold start

    text = files("batchdrop.preflight").joinpath("members.json").read_bytes()
    return msgspec.json.decode(text, type=_Lists)


def _members(object: str) -> dict[str, str]:
    return _lists().objects[object]


def _is_google(family: str) -> bool:
    return family in ("vertex", "developer")


@cache
def _parsed(family: str, text: str) -> Type:
    """Reads a type as `tests.members` writes it."""
    google = _is_google(family)
    kinds: set[str] = set()
    choices: list[str] = []
    lists: list[str] = []
    whole, pattern, each, object = False, None, None, ""
    for one in text.split(" | "):
        word, _, rest = one.partition(" ")
        if word == "any":
            return ANY
        if word == "list":
            lists.append(rest)
        elif word == "map":
            kinds.add("an object")
            each = _parsed(family, rest)
        elif word.startswith("@"):
            kinds.add("an object")
            object = f"{family}.{word[1:]}"
        elif word == "one":
            kinds.add("a string")
            choices += rest.removeprefix("of ").split(" ")
        else:
            kinds.add(_WORDS[word])
            whole = word == "integer"
    if google and "a string" not in kinds:
        pattern = next((_PROTOBUF[kind] for kind in kinds if kind in _PROTOBUF), None)
        if pattern is not None:
            kinds.add("a string")
    if google and choices:
        kinds.add("a number")
    items = _parsed(family, " | ".join(lists)) if lists else None
    return Type(
        kinds=frozenset(kinds),
        whole=whole,
        pattern=pattern,
        choices=tuple(choices),
        each=each,
        object=object,
        items=items,
        google=google,
    )


@lru_cache(1000)  # a file of bad lines has few names
def _meant(of: Type, name: str, root: Type) -> str:
    known = _members(of.object)
    if of.google and of.object.endswith(".Schema") and name in _JSON_SCHEMA:
        return (
            "write what a Schema has, or the raw JSON schema in "
            '"responseJsonSchema" or "parametersJsonSchema"'
        )
    if of.google and (path := _ELSEWHERE.get(name)) is not None:
        parent, _, last = path.rpartition(".")
        if last in known:
            return f'write "{last}"'
        if root.has(path.partition(".")[0]):
            inside = f'in "{parent}"' if parent else "in the request"
            return f'write "{last}" {inside}'
    place = _place_of(root, name, of)
    if place is not None:
        return f'put it into "{place}"' if place else "put it into the request"
    lower = {each.lower(): each for each in known}
    near = nearest(name.lower(), lower)
    return f'write "{lower[near]}"' if near else ""


def _place_of(root: Type, name: str, beside: Type) -> str | None:
    """The path of the object nearest to the root that has such a member."""
    seen = {beside.object}
    for path, type in _objects(root, 2):
        if type.object not in seen and name in _members(type.object):
            return path
        seen.add(type.object)
    return None


def _objects(root: Type, deep: int) -> Iterator[tuple[str, Type]]:
    level = [("", root)]
    for _ in range(deep + 1):
        yield from level
        below = []
        for path, type in level:
            for name in _members(type.object):
                inner = type.member(name)
                for one in (inner, inner and inner.items):
                    if one is not None and one.object:
                        below.append((f"{path}.{name}" if path else name, one))
                        break
        level = below

"""
Reads JSON as protobuf's parser does: it accepts names in either spelling and one value
for a repeated field, reads nulls as absent, and reports members that are unknown.

The type of a field is written as in batchdrop's lists of members: `any`, `string`,
`number`, `integer`, `boolean`, `one of A B`, `@NAME` (a message), `map X`, `list X`, or
several, separated by ` | `. `X | list X` is a repeated field. `as it is X` is checked
as X and returned unchanged.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchsim.wire import ApiError, camel

Json = dict[str, Any]
Fields = Mapping[str, str]

#: How deep messages may nest (protobuf's own limit).
DEEPEST = 100

#: How many errors are listed at most. The API's own limit is unknown.
MOST = 100

_UNREADABLE = "Invalid JSON payload received. "
_NO_FIELD = "Cannot find field."
_TYPES = {
    "string": "TYPE_STRING",
    "number": "TYPE_DOUBLE",
    "integer": "TYPE_INT32",
    "boolean": "TYPE_BOOL",
    "one": "TYPE_ENUM",
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|NaN|-?Infinity")


@dataclass(frozen=True, slots=True)
class Fault:
    """
    What is wrong at `path` ("" is the whole message). `text` is worded as the API does.

    `name` is the member at fault, spelled as in the request. `unknown` is True if the
    message has no such member.
    """

    path: str
    name: str
    text: str
    unknown: bool = False


@dataclass(slots=True)
class Reader:
    """
    Reads messages of the kinds in `messages`: NAME -> member -> type.

    `package` is the protobuf package of the messages, which errors name.
    """

    messages: Mapping[str, Fields]
    package: str
    faults: list[Fault] = field(default_factory=list)

    def read(self, name: str, value: Any, path: str = "") -> Any:
        """The value with camelCase names, lists and no nulls; adds to `faults`."""
        return self._message(name, value, path, "", 0)

    def refuse(self) -> None:
        """ApiError 400 that names every fault, if there is any."""
        if not self.faults:
            return
        violations = [
            {**({"field": one.path} if one.path else {}), "description": one.text}
            for one in self.faults[:MOST]
        ]
        raise ApiError(
            400,
            "\n".join(one["description"] for one in violations),
            details=[
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": violations,
                }
            ],
        )

    def _message(self, kind: str, value: Any, path: str, name: str, deep: int) -> Any:
        if not isinstance(value, dict):
            called = f"type.googleapis.com/{self.package}.{kind}"
            self._invalid(path, name, called, json.dumps(value))
            return {}
        if deep > DEEPEST:
            text = f"Message too deep. Max recursion depth reached for key '{name}'"
            self.faults.append(Fault(path, name, text))
            return {}
        known = self.messages[kind]
        read: Json = {}
        for given, member in value.items():
            name_known = given if given in known else camel(given)
            takes = known.get(name_known)
            if takes is None:
                self._unknown(path, given, _NO_FIELD)
            elif member is not None:
                read[name_known] = self._field(takes, member, path, given, deep)
        return read

    def _field(self, takes: str, value: Any, path: str, name: str, deep: int) -> Any:
        kinds = takes.split(" | ")
        where = f"{path}.{_snake(name)}" if path else _snake(name)
        repeated = [kind[5:] for kind in kinds if kind.startswith("list ")]
        if repeated:
            if not isinstance(value, list):
                return [self._one(repeated[0], value, where, name, deep)]
            return [
                self._one(repeated[0], item, f"{where}[{n}]", name, deep)
                for n, item in enumerate(value)
            ]
        if isinstance(value, list) and "any" not in kinds:
            self._unknown(
                path, name, "Proto field is not repeating, cannot start list."
            )
            return value
        maps = [kind for kind in kinds if kind.startswith("map ")]
        if len(kinds) > 1:
            kinds = maps if isinstance(value, dict) and maps else kinds[:1]
        return self._one(kinds[0], value, where, name, deep)

    def _one(self, kind: str, value: Any, path: str, name: str, deep: int) -> Any:
        word, _, rest = kind.partition(" ")
        if word == "any":
            return value
        if word == "as":
            self._one(rest.removeprefix("it is "), value, path, name, deep)
            return value
        if word.startswith("@"):
            return self._message(word[1:], value, path, name, deep + 1)
        if word == "map":
            if not isinstance(value, dict):
                self._invalid(path, name, "Map", json.dumps(value))
                return {}
            if rest == "any":
                return value
            return {
                key: self._one(rest, one, f"{path}[{n}].value", name, deep)
                for n, (key, one) in enumerate(value.items())
            }
        if isinstance(value, dict):
            why = "Starting an object on a scalar field"
            self._invalid(path, name, _TYPES[word], why)
        elif not _fits(word, rest, value):
            self._invalid(path, name, _TYPES[word], json.dumps(value))
        return value

    def _unknown(self, path: str, name: str, why: str) -> None:
        at = f" at '{path}'" if path else ""
        text = f'{_UNREADABLE}Unknown name "{name}"{at}: {why}'
        missing = why == _NO_FIELD
        self.faults.append(Fault(path, name, text, missing))

    def _invalid(self, path: str, name: str, kind: str, why: str) -> None:
        self.faults.append(
            Fault(path, name, f"Invalid value at '{path}' ({kind}), {why}")
        )


def _fits(word: str, choices: str, value: Any) -> bool:
    """Whether protobuf accepts a value for a field that is no message and no list."""
    if isinstance(value, bool):
        return word == "boolean"
    match word:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return value in ("true", "false")
        case "one":
            # By name, in any case, or by number.
            if isinstance(value, str):
                names = choices.removeprefix("of ").upper().split()
                return value.upper().replace("-", "_") in names or value.isdecimal()
            return isinstance(value, int)
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return False
        value = float(value)
    if not isinstance(value, int | float):
        return False
    return word == "number" or float(value).is_integer()


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)

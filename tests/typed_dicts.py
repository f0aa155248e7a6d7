"""
Prints the members of TypedDicts as JSON, in the form of `tests.members`.

It runs where the package of the TypedDicts is installed, and needs nothing else.
"""

import collections.abc
import importlib
import json
import sys
import types
import typing
from typing import Any

_SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number"}
_NESTED = (list, tuple, collections.abc.Iterable, collections.abc.Sequence)


class Reader:
    def __init__(self) -> None:
        self.objects: dict[str, dict[str, str]] = {}
        self._names: dict[frozenset[Any], str] = {}

    def object(self, *classes: Any) -> str:
        """The name of an object that has the members of all of these."""
        known = self._names.get(frozenset(classes))
        if known is not None:
            return known
        # Which of several it is, one of the members says.
        name = "Or".join(sorted({one.__name__ for one in classes})[:2])
        while name in self.objects:  # of other classes, in other modules
            name += "_"
        self._names[frozenset(classes)] = name
        members = self.objects[name] = {}
        found: dict[str, list[Any]] = {}
        for one in classes:
            hints = typing.get_type_hints(one, include_extras=False)
            for member, hint in hints.items():
                found.setdefault(member, []).append(hint)
        for member in sorted(found):
            members[member] = self.of(*found[member])
        return name

    def of(self, *hints: Any) -> str:
        """What a value may be that is of one of these types; see `tests.members`."""
        scalars, choices, nested, classes = set(), set(), [], []
        waiting = list(hints)
        while waiting:
            hint = waiting.pop()
            origin, inner = typing.get_origin(hint), typing.get_args(hint)
            if hint is type(None):
                continue
            if hint in _SCALARS:
                scalars.add(_SCALARS[hint])
            elif hasattr(hint, "__required_keys__"):  # from typing or its extensions
                classes.append(hint)
            elif origin in (typing.Union, types.UnionType):
                waiting += inner
            elif origin is typing.Literal:
                choices |= {one for one in inner if isinstance(one, str)}
                scalars |= {"boolean" for one in inner if isinstance(one, bool)}
            elif origin in _NESTED:
                nested.append(inner[0])
            elif origin in (dict, collections.abc.Mapping):
                value = self.of(inner[1])
                scalars.add("map any" if " | " in value else f"map {value}")
            else:
                return "any"
        told = sorted(scalars - {"integer"} if "number" in scalars else scalars)
        if choices and "string" not in scalars:
            told.append(f"one of {' '.join(sorted(choices))}")
        if classes:
            told.append(f"@{self.object(*sorted(classes, key=str))}")
        if nested:
            told += [f"list {one}" for one in self.of(*nested).split(" | ")]
        return " | ".join(told) or "any"


def main() -> None:
    reader, roots = Reader(), {}
    for where in sys.argv[1:]:
        module, _, name = where.partition(":")
        roots[where] = reader.object(getattr(importlib.import_module(module), name))
    print(json.dumps({"roots": roots, "objects": reader.objects}))


if __name__ == "__main__":
    main()

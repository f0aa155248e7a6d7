"""Pub/Sub's filters, which its emulator takes and heeds not: read, and applied."""

import json
import re
from collections.abc import Mapping

# The language is Pub/Sub docs, "Filter messages from a subscription".
TOKEN = re.compile(
    r"""\s*(?: (?P<text>"(?:[^"\\]|\\.)*") | (?P<word>[A-Za-z_][A-Za-z0-9_-]*)
    | (?P<sign>!=|=|:|\.|,|\(|\)|-) )""",
    re.VERBOSE,
)


class BadFilter(ValueError):
    """Pub/Sub would refuse it."""


class Filter:
    """A filter; `keys` are the attributes that it looks at."""

    def __init__(self, expression: str) -> None:
        if len(expression.encode()) > 256:
            raise BadFilter("more than 256 bytes")
        self.keys: set[str] = set()
        self._tokens = self._split(expression)
        self._at = 0
        self._attributes: Mapping[str, str] = {}
        self.matches({})

    def matches(self, attributes: Mapping[str, str]) -> bool:
        """Whether a subscription with this filter gets a message."""
        self._at, self._attributes = 0, attributes
        found = self._expression()
        if self._at != len(self._tokens):
            raise BadFilter(f"what is {self._tokens[self._at]} for?")
        return found

    @staticmethod
    def _split(expression: str) -> list[str]:
        tokens, at = [], 0
        while at < len(expression.rstrip()):
            match = TOKEN.match(expression, at)
            if match is None:
                raise BadFilter(f"can't read {expression[at:]!r}")
            tokens.append(match[0].strip())
            at = match.end()
        return tokens

    def _expression(self) -> bool:
        found, joined = self._term(), None
        while (operator := self._peek()) in ("AND", "OR"):
            if joined not in (None, operator):
                raise BadFilter("AND and OR together need parentheses")
            joined = self._next()
            other = self._term()
            found = (found and other) if operator == "AND" else (found or other)
        return found

    def _term(self) -> bool:
        if self._peek() in ("NOT", "-"):
            self._next()
            return not self._term()
        if self._peek() == "(":
            self._next()
            found = self._expression()
            self._take(")")
            return found
        if self._peek() == "hasPrefix":
            self._next()
            self._take("(")
            value = self._value()
            self._take(",")
            prefix = self._text()
            self._take(")")
            return value is not None and value.startswith(prefix)
        self._take("attributes")
        if self._peek() == ":":
            self._next()
            return self._attributes.get(self._key()) is not None
        self._at -= 1
        value, operator = self._value(), self._next()
        if operator not in ("=", "!="):
            raise BadFilter(f"{operator} is neither = nor !=")
        return (value == self._text()) == (operator == "=")

    def _value(self) -> str | None:
        self._take("attributes")
        self._take(".")
        return self._attributes.get(self._key())

    def _key(self) -> str:
        token = self._next()
        # Without quotes, a dash is not a part of a key.
        if not token.startswith('"') and not re.fullmatch(r"\w+", token):
            raise BadFilter(f"the key {token} must be in quotes")
        key = token.strip('"')
        self.keys.add(key)
        return key

    def _text(self) -> str:
        token = self._next()
        if not token.startswith('"'):
            raise BadFilter(f"{token} must be in quotes")
        return str(json.loads(token))

    def _take(self, token: str) -> None:
        if (found := self._next()) != token:
            raise BadFilter(f"{found} in place of {token}")

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else "the end"

"""
The filter language of Vertex's list.

Grammar (aiplatform v1 discovery, `ListBatchPredictionJobs.filter`; the shape of
expressions is AIP-160's, where OR binds tighter than AND):

    expression   terms joined by AND, or side by side
    term         factors joined by OR
    factor       [NOT | -] restriction, or an expression in parentheses
    restriction  field operator value

    display_name         =  !=  :         with `:`, * is a wildcard
    model_display_name   =  !=
    state                =  !=            a JOB_STATE_ name
    create_time          =  !=  <  <=  >  >=    RFC 3339
    labels.KEY           =  and  labels.KEY:*   (exists)
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Protocol

from batchsim.wire import invalid


class Listed(Protocol):
    """What a filter can ask of a job."""

    @property
    def display_name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def created(self) -> datetime: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


Predicate = Callable[[Listed], bool]

_STATES = [
    "UNSPECIFIED",
    "QUEUED",
    "PENDING",
    "RUNNING",
    "SUCCEEDED",
    "FAILED",
    "CANCELLING",
    "CANCELLED",
    "PAUSED",
    "EXPIRED",
    "UPDATING",
    "PARTIALLY_SUCCEEDED",
]
STATE_NAMES = frozenset(f"JOB_STATE_{name}" for name in _STATES)

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<quoted> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
      | (?P<op> <= | >= | != | = | < | > | : )
      | (?P<paren> [()] )
      | (?P<minus> - (?=[(A-Za-z]) )
      | (?P<word> [^\s()=<>!:"']+ )
    )""",
    re.VERBOSE,
)

_COMPARE: dict[str, Callable[[datetime, datetime], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def parse(text: str) -> Predicate:
    """A test for jobs. ApiError 400 quotes the part that can't be read."""
    if not text.strip():
        return lambda job: True
    reader = _Reader(text)
    predicate = reader.expression()
    reader.finish()
    return predicate


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0

    def expression(self) -> Predicate:
        terms = [self._term()]
        while (token := self._peek()) and token != _Token("paren", ")"):
            if token == _Token("word", "AND"):
                self._take()
            terms.append(self._term())
        if len(terms) == 1:
            return terms[0]
        return lambda job: all(term(job) for term in terms)

    def finish(self) -> None:
        if token := self._peek():
            raise self._error(f"unexpected {token.text!r}")

    def _term(self) -> Predicate:
        factors = [self._factor()]
        while self._peek() == _Token("word", "OR"):
            self._take()
            factors.append(self._factor())
        if len(factors) == 1:
            return factors[0]
        return lambda job: any(factor(job) for factor in factors)

    def _factor(self) -> Predicate:
        token = self._peek()
        if token in (_Token("word", "NOT"), _Token("minus", "-")):
            self._take()
            inner = self._factor()
            return lambda job: not inner(job)
        if token == _Token("paren", "("):
            self._take()
            inside = self.expression()
            if self._take() != _Token("paren", ")"):
                raise self._error("a closing parenthesis is missing")
            return inside
        return self._restriction()

    def _restriction(self) -> Predicate:
        field = self._take()
        if field is None or field.kind != "word":
            raise self._error("a field name is missing")
        op = self._take()
        if op is None or op.kind != "op":
            raise self._error(f"an operator is missing after {field.text!r}")
        value = self._take()
        if value is None or value.kind not in ("quoted", "word"):
            raise self._error(f"a value is missing after {field.text}{op.text}")
        if value.kind == "word" and self._peek() == _Token("op", ":"):
            raise self._error(f"put the value of {field.text} into quotes")
        return self._test(field.text, op.text, value)

    def _test(self, field: str, op: str, value: _Token) -> Predicate:
        given = _unquote(value) if value.kind == "quoted" else value.text
        if field.startswith("labels.") and len(field) > len("labels."):
            return self._label(field.removeprefix("labels."), op, value, given)
        if field == "create_time":
            return self._created(op, given)
        if field == "display_name" and op == ":":
            return lambda job: fnmatchcase(job.display_name, _only_stars(given))
        if field not in ("display_name", "model_display_name", "state"):
            raise self._error(f"unknown field {field!r}")
        if op not in ("=", "!="):
            raise self._error(f"{field} doesn't take {op!r}")
        wanted = op == "="
        if field == "state":
            if given not in STATE_NAMES:
                raise self._error(f"{given!r} is not a job state")
            return lambda job: (job.state == given) is wanted
        if field == "display_name":
            return lambda job: (job.display_name == given) is wanted
        return lambda job: (job.model.rpartition("/")[2] == given) is wanted

    def _label(self, key: str, op: str, value: _Token, given: str) -> Predicate:
        if op == ":" and value == _Token("word", "*"):
            return lambda job: key in job.labels
        if op != "=":
            raise self._error(f"labels.{key} takes =VALUE or :*")
        return lambda job: job.labels.get(key) == given

    def _created(self, op: str, given: str) -> Predicate:
        if op not in _COMPARE:
            raise self._error(f"create_time doesn't take {op!r}")
        compare = _COMPARE[op]
        try:
            bound = datetime.fromisoformat(given)
        except ValueError:
            raise self._error(f"{given!r} is not an RFC 3339 time") from None
        if bound.tzinfo is None:
            raise self._error(f"{given!r} lacks a time zone, such as Z")
        return lambda job: compare(job.created, bound)

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> _Token | None:
        token = self._peek()
        self._next += 1
        return token

    def _error(self, why: str) -> Exception:
        return invalid(f"Invalid filter {self._text!r}: {why}.")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise invalid(f"Invalid filter {text!r}: can't read {text[at:].strip()!r}.")
        found.append(_Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def _unquote(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1])


def _only_stars(pattern: str) -> str:
    # ? and [ are special to fnmatch, but not in the filter language.
    return re.sub(r"[?\[]", lambda found: f"[{found[0]}]", pattern)

"""
Words of others, without what they quote. A service's message may quote a row, a name of
the user's or an address; what is wrong, and where, is what stands around that.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from pathlib import Path
from traceback import extract_tb
from typing import Any, TypeVar

from batchdrop.batches import BatchesError
from batchdrop.errors import BatchdropError
from batchdrop.preflight.members import public

T = TypeVar("T")

_CUT = "…"
#: What follows these is a value, to the end of the message.
_VALUE_FOLLOWS = re.compile(
    r"(\b(?:near|value|text|content|contents|got|input|token|row|line|data|"
    r"received|string|prompt)\s*[:=])(?!\s*\d+\b).*",
    re.IGNORECASE | re.DOTALL,
)
_JSON = re.compile(r"""[\[{]\s*["'{\[].*""", re.DOTALL)
#: Of an address, its scheme and host or bucket.
_ADDRESS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/]*@)?([^\s/?#'\"`]*)[^\s'\"`]*"
)
#: An apostrophe within a word quotes nothing.
_QUOTED = re.compile(
    r'"(?:\\.|[^"\\])*(?:"|\Z)'
    r"|`[^`]*(?:`|\Z)"
    r"|“[^”]*(?:”|\Z)"
    r"|(?<!\w)'.*?(?:'(?!\w)|\Z)",
    re.DOTALL,
)
#: Quoted, and no word of a user's: resources, and rights to them.
_RESOURCE = re.compile(
    r"(?://[a-z.]+/)?projects/[A-Za-z0-9._:/@-]+"
    r"|(?:aiplatform|bigquery|generativelanguage|iam|storage)\.[A-Za-z.]+"
)
#: As keys and tokens are. Names of accounts have an @ behind them.
_SECRET = re.compile(
    r"(?<![\w/@.-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{20,}(?![\w@/-])"
)


def unquoted(text: str) -> str:
    """
    A message of a service as it may be logged, stored and announced: its first line,
    without quoted values, JSON, paths and queries of addresses, and what looks like a
    key. Names of resources and rights, and names that the API has, stay.
    """
    first, *more = text.strip().split("\n", 1)
    cut = _JSON.sub(_CUT, first)
    cut = _VALUE_FOLLOWS.sub(rf"\1 {_CUT}", cut)
    cut = _ADDRESS.sub(rf"\1\2/{_CUT}", cut)
    cut = _QUOTED.sub(_named, cut)
    cut = _SECRET.sub(_CUT, cut)
    return f"{cut} {_CUT}" if more and not cut.endswith(_CUT) else cut


def _named(quoted: re.Match[str]) -> str:
    inside = quoted[0].strip("\"'`“”")
    path = re.sub(r"\[[^\]]*\]", "", inside)
    if _RESOURCE.fullmatch(inside) or (path and public(inside) == inside):
        return quoted[0]
    return f"'{_CUT}'"


def public_text(exc: BaseException) -> str:
    """
    An error as it may be logged, stored and announced. Our own errors name shapes and
    places, and `masked` did the same to the client's. Any other may quote anything, so
    that only its kind and the place where it was raised are given.
    """
    if isinstance(exc, (BatchdropError, BatchesError)):
        return str(exc)
    kind = type(exc).__name__
    for frame in extract_tb(exc.__traceback__)[-1:]:
        return f"{kind} at {Path(frame.filename).name}:{frame.lineno}"
    return kind


def masked(kind: type[T]) -> type[T]:
    """A class whose public methods raise errors of the client with `unquoted` words."""
    for name, method in list(vars(kind).items()):
        if callable(method) and not name.startswith("_"):
            setattr(kind, name, _masked(method))
    return kind


def _masked(method: Callable[..., Any]) -> Callable[..., Any]:
    if isgeneratorfunction(method):

        @wraps(method)
        def steps(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _unquoting():
                yield from method(*args, **kwargs)

        return steps

    @wraps(method)
    def once(*args: Any, **kwargs: Any) -> Any:
        with _unquoting():
            return method(*args, **kwargs)

    return once


@contextmanager
def _unquoting() -> Iterator[None]:
    try:
        yield
    except BatchesError as exc:
        # Its text comes from the one, and its repr() from the others.
        if isinstance(message := getattr(exc, "message", None), str):
            exc.message = unquoted(message)  # type: ignore[attr-defined]
        exc.args = tuple(unquoted(a) if isinstance(a, str) else a for a in exc.args)
        raise

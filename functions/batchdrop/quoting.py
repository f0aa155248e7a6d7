"""
Removes quoted values from the messages of services. A message may quote a row, a name
that the user chose, or an address; the rest says what is wrong, and where.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from traceback import extract_tb
from typing import Any, TypeVar

from batchdrop.batches import BatchesError
from batchdrop.errors import BatchdropError
from batchdrop.preflight.members import public

T = TypeVar("T")

_CUT = "…"
#: A value follows these words, up to the end of the message.
_VALUE_FOLLOWS = re.compile(
    r"(\b(?:near|value|text|content|contents|got|input|token|row|line|data|"
    r"received|string|prompt)\s*[:=])(?!\s*\d+\b).*",
    re.IGNORECASE | re.DOTALL,
)
_JSON = re.compile(r"""[\[{]\s*["'{\[].*""", re.DOTALL)
#: An address; the groups are its scheme, and its host or bucket.
_ADDRESS = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/]*@)?([^\s/?#'\"`]*)[^\s'\"`]*"
)
#: Text in quotes. An apostrophe within a word is no quote.
_QUOTED = re.compile(
    r'"(?:\\.|[^"\\])*(?:"|\Z)'
    r"|`[^`]*(?:`|\Z)"
    r"|“[^”]*(?:”|\Z)"
    r"|(?<!\w)'.*?(?:'(?!\w)|\Z)",
    re.DOTALL,
)
#: A quoted text that may stay: the name of a resource or a permission.
_RESOURCE = re.compile(
    r"(?://[a-z.]+/)?projects/[A-Za-z0-9._:/@-]+"
    r"|(?:aiplatform|bigquery|generativelanguage|iam|storage)\.[A-Za-z.]+"
)
#: Looks like a key or a token. The name of an account has an @ behind it.
_SECRET = re.compile(
    r"(?<![\w/@.-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{20,}(?![\w@/-])"
)


def unquoted(text: str) -> str:
    """
    Returns a message of an API in the form that may be logged, stored and announced:
    its first line, without quoted values, JSON, the paths and queries of addresses, and
    anything that looks like a key. Names of resources and permissions, and the API's
    own names, stay.
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
    Returns an error's text in the form that may be logged, stored and announced. Our
    own errors quote no values, and `masked` removes them from the client's. Any other
    error may quote anything, so this gives only its class and where it was raised.
    """
    if isinstance(exc, (BatchdropError, BatchesError)):
        return str(exc)
    kind = type(exc).__name__
    for frame in extract_tb(exc.__traceback__)[-1:]:
        return f"{kind} at {Path(frame.filename).name}:{frame.lineno}"
    return kind


def masked(kind: type[T]) -> type[T]:
    """Decorates a class: its public methods raise the client's errors `unquoted`."""
    for name, method in list(vars(kind).items()):
        if callable(method) and not name.startswith("_"):
            setattr(kind, name, _masked(method))
    return kind


def _masked(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def unquoting(*args: Any, **kwargs: Any) -> Any:
        with _unquoting():
            result = method(*args, **kwargs)
        # What raises while it is iterated was returned before.
        return _steps(result) if isinstance(result, Iterator) else result

    return unquoting


def _steps(items: Iterator[T]) -> Iterator[T]:
    with _unquoting():
        yield from items


@contextmanager
def _unquoting() -> Iterator[None]:
    try:
        yield
    except BatchesError as exc:
        # str() reads `message`, and repr() reads `args`.
        if isinstance(message := getattr(exc, "message", None), str):
            exc.message = unquoted(message)  # type: ignore[attr-defined]
        exc.args = tuple(unquoted(a) if isinstance(a, str) else a for a in exc.args)
        raise

"""The queries that the code sends to Firestore, and the indexes that they need."""

import contextlib
import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What decides about the index: the rest of a query doesn't matter."""

    collection: str
    equal: frozenset[str]  #: fields compared with ==, `in` or null
    ordered: tuple[tuple[str, str], ...]  #: then fields by which it ranges and sorts

    def __str__(self) -> str:
        wanted = [f"{path} ==" for path in sorted(self.equal)]
        wanted += [f"{path} {direction.lower()}" for path, direction in self.ordered]
        return f"{self.collection}({', '.join(wanted)})"

    @property
    def is_simple(self) -> bool:
        """Whether indexes of single fields, which are always there, can answer it."""
        return not self.ordered or (not self.equal and len(self.ordered) == 1)

    @property
    def paths(self) -> set[str]:
        return set(self.equal) | {path for path, _ in self.ordered}

    def answered_by(self, collection: str, fields: tuple[tuple[str, str], ...]) -> bool:
        """Whether a composite index answers it: equal fields first, in any order."""
        if collection != self.collection or len(fields) != len(self.paths):
            return False
        head, tail = fields[: len(self.equal)], fields[len(self.equal) :]
        flipped = {"ASCENDING": "DESCENDING", "DESCENDING": "ASCENDING"}
        backwards = tuple(
            (path, flipped[direction]) for path, direction in self.ordered
        )
        return {path for path, _ in head} == self.equal and tail in (
            self.ordered,
            backwards,
        )


#: Every query that was sent since `record_all`.
seen: set[Query] = set()


@functools.cache
def record_all() -> None:
    """From now on each query that this process sends goes into `seen` as well."""
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

    for method in ("run_query", "run_aggregation_query"):
        setattr(FirestoreClient, method, _recorded(getattr(FirestoreClient, method)))


def of_class(asked: type, make: Callable[[Any], Any]) -> set[Query]:
    """
    The queries of a class's methods. Each that sends one is called with examples of
    its arguments, and Firestore's part is played by one that finds nothing.

    Args:
        make: gives the object, when told how to connect to Firestore.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import firestore
    from google.cloud.firestore_v1.services.firestore import FirestoreClient

    sent: list[Query] = []

    def nothing(_: Any, request: Any = None, **__: Any) -> Iterator[Any]:
        sent.append(_read(request))
        return iter(())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FirestoreClient, "run_query", nothing)
        patch.setattr(FirestoreClient, "run_aggregation_query", nothing)
        patch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
        client = firestore.Client("nowhere", credentials=AnonymousCredentials())
        asker = make(lambda: client)
        for name in _asking(asked):
            before = len(sent)
            # What it makes of an answer that is empty doesn't matter here.
            with contextlib.suppress(Exception):
                for _ in getattr(asker, name)(**_examples(getattr(asked, name))):
                    pass
            assert len(sent) > before, f"{name} was called, and sent no query"
    return set(sent)


def _asking(asked: type) -> Iterator[str]:
    """The public methods with a query in them, or in a private one that they call."""
    sources = {
        name: inspect.getsource(method)
        for name, method in inspect.getmembers(asked, inspect.isfunction)
    }
    private = {
        name
        for name, source in sources.items()
        if name.startswith("_") and ".where(" in source
    }
    for name, source in sources.items():
        calls = any(f"self.{other}(" in source for other in private)
        if not name.startswith("_") and (".where(" in source or calls):
            yield name


_EXAMPLE = {
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
    timedelta: timedelta(seconds=1),
    str: "text",
    int: 1,
}


def _examples(method: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(method)
    needed = [
        name
        for name, parameter in inspect.signature(method).parameters.items()
        if name != "self" and parameter.default is parameter.empty
    ]
    return {name: _EXAMPLE[hints[name]] for name in needed}


def _recorded(method: Any) -> Any:
    @functools.wraps(method)
    def wrapper(self: Any, request: Any = None, **more: Any) -> Any:
        seen.add(_read(request))
        return method(self, request=request, **more)

    return wrapper


def _read(request: Any) -> Query:
    """A query as it goes over the wire."""
    if "structured_aggregation_query" in request:
        sent = request["structured_aggregation_query"].structured_query
    else:
        sent = request["structured_query"]
    equal: set[str] = set()
    ranges: list[str] = []
    for kind, operator, path in _filters(sent.where):
        if kind == "unary" or operator in ("EQUAL", "IN"):
            equal.add(path)
        elif operator in (
            "LESS_THAN",
            "LESS_THAN_OR_EQUAL",
            "GREATER_THAN",
            "GREATER_THAN_OR_EQUAL",
        ):
            ranges.append(path)
        else:
            raise NotImplementedError(f"the index that {operator} on {path} needs")
    orders = [
        (order.field.field_path, order.direction.name)
        for order in sent.order_by
        if order.field.field_path != "__name__"
    ]
    ordered = dict(orders)
    # A range sorts by its field first, even where no order is asked for.
    implied = [
        (path, "ASCENDING") for path in dict.fromkeys(ranges) if path not in ordered
    ]
    return Query(
        collection=sent.from_[0].collection_id,
        equal=frozenset(equal - set(ordered)),
        ordered=tuple([*implied, *orders]),
    )


def _filters(where: Any) -> Iterator[tuple[str, str, str]]:
    if where.composite_filter.filters:
        if where.composite_filter.op.name != "AND":
            raise NotImplementedError("the indexes that a query with OR needs")
        for each in where.composite_filter.filters:
            yield from _filters(each)
    elif path := where.field_filter.field.field_path:
        yield "field", where.field_filter.op.name, path
    elif path := where.unary_filter.field.field_path:
        yield "unary", where.unary_filter.op.name, path

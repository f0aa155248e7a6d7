"""The queries that the code sends to Firestore, and the indexes that they need."""

import ast
import contextlib
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import NoneType
from typing import Any

import pytest

from batchdrop.ledger.costs import Kept
from batchdrop.ledger.outbox import At


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The parts of a query that decide which index it needs."""

    collection: str
    equal: frozenset[str]  #: fields compared with ==, `in` or null
    ordered: tuple[tuple[str, str], ...]  #: then fields by which it ranges and sorts
    contained: frozenset[str] = frozenset()  #: lists that have a value
    summed: frozenset[str] = frozenset()  #: at last fields that are added up

    def __str__(self) -> str:
        """Such as `jobs(phase ==, due ascending)`."""
        wanted = [f"{path} ==" for path in sorted(self.equal)]
        wanted += [f"{path} contains" for path in sorted(self.contained)]
        wanted += [f"{path} {direction.lower()}" for path, direction in self.ordered]
        wanted += [f"sum of {path}" for path in sorted(self.summed)]
        return f"{self.collection}({', '.join(wanted)})"

    @property
    def is_simple(self) -> bool:
        """Whether single-field indexes, which always exist, can answer it."""
        if self.summed or (self.contained and self.ordered):
            return False
        return not self.ordered or (not self.equal and len(self.ordered) == 1)

    @property
    def paths(self) -> set[str]:
        """All fields that the query compares, sorts by or adds up."""
        ordered = {path for path, _ in self.ordered}
        return set(self.equal | self.contained | self.summed) | ordered

    def answered_by(self, collection: str, fields: tuple[tuple[str, str], ...]) -> bool:
        """Whether a composite index answers it: equal fields first, in any order."""
        if collection != self.collection or len(fields) != len(self.paths):
            return False
        selected = len(self.equal | self.contained)
        added = selected + len(self.ordered)
        head, tail = fields[:selected], fields[selected:added]
        if {path for path, _ in fields[added:]} != self.summed:
            return False
        if {path for path, how in head if how == "CONTAINS"} != self.contained:
            return False
        flipped = {"ASCENDING": "DESCENDING", "DESCENDING": "ASCENDING"}
        backwards = tuple(
            (path, flipped[direction]) for path, direction in self.ordered
        )
        return {path for path, _ in head} == self.equal | self.contained and (
            tail in (self.ordered, backwards)
        )


def of_class(asked: type, make: Callable[[Any], Any]) -> set[Query]:
    """
    The queries that a class's methods send. Calls each method that sends one, first
    with examples of its required arguments, then of all arguments. A stand-in for
    Firestore answers each query with no documents.

    Args:
        make: creates the object from a function that returns the client.
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
            needed, all = _examples(getattr(asked, name))
            for examples in (needed, all):
                before = len(sent)
                # Only the query matters, not how the method handles no documents.
                with contextlib.suppress(Exception):
                    for _ in getattr(asker, name)(**examples):
                        pass
                given = ", ".join(examples)
                assert len(sent) > before, f"{name}({given}) sent no query"
    return set(sent)


#: Methods of Google's client that build or send a query. The others read documents by
#: name.
_QUERYING = {"where", "order_by", "select", "stream", "collection_group"}


def asking_elsewhere(files: Iterable[Path], asked: type) -> list[str]:
    """Where code outside a class and its base classes makes queries."""
    own = {
        (Path(inspect.getfile(each)).resolve(), each.__name__)
        for each in asked.__mro__
        if each is not object and each.__module__ != "abc"
    }
    return [
        f"{file.name}:{call.lineno}: {ast.unparse(call)}"
        for file in files
        if "firestore" in (text := file.read_text()).lower()
        for node in ast.parse(text).body
        if not (isinstance(node, ast.ClassDef) and (file.resolve(), node.name) in own)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and _queries(call)
    ]


def _queries(node: ast.AST) -> bool:
    """Whether a node is a call that sends a query."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    # `str.count` has an argument; a query's `count` has none.
    counts = node.func.attr == "count" and not node.args
    return counts or node.func.attr in _QUERYING


def _asking(asked: type) -> list[str]:
    """The public methods that make a query, or call a method that does."""
    trees = {
        name: ast.parse(textwrap.dedent(inspect.getsource(method)))
        for name, method in inspect.getmembers(asked, inspect.isfunction)
    }
    asking: set[str] = set()
    while (
        more := {
            name
            for name, tree in trees.items()
            if any(_queries(node) or _calls(node, asking) for node in ast.walk(tree))
        }
        - asking
    ):
        asking |= more
    return sorted(name for name in asking if not name.startswith("_"))


def _calls(node: ast.AST, methods: Set[str]) -> bool:
    """Whether a node is `self.` and one of these methods."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and node.attr in methods
    )


_TIME = datetime(2026, 1, 1, tzinfo=UTC)
#: An example by type. A mapping is a cursor, with the fields of every cursor.
_EXAMPLE = {
    datetime: _TIME,
    timedelta: timedelta(seconds=1),
    str: "text",
    int: 1,
    Kept: Kept(since="2026-01-01", until="2026-01-02"),
    At: (_TIME, "text"),
    Sequence[str]: ("text",),
    Mapping[str, Any]: {
        "delete_at": _TIME,
        "listed_at": _TIME,
        "name": "text",
        "id": "text",
    },
}


def _examples(method: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Examples of a method's required arguments, and of all its arguments."""
    hints = typing.get_type_hints(method)
    parameters = list(inspect.signature(method).parameters.values())[1:]
    all = {each.name: _example(hints[each.name]) for each in parameters}
    needed = [each.name for each in parameters if each.default is each.empty]
    return {name: all[name] for name in needed}, all


def _example(type: Any) -> Any:
    """An example for an argument's type; of `X | None`, one for X."""
    if isinstance(type, types.UnionType):
        (type,) = (one for one in typing.get_args(type) if one is not NoneType)
    return _EXAMPLE[type]


def _read(request: Any) -> Query:
    """The query in a request to Firestore."""
    summed: set[str] = set()
    if "structured_aggregation_query" in request:
        asked = request["structured_aggregation_query"]
        sent = asked.structured_query
        summed = {
            path for one in asked.aggregations if (path := one.sum.field.field_path)
        }
    else:
        sent = request["structured_query"]
    equal: set[str] = set()
    contained: set[str] = set()
    ranges: list[str] = []
    for kind, operator, path in _filters(sent.where):
        if kind == "unary" or operator in ("EQUAL", "IN"):
            equal.add(path)
        elif operator == "ARRAY_CONTAINS":
            contained.add(path)
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
    # A range sorts by its field first, even if the query gives no order.
    implied = [
        (path, "ASCENDING") for path in dict.fromkeys(ranges) if path not in ordered
    ]
    return Query(
        collection=sent.from_[0].collection_id,
        equal=frozenset(equal - set(ordered)),
        ordered=tuple([*implied, *orders]),
        contained=frozenset(contained),
        summed=frozenset(summed),
    )


def _filters(where: Any) -> Iterator[tuple[str, str, str]]:
    """Each filter: `field` or `unary`, its operator, its field's path."""
    if where.composite_filter.filters:
        if where.composite_filter.op.name != "AND":
            raise NotImplementedError("the indexes that a query with OR needs")
        for each in where.composite_filter.filters:
            yield from _filters(each)
    elif path := where.field_filter.field.field_path:
        yield "field", where.field_filter.op.name, path
    elif path := where.unary_filter.field.field_path:
        yield "unary", where.unary_filter.op.name, path

"""Facts of the code that infra/ must agree with."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.costs import RoundCost
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.ledger.ceilings import Day
from batchdrop.ledger.documents import DERIVED
from tests.infra import queries
from tests.infra.queries import Query
from tests.infra.terraform import ROOT

FUNCTIONS = ROOT / "functions"

#: The type of the documents in each collection. Other collections have only a few
#: documents, whose indexes don't matter.
DOCUMENTS: dict[str, Any] = {
    "jobs": Job,
    "announcements": Announcement,
    "ceilings": Day,
    "costs": RoundCost,
}
#: When Firestore may delete a document. The ledger adds it to the value's own fields.
EXPIRY = "expire_at"


def entry_points(functions: Path = FUNCTIONS) -> dict[str, str]:
    """The entry points of main.py, each with its kind: "cloud_event" or "http"."""
    tree = ast.parse((functions / "main.py").read_text())
    return {
        each.name: decorator.attr
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
        for decorator in each.decorator_list
        if isinstance(decorator, ast.Attribute)
        and isinstance(decorator.value, ast.Name)
        and decorator.value.id == "functions_framework"
    }


@functools.cache
def words(functions: Path = FUNCTIONS) -> frozenset[str]:
    """All string literals in the code, without docstrings."""
    found: set[str] = set()
    for file in functions.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found |= {
            node.value
            for node in nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        }
    return frozenset(found)


@functools.cache
def ledger_queries() -> frozenset[Query]:
    """The queries of the ledger, found by calling its methods."""
    return frozenset(queries.of_class(Ledger, lambda connect: Ledger(connect, "here")))


def written(collection: str) -> set[str]:
    """The top-level fields of a collection's documents."""
    # `version` is the only field of a job that its document lacks. Only documents have
    # `expire_at` and the derived fields.
    names = {each.name for each in fields(DOCUMENTS[collection])} - {"version"}
    return names | {EXPIRY} | set(DERIVED if collection == "jobs" else ())


def growing(collection: str) -> Iterator[str]:
    """The fields that hold a time, directly or inside maps and lists."""
    for name, type in get_type_hints(DOCUMENTS[collection]).items():
        if name != "version" and _has_time(type):
            yield name
    yield EXPIRY
    for name in DERIVED if collection == "jobs" else ():
        if _has_time(get_type_hints(getattr(Job, name).fget)["return"]):
            yield name


def _has_time(type: Any) -> bool:
    """Whether a type is a datetime, or one of its fields or arguments has one."""
    if type is datetime:
        return True
    if is_dataclass(type):
        return any(_has_time(each) for each in get_type_hints(type).values())
    return any(_has_time(each) for each in get_args(type))

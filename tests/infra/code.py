"""What the code says of itself, as far as infra/ has to agree with it."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from tests.infra import queries
from tests.infra.queries import Query
from tests.infra.terraform import ROOT

FUNCTIONS = ROOT / "functions"

#: What lies in which collection, as the ledger writes it. Of others there are a few
#: documents only, whose indexes don't matter.
DOCUMENTS: dict[str, Any] = {"jobs": Job, "announcements": Announcement}
#: When a document may go; the ledger sets it beside what a value has.
EXPIRY = "expire_at"


def entry_points(functions: Path = FUNCTIONS) -> dict[str, str]:
    """The entry points of main.py, and what each is: "cloud_event" or "http"."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A place in the code that logs."""

    message: str
    event: str | None  #: its stable id
    fields: frozenset[str]
    where: str


@functools.cache
def log_lines(functions: Path = FUNCTIONS) -> tuple[LogLine, ...]:
    """All places that log with a fixed message."""
    return tuple(
        line
        for file in sorted(functions.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and (line := _log_line(node, file.name))
    )


def _log_line(call: ast.Call, file: str) -> LogLine | None:
    if not (
        isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "log"
    ):
        return None
    texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
    extra = next((each.value for each in call.keywords if each.arg == "extra"), None)
    keys = extra.keys if isinstance(extra, ast.Dict) else []
    names = [key.value for key in keys if isinstance(key, ast.Constant)]
    values = extra.values if isinstance(extra, ast.Dict) else []
    texts_by_name = {
        key.value: value.value
        for key, value in zip(keys, values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(value, ast.Constant)
    }
    event = texts_by_name.get("event")
    return LogLine(
        message=str(texts[0]),
        event=str(event) if event else None,
        fields=frozenset(str(name) for name in names),
        where=f"{file}:{call.lineno}",
    )


@functools.cache
def words(functions: Path = FUNCTIONS) -> frozenset[str]:
    """All texts that are written in the code, whole; docstrings aside."""
    found: set[str] = set()
    for file in functions.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        said = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found |= {
            node.value
            for node in nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in said
        }
    return frozenset(found)


@functools.cache
def ledger_queries() -> frozenset[Query]:
    """The queries of the ledger, found by asking it."""
    return frozenset(queries.of_class(Ledger, lambda connect: Ledger(connect, "here")))


def written(collection: str) -> set[str]:
    """The fields of a collection's documents, without those inside of maps."""
    # `version` is the one thing that a job knows and its document doesn't, and
    # `expire_at` the one that only documents have.
    return {each.name for each in fields(DOCUMENTS[collection])} - {"version"} | {
        EXPIRY
    }


def growing(collection: str) -> Iterator[str]:
    """The fields that hold a time, by themselves or inside of maps and lists."""
    for name, type in get_type_hints(DOCUMENTS[collection]).items():
        if name != "version" and _has_time(type):
            yield name
    yield EXPIRY


def _has_time(type: Any) -> bool:
    if type is datetime:
        return True
    if is_dataclass(type):
        return any(_has_time(each) for each in get_type_hints(type).values())
    return any(_has_time(each) for each in get_args(type))

"""The codes of documents and announcements explain themselves."""

import ast
import inspect
import re
from enum import StrEnum
from pathlib import Path

import pytest

from batchdrop.jobs import codes
from batchdrop.jobs.codes import Backend, ErrorCode, HealthCode, Outcome, Phase

ENUMS: list[type[StrEnum]] = [Backend, Phase, Outcome, HealthCode, ErrorCode]


@pytest.mark.parametrize("codes_of", ENUMS)
def test_each_code_has_a_sentence(codes_of: type[StrEnum]) -> None:
    lines = inspect.getsource(codes).splitlines()
    (found,) = (
        node
        for node in ast.parse("\n".join(lines)).body
        if isinstance(node, ast.ClassDef) and node.name == codes_of.__name__
    )
    members = [node for node in found.body if isinstance(node, ast.Assign)]

    said = [
        lines[node.lineno - 1] + lines[node.lineno - 2]
        for node in members
        if "#:" in lines[node.lineno - 1] or lines[node.lineno - 2].endswith(".")
    ]

    assert len(said) == len(members) == len(codes_of)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("JOB_STATE_SUCCEEDED", Outcome.SUCCEEDED),
        ("JOB_STATE_PARTIALLY_SUCCEEDED", Outcome.PARTIALLY_SUCCEEDED),
        ("JOB_STATE_FAILED", Outcome.FAILED),
        ("JOB_STATE_CANCELLED", Outcome.CANCELLED),
        ("JOB_STATE_EXPIRED", Outcome.EXPIRED),
    ],
)
def test_an_outcome_has_the_name_that_the_api_gives_the_state(
    state: str, outcome: Outcome
) -> None:
    assert Outcome.of_state(state) is outcome
    assert outcome.state == state


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.LOST])
def test_what_the_api_has_no_state_for_counts_as_failed(outcome: Outcome) -> None:
    assert outcome.state == "JOB_STATE_FAILED"


def test_a_state_that_is_no_end_has_no_outcome() -> None:
    with pytest.raises(ValueError, match="running"):
        Outcome.of_state("JOB_STATE_RUNNING")


def _bare(tree: ast.AST) -> set[str]:
    """Texts that stand where a code does: given as one, or compared with one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        given: list[ast.expr] = []
        if isinstance(node, ast.Call):
            given = [each.value for each in node.keywords if each.arg == "code"]
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            given += node.args[:1] if name in ("BadChoice", "NotReadable") else []
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute):
            given = node.comparators if node.left.attr == "code" else []
        found |= {
            each.value
            for each in given
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        }
    return found


@pytest.mark.parametrize(
    "package",
    ["jobs", "announcements", "backends", "options", "ledger", "worker"],
)
def test_no_code_is_a_bare_text(package: str) -> None:
    files = (Path(codes.__file__).parents[1] / package).rglob("*.py")

    wrong = {file.name: _bare(ast.parse(file.read_text())) for file in files}

    assert {name: texts for name, texts in wrong.items() if texts} == {}


def _bare_names(tree: ast.AST) -> set[str]:
    """Texts that are a backend, or have the form of a state of the API."""
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {
        text
        for text in texts
        if text in set(Backend) or re.fullmatch(r"JOB_STATE_\w+", text)
    }


# `jobs` may not import the API's states, so it has those without an outcome as texts.
@pytest.mark.parametrize(
    "package", ["announcements", "backends", "options", "ledger", "results"]
)
def test_no_backend_and_no_state_is_a_bare_text(package: str) -> None:
    files = (Path(codes.__file__).parents[1] / package).rglob("*.py")

    wrong = {file.name: _bare_names(ast.parse(file.read_text())) for file in files}

    assert {name: texts for name, texts in wrong.items() if texts} == {}


def test_each_code_of_a_file_that_cannot_be_read_is_an_error_code() -> None:
    """Preflight may not import the codes, so it has them as texts."""
    package = Path(codes.__file__).parents[1]
    files = [*(package / "preflight").rglob("*.py"), package / "storage.py"]

    given = {
        each.args[0].value
        for file in files
        for each in ast.walk(ast.parse(file.read_text()))
        if isinstance(each, ast.Call)
        and isinstance(each.func, ast.Name)
        and each.func.id == "NotReadable"
        and isinstance(each.args[0], ast.Constant)
    }

    assert {"not_utf8", "bad_gzip"} < given
    assert given <= {str(code) for code in ErrorCode}

"""Who may import whom, and that nothing heavy is imported at the start."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules.test_settings import ENOUGH

FUNCTIONS = Path(__file__).parents[2] / "functions"
PACKAGE = FUNCTIONS / "batchdrop"

#: Modules that import nothing of batchdrop.
GROUND = {"errors", "logs", "failpoints", "ready", "rows", "stored", "subscribe"}
#: What each other package, or module beside the packages, may import besides itself. A
#: new module in a package needs no edit here.
MAY_IMPORT = {
    "preflight": {"errors", "rows"},
    "batches": {"preflight", "rows", "errors", "ready", "stored"},
    "quoting": {"batches", "preflight", "errors"},
    "jobs": {"errors", "rows", "stored"},
    "results": {"batches", "quoting", "jobs", "rows", "errors"},
    "pricing": {"preflight", "jobs", "errors", "rows"},
    "storage": {"jobs", "preflight", "errors", "stored"},
    "options": {
        *("batches", "preflight", "pricing", "quoting", "jobs"),
        *("errors", "failpoints", "rows", "stored"),
    },
    "backends": {"batches", "quoting", "jobs", "storage", "errors"},
    "announcements": {"jobs", "subscribe", "errors"},
    "ledger": {"announcements", "jobs", "errors", "ready"},
}
MAY_IMPORT["worker"] = {*MAY_IMPORT, *GROUND}
MAY_IMPORT["wiring"] = {*MAY_IMPORT, *GROUND}
MAY_IMPORT["views"] = {*MAY_IMPORT, *GROUND} - {"wiring"}
MAY_IMPORT["cli"] = {*MAY_IMPORT, *GROUND}
MAY_IMPORT["dashboard"] = {*MAY_IMPORT, *GROUND} - {"cli"}
MAY_IMPORT["main"] = {"dashboard", "wiring", "jobs", "errors", "logs"}


def owner(path: Path) -> str:
    """The package of a file, or the module that it is beside the packages."""
    parts = path.relative_to(FUNCTIONS).with_suffix("").parts
    return parts[1] if parts[0] == "batchdrop" and len(parts) > 1 else parts[0]


def imported(path: Path) -> set[str]:
    """The packages of batchdrop that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "batchdrop":
                names = [f"batchdrop.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {n.split(".")[1] for n in names if n.startswith("batchdrop.")}
    return found


def test_each_package_imports_what_the_table_allows() -> None:
    modules = [FUNCTIONS / "main.py", *PACKAGE.rglob("*.py")]
    modules.remove(PACKAGE / "__init__.py")

    wrong = [
        f"{module.relative_to(FUNCTIONS)} imports {name}"
        for module in modules
        for name in imported(module) - {owner(module)}
        if name not in MAY_IMPORT.get(owner(module), set())
    ]

    assert wrong == []


def test_the_table_has_each_package_once() -> None:
    there = {owner(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}

    assert there | {"main"} == GROUND | set(MAY_IMPORT)
    assert not GROUND & set(MAY_IMPORT)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_the_table_has_no_circle(package: str) -> None:
    below: set[str] = set()
    todo = set(MAY_IMPORT[package])
    while todo:
        name = todo.pop()
        if name not in below:
            below.add(name)
            todo |= MAY_IMPORT.get(name, set()) - {name}

    assert package not in below


def test_functions_holds_one_package_and_the_entry_points() -> None:
    python = {
        path.name
        for path in FUNCTIONS.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }

    assert python == {"main.py", "batchdrop"}


def test_the_functions_start_from_their_own_folder_alone() -> None:
    """As deployed: the folder comes last on the path, and nothing is set."""
    script = f"import sys; sys.path.append({str(FUNCTIONS)!r}); import main; " + (
        "heavy = [m for m in ('google.cloud.firestore', 'google.cloud.pubsub_v1', "
        "'google.cloud.storage', 'google.genai', 'pydantic', 'httpx', 'rich') "
        "if m in sys.modules]; assert not heavy, heavy"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        env=ENOUGH,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr

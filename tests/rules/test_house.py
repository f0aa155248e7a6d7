"""What holds the code together: imports point one way, nothing heavy at the start."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.rules.test_settings import ENOUGH

FUNCTIONS = Path(__file__).parents[2] / "functions"

#: From the doors down. A module may import those below its own line.
LAYERS = [
    {"main", "cli", "subscribe"},
    {"cli_routes"},
    {"cli_options"},
    {"wiring"},
    {"poller"},
    {"check"},
    {"intake", "sweep", "policies", "outbox", "checked"},
    {"preparing"},
    {"choosing", "traces"},
    {"ledger", "service", "routes", "manifests", "reading"},
    {"announce", "storage", "configuration"},
    {"crash", "quoting"},
    {"jobs", "settings", "logs", "batches"},
    {"records", "preflight"},
    {"names"},
    {"clock", "errors", "rows", "sizes", "stages", "stored"},
]


def imported(path: Path) -> set[str]:
    """The modules of batchdrop that a file imports, wherever in it."""
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


def test_imports_point_one_way() -> None:
    depth = {name: n for n, names in enumerate(LAYERS) for name in names}
    modules = [
        FUNCTIONS / "main.py",
        *(p for p in (FUNCTIONS / "batchdrop").glob("*.py") if p.stem != "__init__"),
    ]
    packages = {"batches", "preflight"}
    assert {module.stem for module in modules} | packages == set(depth)
    upward = [
        f"{module.stem} imports {name}"
        for module in modules
        for name in imported(module)
        if depth[name] <= depth[module.stem]
    ]
    assert upward == []


def imported_by(package: str) -> set[str]:
    """What the modules of a package import of batchdrop, itself left out."""
    modules = (FUNCTIONS / "batchdrop" / package).rglob("*.py")
    return {name for module in modules for name in imported(module)} - {package}


def test_the_client_imports_preflight_and_what_lies_below_it_alone() -> None:
    assert imported_by("batches") <= {"preflight", "errors", "stored"}


def test_preflight_imports_neither_jobs_nor_the_client() -> None:
    assert imported_by("preflight") <= {"errors", "rows"}


def test_functions_holds_one_package_and_the_doors() -> None:
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

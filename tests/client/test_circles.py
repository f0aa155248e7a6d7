"""No modules of the client import each other, not even for types alone."""

import ast
from pathlib import Path

import batchdrop.batches

PREFIX = "batchdrop.batches."
FOLDER = Path(batchdrop.batches.__file__).parent


def imported(path: Path, modules: set[str]) -> set[str]:
    """The modules of the client that a file imports, in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {
            name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)
        }
    return found & modules


def circle(imports: dict[str, set[str]]) -> set[str]:
    """The modules that stand in a circle or above one; empty if there is none."""
    left = dict(imports)
    while ready := {name for name, below in left.items() if not below & left.keys()}:
        for name in ready:
            del left[name]
    return set(left)


def test_no_modules_of_the_client_import_each_other() -> None:
    paths = {path.stem: path for path in FOLDER.glob("*.py")}
    del paths["__init__"]

    imports = {name: imported(path, {*paths}) for name, path in paths.items()}

    assert imports["client"] >= {"core", "operations"}
    assert circle(imports) == set()


def test_a_circle_is_found() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}

    assert circle(imports) == {"a", "b", "c"}

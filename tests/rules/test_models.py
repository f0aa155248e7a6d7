"""What is known of models by their names: families, and those that are retired."""

import re
from collections.abc import Iterator
from pathlib import Path

from batchdrop.preflight.retirements import retirement

ROOT = Path(__file__).parents[2]
#: What people read, copy or run. Tests may name a retired model where that is the
#: point.
SHOWN = ("*.md", "functions", "infra", "tests/examples", "tests/batchsim/clients")
#: The tables.
ABOUT_IT = {"retirements.json", "prices.json"}
TEXTS = {".md", ".py", ".tf", ".hcl", ".json", ".example", ".tftpl", ".mjs", ".js"}


def shown() -> Iterator[Path]:
    for place in SHOWN:
        for found in ROOT.glob(place):
            for path in found.rglob("*") if found.is_dir() else [found]:
                hidden = {".terraform", "node_modules", ".batchdrop"} & {*path.parts}
                if path.suffix in TEXTS and path.is_file() and not hidden:
                    yield path


def test_no_example_and_no_default_names_a_model_that_is_retired() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {one}"
        for path in shown()
        if path.name not in ABOUT_IT | {"CHANGELOG.md"}
        for name in set(re.findall(r"\bgemini-\d[\w.-]*\w", path.read_text()))
        for backend in ("vertex", "developer")
        if (one := retirement(name, backend))
    ]

    assert found == []

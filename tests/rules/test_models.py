"""What is known of models by their names: families, and those that are retired."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from batchdrop.batches.embeddings import Item, vertex_lines
from batchdrop.batches.staging import Source, Wire
from batchdrop.preflight import Family, Rules, embeds_text
from batchdrop.preflight.retirements import retirement
from batchsim.formats import of_vertex_model

ROOT = Path(__file__).parents[2]
ANTHROPIC = "publishers/anthropic/models/"
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


@pytest.mark.parametrize(
    ("backend", "model", "same_as"),
    [
        ("vertex", "gemini-9-omni", "gemini-3.8-flash"),
        ("vertex", "publishers/google/models/gemini-9-omni@001", "gemini-3.8-flash"),
        ("vertex", "gemini-embedding-9", "gemini-embedding-2"),
        ("vertex", "gemini-9-embedding-exp", "gemini-embedding-2"),
        ("vertex", "text-multilingual-embedding-002", "text-embedding-005"),
        ("vertex", "text-embedding-large-exp-03-07", "text-embedding-005"),
        ("developer", "gemini-9-omni", "gemini-3.8-flash"),
        ("developer", "gemini-9-embedding-exp", "gemini-embedding-2"),
        ("vertex", f"{ANTHROPIC}claude-opus-9", f"{ANTHROPIC}claude-sonnet-5-5"),
        ("vertex", "publishers/new/models/x", "publishers/meta/models/llama-x"),
    ],
)
def test_a_model_that_nobody_has_heard_of_takes_what_its_kind_takes(
    backend: str, model: str, same_as: str
) -> None:
    def family(name: str) -> Family:
        return Rules(backend=backend, model=name).family

    assert family(model) is family(same_as)


@pytest.mark.parametrize(
    "model",
    [
        *("gemini-embedding-2", "gemini-9-embedding", "google/gemini-9-embedding"),
        *("text-embedding-005", "text-multilingual-embedding-002"),
    ],
)
def test_the_client_and_batchsim_write_and_read_the_same_embedding_lines(
    model: str,
) -> None:
    item = Item(content={"parts": [{"text": "x"}]})

    lines = Source(read=lambda: vertex_lines(model, [item]), place=str)
    (copy,) = Wire(vertex=True, model=model, embeds=True).copies([lines])
    (line,) = copy

    family = Rules(model=model).family
    format = of_vertex_model(f"publishers/google/models/{model.rpartition('/')[2]}")
    sent = msgspec.json.decode(line)
    assert set(sent) - {"key"} == {family.wrapper or "content"} == {format.payload}


def test_a_tuned_model_embeds_texts_as_those_do_that_can_be_tuned() -> None:
    tuned = "projects/p/locations/us-central1/models/1234"

    assert embeds_text(tuned)


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

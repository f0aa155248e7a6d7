"""Google's other clients, unmodified, each in a process of its own."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import services
from tests.batchsim.drive import Vertex, rows

CLIENTS = Path(__file__).parent / "clients"


def run(argv: list[str], **options: Any) -> dict[str, Any]:
    """The JSON that a script prints."""
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, **options)
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def test_the_node_client_in_both_dialects(vertex: Vertex) -> None:
    folder = services.node_folder("@google/genai@3.1.0")
    source = vertex.bucket.put(rows(3))
    # Node searches for packages beside the script.
    script = shutil.copy(CLIENTS / "genai.mjs", folder)

    seen = run(["node", str(script), vertex.sim.url, source])

    assert seen["developer"] == {
        "created": "JOB_STATE_PENDING",
        "state": "JOB_STATE_SUCCEEDED",
        "answer": "hello",
        "file": ["k0", "k1"],
        "cancelled": "JOB_STATE_CANCELLED",
        "listed": 3,
        "newest": True,
        "gone": 404,
    }
    directory = seen["vertex"].pop("directory")
    assert seen["vertex"] == {
        "created": "JOB_STATE_PENDING",
        "state": "JOB_STATE_SUCCEEDED",
        "count": "3",
        "cancelled": "JOB_STATE_CANCELLED",
        "listed": 2,
        "newest": True,
        "gone": 404,
    }
    lines = vertex.bucket.answers({"outputInfo": {"gcsOutputDirectory": directory}})
    assert sorted(line["key"] for line in lines) == ["k0", "k1", "k2"]


@pytest.mark.proof  # the import of this client takes seconds
def test_vertex_generated_client_over_rest(vertex: Vertex) -> None:
    # Needs a google-genai that is older than the one we test with.
    python = services.environment("aiplatform", "google-cloud-aiplatform==2.7.0")
    source = vertex.bucket.put(rows(3))
    script = str(CLIENTS / "job_service.py")
    address = vertex.sim.url.removeprefix("http://")

    seen = run(
        [str(python), script, address, source, f"gs://{vertex.bucket.name}/out"],
        env={**os.environ, "PYTHONPATH": ""},
    )

    directory = seen.pop("directory")
    operation = seen.pop("operation_name")
    assert seen == {
        "created": "JOB_STATE_PENDING",
        "state": "JOB_STATE_SUCCEEDED",
        "successful": 3,
        "labels": {"n": "a"},
        "times": True,
        "cancelled": "JOB_STATE_CANCELLED",
        "error": 1,
        "pages": [["c", "b"], ["a"]],
        "chosen": [True, "JOB_STATE_CANCELLED", ""],
        "operation_done": True,
        "refused": "BadRequest",
        "gone": "NotFound",
    }
    assert re.fullmatch(r"projects/\d+/locations/us-central1/operations/\d+", operation)
    lines = vertex.bucket.answers({"outputInfo": {"gcsOutputDirectory": directory}})
    assert len(lines) == 3

"""One stack for most tests that need everything; it starts once a run."""

import uuid
from collections.abc import Iterator

import pytest

from batchdrop_local.nursery import Nursery
from batchdrop_local.stack import Stack
from tests.client.datasets import Dataset
from tests.whole.deployment import ROW, Deployment, looking_at

#: Where a file comes into decides what the shared stack makes of it.
ROUTES = """
[[route]]
match = "developer/embedding/**"
backend = "developer"
model = "gemini-embedding-2"

[[route]]
match = "developer/parts/**"
backend = "developer"
part_rows = 2

[[route]]
match = "developer/**"
backend = "developer"

[[route]]
match = "vertex/embedding/**"
model = "gemini-embedding-2"

[[route]]
match = "vertex/text-embedding/**"
model = "text-embedding-005"

[[route]]
match = "vertex/claude/**"
model = "publishers/anthropic/models/claude-sonnet-5-5"

[[route]]
match = "vertex/open/**"
model = "publishers/meta/models/llama-4-maverick-17b-128e-instruct-maas"

[[route]]
match = "vertex/parts/**"
part_rows = 2

[[route]]
match = "vertex/required/**"
manifest = "required"

[[route]]
match = "vertex/europe/**"
location = "europe-west4"
"""


@pytest.fixture(scope="session")
def table(bigquery: str) -> Iterator[str]:
    """A table of two rows; its dataset is one of the shared stack's."""
    with pytest.MonkeyPatch.context() as patch, Dataset(bigquery) as dataset:
        patch.setenv("BIGQUERY_EMULATOR_HOST", bigquery)
        rows = [{"request": (ROW % n).strip()} for n in range(2)]
        yield dataset.table("prompts", {"request": "STRING"}, rows)


@pytest.fixture(scope="session")
def shared_stack(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    firestore_emulator: str,
    pubsub_emulator: str,
    nursery: Nursery,
) -> Iterator[Stack]:
    """The stack that most tests use; batches end within a second."""
    folder = tmp_path_factory.mktemp("stack")
    (folder / "routes.toml").write_text(ROUTES)
    env = {
        "BATCHDROP_ROUTES": str(folder / "routes.toml"),
        "BATCHDROP_MODELS": "gemini-4-argon",
    }
    if is_used(request.session, "table"):
        table: str = request.getfixturevalue("table")
        env["BATCHDROP_DATASETS"] = table.rpartition(".")[0]
    with Stack(
        folder,
        poll_every=0.4,
        queue_seconds=0.3,
        run_seconds=0.3,
        env=env,
        nursery=nursery,
    ) as stack:
        yield stack


def is_used(session: pytest.Session, fixture: str) -> bool:
    """Whether a test of this run asks for the fixture, which takes long to make."""
    return any(
        fixture in item.fixturenames
        for item in session.items
        if isinstance(item, pytest.Function)
    )


@pytest.fixture
def stack(shared_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The whole of batchdrop, up; Google's clients find it by their environment."""
    for name, value in shared_stack.env.items():
        monkeypatch.setenv(name, value)
    return shared_stack


@pytest.fixture
def deployment(shared_stack: Stack) -> Iterator[Deployment]:
    """The shared stack, with a subscription of this test's own."""
    with looking_at(shared_stack, f"test-{uuid.uuid4().hex[:8]}", Deployment) as made:
        yield made

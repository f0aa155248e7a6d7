"""The worker keeps nothing on a disk: on Cloud Run that is memory, and may be full."""

import subprocess
import sys

import pytest

from tests.worker.backends import BOTH
from tests.worker.world import GOOD, World

#: More than is kept in memory anywhere before it goes into a file.
ROWS = 20_000


@pytest.mark.proof
@BOTH
def test_a_file_is_submitted_where_no_byte_can_be_written_to_a_disk(
    world: World, gcs: str
) -> None:
    drop = world.upload(GOOD * ROWS + "{}\n" * 2_000)
    settings = world.settings
    about = [settings.backend, drop.bucket, drop.name, drop.generation, drop.size]
    now = world.now().isoformat()
    given = [gcs, world.sim.url, now, settings.project, *map(str, about)]

    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.full_disk", *given],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == f"submitted {ROWS} 2000 True\n", done.stderr
    assert len(world.batches()) == 1

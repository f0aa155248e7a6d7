"""What takes much memory for few bytes. Manifests are in `tests/rules`."""

import subprocess
import sys

from tests.worker.bombs import BOMBS


def test_no_line_and_no_packing_takes_more_memory_than_a_function_has() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.bombs"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{name}: {end}" for name, (_, _, end) in BOMBS.items()
    ]

"""Points at which a process can be made to die, once."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = (
    "from batchdrop.failpoints import failpoint; failpoint('after_x'); print('alive')"
)

IN_A_THREAD = """
from concurrent.futures import ThreadPoolExecutor
from batchdrop.failpoints import failpoint
with ThreadPoolExecutor(2) as pool:
    pool.submit(failpoint, "after_x").result()
print("alive")
"""


def run(chosen: str | None, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "BATCHDROP_FAILPOINTS"}
    if chosen is not None:
        env["BATCHDROP_FAILPOINTS"] = chosen
    return subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True
    )


def test_without_the_setting_a_point_is_nothing() -> None:
    assert run(None).stdout == "alive\n"


def test_a_point_that_is_named_kills_one_process_and_then_no_more(
    tmp_path: Path,
) -> None:
    chosen = os.pathsep.join([str(tmp_path / "after_y"), str(tmp_path / "after_x")])

    assert run(chosen).returncode == 137
    assert run(chosen).stdout == "alive\n"
    assert [path.name for path in tmp_path.iterdir()] == ["after_x"]


def test_a_point_in_a_thread_kills_the_whole_process(tmp_path: Path) -> None:
    chosen = str(tmp_path / "after_x")

    assert run(chosen, IN_A_THREAD).returncode == 137
    assert run(chosen, IN_A_THREAD).stdout == "alive\n"

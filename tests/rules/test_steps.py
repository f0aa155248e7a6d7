"""Steps as they are shown, where there is no terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from batchdrop_local.processes import StackError
from batchdrop_local.steps import Steps


def test_a_step_is_told_as_it_goes_and_when_it_is_done() -> None:
    told = io.StringIO()

    with Steps(Console(file=told)) as steps, steps.step("upload") as step:
        step.say("gs://inbox/a.jsonl")

    said, done = told.getvalue().splitlines()
    assert said == "  upload: gs://inbox/a.jsonl"
    assert done.startswith("✓ upload (")


def test_whatever_fails_in_a_step_is_told_with_the_step_and_its_log(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(StackError) as caught,
        Steps(Console(file=io.StringIO())) as steps,
        steps.step("deliver the event", tmp_path / "on_upload.log"),
    ):
        raise TimeoutError("job abc is not that far after 45 s")

    assert str(caught.value) == (
        "deliver the event: TimeoutError: job abc is not that far after 45 s\n"
        f"  log: {tmp_path}/on_upload.log"
    )


def test_a_step_that_failed_is_marked_on_a_terminal() -> None:
    told = io.StringIO()
    console = Console(file=told, force_terminal=True, width=80)

    with pytest.raises(StackError), Steps(console) as steps, steps.step("upload"):
        raise RuntimeError("full")

    assert "✗" in told.getvalue()

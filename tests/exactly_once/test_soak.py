"""A short soak; `make soak` and `make outages` are the long ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exactly_once.promise import Message, disorder

ROOT = Path(__file__).parents[2]


@pytest.mark.proof
def test_a_short_soak_breaks_no_promise(
    firestore_emulator: str, pubsub_emulator: str
) -> None:
    command = [sys.executable, "-m", "tests.soak", "--outages", "--json"]
    command += ["--drops", "25", "--seconds", "10", "--seed", "3"]

    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110
    )

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["broken"] == []
    assert found["drops"] == found["jobs"] == found["ends"] == 25
    assert found["messages"] >= found["announcements"] >= 25
    assert any(kind.startswith("Pub/Sub") for kind in found["harm"])
    whole = 25 - found["rejected"] - found["families"]
    assert found["kept"] == found["paid"] == whole + found["parts"]
    assert found["families"] > 0
    assert found["batches"] >= found["paid"]


def message(job: str, number: int, data: bytes = b"{}", id: str = "") -> Message:
    attributes = {
        "ce-id": id or f"{job}-{number}",
        "ce-subject": job,
        "ce-sequence": f"{number:08}",
    }
    return Message(data, attributes)


def test_repeats_and_another_jobs_messages_are_no_disorder() -> None:
    one, two, other = message("a", 1), message("a", 2), message("b", 1)

    assert disorder([one, one, two, other, one, two]) == []


def test_an_id_with_two_contents_is_told() -> None:
    heard = [message("a", 1), message("a", 1, b"[]")]

    assert disorder(heard) == ["a repeat of a-1 differs"]


def test_two_jobs_announcements_under_one_id_are_told() -> None:
    heard = [message("a", 1, id="x"), message("b", 1, id="x")]

    assert disorder(heard) == ["a repeat of x differs"]


def test_what_is_first_heard_after_a_later_one_is_told() -> None:
    heard = [message("a", 1), message("a", 3), message("a", 2)]

    assert disorder(heard) == ["a-2, number 00000002, came after 00000003"]

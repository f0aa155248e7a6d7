"""A short soak; `make soak` and `make outages` are the long ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exactly_once.promise import Message, disorder
from tests.soak import SLOWER, SOON, slowed

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
    whole = 25 - found["rejected"] - found["split_jobs"]
    results = whole + found["parts"]
    sent = results + found["rounds"]
    assert found["kept"] == found["paid"] == found["costs"] == sent
    assert found["results"] == results + found["split_jobs"]
    assert found["rows_healed"] > 0
    assert found["split_jobs"] > 0
    assert found["batches"] >= found["paid"]


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_hostile_files_end_as_they_must_within_a_functions_memory(
    firestore_emulator: str, pubsub_emulator: str
) -> None:
    command = [sys.executable, "-m", "tests.soak", "--hostile", "--json"]
    command += ["--drops", "30", "--seconds", "45", "--seed", "3"]

    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=500
    )

    # What is too slow among so few files may be chance: that is for `make soak`.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["broken"] == []
    assert found["drops"] == found["jobs"] == found["ends"] == 24 + 30
    assert (found["hostile"], found["hostile_events"]) == (6, 3)
    assert max(found["memory_mb"].values()) <= 512


def test_times_that_chance_shuffles_are_not_slower() -> None:
    usual = [1.0 + n / 10 for n in range(100)]

    assert slowed(usual, usual) == []
    assert slowed(usual, usual[::2]) == []
    assert slowed(usual, [1.9 * one for one in usual]) == []


def test_one_file_that_waits_long_is_reported() -> None:
    usual = [1.0 + n / 10 for n in range(100)]

    assert slowed(usual, [*usual, 22.0]) == [
        "the slowest took 22.0 s, and 10.9 s before"
    ]


def test_many_slow_files_are_reported_even_if_one_was_slower_before() -> None:
    usual = [4.0] * 99 + [60.0]

    reports = slowed(usual, [4.0] * 40 + [8.1] * 60)

    assert "60 % took 8.1 s, and 4.0 s before" in reports
    assert len(reports) < 99


def test_short_times_are_the_machines() -> None:
    assert slowed([0.1] * 100, [SLOWER * SOON] * 100) == []
    assert slowed([0.1] * 100, [SLOWER * SOON + 0.1] * 100)


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


def test_an_id_with_two_contents_is_reported() -> None:
    received = [message("a", 1), message("a", 1, b"[]")]

    assert disorder(received) == ["a repeat of a-1 differs"]


def test_announcements_of_two_jobs_under_one_id_are_reported() -> None:
    received = [message("a", 1, id="x"), message("b", 1, id="x")]

    assert disorder(received) == ["a repeat of x differs"]


def test_an_announcement_first_received_after_a_later_one_is_reported() -> None:
    received = [message("a", 1), message("a", 3), message("a", 2)]

    assert disorder(received) == ["a-2, number 00000002, came after 00000003"]

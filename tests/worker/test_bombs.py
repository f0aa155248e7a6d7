"""What takes much memory for few bytes. Manifests are in `tests/rules`."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from batchdrop.options.manifest_json import MAX_SIZE
from batchdrop.options.names import MANIFEST
from tests.often import mostly
from tests.worker.bombs import BOMBS, EVENTS, METADATA, ROUTES, SAID
from tests.worker.world import World

#: The lines that are read each time: one of each way to take memory.
OFTEN = [
    "lists",
    "a column",
    "quotes in a text",
    "an emoji",
    "deep, to be mended",
    "NUL",
    "packed four times",
]


def ends_of(kind: str, *names: str) -> list[str]:
    """
    What becomes of each, in a process that may have only so much memory.

    Args:
        names: of lines; all if there are none.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.bombs", kind, *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "names", mostly(OFTEN, also=[[*BOMBS]]), ids=lambda names: f"{len(names)} lines"
)
def test_no_line_and_no_packing_takes_more_memory_than_a_function_has(
    names: list[str],
) -> None:
    assert ends_of("lines", *names) == [f"{name}: {BOMBS[name][2]}" for name in names]


@pytest.mark.proof
def test_no_metadata_and_no_routes_take_more_memory_than_a_function_has() -> None:
    assert ends_of("choices") == [
        *(f"metadata, {name}: bad_metadata" for name in METADATA),
        *(f"routes, {name}: refused" for name in ROUTES),
    ]


@pytest.mark.proof
def test_no_event_takes_more_memory_than_a_function_has() -> None:
    assert ends_of("events") == [f"{name}: {{200}}" for name in EVENTS]


@pytest.mark.proof
def test_four_files_at_once_take_no_more_memory_than_a_function_has(
    world: World, firestore_emulator: str, gcs: str
) -> None:
    """
    Of what is resident, as Cloud Run counts it: address space is reserved for each
    thread whether or not it is used, so that a limit of that would say nothing.
    """
    named = {name: (make, end) for name, (make, _, end) in BOMBS.items()}
    groups = {
        "emojis": [named["an emoji"][0]()] * 4,
        "quotes": [named["quotes in a text"][0]()] * 4,
        "mixed": [
            named[name][0]()
            for name in ("objects", "packed twice", "no UTF-8", "deep, to be mended")
        ],
    }
    # A text with an emoji takes four bytes a character; this shape is written anew.
    said = SAID % ("\U0001f600".encode() + b"x" * (MAX_SIZE - 200))
    manifest = b'{"src":[%b,"metadata":{"key":"a"}}]}' % said.removesuffix(b"}")
    groups["manifests"] = [manifest] * 4
    lines = []
    for group, files in groups.items():
        suffix = MANIFEST if group == "manifests" else ".jsonl"
        drops = [
            asdict(world.upload(data, f"{group}-{n}{suffix}"))
            for n, data in enumerate(files)
        ]
        lines.append(json.dumps([group, *drops]))
    settings = world.settings
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.at_once"],
        input="\n".join(lines),
        env=os.environ
        | {
            "BATCHDROP_PROJECT": settings.project,
            "BATCHDROP_LOCATION": settings.location,
            "BATCHDROP_MODEL": settings.model,
            "BATCHDROP_INBOX": settings.inbox,
            "BATCHDROP_WORK": str(settings.work),
            "BATCHDROP_OUTPUT": str(settings.output),
            "BATCHDROP_TOPIC": settings.topic,
            "BATCHDROP_WORK_TOPIC": settings.work_topic,
            "BATCHDROP_PAUSED": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(name, *ends) for name, _, *ends in figures] == [
        ("emojis", *["waiting"] * 4),
        ("quotes", *["waiting"] * 4),
        ("mixed", *["bad_rows"] * 4),
        ("manifests", *["waiting"] * 4),
    ]
    assert max(most for _, most, *_ in figures) < 512, figures

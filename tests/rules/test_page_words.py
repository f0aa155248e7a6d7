"""Amounts, times and names, as pages write them."""

import subprocess
from datetime import timedelta

import pytest

from batchdrop.dashboard.words import share, took
from batchdrop.views.text import in_shell, shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "under 1 s"),
        (0.9, "under 1 s"),
        (59, "59 s"),
        (60, "1 min"),
        (432, "7 min 12 s"),
        (3 * 3600 + 59, "3 h"),
        (86_400 + 7300, "1 d 2 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, words: str) -> None:
    assert took(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("count", "total", "words"),
    [
        (0, 0, "0 %"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 3, "33.3 %"),
        (1, 100_000, "< 0.1 %"),
        (99_999, 100_000, "> 99.9 %"),
    ],
)
def test_a_share_is_all_or_none_only_if_it_is(
    count: int, total: int, words: str
) -> None:
    assert share(count, total) == words


@pytest.mark.parametrize(
    "name",
    [
        "gs://out/reviews.jsonl",
        "gs://out/it's; rm -rf $HOME `x` \\n.jsonl",
        "gs://out/a\nb'\\c\u202e\u0085\U000e0101\x1b[31m é $(x).jsonl",
    ],
)
def test_a_shell_reads_the_name_that_a_command_shows(name: str) -> None:
    word = in_shell(name)

    read = subprocess.run(
        ["bash", "-c", f"printf %s {word}"],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    )

    assert read.stdout.decode() == name
    assert shown(word) == word

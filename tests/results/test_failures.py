"""Errors that rows have in common, without what differs between rows."""

import pytest

from batchdrop.results.failures import Failures, common
from tests.results.made import File, collect, failed, shard


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("Please use a valid role: user, model.", None),
        ("Quota of 250 exceeded after 3.5 s", "Quota of … exceeded after … s"),
        ("No such file: files/abc123xyz.", "No such file: …."),
        ("Can't fetch gs://secret/a b.png", "Can't fetch gs://secret/… b.png"),
        ('Invalid text "my own row" in it', "Invalid text '…' in it"),
        ("Invalid at 'contents[17].parts'", "Invalid at 'contents[…].parts'"),
        ("Request 0a1b-22 of 2026-11-28T10:00:00Z failed", "Request … of … failed"),
    ],
)
def test_a_message_loses_what_differs_between_rows(
    message: str, kept: str | None
) -> None:
    assert common(message) == (kept or message)


def test_the_ten_most_frequent_are_kept_with_an_example() -> None:
    failures = Failures()
    for kind in range(12):
        for n in range(12 - kind):
            failures.add(("3", "x" * kind + f" row {n}"), f"r{kind}-{n}")

    found = failures.most_frequent()

    assert [(each.count, each.example) for each in found] == [
        (12 - kind, f"r{kind}-0") for kind in range(10)
    ]
    assert found[1].message == "x row …"


def test_errors_counted_in_parts_are_those_counted_at_once() -> None:
    whole, summed = Failures(), Failures()
    for n in range(6):
        part = Failures()
        for one in (whole, part):
            one.add(("429", f"Quota {n}"), f"r{n}")
            one.add(("3", "x" * (n % 4)), f"r{n}")
        summed.include(part.all())

    assert summed.most_frequent() == whole.most_frequent()
    assert summed.all() == whole.all()


def test_ever_new_messages_take_bounded_memory() -> None:
    failures = Failures()
    for n in range(5000):
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(n))
        failures.add(("3", letters), "r")

    assert len(failures._examples) <= 1001
    assert sum(failures._counts.values()) == 5000


def test_ever_new_codes_take_bounded_memory() -> None:
    failures = Failures()
    for n in range(5000):
        failures.add((f"code {n}", "the same message"), "r")

    assert len(failures._examples) <= 2001
    assert sum(failures._counts.values()) == 5000
    assert failures.most_frequent()[0].code == "other"


def test_of_an_endless_code_and_message_the_beginning_is_kept() -> None:
    failures = Failures()
    for n in range(2):
        failures.add(("x" * 1_000_000, "y" * 1_000_000 + str(n)), "r")

    (found,) = failures.most_frequent()

    assert (len(found.code), len(found.message), found.count) == (100, 300, 2)
    assert all(len(part) <= 2000 for known in failures._known for part in known)


def test_failed_rows_are_counted_by_their_error() -> None:
    lines = [failed(1, 429, "Quota 1"), failed(3, 429, "Quota 2"), failed(2)]

    found = collect(File.of(3), shard(*lines))

    first, second = found.summary.failures
    assert (first.code, first.message, first.count, first.example) == (
        *("429", "Quota …"),
        *(2, "r0000001"),
    )
    assert second.count == 1

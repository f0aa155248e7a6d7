"""Names of objects: which make jobs, and which manifest speaks for which file."""

import pytest

from batchdrop.options.names import (
    is_file,
    is_file_of,
    is_manifest,
    manifest_name,
    why_ignored,
)


@pytest.mark.parametrize(
    "name", ["a/x.jsonl", "a/x.JSONL", "a/x.ndjson", "a/x.jsonl.gz", "a/x.NDJSON.Gz"]
)
def test_a_file_of_rows_in_any_case_has_the_manifest_beside_it(name: str) -> None:
    assert is_file(name)
    assert why_ignored(name) is None
    assert manifest_name(name) == "a/x.job.json"
    assert is_file_of("a/x.job.json", name)


@pytest.mark.parametrize("name", ["a/y.jsonl", "x.jsonl", "a/x.json", "a/x.2.jsonl"])
def test_a_manifest_is_for_no_other_file(name: str) -> None:
    assert not is_file_of("a/x.job.json", name)


def test_a_manifest_is_no_file_of_rows() -> None:
    assert is_manifest("a/x.job.json")
    assert not is_file("a/x.job.json")
    assert why_ignored("a/x.job.json") is None
    assert not is_manifest("a/x.json")


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("a/x.json", "x.jsonl"),
        ("x.txt", "x.jsonl"),
        ("x.csv", "x.csv.jsonl"),
        ("x.jsonl.tmp", "x.jsonl.tmp.jsonl"),
        # A long s counts as an s where case is ignored.
        ("x.j\u017fonl", "x.j\u017fonl.jsonl"),
        ("x.jsonl\n", "x.jsonl\n.jsonl"),
    ],
)
def test_an_ignored_name_says_which_one_is_taken(name: str, better: str) -> None:
    assert str(why_ignored(name)).endswith(f"; drop it as {better}")

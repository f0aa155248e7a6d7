"""The folder of a stack: one stack at a time, and the same ports again."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchdrop_local.folder import alone_in, choose_ports, is_held, keep_ports
from batchdrop_local.processes import StackError, free_port

PARTS = ("gcs", "poll")


def test_the_same_ports_are_chosen_from_one_start_to_the_next(tmp_path: Path) -> None:
    first = choose_ports(tmp_path, PARTS, {})
    keep_ports(tmp_path, first)

    assert choose_ports(tmp_path, PARTS, {}) == first


def test_a_port_that_somebody_has_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    first = choose_ports(tmp_path, PARTS, {})
    keep_ports(tmp_path, first)

    with listening_on(first["gcs"]):
        second = choose_ports(tmp_path, PARTS, {})

    assert second["gcs"] != first["gcs"]
    assert second["poll"] == first["poll"]


def test_a_fixed_port_goes_before_the_one_of_the_last_time(tmp_path: Path) -> None:
    first = choose_ports(tmp_path, PARTS, {})
    keep_ports(tmp_path, first)

    second = choose_ports(tmp_path, PARTS, {"gcs": first["poll"]})

    assert second["gcs"] == first["poll"]
    assert second["poll"] != first["poll"]


@pytest.mark.parametrize("content", ["", "[1]", '{"gcs": "http", "mail": 25}'])
def test_a_file_of_ports_that_is_broken_is_no_obstacle(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "ports.json").write_text(content)

    assert set(choose_ports(tmp_path, PARTS, {})) == set(PARTS)


def test_a_folder_is_held_until_its_stack_ends(tmp_path: Path) -> None:
    folder = tmp_path / "new"

    before = is_held(folder)
    with alone_in(folder):
        meanwhile = is_held(folder)

    assert (before, meanwhile, is_held(folder)) == (False, True, False)


def test_who_finds_a_folder_held_learns_by_which_process(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path),
        pytest.raises(StackError, match=r"another stack is up there, process \d+\."),
        alone_in(tmp_path),
    ):
        pass


def test_a_folder_that_can_not_be_made_is_an_error_with_its_name(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(StackError, match=f"use {tmp_path}/file/in: Not a directory"),
        alone_in(tmp_path / "file" / "in"),
    ):
        pass


@contextmanager
def listening_on(port: int) -> Iterator[None]:
    """Keeps the port taken until the block ends."""
    with socket.create_server(("127.0.0.1", port)):
        yield


def test_a_port_that_is_given_to_one_part_is_not_given_to_another(
    tmp_path: Path,
) -> None:
    port = free_port()
    keep_ports(tmp_path, {"gcs": port, "poll": port})

    again = choose_ports(tmp_path, PARTS, {})

    assert len(set(again.values())) == len(PARTS)

"""Files in another encoding than UTF-8: one error that names it, and what to do."""

import json

import pytest

from batchdrop.errors import NotReadable
from batchdrop.preflight import SKIP, Checker, Rules
from batchdrop.preflight.lines import unpacked
from tests.preflight.reading import GOOD, file

LINE = json.dumps({"contents": [{"role": "user", "parts": [{"text": "Grüße"}]}]})
TEXT = json.dumps(json.loads(LINE), ensure_ascii=False)


def read(data: bytes, **rules: object) -> list[tuple[int, str, str]]:
    """The row errors of each line."""
    checker = Checker(Rules(**rules))  # type: ignore[arg-type]
    return [
        (refused.line, refused.row_errors[0].code, refused.row_errors[0].message)
        for block in checker.blocks([data])
        for refused in block.refused
    ]


@pytest.mark.parametrize("begins", [TEXT, "\n" + TEXT, "  " + TEXT, "ä" + TEXT])
@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-32-le", "UTF-32LE"),
        ("utf-32-be", "UTF-32BE"),
    ],
)
def test_a_file_of_wide_characters_is_one_error(
    codec: str, name: str, begins: str
) -> None:
    data = f"{begins}\n{TEXT}\n{TEXT}\n".encode(codec)

    with pytest.raises(NotReadable, match=f"iconv -f {name} -t UTF-8") as caught:
        read(data, on_invalid=SKIP)

    assert caught.value.code == "not_utf8"


@pytest.mark.parametrize("mark", ["utf-16-be", "utf-32-be"])
def test_the_mark_of_the_other_byte_order_is_known_too(mark: str) -> None:
    data = f"\ufeff{TEXT}\n".encode(mark)

    with pytest.raises(NotReadable, match=f"the file is {mark[:6].upper()},"):
        read(data)


def test_a_file_of_latin_1_is_one_error() -> None:
    good = file(GOOD).decode() + "\n"
    data = (good + (TEXT + "\n") * 1000).encode("latin-1")

    with pytest.raises(NotReadable) as caught:
        read(data)

    assert caught.value.code == "not_utf8"
    assert str(caught.value) == (
        f"line 4, byte {TEXT.index('ü') + 1}: the file is Latin-1 or Windows-1252, and "
        "must be UTF-8; save it as UTF-8, or run "
        "`iconv -f Windows-1252 -t UTF-8 FILE > NEW`"
    )


@pytest.mark.parametrize("fast", [True, False])
def test_a_file_of_latin_1_is_one_error_where_no_line_is_explained(fast: bool) -> None:
    unknown = '{"Grüße": 1, "contents": [}'
    data = "\n".join([unknown, TEXT, unknown]).encode("latin-1")
    checker = Checker(Rules(), 0, fast=fast)

    with pytest.raises(NotReadable, match="line 3, byte 5"):
        list(checker.blocks([data]))


def test_a_few_lines_of_latin_1_are_an_error_each() -> None:
    data = file(*[GOOD] * 5, b"") + (TEXT + "\n").encode("latin-1") * 2

    assert [line for line, *_ in read(data)] == [6, 7]
    assert all("looks like Latin-1" in message for *_, message in read(data))


def test_lines_of_latin_1_are_left_out_where_bad_lines_are() -> None:
    data = (TEXT + "\n").encode("latin-1") * 20 + file(GOOD)

    assert len(read(data, on_invalid=SKIP)) == 20


def test_lines_cut_in_the_middle_of_a_character_are_not_latin_1() -> None:
    cut = TEXT.encode().replace("ß".encode(), "€".encode()[:2]) + b"\n"

    assert [code for _, code, _ in read(cut * 5)] == ["not_utf8"] * 5


@pytest.mark.parametrize(
    "data", [b"", b"{", b"{}", b"{}\n", b"\0\0\0\0", b"\xff\xfd{}"]
)
def test_short_or_broken_data_is_not_mistaken_for_another_encoding(data: bytes) -> None:
    assert b"".join(unpacked([data], most=10)) == data

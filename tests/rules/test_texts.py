"""How pages and the command line show texts of anybody's."""

import pytest
from markupsafe import Markup

from batchdrop.dashboard.words import code, lines, output
from batchdrop.views.text import FILE, FOLDER, parts_of_name, shown


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain/name-1.jsonl", "plain/name-1.jsonl"),
        ("Größe 東京 مرحبا", "Größe 東京 مرحبا"),
        ("a\x00b\nc\x7fd\x1b[31m", "a\\x00b\\nc\\x7fd\\x1b[31m"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("a\u200bb\u2066c\ufeff", "a\\u200bb\\u2066c\\ufeff"),
        ("a\u3164b\u2800c\ufe00\U000e0100", "a\\u3164b\\u2800c\\ufe00\\U000e0100"),
        ("no\N{NO-BREAK SPACE}break", "no\\xa0break"),
    ],
)
def test_what_nobody_sees_or_what_turns_others_is_written_as_an_escape(
    text: str, seen: str
) -> None:
    assert shown(text) == seen
    assert output(text) == seen
    # Ours, and shown before.
    assert output(Markup("<b>\n</b>")) == Markup("<b>\n</b>")


def test_a_name_keeps_both_its_ends_and_a_folder_its_last_part() -> None:
    assert parts_of_name("a/b/c.jsonl") == ("a/b/", "c.jsonl")
    assert parts_of_name("c.jsonl") == ("", "c.jsonl")

    folder, file = parts_of_name("x" * 900 + "/last/" + "begin" + "y" * 99 + "-7.jsonl")

    assert (len(folder), folder[0], folder[-6:]) == (FOLDER, "…", "/last/")
    assert (len(file), file[:5], file[-8:]) == (FILE, "begin", "-7.jsonl")


def test_code_and_lines_escape_what_they_mark() -> None:
    assert code("run `a <b>` & see") == "run <code>a &lt;b&gt;</code> &amp; see"
    assert code("an ` alone <") == "an ` alone &lt;"
    assert lines("<a>\n\tb\x00\r\n") == "&lt;a&gt;\n\tb\\x00\\r\n"

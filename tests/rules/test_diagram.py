"""The picture in the docs is the table in the code."""

import re

from batchdrop.jobs.codes import Phase, Step
from batchdrop.jobs.moves import MOVES
from tests.diagram import PAGE, diagram, with_diagram


def test_the_diagram_in_the_docs_is_that_of_the_code() -> None:
    text = PAGE.read_text()

    assert text == with_diagram(text), "run `make diagram` and commit what it writes"


def test_the_diagram_has_every_move_and_no_other() -> None:
    arrows = {
        tuple(line.partition(":")[0].strip().split(" --> "))
        for line in diagram().splitlines()
        if "-->" in line
    }

    moves = {(str(one), str(other)) for one in Phase for other in MOVES[one]}
    ends = {(str(one), "[*]") for one in Phase if not MOVES[one]}
    assert arrows == moves | ends | {("[*]", "arrived")}


def test_each_move_says_what_makes_it_happen() -> None:
    labels = {line.partition(": ")[2] for line in diagram().splitlines()}

    assert labels >= {why for after in MOVES.values() for why in after.values() if why}
    assert all(why for after in MOVES.values() for why in after.values())
    # A colon or semicolon ends a label in Mermaid.
    assert not any(mark in label for label in labels for mark in ":;")


def test_the_page_says_what_follows_each_step_of_collecting() -> None:
    page = PAGE.read_text()
    table = page.partition("| `collecting.step` |")[2].partition("\n\n")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Step)

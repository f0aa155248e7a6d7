"""The picture in the docs is the table in the code."""

from batchdrop.jobs.job import MOVES
from batchdrop.jobs.values import Phase
from tests.diagram import PAGE, diagram, with_diagram


def test_the_diagram_in_the_docs_is_that_of_the_code() -> None:
    text = PAGE.read_text()

    assert text == with_diagram(text), "run `make diagram` and commit what it writes"


def test_the_diagram_has_every_move_and_no_other() -> None:
    arrows = {
        tuple(line.strip().split(" --> "))
        for line in diagram().splitlines()
        if "-->" in line
    }

    moves = {(str(one), str(other)) for one in Phase for other in MOVES[one]}
    ends = {(str(one), "[*]") for one in Phase if not MOVES[one]}
    assert arrows == moves | ends | {("[*]", "arrived")}

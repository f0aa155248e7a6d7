"""
The diagram of a job's phases, made from the table of moves.

    python -m tests.diagram            prints it
    python -m tests.diagram --write    puts it into docs/explanation
"""

import sys
from pathlib import Path

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.moves import MOVES

PAGE = Path(__file__).parents[1] / "docs/explanation/state-machine.md"
BEGIN = "<!-- from jobs.MOVES, by `make diagram` -->"
END = "<!-- /jobs.MOVES -->"


def diagram() -> str:
    """A Mermaid state diagram, which GitHub draws."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(Phase))}"]
    for phase in Phase:
        after = MOVES[phase]
        lines += [
            f"    {phase} --> {other}: {after[other]}"
            for other in Phase
            if other in after
        ]
        if not after:
            lines.append(f"    {phase} --> [*]")
    return "\n".join(["```mermaid", *lines, "```"])


def with_diagram(text: str) -> str:
    """
    A text with the diagram between its marks.

    Raises:
        ValueError: the marks are missing.
    """
    before, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"\n{END}")
    if not (begin and end):
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return f"{before}{begin}{diagram()}{end}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(with_diagram(PAGE.read_text()))
    else:
        print(diagram())

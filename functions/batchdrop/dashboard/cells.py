"""The parts of a split job, one cell each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchdrop.views.words import state_of

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job
    from batchdrop.jobs.listed import ListedJob
    from batchdrop.jobs.values import Part
    from batchdrop.ledger import Ledger

#: How many of the open parts are read for their states.
MAX_READ = 30
#: How many parts that wait for a person come first among them.
MAX_HELD = 8
#: The state of a part that is open, and not read.
OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A part: its split job's document has how each ended."""

    n: int  #: counted from 1
    id: str
    state: str  #: its outcome, or how far it is
    first: int  #: the first line of the file that it has
    last: int
    health: str = ""  #: what is wrong with it, in words

    @property
    def kind(self) -> str:
        """Whose colour it has."""
        return "ill" if self.health else self.state

    @property
    def words(self) -> str:
        ill = f", {self.health}" if self.health else ""
        return (
            f"part {self.n:,}, lines {self.first:,} to {self.last:,}: {self.state}{ill}"
        )


def parts_of(ledger: "Ledger", job: "Job") -> list[Cell]:
    """
    The parts of a job, in order; empty if it has none. Documents are read only of some
    parts that are open: see MAX_READ.
    """
    if not job.is_split:
        return []  # while they are staged, they are no jobs
    open = [id for id, part in job.parts.items() if not part.outcome]
    open.sort(key=lambda id: job.parts[id].n)
    held = ledger.held_part_ids(job.id, MAX_HELD) if job.parts_held else []
    wanted = [*dict.fromkeys([*held, *open])][:MAX_READ]
    known = {one.id: one for one in ledger.listed_jobs_of(wanted)} if wanted else {}
    return [
        _cell(id, part, known.get(id))
        for id, part in sorted(job.parts.items(), key=lambda item: item[1].n)
    ]


def _cell(id: str, part: "Part", read: "ListedJob | None") -> Cell:
    ill = read.health if read else None
    return Cell(
        n=part.n + 1,
        id=id,
        state=part.outcome or (state_of(read) if read else OPEN),
        first=part.first,
        last=part.last,
        health=f"{ill.code}: {ill.message}" if ill else "",
    )

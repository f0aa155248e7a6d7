"""
The main job, with its worker dead or asleep at each point on its way, in this process.
`tests/exactly_once` kills real ones, and holds both against the same promise.
"""

from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.values import Drop
from tests import often
from tests.exactly_once import output
from tests.exactly_once.points import (
    KILLED,
    LATE_IN_PARTS,
    LATE_IN_ROUNDS,
    SAMPLE,
)
from tests.exactly_once.promise import Evidence, Message, Outcome, broken, gathered
from tests.exactly_once.rounds import is_asked
from tests.exactly_once.scenarios import (
    AWAITED,
    ELSEWHERE,
    FENCED,
    HEALED,
    IN_PARTS,
    OTHERS,
    PLAIN,
    TRAITS,
    Scenario,
    routes,
    ways_to,
)
from tests.exactly_once.track import UNDER_WAY
from tests.there import there
from tests.worker.dying import Killed, at, die
from tests.worker.world import World

#: Where a worker that wakes late could do most harm: around the request and the fence.
HARMFUL = {
    "vertex": (
        "before_create",
        "after_create",
        "after_copying",
        "after_restaging",
        "after_fence_delete",
    ),
    "developer": ("after_handing_over", "before_create"),
}
#: The points of `KILLED` that are tried each time: where a death could cost a second
#: batch or an announcement, and one of a round and of the Developer API. Collectors die
#: in `test_collect_once.py` and `test_collect_parts.py`, a worker that reads a file in
#: `test_recorded.py`, and one that splits it or attaches its manifest in
#: `test_races.py`.
OFTEN = [
    ("vertex", "before_create"),
    ("vertex", "after_create"),
    ("vertex", "after_fence_delete"),
    ("vertex", "after_cancelling_duplicate"),
    ("vertex", "after_ended"),
    ("vertex", "after_publish"),
    ("vertex", "round_prepared"),
    ("developer", "after_fence_delete"),
]
#: The others are tried by `make crash`.
mostly = partial(often.mostly, mark=pytest.mark.exhaustive)


class Course:
    """One drop's way among real services, until nothing is left to do."""

    def __init__(self, world: World, way: Scenario) -> None:
        self.world, self.way = world, way
        chosen = routes(TRAITS | (ELSEWHERE if way.track else {}))
        world.choose(chosen, api_key="key-of-tests", results="on")
        if way.lingers:
            world.sim.settings.run_seconds = 86400
        if way.hidden:
            # They have read their rows before a fence takes those away.
            world.sim.settings.queue_seconds = 0
            world.sim.settings.run_seconds = 3600
        self._http = httpx.Client(base_url=world.sim.url)
        for rule in way.faults:
            self._fault(**rule)
        if way.hidden:
            self._fault(fault="list_lagging", seconds=1e6)
        if way.has_extra:
            self._fault(fault="stuck_running", for_ever=True)
        self.drop = world.upload(way.text, f"{way.folder}x{way.suffix}")
        self.beside: Drop | None = None
        self._asked = False
        if way.beside and "required" not in way.traits:
            self._drop_manifest()

    def run(self) -> None:
        """Repeats the event until the ledger has the drop, and runs ticks."""
        for _ in range(60):
            self.step()
            if self._is_asked() and self._may_be_over() and self.evidence().is_over:
                break
        if self.way.lingers:
            self.step()

    def run_until_rows_go_again(self) -> None:
        """The same until a round is to be sent, whose first create fails."""
        while not self.world.job(self.drop).rounds:
            self.step()
        for rule in FENCED.faults:
            self._fault(**rule)

    def step(self) -> None:
        """Delivers the events and runs one tick; a worker may die of either."""
        for drop in (self.drop, self.beside):
            if drop and not self._is_known(drop):
                with suppress(Killed, Exception):
                    self.world.worker.take(drop)
        if self.way.beside and self.beside is None and self._is_known(self.drop):
            self._drop_manifest()
            return
        self._show()
        self._want_cancelled()
        self.world.advance(timedelta(minutes=8))
        with suppress(Killed, ExceptionGroup):
            self.world.tick()

    def close(self) -> None:
        self._http.close()

    def _is_asked(self) -> bool:
        """Whether a person has asked for a round, if one does so once."""
        if self.way.asks and not self._asked:
            ledger, now = self.world.ledger, self.world.now()
            self._asked = is_asked(ledger, self.drop, self.way.asks, now)
        return self._asked or not self.way.asks

    def _may_be_over(self) -> bool:
        """Whether all evidence is worth reading."""
        job = self.world.ledger.get(self.drop.job_id)
        return job is not None and job.is_done

    def _drop_manifest(self) -> None:
        name = f"{self.way.folder}x.job.json"
        self.beside = self.world.upload(self.way.beside, name)

    def _is_known(self, drop: Drop) -> bool:
        return self.world.ledger.get(drop.job_id) is not None

    def _fault(self, **rule: Any) -> None:
        self._http.post("/_sim/faults", json=rule).raise_for_status()

    def _show(self) -> None:
        """Ends the lag of the list once there is enough to see, as a track does."""
        batches = self.world.batches()
        if not self.way.hidden or len(batches) < self.way.hidden:
            return
        over = {"list_lagging"}
        if sum(batch["state"] in UNDER_WAY for batch in batches) <= 1:
            over.add("stuck_running")
        for rule in self._http.get("/_sim/faults").json()["rules"]:
            if rule["fault"] in over:
                self._http.delete(f"/_sim/faults/{rule['id']}")

    def _want_cancelled(self) -> None:
        job = self.world.ledger.get(self.drop.job_id)
        if (
            self.way.end != "cancelled"
            or job is None
            or job.cancel_request
            or not job.seq
        ):
            return
        if job.phase is Phase.SUBMITTED:
            now = self.world.now()
            self.world.ledger.advance(job, lambda j: j.request_cancel("a test", now))

    # -- what is there then -----------------------------------------------------

    def evidence(self) -> Evidence:
        world = self.world
        jobs = {
            job.id: asdict(job) | {"outcome": job.outcome}
            for document in world.database.collection("jobs").select([]).stream()
            if (job := world.ledger.get(document.id))
        }
        found = world.database.collection("announcements").stream()
        everything = (
            jobs,
            world.batches(),
            [there(snapshot.to_dict()) for snapshot in found],
            [Message(one.body, one.attributes) for one in world.announced],
        )
        beside = gathered(self.beside, *everything) if self.beside else None
        return replace(gathered(self.drop, *everything), beside=beside)

    def outcome(self, missed: list[str]) -> Outcome:
        place = (self.world.gcs, self.world.settings.output.bucket, self.drop)
        found = replace(
            self.evidence(),
            answers=output.answers(*place),
            results=output.results(*place),
        )
        return Outcome(way=self.way, evidence=found, missed=missed)


@pytest.mark.parametrize(
    ("world", "point"), mostly(*OFTEN, also=KILLED), indirect=["world"]
)
def test_a_job_whose_worker_dies_at_a_point_is_paid_and_announced_once(
    world: World, point: str
) -> None:
    way = ways_to(point)[0]
    course = Course(world, way)

    with at([*way.kills, point], die) as waiting:
        course.run()
    course.close()

    outcome = course.outcome(waiting)
    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.parametrize(
    ("world", "way", "point"),
    mostly(
        ("vertex", PLAIN, "before_create"),
        ("vertex", FENCED, "after_fence_delete"),
        ("vertex", HEALED, "round_told"),
        also=[
            *(
                (backend, ways_to(point)[0], point)
                for backend, some in HARMFUL.items()
                for point in some
            ),
            *(("vertex", IN_PARTS, point) for point in LATE_IN_PARTS),
            *(("vertex", HEALED, point) for point in LATE_IN_ROUNDS),
        ],
    ),
    indirect=["world"],
    ids=lambda one: one.name if isinstance(one, Scenario) else str(one),
)
def test_a_worker_that_sleeps_at_a_point_and_wakes_late_does_no_harm(
    world: World, way: Scenario, point: str
) -> None:
    course = Course(world, way)

    with at([point], course.run) as waiting:
        course.run()
    course.run()
    course.close()

    outcome = course.outcome(waiting)
    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.parametrize(
    ("world", "point", "act"),
    mostly(
        also=[
            ("vertex", "before_create", "sleeps"),
            ("vertex", "after_fence_delete", "dies"),
            ("developer", "after_create", "dies"),
        ],
    ),
    indirect=["world"],
)
def test_a_round_whose_worker_dies_or_sleeps_where_any_job_s_may_is_paid_once(
    world: World, point: str, act: str
) -> None:
    course = Course(world, HEALED)
    course.step()
    course.run_until_rows_go_again()

    with at([point], die if act == "dies" else course.run) as waiting:
        course.run()
    course.run()
    course.close()

    outcome = course.outcome(waiting)
    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.parametrize(
    ("world", "way", "points"),
    mostly(
        ("vertex", AWAITED, ("after_resumed",)),
        ("vertex", IN_PARTS | FENCED, ("after_restaging", "after_fence_delete")),
        also=[
            (backend, way, points)
            for backend, some in OTHERS.items()
            for way, points in some
        ],
    ),
    indirect=["world"],
    ids=lambda one: one.name if isinstance(one, Scenario) else str(one),
)
def test_parts_and_jobs_by_manifests_whose_workers_die_are_paid_and_announced_once(
    world: World, way: Scenario, points: tuple[str, ...]
) -> None:
    course = Course(world, way)

    with at(points, die) as waiting:
        course.run()
    course.close()

    outcome = course.outcome(waiting)
    assert outcome.missed == []
    assert broken(outcome) == []


@pytest.mark.parametrize(("one", "other"), mostly(SAMPLE[0], also=SAMPLE))
def test_a_job_whose_workers_die_at_two_points_is_paid_and_announced_once(
    world: World, one: str, other: str
) -> None:
    course = Course(world, ways_to(one)[0] | ways_to(other)[0])

    with at([*course.way.kills, one, other], die):
        course.run()
    course.close()

    assert broken(course.outcome([])) == []

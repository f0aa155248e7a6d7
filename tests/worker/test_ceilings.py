"""
Ceilings on cost: of a file, of a day, and of a route on a day.

A row is estimated to cost 1.00, as its answer is taken to have a million tokens. An
answer of the stand-in has a few, which cost next to nothing.
"""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Fact, Reserved
from batchdrop.ledger.ceilings import Day, NoRoom
from batchdrop.pricing import Prices
from batchdrop.worker.stages import Tick
from tests.there import there
from tests.worker.backends import BOTH
from tests.worker.dying import at
from tests.worker.world import GOOD, Wire, World


def priced(output: int) -> Prices:
    """A price list, in euros for a million tokens of answers."""
    entry = {
        "models": ["gemini-3.8-flash"],
        "input": 0,
        "output": output,
        "elsewhere": 1,
        "sources": ["contract"],
    }
    return Prices.load(
        json.dumps(
            {
                "as_of": "2026-01-31",
                "currency": "EUR",
                "sources": {"contract": {"what": "our contract", "read": "2026-01"}},
                "prices": [entry],
            }
        ).encode()
    )


PRICES = priced(1)
NONE = Prices.load(
    b'{"as_of": "2026-01-31", "currency": "EUR", "sources": {}, "prices": []}'
)
OWN = '[[route]]\nmatch = "a*"\nmax_cost_per_day = 1\n'


@pytest.fixture(autouse=True)
def early(world: World) -> None:
    """It is six in the morning (UTC), and there is a price list."""
    day = world.now().replace(hour=6, minute=0) + timedelta(days=1)
    world.advance(day - world.now())
    world.prices = PRICES


def chosen(world: World, routes: str | None = None, **settings: Any) -> None:
    world.choose(routes, answer_tokens=1_000_000, **settings)


def dropped(
    world: World, name: str = "x.jsonl", rows: int = 1, **metadata: str
) -> Drop:
    drop = world.upload(GOOD * rows, name, metadata=metadata or None)
    world.worker.take(drop)
    world.advance(timedelta(seconds=1))
    return drop


def several(world: World, *names: str) -> list[Drop]:
    return [dropped(world, name) for name in names]


def phases(world: World, drops: list[Drop]) -> list[Phase]:
    return [world.job(drop).phase for drop in drops]


def today(world: World) -> Day:
    return world.ledger.reserved_on(f"{world.now():%Y-%m-%d}")


def error(job: Job) -> tuple[str, str]:
    found = there(job.error)
    return str(found.code), found.message


# -- of a file -----------------------------------------------------------------------


@BOTH
def test_a_file_over_its_ceiling_is_rejected_before_it_is_paid(world: World) -> None:
    chosen(world, max_cost=2.5)

    fits, over = dropped(world, rows=2), dropped(world, "over.jsonl", rows=3)

    assert world.job(fits).phase is Phase.SUBMITTED
    assert error(world.job(over)) == (
        "over_limit",
        "the estimate is 3.00 EUR by the prices of 2026-01-31, over "
        "BATCHDROP_MAX_COST=2.5",
    )
    assert len(world.batches()) == 1


def test_the_parts_of_a_file_count_together(world: World) -> None:
    chosen(world, max_cost=2, part_rows=1)

    drop = dropped(world, rows=3)

    code, message = error(world.job(drop))
    assert (code, "3.00 EUR" in message) == ("over_limit", True)
    assert world.jobs() == 1


def test_a_file_may_lower_its_ceiling_and_not_raise_it(world: World) -> None:
    chosen(world, max_cost=2)

    for most, code, words in (
        ("1", "over_limit", "over max_cost of metadata batchdrop-max-cost=1"),
        ("3", "not_allowed", "may not be more than 2 (BATCHDROP_MAX_COST)"),
        ("0", "not_allowed", "may not be more than 2 (BATCHDROP_MAX_COST)"),
    ):
        drop = dropped(world, rows=2, **{"batchdrop-max-cost": most})

        found, message = error(world.job(drop))
        assert (found, words in message) == (code, True)


def test_a_route_may_have_a_higher_ceiling_than_the_deployment(world: World) -> None:
    chosen(world, '[[route]]\nmatch = "a*"\nmax_cost = 9\n', max_cost=1)

    drop = dropped(world, "a.jsonl", rows=5)

    assert world.job(drop).phase is Phase.SUBMITTED


def test_what_can_not_be_estimated_is_not_sent_below_a_ceiling(world: World) -> None:
    world.prices = NONE
    limits = ("max_cost", "max_cost_per_day")
    for limit in limits:
        most = dict.fromkeys(limits) | {limit: 1000}
        chosen(world, None, datasets=("p.d",), **most)
        table = world.upload(json.dumps({"src": "bq://p.d.t"}), "table.job.json")
        world.worker.take(table)

        drop = dropped(world)
        world.tick()

        code, message = error(world.job(drop))
        assert code == "no_estimate"
        assert "have none for gemini-3.8-flash" in message
        assert f"BATCHDROP_{limit.upper()}=1000" in message
        assert error(world.job(table))[0] == "no_estimate"
    assert world.batches() == []


def test_a_job_of_a_release_without_estimates_says_what_to_do(world: World) -> None:
    chosen(world, paused=True)
    drop = dropped(world)
    world.ledger.advance(world.job(drop), lambda j: replace(j, estimate=None))
    chosen(world, max_cost_per_day=2, paused=False)

    world.tick()
    again = world.worker.commands.rerun(drop.job_id, "ada")
    world.ticks(2)

    code, message = error(world.job(drop))
    assert (code, "repeat the job" in message) == ("no_estimate", True)
    assert there(world.ledger.get(again.id)).phase is Phase.SUBMITTED


def test_a_table_that_waits_when_a_ceiling_is_set_is_not_sent(world: World) -> None:
    chosen(world, paused=True, datasets=("p.d",))
    table = world.upload(json.dumps({"src": "bq://p.d.t"}), "table.job.json")
    world.worker.take(table)
    chosen(world, max_cost_per_day=2, datasets=("p.d",), paused=False)
    assert world.job(table).phase is Phase.WAITING

    world.tick()

    code, message = error(world.job(table))
    assert (code, "table or dataset" in message) == ("no_estimate", True)


# -- of a day ------------------------------------------------------------------------


@BOTH
def test_a_job_over_the_days_ceiling_waits_for_the_next_day(world: World) -> None:
    chosen(world, max_cost_per_day=2)
    drops = several(world, "1.jsonl", "2.jsonl", "3.jsonl")
    day = f"{world.now():%Y-%m-%d}"

    world.ticks(1)

    assert phases(world, drops) == [Phase.SUBMITTED, Phase.SUBMITTED, Phase.WAITING]
    assert today(world).micros == 2_000_000
    assert there(world.job(drops[2]).waiting_for).message == (
        f"it would exceed BATCHDROP_MAX_COST_PER_DAY=2 on {day}, and waits for a day "
        "with room"
    )
    written = world.job(drops[2]).version
    world.ticks(1)
    assert world.job(drops[2]).version == written

    world.ticks(1, timedelta(hours=18))
    assert world.job(drops[2]).phase is Phase.SUBMITTED
    assert today(world).micros == 1_000_000


def test_parts_are_sent_on_as_many_days_as_they_need(world: World) -> None:
    chosen(world, max_cost_per_day=2, part_rows=1)
    dropped(world, rows=3)

    world.ticks(2)
    assert len(world.batches()) == 2
    world.ticks(2, timedelta(hours=18))

    assert len(world.batches()) == 3


def test_a_part_that_no_day_has_room_for_rejects_its_file(world: World) -> None:
    chosen(world, max_cost_per_day=2, part_rows=3)

    drop = dropped(world, rows=4)

    code, message = error(world.job(drop))
    assert code == "over_limit"
    assert "the estimate is 3.00 EUR" in message
    assert message.endswith("in one of its parts, over BATCHDROP_MAX_COST_PER_DAY=2")


def test_a_routes_ceiling_holds_back_its_own_jobs_alone(world: World) -> None:
    chosen(world, OWN)
    drops = several(world, "a1.jsonl", "a2.jsonl", "a3.jsonl", "b1.jsonl", "b2.jsonl")

    world.ticks(2)

    assert phases(world, drops) == [
        *(Phase.SUBMITTED, Phase.WAITING, Phase.WAITING),
        *(Phase.SUBMITTED, Phase.SUBMITTED),
    ]
    assert (
        "max_cost_per_day of route a*=1"
        in there(world.job(drops[1]).waiting_for).message
    )
    assert today(world).routes == {"a*": 1_000_000}


def test_a_route_counts_for_the_deployments_ceiling_too(world: World) -> None:
    chosen(world, OWN, max_cost_per_day=2)
    drops = several(world, "a1.jsonl", "a2.jsonl", "b1.jsonl", "b2.jsonl")

    world.ticks(2)

    assert phases(world, drops) == [
        *(Phase.SUBMITTED, Phase.WAITING),
        *(Phase.SUBMITTED, Phase.WAITING),
    ]


def test_no_smaller_job_of_another_queue_overtakes_one_that_waits_for_a_day(
    world: World,
) -> None:
    queues = ("asia-east1", "europe-west1", "us-east1", "us-west1")
    routes = "".join(
        f'[[route]]\nmatch = "{queue}/**"\nlocation = "{queue}"\n' for queue in queues
    )
    chosen(world, routes, max_cost_per_day=3)
    drops = [
        dropped(world, f"{queue}/{rows}.jsonl", rows)
        for queue, rows in zip(queues, (1, 1, 2, 1), strict=True)
    ]

    world.ticks(2)

    assert phases(world, drops) == [
        *(Phase.SUBMITTED, Phase.SUBMITTED),
        *(Phase.WAITING, Phase.WAITING),
    ]
    assert today(world).micros == 2_000_000


def test_a_job_that_is_over_a_lowered_ceiling_holds_back_no_other(world: World) -> None:
    chosen(world, max_cost_per_day=3)
    drops = [dropped(world, "big.jsonl", rows=3), dropped(world)]
    chosen(world, max_cost_per_day=1)

    world.ticks(2)

    assert phases(world, drops) == [Phase.WAITING, Phase.SUBMITTED]
    assert there(world.job(drops[0]).waiting_for).message == (
        "it alone would exceed BATCHDROP_MAX_COST_PER_DAY=1 on any day, and waits "
        "until that is raised; or cancel it"
    )


@BOTH
def test_a_day_holds_what_a_job_costs_by_the_prices_of_its_intent(world: World) -> None:
    chosen(world, max_cost_per_day=2)
    fits, over = dropped(world), dropped(world, "over.jsonl", rows=2)
    world.prices = priced(2)

    world.tick()

    assert phases(world, [fits, over]) == [Phase.SUBMITTED, Phase.WAITING]
    assert today(world).micros == 2_000_000
    assert "waits for a day with room" not in there(world.job(over).waiting_for).message


# -- what is given back --------------------------------------------------------------


def test_a_job_cancelled_before_it_was_sent_gives_its_reservation_back(
    world: World,
) -> None:
    chosen(world, max_cost_per_day=1)
    world.wire.creates = [Wire.says(429, **{"retry-after": "30"})]
    first, second = several(world, "1.jsonl", "2.jsonl")
    world.tick()
    assert world.job(first).phase is Phase.WAITING
    assert today(world).micros == 1_000_000

    world.worker.commands.cancel(first.job_id, "ada")
    assert there(world.job(first).reserved).micros == 1_000_000
    world.ticks(2)

    assert phases(world, [first, second]) == [Phase.REJECTED, Phase.SUBMITTED]
    assert there(world.job(first).reserved).micros == 0
    assert today(world).micros == 1_000_000


@BOTH
def test_a_job_that_the_api_refuses_gives_its_reservation_back(world: World) -> None:
    chosen(world, max_cost_per_day=1)
    world.wire.creates = [Wire.says(400)]
    first, second = several(world, "1.jsonl", "2.jsonl")

    world.ticks(2)

    assert phases(world, [first, second]) == [Phase.REJECTED, Phase.SUBMITTED]
    assert there(world.job(first).reserved).settled


def test_what_a_job_has_cost_corrects_the_day_of_its_intent(world: World) -> None:
    chosen(world, max_cost_per_day=1.5, results="on")
    first, second = several(world, "1.jsonl", "2.jsonl")

    world.ticks_until(lambda: world.job(first).cost is not None)
    world.ticks(3)

    cost = there(world.job(first).cost).micros
    assert 0 < cost < 100
    assert world.job(first).reserved == Reserved(
        day=f"{world.now():%Y-%m-%d}", micros=cost, settled=True
    )
    assert world.job(second).phase in (Phase.SUBMITTED, Phase.ENDED)


@BOTH
def test_answers_that_nobody_has_found_keep_the_estimate(world: World) -> None:
    chosen(world, max_cost_per_day=1, results="on")
    world.sim.faults.add("output_late", for_ever=True)
    drop = dropped(world)

    world.ticks_until(lambda: world.job(drop).is_done, 8)
    world.ticks(1)

    job = world.job(drop)
    assert there(job.reserved).settled
    assert today(world).micros == 1_000_000


def test_a_job_with_fewer_answers_than_are_counted_keeps_its_estimate(
    world: World,
) -> None:
    chosen(world, max_cost_per_day=1, results="on")
    drop = dropped(world)
    world.ticks_until(lambda: world.job(drop).is_done, 8)
    held = Reserved(day="2026-03-01", micros=1_000_000)
    short = Fact(since=world.now(), message="the API counts 2 answers")

    job = replace(world.job(drop), reserved=held, answers_short=short)

    assert there(job.settled(world.now()).reserved).micros == 1_000_000


def test_a_job_that_is_sent_a_day_later_counts_on_that_day(world: World) -> None:
    chosen(world, OWN)
    world.wire.creates = [Wire.says(429, **{"retry-after": str(20 * 60 * 60)})]
    drop = dropped(world, "a.jsonl")
    world.tick()
    first = today(world).day
    assert world.ledger.reserved_on(first).routes == {"a*": 1_000_000}

    world.ticks(1, timedelta(hours=21))

    assert world.job(drop).phase is Phase.SUBMITTED
    assert world.ledger.reserved_on(first).micros == 0
    assert world.ledger.reserved_on(first).routes == {"a*": 0}
    assert today(world).routes == {"a*": 1_000_000}
    assert there(world.job(drop).reserved).day == today(world).day != first


def test_a_job_that_is_sent_a_day_later_needs_room_on_that_day(world: World) -> None:
    chosen(world, max_cost_per_day=1)
    world.wire.creates = [Wire.says(429, **{"retry-after": str(20 * 60 * 60)})]
    late = dropped(world)
    world.tick()
    first = today(world).day

    world.advance(timedelta(hours=19))
    asked = Reserved(day=today(world).day, micros=1)
    world.ledger.advance(
        world.job(dropped(world, "other.jsonl")),
        lambda j: j.submitting(world.now(), world.timing, reserved=asked),
    )
    world.ticks(1, timedelta(hours=2))

    assert "waits for a day with room" in there(world.job(late).waiting_for).message
    assert world.ledger.reserved_on(first).micros == 1_000_000
    assert today(world).micros == 1


def test_a_job_is_counted_once_on_the_day_of_its_intents(world: World) -> None:
    chosen(world, max_cost_per_day=2)
    world.wire.creates = [Wire.says(429), Wire.says(503), Wire.says(429)]
    drop = dropped(world)
    day = f"{world.now():%Y-%m-%d}"

    world.ticks(7, timedelta(minutes=3))

    assert world.job(drop).phase in (Phase.SUBMITTED, Phase.ENDED)
    assert world.ledger.reserved_on(day).micros == 1_000_000


# -- others at the same time ----------------------------------------------------------


def test_of_two_ticks_at_once_one_gets_what_the_day_has_left(world: World) -> None:
    chosen(world, max_cost_per_day=1)
    drops = several(world, "1.jsonl", "2.jsonl")

    def another_tick() -> None:
        later = world.now() + timedelta(minutes=1)
        world.worker.poll.admit.run(Tick(now=world.now, deadline=later))

    with at(["after_handing_over"], another_tick):
        world.tick()

    assert phases(world, drops) == [Phase.WAITING, Phase.SUBMITTED]
    assert len(world.batches()) == 1
    assert "waits for a day with room" in there(world.job(drops[0]).waiting_for).message


def test_a_day_that_changes_under_a_commit_is_checked_again(world: World) -> None:
    chosen(world, max_cost_per_day=1, paused=True)
    jobs = [world.job(drop) for drop in several(world, "1.jsonl", "2.jsonl")]
    mine, other = (
        Reserved(day="2026-03-01", micros=micros) for micros in (600_000, 500_000)
    )
    seen: list[int] = []

    def reserve(job: Job, asked: Reserved, check: Any) -> None:
        world.ledger.advance(
            job,
            lambda j: j.submitting(world.now(), world.timing, reserved=asked),
            check=check,
        )

    def check(day: Day, asked: Reserved) -> None:
        seen.append(day.micros)
        if len(seen) == 1:
            reserve(jobs[1], other, lambda *_: None)
        if not day.has_room(asked, {"": 1_000_000}):
            raise NoRoom("none")

    with pytest.raises(NoRoom):
        reserve(jobs[0], mine, check)

    assert seen == [0, 500_000]
    assert world.ledger.reserved_on("2026-03-01").micros == 500_000
    assert there(world.ledger.get(jobs[0].id)).phase is Phase.WAITING


# -- a ledger that was lost -----------------------------------------------------------


def test_a_ledger_that_was_emptied_counts_the_batches_that_it_finds(
    world: World,
) -> None:
    chosen(world, max_cost_per_day=2)
    drops = several(world, "1.jsonl", "2.jsonl")
    world.tick()
    assert len(world.batches()) == 2
    for collection in ("jobs", "ceilings"):
        for document in world.database.collection(collection).list_documents():
            document.delete()

    for drop in drops:
        world.worker.take(drop)
    world.ticks(2, timedelta(minutes=3))
    third = dropped(world, "3.jsonl")
    world.ticks(1)

    assert len(world.batches()) == 2
    assert today(world).micros == 2_000_000
    assert world.job(third).phase is Phase.WAITING


def test_without_a_ceiling_nothing_is_reserved(world: World) -> None:
    chosen(world)

    drop = dropped(world)

    assert world.job(drop).reserved is None
    assert today(world).version is None

"""Jobs over tables of BigQuery, and results that are loaded into one."""

from datetime import timedelta
from pathlib import Path

import pytest

from batchdrop.subscribe import parse
from tests import announcements
from tests.client.datasets import Dataset
from tests.worker.collecting import collected, lines, question, submit
from tests.worker.manifests import dataset as dataset
from tests.worker.manifests import manifest
from tests.worker.test_commands import deployed as deployed
from tests.worker.test_commands import run
from tests.worker.world import GOOD, World

SCHEMA = Path(__file__).parents[2] / "docs/reference/result-schema.json"


def test_a_job_over_a_table_has_the_apis_counts_alone(
    deployed: World, dataset: Dataset
) -> None:
    world = deployed
    world.choose(datasets=(dataset.full_name,), results="on")
    table = dataset.table(
        "prompts",
        {"customer": "STRING", "request": "STRING"},
        [{"customer": f"c{n}", "request": GOOD.strip()} for n in range(3)],
    )
    config = {"dest": f"bq://{dataset.full_name}"}
    drop = world.upload(manifest(src=f"bq://{table}", config=config), "table.job.json")
    world.worker.take(drop)

    world.ticks(4, every=timedelta(minutes=10))

    job = world.job(drop)
    assert job.is_done
    assert (job.results, job.usage, job.cost) == (None, None, None)
    held = world.database.collection("jobs").document(job.id).get().to_dict() or {}
    assert held["batch"]["completion_stats"]["successful"] == 3
    assert not {"results", "usage", "cost", "collecting"} & set(held)
    assert held["rows"]["total"] == held["rows"]["accepted"] == 0
    assert job.batch is not None
    assert run("show", job.id).output.splitlines()[1:4] == [
        "ended: succeeded (JOB_STATE_SUCCEEDED)",
        "the API counts 3 answered rows, and 0 that failed",
        f"answers: {job.batch.output_table}",
    ]
    [event] = [parse(announcements.push(one)) for one in world.announced]
    assert (event.event, event.outcome, event.results) == ("ended", "succeeded", None)
    assert event.output_table == job.batch.output_table
    assert (event.rows.total, event.rows.ok) == (0, None)
    assert world.announced[0].attributes["batch_rows"] == "complete"
    # The API keeps columns of the table that are not its own.
    answers = dataset.rows((job.batch.output_table or "").removeprefix("bq://"))
    assert {row["customer"] for row in answers} == {"c0", "c1", "c2"}


def test_results_are_loaded_into_a_table_with_the_schema_of_the_docs(
    world: World, dataset: Dataset
) -> None:
    text = lines(
        [
            question(1, key="007", region="eu"),
            question(2, key=4672),
            "not a request",
            question(4, key="d", tags=["a", {"b": 1.5}]),
        ]
    )
    drop = submit(world, text, on_invalid="skip")
    job = collected(world, drop)
    assert job.results is not None
    stored = b"".join(world.storage.chunks(job.results.uri))

    found = dataset.load("results", SCHEMA, stored)

    assert [row["id"] for row in found] == [f"r000000{n}" for n in range(1, 5)]
    assert [row["key"] for row in found] == ["007", 4672, None, "d"]
    assert found[0]["columns"] == {"region": "eu"}
    assert found[3]["columns"] == {"tags": ["a", {"b": 1.5}]}
    assert [row["outcome"] for row in found] == ["ok", "ok", "refused", "ok"]
    assert found[2]["error"]["status"]
    assert found[0]["usage"]["total"] == world.results(job)[0]["usage"]["total"]
    assert found[0]["text"] == world.results(job)[0]["text"]


@pytest.mark.proof
def test_rows_whose_answers_go_into_a_table_go_again(
    world: World, dataset: Dataset
) -> None:
    row = {"row_text": "question 3"}
    world.sim.faults.add("row_failed", code=429, match=row, count=1)
    world.choose(datasets=(dataset.full_name,), results="on", retry=1)
    drop = world.upload(
        lines([question(n) for n in range(1, 6)]),
        metadata={"batchdrop-destination": f"bq://{dataset.full_name}.answers"},
    )
    world.worker.take(drop)

    job = collected(world, drop)

    assert (job.rows.ok, len(job.rounds)) == (5, 2)
    sent = world.ledger.get(job.round_id(1))
    assert sent is not None
    assert sent.batch is not None
    assert sent.batch.output_table == f"bq://{dataset.full_name}.answers_round_0001"

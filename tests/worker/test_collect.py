"""From the end of a batch to its results: one line for each line of the file."""

import json

from batchdrop.jobs.codes import Phase
from tests.worker.backends import BOTH, EACH
from tests.worker.collecting import collected, ended, questions, submit
from tests.worker.world import World


@EACH
def test_each_line_of_a_file_has_its_result_in_the_files_order(world: World) -> None:
    drop = submit(world, questions(20))

    job = collected(world, drop)

    found = world.results(job)
    assert [one["id"] for one in found] == [f"r{n:07}" for n in range(1, 21)]
    assert [one["line"] for one in found] == list(range(1, 21))
    assert {one["outcome"] for one in found} == {"ok"}
    assert all(f"question {one['line']}" in one["text"] for one in found)
    assert (job.rows.total, job.rows.ok, job.rows.missing) == (20, 20, 0)
    assert job.usage is not None
    assert job.usage.total == sum(one["usage"]["total"] for one in found)
    assert job.health is None


@BOTH
def test_results_lie_beside_the_answers_with_an_index(world: World) -> None:
    drop = submit(world, questions(3))

    job = collected(world, drop)

    output = world.settings.output.bucket
    home = f"gs://{output}/reviews.jsonl/{job.id}/"
    assert job.results is not None
    assert job.results.uri == f"{home}results.jsonl"
    assert job.results.index == f"{home}results.index.json"
    assert job.results.strangers is None
    blob = world.gcs.bucket(output).get_blob(
        job.results.uri.removeprefix(f"gs://{output}/")
    )
    assert (blob.size, blob.crc32c) == (job.results.bytes, job.results.crc32c)
    assert blob.content_type == "application/x-ndjson"
    index = blob.bucket.blob(f"reviews.jsonl/{job.id}/results.index.json")
    assert json.loads(index.download_as_text()) == {
        "lines": 3,
        "offsets": [[0, 0]],
    }


@BOTH
def test_the_end_is_announced_first_and_then_the_results(world: World) -> None:
    drop = submit(world)
    job = ended(world, drop)
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]
    assert (job.phase, job.is_over, job.is_done) == (Phase.ENDED, True, False)
    assert world.woken == [job.id]

    world.collect()

    job = world.job(drop)
    assert job.is_done
    assert [one.type for one in world.announced] == [
        "dev.batchdrop.job.succeeded.v1",
        "dev.batchdrop.results.ready.v1",
    ]
    body = json.loads(world.announced[-1].body)
    assert body["results"]["uri"] == job.results.uri if job.results else ""
    assert body["rows"]["ok"] == 5

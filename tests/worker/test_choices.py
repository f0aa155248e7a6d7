"""What a file chooses: by its metadata, a manifest, a route, or not at all."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from batchdrop import wiring
from batchdrop.errors import BadSetting
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Drop, Location
from batchdrop.pricing import Prices
from tests.client.datasets import Dataset
from tests.worker.backends import BOTH
from tests.worker.manifests import answered, dataset, manifest
from tests.worker.world import GOOD, World

__all__ = ["dataset"]  # a fixture

FLASH, PRO = "gemini-3.8-flash", "gemini-4-argon"


def take(world: World, *drops: Drop) -> list[Job]:
    """The jobs of some drops whose events come in this order."""
    for drop in drops:
        world.worker.take(drop)
    return [world.job(drop) for drop in drops]


def models(world: World) -> list[str]:
    """The models of all batches, without their publishers."""
    return sorted(batch["model"].rpartition("/")[2] for batch in world.batches())


def problem(job: Job) -> str:
    assert job.phase is Phase.REJECTED
    assert job.error is not None
    return f"{job.error.code}: {job.error.message}"


def staged(world: World, job: Job) -> list[dict[str, Any]]:
    assert job.staging is not None
    with world.storage.open(job.staging.uri) as rows:
        return [json.loads(line) for line in rows.read().splitlines()]


@pytest.fixture
def elsewhere(world: World) -> str:
    """Another bucket, which the deployment allows as a source."""
    bucket = f"{world.settings.project}-data"
    world.gcs.create_bucket(bucket)
    world.choose(sources=(Location(bucket=bucket, prefix="rows/"),))
    return bucket


# -- who is stronger ---------------------------------------------------------------


@BOTH
def test_the_objects_metadata_is_the_strongest(world: World) -> None:
    world.choose(
        '[[route]]\nmatch = "a/**"\nmodel = "gemini-3.5-flash-lite"\n'
        'labels = { team = "route", stage = "route" }\n',
        models=(FLASH, PRO),
        labels={"team": "settings", "cost": "settings"},
    )
    world.upload(
        manifest(model=FLASH, config={"labels": {"stage": "manifest"}}), "a/x.job.json"
    )
    drop = world.upload(GOOD, "a/x.jsonl", {"batchdrop-model": PRO})

    (job,) = take(world, drop)

    assert models(world) == [PRO]
    assert job.spec is not None
    assert job.spec.model.endswith(PRO)
    assert job.spec.labels == {
        "team": "route",
        "stage": "manifest",
        "cost": "settings",
        "batchdrop_job": job.id,
        "batchdrop_deployment": "tests",
    }
    assert job.spec_from["model"] == "metadata batchdrop-model"
    assert job.spec_from["backend"] in ("default", "BATCHDROP_BACKEND")
    assert job.manifest is not None
    assert job.manifest.startswith(f"gs://{world.settings.inbox}/a/x.job.json#")


@BOTH
def test_a_rejection_names_the_choice_that_caused_it(world: World) -> None:
    world.choose('[[route]]\nmatch = "**"\nmax_rows = 2\n', models=(FLASH, PRO))
    texts = ("nope\n", GOOD * 3)  # bad rows, too many

    jobs = take(
        world,
        *(
            world.upload(text, f"{n}.jsonl", {"batchdrop-model": PRO})
            for n, text in enumerate(texts)
        ),
    )
    world.tick()

    said = {one.job_id: one.attributes for one in world.announced}
    assert len(world.announced) == len(texts)
    for job in jobs:
        assert job.phase is Phase.REJECTED
        assert job.spec is not None
        assert job.spec.model.endswith(PRO)
        assert job.spec_from["model"] == "metadata batchdrop-model"
        assert said[job.id]["model"] == job.spec.model
        assert said[job.id]["kind"] == "generation"


def test_the_first_route_that_matches_counts(world: World) -> None:
    world.choose(
        '[[route]]\nmatch = "a/*.jsonl"\nmodel = "gemini-4-argon"\n'
        '[[route]]\nmatch = "**"\nmodel = "gemini-3.5-flash-lite"\n'
    )

    take(world, world.upload(GOOD, "a/x.jsonl"), world.upload(GOOD, "b/x.jsonl"))

    assert models(world) == ["gemini-3.5-flash-lite", PRO]


def test_a_routes_generation_configuration_reaches_every_row(world: World) -> None:
    world.choose(
        '[[route]]\nmatch = "**"\ngeneration_config = { temperature = 0.25 }\n',
        generation_config='{"topK": 3}',
    )

    (job,) = take(world, world.upload(GOOD))

    (row,) = staged(world, job)
    assert row["request"]["generationConfig"] == {"temperature": 0.25}


def test_a_route_chooses_what_becomes_of_bad_lines(world: World) -> None:
    world.choose('[[route]]\nmatch = "**"\non_invalid = "skip"\nfix = true\n')

    (job,) = take(world, world.upload(GOOD + "not json\n"))

    assert (job.phase, job.rows.accepted, job.rows.refused) == (Phase.SUBMITTED, 1, 1)


def test_a_route_limits_the_size_of_a_file(world: World) -> None:
    for limit in ("max_rows", "max_bytes"):
        world.choose(f'[[route]]\nname = "small"\nmatch = "**"\n{limit} = 2\n')

        (job,) = take(world, world.upload(GOOD * 3))

        assert problem(job).startswith("over_limit")
        assert f"over {limit} of route small=2" in problem(job)


def test_results_go_to_the_routes_destination(world: World) -> None:
    bucket = f"{world.settings.project}-else"
    world.gcs.create_bucket(bucket)
    world.choose(f'[[route]]\nmatch = "**"\ndestination = "gs://{bucket}/night"\n')
    drop = world.upload(GOOD)

    take(world, drop)
    world.until_ended()

    job = world.job(drop)
    assert job.batch is not None
    assert job.batch.output_directory is not None
    prefix = f"gs://{bucket}/night/reviews.jsonl/{job.id}/"
    assert job.batch.output_directory.startswith(prefix)
    assert [line["key"] for line in world.answers(job)] == ["r0000001"]


def test_unknown_metadata_is_refused(world: World) -> None:
    drop = world.upload(GOOD, metadata={"batchdrop-modle": PRO, "colour": "blue"})

    (job,) = take(world, drop)

    assert problem(job).startswith(
        "bad_metadata: a key that begins with batchdrop-: unknown"
    )
    assert world.batches() == []


# -- manifests beside a file -------------------------------------------------------


def is_attached(world: World, manifest_drop: Drop, *files: Job) -> bool:
    """Whether a manifest is attached, to these files alone."""
    job = world.job(manifest_drop)
    ids = tuple(file.id for file in files)
    return (job.phase, job.attached_to, job.seq) == (Phase.ATTACHED, ids, 0)


@BOTH
def test_a_manifest_dropped_first_is_for_the_file_beside_it(world: World) -> None:
    world.choose(models=(PRO,))
    manifest_drop = world.upload(manifest(model=PRO), "a/x.job.json")
    world.worker.take(manifest_drop)

    (job,) = take(world, world.upload(GOOD, "a/x.jsonl"))

    assert models(world) == [PRO]
    assert job.spec_from["model"] == "manifest a/x.job.json"
    assert is_attached(world, manifest_drop)


def test_a_late_event_of_a_manifest_finds_it_attached(
    world: World,
) -> None:
    world.choose(models=(PRO,))
    manifest_drop = world.upload(manifest(model=PRO), "x.job.json")
    file = world.upload(GOOD, "x.jsonl")
    take(world, file)

    world.worker.take(manifest_drop)
    world.worker.take(manifest_drop)
    world.tick()

    assert is_attached(world, manifest_drop, world.job(file))
    assert models(world) == [PRO]


def test_a_manifest_that_comes_after_its_file_was_taken_is_rejected(
    world: World,
) -> None:
    drop = world.upload(GOOD, "x.jsonl")
    world.worker.take(drop)

    manifest_drop = world.upload(
        manifest(config={"display_name": "late"}), "x.job.json"
    )
    (late,) = take(world, manifest_drop)
    world.worker.take(manifest_drop)
    world.tick()

    assert problem(late).startswith("manifest_too_late")
    assert world.job(drop).phase is Phase.SUBMITTED
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.rejected.v1"]
    assert world.announced[0].attributes["object"] == "x.job.json"


def test_a_manifest_waits_while_its_file_is_being_read(
    world: World,
) -> None:
    drop = world.upload(GOOD, "x.jsonl")
    claim = Job.claimed(drop, "somebody", world.now(), world.timing)
    assert world.ledger.claim(claim) is not None
    manifest_drop = world.upload(manifest(), "x.job.json")

    world.worker.take(manifest_drop)
    world.tick()
    waits = world.job(manifest_drop)
    world.advance(world.timing.lease)
    world.tick()

    assert (waits.phase, waits.resumes, waits.health) == (Phase.ARRIVED, 0, None)
    assert world.job(drop).manifest == str(manifest_drop)
    assert is_attached(world, manifest_drop, world.job(drop))


REQUIRED = '[[route]]\nmatch = "a/**"\nmanifest = "required"\n'


@BOTH
def test_a_file_waits_for_a_required_manifest(world: World) -> None:
    world.choose(REQUIRED, models=(PRO,))
    drop = world.upload(GOOD, "a/x.jsonl")
    (job,) = take(world, drop)
    assert job.phase is Phase.ARRIVED
    world.ticks(2)
    assert world.job(drop).phase is Phase.ARRIVED

    manifest_drop = world.upload(manifest(model=PRO), "a/x.job.json")
    world.worker.take(manifest_drop)

    assert world.job(drop).phase is Phase.SUBMITTED
    assert models(world) == [PRO]
    assert is_attached(world, manifest_drop, world.job(drop))


def test_a_file_that_waits_finds_a_manifest_whose_event_never_came(
    world: World,
) -> None:
    world.choose(REQUIRED)
    drop = world.upload(GOOD, "a/x.jsonl")
    take(world, drop)
    manifest_drop = world.upload(manifest(), "a/x.job.json")

    world.sim.clock.advance(seconds=world.settings.reconcile_every)
    world.tick()
    assert world.job(drop).phase is Phase.SUBMITTED
    world.ticks(2, timedelta(minutes=2))

    assert is_attached(world, manifest_drop, world.job(drop))
    assert len(world.batches()) == 1


@pytest.mark.proof
def test_waiting_for_a_manifest_does_not_count_as_a_death(world: World) -> None:
    world.choose(REQUIRED, reconcile_every=60.0)
    drop = world.upload(GOOD, "a/x.jsonl")
    take(world, drop)

    world.ticks(12)

    job = world.job(drop)
    assert (job.phase, job.health, job.resumes) == (Phase.ARRIVED, None, 0)


def test_an_unreadable_manifest_is_rejected_at_once_and_so_is_its_file(
    world: World,
) -> None:
    manifest_drop = world.upload('{"model": 5}', "x.job.json")

    (of_manifest, of_file) = take(world, manifest_drop, world.upload(GOOD, "x.jsonl"))

    assert "bad_manifest" in problem(of_manifest)
    assert "x.job.json" in problem(of_file)
    assert "model: got a number" in problem(of_file)
    assert world.batches() == []


def test_an_empty_manifest_is_rejected_and_so_is_its_file(world: World) -> None:
    drop = world.upload(b"", "x.job.json")

    (of_manifest, of_file) = take(world, drop, world.upload(GOOD, "x.jsonl"))

    assert "bad_manifest" in problem(of_manifest)
    assert "it is empty; write" in problem(of_file)


def test_a_manifest_is_for_a_file_of_any_ending(world: World) -> None:
    world.choose(models=(PRO,))
    for name in ("x.jsonl.gz", "y.JSONL", "z.ndjson"):
        world.upload(manifest(model=PRO), f"{name[0]}.job.json")

        take(world, world.upload(GOOD, name))

    assert models(world) == [PRO] * 3


def test_a_manifest_that_comes_after_its_file_is_too_late_whatever_the_ending(
    world: World,
) -> None:
    for n, name in enumerate(("x.JSONL", "x.ndjson", "x.Jsonl.gz")):
        for other in ("x.2026-03-01.jsonl", "x.jsonl.txt", "x.n.jsonl", "y.jsonl"):
            world.upload(GOOD, f"{n}/{other}")
        take(world, world.upload(GOOD, f"{n}/{name}"))

        late = world.upload(manifest(model=FLASH), f"{n}/x.job.json")
        (of_manifest,) = take(world, late)

        assert "manifest_too_late" in problem(of_manifest)


# -- manifests that start jobs -----------------------------------------------------


@BOTH
def test_inline_requests_become_a_batch_with_results(world: World) -> None:
    requests = [
        {"contents": "one", "metadata": {"key": "mine-1"}},
        {
            "contents": "two",
            "metadata": {"key": "mine-2"},
            "config": {"temperature": 0},
        },
    ]
    drop = world.upload(manifest(model=FLASH, src=requests), "inline.job.json")

    take(world, drop)
    world.until_ended()

    job = world.job(drop)
    assert job.phase is Phase.ENDED
    rows = staged(world, job)
    assert [row["key"] for row in rows] == ["r0000001", "r0000002"]
    assert rows[1]["request"]["generationConfig"] == {"temperature": 0}
    assert job.rows.total == 2
    assert len(answered(world)) == 2


@BOTH
def test_objects_elsewhere_become_one_batch(world: World, elsewhere: str) -> None:
    names = ["rows/a.jsonl", "rows/b.jsonl"]
    # The last line of the first has no line feed.
    world.upload(GOOD + GOOD.strip(), names[0], bucket=elsewhere)
    world.upload(GOOD, names[1], bucket=elsewhere)
    src = [f"gs://{elsewhere}/{name}" for name in names]
    drop = world.upload(manifest(src=src), "job.job.json")

    take(world, drop)
    world.until_ended()

    job = world.job(drop)
    assert job.phase is Phase.ENDED
    assert [(one.uri, one.first) for one in job.inputs] == [(src[0], 1), (src[1], 3)]
    assert sorted(answered(world)) == ["r0000001", "r0000002", "r0000003"]


#: The keys of the lines of two objects, and what is wrong with a line of the second.
EARLIER: tuple[tuple[str, str, str], ...] = (
    # A key that is there already: in the other object, and in the same one.
    ("ab", "b", "is the same as in line 2 of gs://{bucket}/rows/a.jsonl"),
    ("a", "bb", "is the same as in line 1;"),
    # A line without a key has another shape.
    ("a", " ", "line 1 of gs://{bucket}/rows/a.jsonl has the shape"),
)


def test_an_error_calls_an_earlier_line_by_its_number_in_its_own_object(
    world: World, elsewhere: str
) -> None:
    src = [f"gs://{elsewhere}/rows/a.jsonl", f"gs://{elsewhere}/rows/b.jsonl"]
    for first, second, message in EARLIER:
        for name, keys in (("rows/a.jsonl", first), ("rows/b.jsonl", second)):
            rows = [
                f'{{"key":"{key}","request":{GOOD.strip()}}}\n' if key.strip() else GOOD
                for key in keys
            ]
            world.upload("".join(rows), name, bucket=elsewhere)

        (job,) = take(world, world.upload(manifest(src=src), "job.job.json"))

        assert problem(job).startswith(f"bad_rows: gs://{elsewhere}/rows/b.jsonl line ")
        assert message.format(bucket=elsewhere) in problem(job)


def test_an_object_that_can_not_be_read_is_named(world: World, elsewhere: str) -> None:
    world.upload(GOOD, "rows/a.jsonl", bucket=elsewhere)
    world.upload(b"\x1f\x8bnope", "rows/b.jsonl", bucket=elsewhere)
    src = [f"gs://{elsewhere}/rows/a.jsonl", f"gs://{elsewhere}/rows/b.jsonl"]

    (job,) = take(world, world.upload(manifest(src=src), "job.job.json"))

    assert problem(job).startswith(
        f"bad_gzip: gs://{elsewhere}/rows/b.jsonl: the file is"
    )


def test_objects_without_rows_are_not_called_the_file(
    world: World, elsewhere: str
) -> None:
    world.upload(b"", "rows/a.jsonl", bucket=elsewhere)
    src = f"gs://{elsewhere}/rows/a.jsonl"

    (job,) = take(world, world.upload(manifest(src=src), "job.job.json"))

    assert problem(job) == "no_rows: the objects that src names have no rows"


def test_a_bad_line_elsewhere_is_reported_with_its_object_and_line_number(
    world: World, elsewhere: str
) -> None:
    world.upload(GOOD * 2, "rows/a.jsonl", bucket=elsewhere)
    world.upload(GOOD + "not json\n", "rows/b.jsonl", bucket=elsewhere)
    src = [f"gs://{elsewhere}/rows/{name}.jsonl" for name in "ab"]

    (job,) = take(world, world.upload(manifest(src=src), "job.job.json"))

    assert problem(job).startswith(f"bad_rows: gs://{elsewhere}/rows/b.jsonl line 2:")
    (row_error,) = job.row_errors
    assert (row_error.line, row_error.place) == (
        4,
        f"gs://{elsewhere}/rows/b.jsonl line 2",
    )


def test_a_source_that_is_not_there_is_named(world: World, elsewhere: str) -> None:
    src = f"gs://{elsewhere}/rows/a.jsonl"

    (job,) = take(world, world.upload(manifest(src=src), "job.job.json"))

    assert problem(job) == "no_source: the object that src[0] names is not there"


@pytest.mark.proof
def test_a_table_becomes_a_batch_with_results(world: World, dataset: Dataset) -> None:
    world.choose(datasets=(dataset.full_name,))
    request = json.loads(GOOD)
    table = dataset.table(
        "prompts",
        {"id": "STRING", "request": "STRING"},
        [{"id": f"a{n}", "request": json.dumps(request)} for n in range(3)],
    )
    drop = world.upload(manifest(src=f"bq://{table}"), "table.job.json")

    take(world, drop)
    world.until_ended()

    job = world.job(drop)
    assert job.batch is not None
    assert job.batch.state == "JOB_STATE_SUCCEEDED"
    assert job.batch.source == f"bq://{table}"
    assert job.batch.output_directory is not None
    assert job.batch.output_directory.startswith(str(world.settings.output))
    assert [one.type for one in world.announced] == ["dev.batchdrop.job.succeeded.v1"]


def test_a_tables_results_go_into_a_table_if_it_is_chosen(
    world: World, dataset: Dataset
) -> None:
    world.choose(datasets=(dataset.full_name,))
    table = dataset.table("prompts", {"request": "STRING"}, [{"request": GOOD.strip()}])
    config = {"dest": f"bq://{dataset.full_name}"}
    drop = world.upload(manifest(src=f"bq://{table}", config=config), "table.job.json")

    take(world, drop)
    world.until_ended()

    job = world.job(drop)
    assert job.batch is not None
    assert job.batch.state == "JOB_STATE_SUCCEEDED"
    assert job.batch.output_directory is None
    assert job.batch.output_table is not None
    assert job.batch.output_table.startswith(f"bq://{dataset.full_name}.predictions_")
    body = json.loads(world.announced[0].body)
    assert body["output_table"] == job.batch.output_table


def test_a_job_over_a_table_is_followed_up_without_a_second_batch(
    world: World, dataset: Dataset
) -> None:
    """No fence keeps a frozen worker from a table; a search finds its second batch."""
    world.choose(datasets=(dataset.full_name,))
    table = dataset.table("prompts", {"request": "STRING"}, [{"request": GOOD.strip()}])
    world.wire.creates = [world.wire.reply_lost]
    drop = world.upload(manifest(src=f"bq://{table}"), "table.job.json")

    take(world, drop)
    world.until_over(drop)

    assert len(world.batches()) == 1
    assert world.job(drop).phase is Phase.ENDED


def test_a_second_batch_over_a_table_is_found_and_cancelled(
    world: World, dataset: Dataset
) -> None:
    world.choose(datasets=(dataset.full_name,))
    table = dataset.table("prompts", {"request": "STRING"}, [{"request": GOOD.strip()}])
    (job,) = take(world, world.upload(manifest(src=f"bq://{table}"), "table.job.json"))
    second = world.backends.of(job).create(job)

    world.ticks(2)

    states = {batch["name"].split("/")[-1]: batch["state"] for batch in world.batches()}
    assert states[second.name.split("/")[-1]] == "JOB_STATE_CANCELLED"
    after = world.job(job.source)
    assert after.batch is not None
    assert after.batch.name != second.name


# -- what is not allowed -----------------------------------------------------------


def test_choices_that_the_deployment_does_not_list_are_refused(world: World) -> None:
    for metadata, rule in (
        ({"batchdrop-model": PRO}, "BATCHDROP_MODELS"),
        ({"batchdrop-destination": "gs://theirs/x"}, "BATCHDROP_DESTINATIONS"),
        ({"batchdrop-destination": "bq://p.d"}, "BATCHDROP_DATASETS"),
    ):
        (job,) = take(world, world.upload(GOOD, metadata=metadata))

        assert problem(job).startswith("not_allowed")
        assert rule in problem(job)
    assert world.batches() == []


def test_a_source_that_the_deployment_does_not_list_is_refused(world: World) -> None:
    for src, rule in (
        ("gs://theirs/rows.jsonl", "BATCHDROP_SOURCES"),
        ("bq://p.d.t", "BATCHDROP_DATASETS"),
        ("projects/p/locations/l/datasets/d", "BATCHDROP_DATASETS"),
    ):
        (job,) = take(world, world.upload(manifest(src=src), "x.job.json"))

        assert problem(job).startswith("not_allowed")
        assert rule in problem(job)


def test_media_may_come_from_the_prefixes_that_rows_may(
    world: World, elsewhere: str
) -> None:
    part = {
        "fileData": {"mimeType": "image/png", "fileUri": f"gs://{elsewhere}/rows/a.png"}
    }
    line = {"contents": [{"role": "user", "parts": [part]}]}

    (job,) = take(world, world.upload(json.dumps(line)))

    assert job.phase is Phase.SUBMITTED


def test_options_of_the_deployer_alone_are_refused_by_name(world: World) -> None:
    configs: tuple[dict[str, Any], ...] = (
        {"http_options": {"base_url": "http://theirs"}},
        {"credentials": "x"},
        {"labels": {"batchdrop_job": "x"}},
        {"backend": "developer"},
    )
    for config in configs:
        text = manifest(src=[json.loads(GOOD)], config=config)

        (job,) = take(world, world.upload(text, "x.job.json"))

        assert problem(job).startswith("bad_manifest")
        assert next(iter(config)) in problem(job)


@pytest.mark.proof
def test_a_missed_manifest_whose_file_is_being_read_is_taken_again_later(
    world: World,
) -> None:
    drop = world.upload(GOOD, "x.jsonl")
    manifest_drop = world.upload(manifest(), "x.job.json")
    world.choose(reconcile_every=60.0, missed_window=1e6)
    world.advance(timedelta(minutes=5))
    claim = Job.claimed(drop, "somebody", world.now(), world.timing)
    assert world.ledger.claim(claim) is not None

    world.ticks(2)  # no error: the manifest only waits
    assert world.job(manifest_drop).phase is Phase.ARRIVED

    world.ticks(12)
    job = world.job(drop)
    assert job.phase is Phase.SUBMITTED
    assert job.manifest == str(manifest_drop)
    assert is_attached(world, manifest_drop, job)


def test_routes_may_lie_in_a_bucket(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = world.settings.work.bucket
    world.upload('[[route]]\nmatch = "a/**"\n', "routes/1.toml", bucket=bucket)
    settings = replace(world.settings, routes=f"gs://{bucket}/routes/1.toml")
    monkeypatch.setattr(wiring, "settings", lambda: settings)
    monkeypatch.setattr(wiring, "storage", lambda: world.storage)
    wiring.routes.cache_clear()

    found = wiring.routes()

    wiring.routes.cache_clear()
    assert [route.match for route in found.routes] == [("a/**",)]


def test_prices_may_lie_in_a_bucket_and_are_those_of_the_list(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = world.settings.work.bucket
    text = msgspec.json.encode(Prices.load()).replace(b'"USD"', b'"EUR"')
    world.upload(text.decode(), "prices/1.json", bucket=bucket)
    world.upload("{}", "prices/2.json", bucket=bucket)
    monkeypatch.setattr(wiring, "storage", lambda: world.storage)

    def read(name: str) -> Prices:
        settings = replace(world.settings, prices=f"gs://{bucket}/prices/{name}")
        monkeypatch.setattr(wiring, "settings", lambda: settings)
        wiring.prices.cache_clear()
        return wiring.prices()

    assert read("1.json").currency == "EUR"
    with pytest.raises(BadSetting, match=r"prices/2\.json: not a price list"):
        read("2.json")
    with pytest.raises(BadSetting, match=r"prices/3\.json is not there"):
        read("3.json")
    wiring.prices.cache_clear()

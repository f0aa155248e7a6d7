"""`batchdrop drop` and `watch`: from a local file to its results, on real services."""

import json
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from batchdrop import wiring
from batchdrop.cli import following
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.values import Drop
from batchdrop.storage import Differs
from tests.cloud_storage import CloudStorage
from tests.reads import counted
from tests.there import there
from tests.worker.batches import submit
from tests.worker.collecting import questions
from tests.worker.commands import run
from tests.worker.world import World


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    return at_hand(world, monkeypatch)


@pytest.fixture
def untouched(lasting: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A deployment for all tests whose commands upload nothing."""
    return at_hand(lasting, monkeypatch)


def at_hand(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Lets commands find this deployment."""
    monkeypatch.setattr(wiring, "settings", lambda: world.settings)
    monkeypatch.setattr(wiring, "routes", lambda: world.routes)
    monkeypatch.setattr(wiring, "prices", lambda: world.prices)
    monkeypatch.setattr(wiring, "storage", lambda: world.storage)
    monkeypatch.setattr(wiring, "ledger", lambda: world.ledger)
    # Between two looks the deployment works: events arrive, and time goes by.
    monkeypatch.setattr(following, "sleep", lambda _: work(world))
    world.choose(results="on")
    return world


def work(world: World) -> None:
    for drop in dropped(world):
        if world.ledger.get(drop.job_id) is None:
            world.worker.take(drop)
            return
    world.ticks(1, every=timedelta(minutes=5))


def dropped(world: World) -> list[Drop]:
    return [drop for drop, _ in world.storage.objects(world.settings.inbox)]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    def write(text: str, name: str = "reviews.jsonl") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_one_command_brings_a_file_to_its_results(
    deployed: World, written: Callable[..., str], tmp_path: Path
) -> None:
    file, out = written(questions(3)), tmp_path / "results.jsonl"
    options = ("--to", "nightly", "--label", "team=search", "--label", "run=7")

    ran = run("drop", file, *options, "--wait", "-o", str(out))

    assert ran.exit_code == 0, ran.output
    [drop] = dropped(deployed)
    job = deployed.job(drop)
    assert drop.name == "nightly/reviews.jsonl"
    labels = there(job.spec).labels
    assert (labels["team"], labels["run"]) == ("search", "7")
    assert [json.loads(line)["outcome"] for line in out.read_text().splitlines()] == [
        "ok"
    ] * 3
    lines = ran.stdout.splitlines()
    assert any(line.endswith("nightly/reviews.jsonl: running 0/3") for line in lines)
    assert lines[-3].startswith("nightly/reviews.jsonl: 3 rows: 3 ok")
    assert lines[-2:] == [f"  {there(job.results).uri}", f"  {out}"]
    assert "3 rows are good" in ran.stderr
    assert "uploaded reviews.jsonl as nightly/reviews.jsonl: " in ran.stderr


def test_a_file_with_errors_is_dropped_only_if_told(
    deployed: World, written: Callable[..., str]
) -> None:
    bad = written("not json\n", "bad.jsonl")
    good = written(questions(2), "good.jsonl")

    refused = run("drop", bad, good)

    assert (refused.exit_code, dropped(deployed)) == (1, [])
    assert "bad.jsonl:1  not_json" in refused.stderr
    assert "1 of 2 files would be rejected, and none is uploaded" in refused.stderr
    assert "leave bad lines out" not in refused.stderr  # none would be left
    ran = run("drop", bad, "--anyway", "--wait", "--json")
    assert ran.exit_code == 1
    [end] = map(json.loads, ran.stdout.splitlines())
    assert (end["outcome"], end["error"]["code"]) == ("rejected", "bad_rows")


def test_a_file_with_some_good_lines_can_be_dropped_as_its_error_says(
    deployed: World, written: Callable[..., str]
) -> None:
    deployed.choose(results="on")
    mixed = written(f"not json\n{questions(2)}")

    refused = run("drop", mixed)
    advised = re.search(r"or leave bad lines out: (--metadata \S+);", refused.stderr)
    assert (refused.exit_code, dropped(deployed)) == (1, [])
    assert advised is not None
    assert "--anyway uploads them, to be rejected there" in refused.stderr
    ran = run("drop", mixed, *advised[1].split(), "--wait")

    [drop] = dropped(deployed)
    rows = deployed.job(drop).rows
    assert (ran.exit_code, rows.refused, rows.ok) == (3, 1, 2)


def test_lines_that_the_deployment_leaves_out_keep_no_file_back(
    deployed: World, written: Callable[..., str]
) -> None:
    deployed.choose(results="on", on_invalid="skip")

    ran = run("drop", written(questions(2) + "not json\n"), "--wait")

    assert ran.exit_code == 3, ran.output
    assert "3 rows: 2 ok, 1 refused" in ran.stdout


def test_a_file_that_has_only_lines_to_leave_out_is_kept_back(
    deployed: World, written: Callable[..., str]
) -> None:
    deployed.choose(on_invalid="skip")

    ran = run("drop", written("not json\n"))

    assert (ran.exit_code, dropped(deployed)) == (1, [])


def test_what_the_deployment_does_not_allow_is_refused_before_the_upload(
    deployed: World, written: Callable[..., str]
) -> None:
    deployed.choose(models=("gemini-3.8-flash",))

    ran = run("drop", written(questions(1)), "--model", "gemini-4-argon")

    assert (ran.exit_code, dropped(deployed)) == (1, [])
    assert "not_allowed" in ran.stderr


def test_an_object_that_is_there_is_replaced_only_if_told(
    deployed: World, written: Callable[..., str]
) -> None:
    file = written(questions(1))
    first = run("drop", file, "--json")

    again = run("drop", file)
    [before] = dropped(deployed)
    over = run("drop", file, "--overwrite", "--json")
    [after] = dropped(deployed)

    assert json.loads(first.stdout)["id"] == before.job_id
    assert again.exit_code == 1
    assert f"is there already, job {before.job_id}" in again.stderr
    assert json.loads(over.stdout)["id"] == after.job_id != before.job_id


def test_nothing_is_uploaded_if_one_of_the_objects_is_there(
    deployed: World, written: Callable[..., str]
) -> None:
    run("drop", file := written(questions(1)))
    before = dropped(deployed)

    ran = run("drop", written(questions(1), "another.jsonl"), file, "--wait")

    assert (ran.exit_code, dropped(deployed)) == (1, before)
    assert "nothing was uploaded" in ran.stderr


def test_what_a_terminal_would_obey_is_shown_escaped(
    deployed: World, written: Callable[..., str]
) -> None:
    ran = run("drop", written(questions(1)), "--to", "bell\x07")

    assert ran.exit_code == 0, ran.output
    assert "\x07" not in ran.output
    assert r"bell\x07/reviews.jsonl" in ran.stderr


def test_a_file_for_results_that_cannot_be_made_is_refused_before_the_upload(
    untouched: World, written: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    ran = run("drop", written(questions(1)), "--wait", "-o", "results.parquet")

    assert (ran.exit_code, dropped(untouched)) == (1, [])
    assert "batchdrop[parquet]" in ran.stderr


def test_results_that_cannot_be_fetched_leave_the_counts(
    deployed: World,
    written: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "results.jsonl"

    def work_and_take_the_place(_: float) -> None:
        work(deployed)
        out.touch()

    monkeypatch.setattr(following, "sleep", work_and_take_the_place)

    ran = run("drop", written(questions(1)), "--wait", "-o", str(out))

    assert (ran.exit_code, out.read_text()) == (1, "")
    assert "reviews.jsonl: 1 row: 1 ok" in ran.stdout
    assert f"{out} exists already" in ran.stderr


def test_an_upload_replaces_the_generation_that_it_was_told_and_no_other(
    deployed: World, tmp_path: Path
) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text("mine\n")
    uri = f"gs://{deployed.settings.inbox}/x.jsonl"
    theirs = deployed.upload("theirs\n", "x.jsonl")

    for generation in (0, 1):
        with pytest.raises(Differs), file.open("rb") as opened:
            deployed.storage.upload(uri, opened, 5, metadata={}, replaces=generation)

    assert dropped(deployed) == [theirs]


def test_an_upload_whose_answer_is_lost_makes_one_generation(
    deployed: World, written: Callable[..., str], cloud: CloudStorage
) -> None:
    cloud.loses = 1

    ran = run("drop", written(questions(1)), "--json")

    [drop] = dropped(deployed)
    assert (ran.exit_code, cloud.loses) == (0, 0)
    assert json.loads(ran.stdout)["id"] == drop.job_id


def test_a_manifest_is_dropped_with_its_file(
    deployed: World, written: Callable[..., str]
) -> None:
    manifest = written('{"config":{"labels":{"team":"search"}}}', "reviews.job.json")

    ran = run("drop", written(questions(1)), manifest, "--wait")

    assert ran.exit_code == 0, ran.output
    names = {drop.name: deployed.job(drop) for drop in dropped(deployed)}
    assert there(names["reviews.jsonl"].spec).labels["team"] == "search"
    assert names["reviews.job.json"].phase is Phase.ATTACHED


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a.json",), "drop it as a.jsonl"),
        (("a.jsonl", "sub/a.jsonl"), "would both become a.jsonl"),
        (("a.jsonl", "--to", "gs://inbox/x/"), "write the folder alone"),
        (("a.jsonl", "-o", "x"), "-o needs --wait and one FILE"),
        (("a.jsonl", "--wait", "-o", "a.json"), "exists already"),
        (("a.jsonl", "--wait", "-o", "no/r.jsonl"), "there is no folder no"),
        (("a.jsonl", "--label", "team=a,b"), "a label has no comma"),
        (("a.jsonl", "--to", "\udcff"), "the name is no UTF-8"),
        (("a.jsonl", "--to", "x\ny"), "has no line breaks"),
        (("a.jsonl", "--to", "x" * 1024), "at most 1,024 bytes, not 1,032"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(
    untouched: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("a.json", "a.jsonl", "sub/a.jsonl"):
        (tmp_path / name).write_text(questions(1))

    ran = run("drop", *arguments)

    assert (ran.exit_code, dropped(untouched)) == (2, [])
    assert says in ran.stderr


def test_ctrl_c_says_that_the_job_goes_on(
    deployed: World, written: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following, "sleep", stop)

    ran = run("drop", written(questions(1)), "--wait")

    [drop] = dropped(deployed)
    assert ran.exit_code == 130
    short = drop.job_id[:10]
    assert f"the job continues; follow with `batchdrop watch {short}`" in ran.stderr


def test_a_file_whose_event_does_not_come_is_pointed_out(
    deployed: World, written: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LATE", -1)

    ran = run("drop", written(questions(1)), "--wait")

    assert ran.exit_code == 0
    assert ran.stderr.count("no job was made of reviews.jsonl yet") == 1


def test_watch_follows_open_jobs_and_those_that_come(deployed: World) -> None:
    first = submit(deployed, "first.jsonl")
    deployed.upload(questions(2), "second.jsonl")

    ran = run("watch", "--json")

    seen = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.exit_code == 0, ran.output
    ends = {one["id"]: one["state"] for one in seen}
    assert ends == dict.fromkeys([first.id, *ends], "succeeded")
    assert len(ends) == 2


def test_watch_reads_a_job_that_is_done_no_more(deployed: World) -> None:
    done = submit(deployed, "done.jsonl")
    deployed.until_ended()
    looks = []

    def look(jobs: object, names: object) -> None:
        looks.append(counts["reads"])

    with counted() as counts:
        following.follow(deployed.ledger, {done.id: "done.jsonl"}, look, every=0)
        open = deployed.upload(questions(1), "open.jsonl")
        names = {done.id: "done.jsonl", open.job_id: "open.jsonl"}
        before = counts["reads"]
        following.follow(deployed.ledger, names, look, every=0)

    # The second look at both reads one document.
    assert looks[0] == 1
    assert looks[1] - before == 2


def test_watch_needs_a_job_that_is_there(untouched: World) -> None:
    ran = run("watch", "a" * 26)

    assert (ran.exit_code, ran.stderr) == (1, f"Error: there is no job {'a' * 26}\n")
    none = run("watch")
    assert none.exit_code == 0
    assert none.stdout == "no job is open; see all with `batchdrop jobs`\n"

"""`batchdrop results`: the results of a job in a file, or why there are none."""

import csv
import json
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from batchdrop import wiring
from batchdrop.cli import main
from batchdrop.cli.results import _harmless
from batchdrop.jobs.job import Job
from batchdrop.stored import split_uri
from tests.there import there
from tests.worker.collecting import collected, ended, lines, question, submit
from tests.worker.world import GOOD, World


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def deployed(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    return at_hand(world, monkeypatch)


def at_hand(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Lets commands find this deployment."""
    monkeypatch.setattr(wiring, "storage", lambda: world.storage)
    monkeypatch.setattr(wiring, "ledger", lambda: world.ledger)
    return world


@pytest.fixture(scope="module")
def only_job(lasting: World) -> Job:
    """A job of four rows, of which one was refused, with keys and columns."""
    text = lines(
        [
            question(1, key="007", region="eu", stars=1),
            question(2, key="008", region="us", stars=2.5),
            "no request",
            question(4, key="009", stars=4),
        ]
    )
    drop = submit(lasting, text, on_invalid="skip")
    return collected(lasting, drop)


@pytest.fixture
def job(lasting: World, only_job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """The same, with its deployment at hand."""
    at_hand(lasting, monkeypatch)
    return only_job


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["results", *arguments])


def test_results_are_written_as_they_are(lasting: World, job: Job) -> None:
    stored = b"".join(lasting.storage.chunks(there(job.results).uri))

    assert run(job.id).stdout_bytes == stored
    assert run(job.id, "--json").stdout_bytes == stored
    ran = run(job.id, "-o", "results.jsonl")

    assert (ran.exit_code, ran.output) == (
        0,
        "results.jsonl: 4 rows: 3 ok, 1 refused\n",
    )
    assert Path("results.jsonl").read_bytes() == stored


def test_a_file_has_the_format_that_its_name_ends_with(job: Job) -> None:
    assert run(job.id, "-o", "r.CSV").exit_code == 0
    assert run(job.id, "-o", "r.parquet").exit_code == 0

    with Path("r.CSV").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == ["007", "008", "", "009"]
    assert [row["region"] for row in rows] == ["eu", "us", "", ""]
    assert [row["stars"] for row in rows] == ["1", "2.5", "", "4"]
    table = pyarrow.parquet.read_table("r.parquet")
    assert table.column("stars").to_pylist() == [1.0, 2.5, None, 4.0]
    assert table.column("outcome").to_pylist() == ["ok", "ok", "refused", "ok"]


def test_some_rows_and_columns_may_be_written_alone(job: Job) -> None:
    ran = run(job.id, "--only", "refused,failed", "--columns", "line,outcome,region")

    assert ran.output == '{"line":3,"outcome":"refused"}\n'
    assert ran.stderr == ""
    told = run(job.id, "--only", "ok", "-o", "ok.csv", "--columns", "key", "--json")
    assert json.loads(told.output) == {
        "file": "ok.csv",
        "format": "csv",
        "results": 3,
        "outcomes": {"ok": 3},
    }
    assert Path("ok.csv").read_bytes() == b"key\r\n007\r\n008\r\n009\r\n"


def test_a_column_that_no_row_has_is_pointed_out(job: Job) -> None:
    ran = run(job.id, "--columns", "line,stars,error_mesage,columns")

    assert ran.exit_code == 0
    assert ran.stderr == "no row has a column error_mesage\n"


def test_an_outcome_that_does_not_exist_is_refused_with_those_that_do(
    job: Job,
) -> None:
    ran = run(job.id, "--only", "faild")

    assert ran.exit_code == 2
    assert "'faild' is none of refused, missing, failed, blocked" in ran.output


def test_a_file_that_exists_is_left_alone(job: Job) -> None:
    Path("mine.csv").write_text("mine")

    ran = run(job.id, "-o", "mine.csv")

    assert ran.exit_code == 1
    assert ran.output == "Error: mine.csv exists already; choose another name\n"
    assert Path("mine.csv").read_text() == "mine"


def test_parquet_without_pyarrow_names_its_extra(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    ran = run(job.id, "-o", "r.parquet")

    assert ran.exit_code == 1
    assert "pip install 'batchdrop[parquet]'" in ran.output
    assert not Path("r.parquet").exists()


def test_results_that_were_replaced_since_are_not_written(deployed: World) -> None:
    job = collected(deployed, submit(deployed))
    bucket, name = split_uri(there(job.results).uri)
    deployed.gcs.bucket(bucket).blob(name).upload_from_string(b"{}\n")

    ran = run(job.id, "-o", "r.jsonl")

    assert ran.exit_code == 1
    assert "was overwritten or deleted" in ran.output
    assert not Path("r.jsonl").exists()


def test_bytes_with_another_checksum_are_no_results(
    lasting: World, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = b"".join(lasting.storage.chunks(there(job.results).uri))
    broken = stored.replace(b"eu", b"us")
    monkeypatch.setattr(lasting.storage, "read", lambda _: iter([broken]))

    ran = run(job.id, "-o", "r.jsonl")

    assert ran.exit_code == 1
    assert "it arrived with another checksum; try again" in ran.output
    assert not Path("r.jsonl").exists()


def test_a_job_without_results_says_why(deployed: World) -> None:
    running = submit(deployed)
    rejected = deployed.upload("nope\n", "bad.jsonl")
    manifest = deployed.upload('{"model": null}', "beside.job.json")
    for drop in (rejected, manifest):
        deployed.worker.take(drop)

    def why(id: str) -> str:
        ran = run(id)
        assert ran.exit_code == 1
        return ran.output.removeprefix(f"Error: job {id} has no results: ")

    assert why(running.job_id).startswith("it has not ended (")
    assert why(rejected.job_id).startswith("no batch was made of it: bad_rows: line 1")
    assert why(manifest.job_id).startswith("it is a manifest")
    assert "there is no job nosuchjob" in run("nosuchjob").output


def test_a_job_that_is_being_collected_has_no_results_yet(deployed: World) -> None:
    drop = submit(deployed)
    ended(deployed, drop)

    assert "its answers are being collected" in run(drop.job_id).output


def test_a_job_without_results_names_the_apis_answers(deployed: World) -> None:
    drop = submit(deployed, GOOD, results="off")
    job = ended(deployed, drop)

    assert f"answers are in {there(job.batch).output_directory}" in run(job.id).output


def test_what_a_terminal_would_obey_is_written_in_words() -> None:
    assert _harmless("a\x1b[2J\r\n\x9b\u202eb\rc".encode()) == (
        rb"a\x1b[2J" + b"\n" + rb"\x9b\u202eb\rc"
    )

"""`batchdrop check` beside a deployment: what its jobs have cost corrects the next."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from batchdrop import wiring
from batchdrop.cli import main
from batchdrop.cli.past import Past
from batchdrop.errors import Unavailable
from batchdrop.jobs.costs import RoundCost
from batchdrop.jobs.values import Cost
from batchdrop.ledger.documents import encode
from batchdrop.preflight import MODEL
from tests.worker.office import Office
from tests.worker.test_cost_report import COST

ENVIRONMENT = {
    "PROJECT": "p",
    "LOCATION": "global",
    "MODEL": MODEL,
    "INBOX": "inbox",
    "WORK": "gs://work/",
    "OUTPUT": "gs://output/",
    "TOPIC": "topic",
    "WORK_TOPIC": "work",
}


@pytest.fixture
def keep(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> Callable[[RoundCost], None]:
    """Writes what a job of the deployment has cost."""
    for name, text in ENVIRONMENT.items():
        monkeypatch.setenv(f"BATCHDROP_{name}", text)
    monkeypatch.setattr(wiring, "costs", lambda: office.ledger)

    def keep(cost: RoundCost) -> None:
        office.database.collection("costs").document(cost.job).set(encode(cost))

    return keep


def check(tmp_path: Path, *arguments: str) -> Result:
    file = tmp_path / "in.jsonl"
    row = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    file.write_text(f"{json.dumps(row)}\n" * 10_000)
    return CliRunner().invoke(main, ["check", str(file), *arguments])


def test_an_estimate_is_corrected_by_the_latest_jobs_of_the_model(
    tmp_path: Path, keep: Callable[[RoundCost], None]
) -> None:
    of_model = replace(COST, model=MODEL)
    keep(replace(of_model, job="a", micros=50, estimated=100))
    keep(replace(of_model, job="b", micros=100, estimated=100))
    keep(replace(COST, job="c", model="another", micros=1000, estimated=1))
    keep(replace(of_model, job="d", backend="developer", micros=1000, estimated=1))
    keep(replace(of_model, job="e", compared=False, estimated=0))
    keep(replace(of_model, job="f", currency="EUR", micros=1000, estimated=1))

    last = check(tmp_path).output.splitlines()[-1]
    found = json.loads(check(tmp_path, "--json").output)["estimate"]

    assert last.startswith("the last 2 jobs have cost 0.75 times the estimate: by that")
    micros = found["cost"]["micros"]
    assert found["past"] == {
        "jobs": 2,
        "ratio": 0.75,
        "micros": round(micros * 3 / 4),
    }


def test_an_older_job_than_the_latest_hundred_counts_no_more(office: Office) -> None:
    batch, costs = office.database.batch(), office.database.collection("costs")
    for n in range(102):
        day = datetime(2025, 1, 1, tzinfo=UTC).replace(
            month=1 + n // 25, day=1 + n % 25
        )
        cost = replace(COST, job=f"{n}", day=f"{day:%Y-%m-%d}", micros=n)
        batch.set(costs.document(cost.job), encode(cost))
    batch.commit()

    found = office.ledger.compared_costs("vertex", "flash", 100)

    assert [one.micros for one in found] == [*range(101, 1, -1)]


def test_a_deployment_without_a_past_changes_nothing(
    tmp_path: Path, keep: Callable[[RoundCost], None]
) -> None:
    assert "times the estimate" not in check(tmp_path).output
    assert "past" not in json.loads(check(tmp_path, "--json").output)["estimate"]


def test_a_past_that_cant_be_read_is_no_error(
    tmp_path: Path,
    keep: Callable[[RoundCost], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent() -> None:
        raise Unavailable("no answer")

    monkeypatch.setattr(wiring, "costs", silent)

    result = check(tmp_path)

    assert result.exit_code == 0
    assert result.output.endswith("have cost before can't be read: no answer\n")


def test_a_corrected_cost_is_rounded_to_a_whole_millionth() -> None:
    past = Past(jobs=1, micros=2, estimated=3)
    cost = Cost(micros=10, currency="USD", prices_as_of="2026-11-28")

    assert past.corrected(cost) == replace(cost, micros=7)  # 6.67

"""`batchdrop prices`: the list, how old it is, and what it rests on."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batchdrop.cli import main
from batchdrop.pricing import Prices

LIST: dict[str, Any] = {
    "as_of": "2026-01-01",
    "currency": "EUR",
    "sources": {
        "page": {"what": "the published page", "read": "2025-12-31"},
        "contract": {"what": "our contract", "read": "2025-12-01"},
        "rumour": {"what": "somebody", "read": "2025-01-01"},
    },
    "aliases": {"newest": "pro"},
    "prices": [
        {
            "models": ["pro"],
            "until": "2026-06-30",
            "input": 1,
            "output": 2.5,
            "long": {"above": 200000, "input": 2, "output": 5},
            "elsewhere": 1.1,
            "sources": ["page", "contract"],
            "note": "The page has 2.6 too.",
        },
        {
            "models": ["lite", "lite-audio"],
            "backend": "developer",
            "from": "2026-02-01",
            "input": 0.05,
            "input_audio": 0.1,
            "sources": ["contract"],
        },
    ],
}


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A price list, which the environment names."""
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(LIST))
    monkeypatch.setenv("BATCHDROP_PRICES", str(file))
    return file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["prices", *arguments])


def rows(result: Result) -> list[list[str]]:
    """The cells of the table, without empty ones."""
    table = result.stdout.partition("─")[2].partition("\n\n")[0]
    found = [line.split("  ") for line in table.splitlines()[1:] if line.strip()]
    return [[cell.strip() for cell in row if cell.strip()] for row in found]


def test_a_tier_is_a_row_with_its_days_and_its_sources(prices: Path) -> None:
    pro, long, lite = rows(run())[:3]

    assert pro == [
        *("pro", "both", "2026-06-30", "to 200,000", "1", "2.5", "1.1"),
        "page, contract",
    ]
    assert long[3:6] == ["over 200,000", "2", "5"]
    assert lite == [
        *("lite, lite-audio", "developer", "2026-02-01", "any", "0.05"),
        *("input audio 0.1", "contract alone"),
    ]


def test_the_list_says_how_old_it_is_and_what_its_sources_are(prices: Path) -> None:
    age = (datetime.now(UTC).date() - datetime(2026, 1, 1, tzinfo=UTC).date()).days

    told = run().stdout

    assert f"batch prices of 2026-01-01, {age:,} days old, in EUR for a" in told
    assert "contract: our contract, read 2025-12-01" in told
    assert "pro (both): The page has 2.6 too." in told
    assert "somebody" not in told


def test_models_are_chosen_by_a_part_of_their_names(prices: Path) -> None:
    told = run("audio")

    assert [row[0] for row in rows(told)] == ["lite, lite-audio"]
    assert "the published page" not in told.stdout
    none = run("x", "y")
    assert none.exit_code == 1
    assert "no model of the list has x or y in its name" in none.stderr


def test_json_has_the_age_and_a_list_that_can_be_kept(prices: Path) -> None:
    told = json.loads(run("pro", "--json").stdout)

    kept = Prices.load(json.dumps(told["list"]).encode())
    assert [entry.models for entry in kept.prices] == [("pro",)]
    assert kept.aliases == {"newest": "pro"}
    assert told["age_days"] > 300
    assert told["one_source"] == []
    assert json.loads(run("--json").stdout)["one_source"] == ["lite", "lite-audio"]


def test_a_list_that_is_none_is_an_error(prices: Path) -> None:
    prices.write_text("{}")

    told = run()

    assert told.exit_code == 1
    assert f"{prices}: not a price list: " in told.stderr


def test_the_built_in_list_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BATCHDROP_PRICES", raising=False)

    told = run("gemini-4-argon")

    assert told.exit_code == 0
    assert "2026-12-01" in told.stdout
    assert "Google's own price pages weren't readable" in told.stdout

"""`batchdrop routes`: for people who write routes, with a deployment and without."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from batchdrop.cli import main
from tests.rules.test_settings import ENOUGH

GOOD = """
[[route]]
match = "translations/**"
name = "nightly"
model = "gemini-4-argon"
labels = {team = "search"}

[[route]]
match = "a/*"
destination = "gs://elsewhere/x"
"""


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    runner = CliRunner(env=dict.fromkeys(ENOUGH) | (env or {}))
    return runner.invoke(main, ["routes", *arguments])


@pytest.fixture
def good(tmp_path: Path) -> str:
    file = tmp_path / "routes.toml"
    file.write_text(GOOD)
    return str(file)


def shown(result: Result) -> dict[str, tuple[str, str]]:
    """The table's rows: what, value and from."""
    cells = (
        [c.strip() for c in line.split("  ") if c.strip()]
        for line in result.stdout.splitlines()
    )
    return {row[0]: (row[1], row[2]) for row in cells if len(row) == 3}


def test_good_routes_are_counted_without_a_deployment(good: str) -> None:
    result = run("check", good)

    assert result.exit_code == 0
    assert result.stdout == f"{good}: 2 routes, and all of it good\n"


def test_a_retired_model_is_warned_of_and_no_error(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        '[[route]]\nmatch = "a"\nmodel = "gemini-2.5-pro"\n'
        '[[route]]\nmatch = "b"\nmodel = "gemini-3.5-flash"\n'
        '[[route]]\nmatch = "c"\nbackend = "developer"\nmodel = "gemini-3.5-flash"\n'
    )
    env = {
        "BATCHDROP_MODEL": "gemini-2.5-flash",
        "BATCHDROP_MODELS": "gemini-2.0-flash",
        "GEMINI_API_KEY": "key",
    }

    result = run("check", str(file), env=env)

    assert result.exit_code == 0
    assert [line.partition(" on")[0] for line in result.stdout.splitlines()[1:]] == [
        "warning: BATCHDROP_MODEL: gemini-2.5-flash: Vertex AI refuses it from "
        "2026-10-20",
        "warning: BATCHDROP_MODELS: gemini-2.0-flash: Vertex AI refuses it from "
        "2026-06-01",
        f'warning: {file}: [[route]] 1 ("a"): model: gemini-2.5-pro: Vertex AI '
        "refuses it from 2026-10-20",
        f'warning: {file}: [[route]] 3 ("c"): model: gemini-3.5-flash: the Gemini '
        "Developer API answers it with gemini-3.6-flash from 2026-10-08",
    ]


def test_an_explanation_warns_of_a_retired_model() -> None:
    chosen = ("explain", "b.jsonl", "--metadata", "batchdrop-model=gemini-2.5-pro")
    env = ENOUGH | {"BATCHDROP_MODELS": "gemini-2.5-pro"}

    result, told = run(*chosen, env=env), run(*chosen, "--json", env=env)

    assert result.exit_code == 0
    assert "warning: gemini-2.5-pro: Vertex AI refuses it from 2026-10-20" in (
        result.stderr
    )
    assert "2026-10-20" in json.loads(told.stdout)["warnings"][0]
    assert json.loads(run("explain", "b.jsonl", "--json").stdout)["warnings"] == []


def test_all_errors_are_told_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[[route]]\nmatch = "a"\nfix = 1\nkind = "x"\n[[route]]\n')

    result = run("check", str(file))

    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split(": ")[1:3] for line in lines] == [
        ['[[route]] 1 ("a")', "fix"],
        ['[[route]] 1 ("a")', "kind"],
        ["[[route]] 2 ()", 'match is missing; write match = "folder/**"'],
    ]
    assert all(line.startswith(f"{file}: ") for line in lines)


def test_what_the_environment_says_is_taken_into_account(good: str) -> None:
    result = run("check", good, env={"BATCHDROP_INBOX": "elsewhere"})

    assert result.exit_code == 1
    assert "lies in the bucket of BATCHDROP_INBOX" in result.stdout


def test_a_wrong_setting_is_told(good: str) -> None:
    result = run("check", good, env={"BATCHDROP_LEASE": "x"})

    assert result.exit_code == 1
    assert "BATCHDROP_LEASE is 'x'" in result.stderr


def test_an_explanation_says_who_chose_each_value(good: str) -> None:
    result = run(
        "explain",
        "translations/de/x.jsonl",
        *("--file", good, "--metadata", "batchdrop-labels=run=7"),
        env=ENOUGH,
    )

    rows = shown(result)
    assert result.exit_code == 0
    assert rows["model"] == ("gemini-4-argon", "route nightly")
    assert rows["labels"] == (
        "team=search, run=7",
        "team: route nightly, run: metadata batchdrop-labels",
    )
    assert rows["destination"] == ("gs://output/results/", "BATCHDROP_OUTPUT")
    assert rows["location"] == ("us-central1", "BATCHDROP_LOCATION")


def test_what_is_not_set_is_told_only_where_it_matters() -> None:
    model = ("--metadata", "batchdrop-model=gemini-4-argon")
    wrong = ("--metadata", "batchdrop-fix=maybe")

    assert "BATCHDROP_MODEL" in run("explain", "b.jsonl", *model).stderr
    assert "are not set" in run("explain", "b.jsonl", *model).stderr
    assert "are not set" not in run("explain", "b.jsonl", *wrong).stderr


def test_what_only_a_deployment_can_say_is_told_as_not_set(good: str) -> None:
    table = shown(run("explain", "b.jsonl", "--file", good))
    told = json.loads(run("explain", "b.jsonl", "--file", good, "--json").stdout)

    assert table["model"] == ("BATCHDROP_MODEL is not set", "BATCHDROP_MODEL")
    assert table["kind"] == ("BATCHDROP_MODEL is not set", "the model")
    assert table["destination"][0] == "BATCHDROP_OUTPUT is not set"
    assert table["sources"][0] == "BATCHDROP_INBOX is not set"
    assert table["on_invalid"] == ("reject", "default")
    assert told["spec"]["model"] is None
    assert told["sources"] is None
    assert told["spec"]["on_invalid"] == "reject"
    assert "not-set" not in json.dumps(told)
    assert told["not_set"] == [
        "BATCHDROP_INBOX",
        "BATCHDROP_LOCATION",
        "BATCHDROP_MODEL",
        "BATCHDROP_OUTPUT",
    ]


def test_the_deployments_own_routes_are_taken(good: str) -> None:
    result = run(
        "explain", "a/x.jsonl", "--json", env=ENOUGH | {"BATCHDROP_ROUTES": good}
    )

    told = json.loads(result.stdout)
    assert told["route"] == "route 2 (a/*)"
    assert told["spec"]["destination"] == "gs://elsewhere/x/"
    assert told["spec_from"]["destination"] == "route 2 (a/*)"
    assert told["sources"] == ["gs://inbox/"]


def test_routes_in_a_bucket_are_to_be_fetched_first() -> None:
    result = run(
        "explain", "a.jsonl", env={"BATCHDROP_ROUTES": "gs://work/routes.toml"}
    )

    assert result.exit_code == 2
    assert "gs://work/routes.toml: fetch it" in result.stderr


def test_a_manifest_is_read_with_it(tmp_path: Path) -> None:
    file = tmp_path / "any.json"
    file.write_text('{"config": {"fix": true}}')

    result = run("explain", "a/x.jsonl", "--manifest", str(file))

    assert shown(result)["fix"] == ("true", "manifest a/x.job.json")


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (
            "batchdrop-model=gemini-9",
            "not_allowed: the model (metadata batchdrop-model)",
        ),
        (
            "batchdrop-modle=x",
            "bad_metadata: a key that begins with batchdrop-: unknown",
        ),
    ],
)
def test_a_choice_that_would_be_refused_ends_with_1(metadata: str, says: str) -> None:
    result = run("explain", "a.jsonl", "--metadata", metadata, env=ENOUGH)

    assert result.exit_code == 1
    assert says in result.stderr


def test_a_manifest_that_would_be_refused_ends_with_1(tmp_path: Path) -> None:
    file = tmp_path / "x.job.json"
    file.write_text("{}x")

    result = run("explain", "x.jsonl", "--manifest", str(file))

    assert result.exit_code == 1
    assert "bad_manifest: no JSON" in result.stderr


def test_metadata_without_a_value_is_refused() -> None:
    result = run("explain", "a.jsonl", "--metadata", "batchdrop-model")

    assert result.exit_code == 2
    assert "it must be NAME=VALUE" in result.stderr


def test_an_object_that_is_ignored_has_no_choice() -> None:
    result = run("explain", "notes.txt", env=ENOUGH)

    assert result.exit_code == 1
    assert "notes.txt is ignored: its name doesn't end in .jsonl" in result.stderr


def test_a_manifest_that_is_a_job_by_itself_says_nothing_of_another(
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.job.json"
    file.write_text('{"src": "gs://inbox/a.jsonl", "model": "gemini-4-argon"}')

    beside = run("explain", "x.jsonl", "--manifest", str(file), env=ENOUGH)
    itself = run("explain", "x.job.json", "--manifest", str(file), env=ENOUGH)

    assert beside.exit_code == 2
    assert "has a src, and is a job by itself" in beside.stderr
    assert itself.exit_code != 2

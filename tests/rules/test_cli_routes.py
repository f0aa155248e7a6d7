"""`batchdrop routes`: routes checked, and choices explained."""

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
    assert result.stdout == f"{good}: 2 routes, no errors\n"


def test_a_retired_model_causes_a_warning(tmp_path: Path) -> None:
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
    assert json.loads(run(*chosen[:2], "--json", env=env).stdout)["warnings"] == []


def test_each_error_has_a_line(tmp_path: Path) -> None:
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


def test_a_check_takes_the_environments_settings_into_account(good: str) -> None:
    result = run("check", good, env={"BATCHDROP_INBOX": "elsewhere"})

    assert result.exit_code == 1
    assert "lies in the bucket of BATCHDROP_INBOX" in result.stdout


def test_a_wrong_setting_is_named(good: str) -> None:
    result = run("check", good, env={"BATCHDROP_LEASE": "x"})

    assert result.exit_code == 1
    assert "BATCHDROP_LEASE: got 'x'" in result.stderr


def test_an_explanation_names_the_origin_of_each_value(good: str) -> None:
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


def test_an_explanation_without_a_deployment_names_what_is_missing() -> None:
    nothing = run("explain", "b.jsonl")
    no_inbox = run("explain", "b.jsonl", env=ENOUGH | {"BATCHDROP_INBOX": ""})

    assert (nothing.exit_code, no_inbox.exit_code) == (1, 1)
    assert all(name in nothing.stderr for name in ENOUGH if name != "GEMINI_API_KEY")
    assert "are not set; set what the deployment has" in nothing.stderr
    assert no_inbox.stderr.startswith("Error: BATCHDROP_INBOX is not set; set what")
    assert nothing.stdout + no_inbox.stdout == ""


def test_a_deployments_settings_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "deployment.env"
    lines = [f"{name}={value}" for name, value in ENOUGH.items()]
    lines += [
        "# a comment",
        "BATCHDROP_RETRY_ON=blocked,empty",
        "export BATCHDROP_LABELS='team=search,run=a b=c'",
    ]
    file.write_text("\n".join(lines))
    env = {"BATCHDROP_MODEL": "gemini-of-another-deployment"}

    bad = run("explain", "b.jsonl", "--env-file", str(file), env=env)
    file.write_text("\n".join(lines).replace(",run=a b=c", ""))
    rows = shown(run("explain", "b.jsonl", "--env-file", str(file), env=env))

    assert bad.exit_code == 1
    assert "BATCHDROP_LABELS" in bad.stderr
    assert rows["model"] == (ENOUGH["BATCHDROP_MODEL"], "BATCHDROP_MODEL")
    assert rows["labels"] == ("team=search", "team: BATCHDROP_LABELS")
    assert rows["on_invalid"] == ("reject", "default")
    assert rows["retry_on"] == ("blocked,empty", "BATCHDROP_RETRY_ON")


def test_a_file_of_settings_that_lacks_one_names_it(tmp_path: Path) -> None:
    file = tmp_path / "deployment.env"
    file.write_text(
        "\n".join(f"{n}={v}" for n, v in ENOUGH.items() if "INBOX" not in n)
    )

    ran = run("explain", "b.jsonl", "--env-file", str(file), env=ENOUGH)

    assert ran.exit_code == 1
    assert f"BATCHDROP_INBOX is not set in {file}" in ran.stderr


@pytest.mark.parametrize("line", ["BATCHDROP_MODEL", "A=b c", "=x", "A='b"])
def test_a_line_that_is_no_setting_is_named_by_its_number(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "deployment.env"
    file.write_text(f"A=1\n{line}\n")

    ran = run("explain", "b.jsonl", "--env-file", str(file))

    assert ran.exit_code == 2
    assert f"{file}: line 2: " in " ".join(ran.stderr.split())


def test_the_deployments_own_routes_are_taken(good: str) -> None:
    result = run(
        "explain", "a/x.jsonl", "--json", env=ENOUGH | {"BATCHDROP_ROUTES": good}
    )

    told = json.loads(result.stdout)
    assert told["route"] == "route 2 (a/*)"
    assert told["spec"]["destination"] == "gs://elsewhere/x/"
    assert told["spec_from"]["destination"] == "route 2 (a/*)"
    assert told["sources"] == ["gs://inbox/"]


def test_routes_in_a_bucket_must_be_fetched_first() -> None:
    result = run(
        "explain",
        "a.jsonl",
        env=ENOUGH | {"BATCHDROP_ROUTES": "gs://work/routes.toml"},
    )

    assert result.exit_code == 2
    assert "gs://work/routes.toml: fetch it" in result.stderr


def test_an_address_in_the_inbox_is_the_object_of_that_name(good: str) -> None:
    arguments = "--file", good, "--json"
    inbox = ENOUGH["BATCHDROP_INBOX"]

    by_name = run("explain", "batch/a.jsonl", *arguments, env=ENOUGH)
    address = f"gs://{inbox}/batch/a.jsonl"
    by_address = run("explain", address, *arguments, env=ENOUGH)
    elsewhere = run("explain", "gs://other/a.jsonl", *arguments, env=ENOUGH)

    assert json.loads(by_name.stdout) == json.loads(by_address.stdout)
    assert elsewhere.exit_code == 1
    assert f"gs://other is not the inbox, which is gs://{inbox}" in elsewhere.stderr


def test_metadata_without_its_prefix_is_warned_of() -> None:
    result = run("explain", "a.jsonl", "--metadata", "Max_Cost=5", env=ENOUGH)

    assert result.exit_code == 0
    assert "warning: Max_Cost is metadata of your own" in result.stderr
    assert "write batchdrop-max-cost" in result.stderr


def test_a_manifest_is_read_with_it(tmp_path: Path) -> None:
    file = tmp_path / "any.json"
    file.write_text('{"config": {"fix": true}}')

    result = run("explain", "a/x.jsonl", "--manifest", str(file), env=ENOUGH)

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
def test_a_choice_that_would_be_rejected_ends_with_1(metadata: str, says: str) -> None:
    result = run("explain", "a.jsonl", "--metadata", metadata, env=ENOUGH)

    assert result.exit_code == 1
    assert says in result.stderr


def test_a_manifest_that_would_be_rejected_ends_with_1(tmp_path: Path) -> None:
    file = tmp_path / "x.job.json"
    file.write_text("{}x")

    result = run("explain", "x.jsonl", "--manifest", str(file), env=ENOUGH)

    assert result.exit_code == 1
    assert "bad_manifest: no JSON" in result.stderr


def test_metadata_without_a_value_is_refused() -> None:
    result = run("explain", "a.jsonl", "--metadata", "batchdrop-model")

    assert result.exit_code == 2
    assert "it must be NAME=VALUE" in result.stderr


def test_nothing_is_chosen_for_an_ignored_object() -> None:
    result = run("explain", "notes.txt", env=ENOUGH)

    assert result.exit_code == 1
    assert "notes.txt is ignored: the name doesn't end in .jsonl" in result.stderr


def test_a_manifest_that_is_a_job_by_itself_chooses_nothing_for_another(
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.job.json"
    file.write_text('{"src": "gs://inbox/a.jsonl", "model": "gemini-4-argon"}')

    beside = run("explain", "x.jsonl", "--manifest", str(file), env=ENOUGH)
    itself = run("explain", "x.job.json", "--manifest", str(file), env=ENOUGH)

    assert beside.exit_code == 2
    assert "has a src, and is a job by itself" in beside.stderr
    assert itself.exit_code != 2

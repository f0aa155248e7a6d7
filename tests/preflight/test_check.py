"""`batchdrop check`: the same rules, before anything is dropped."""

import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from batchdrop.cli import main
from batchdrop.preflight.excerpts import excerpt, span
from batchdrop.preflight.lines import LINE_LIMIT
from batchdrop.pricing import Prices
from batchdrop.rows import RowError
from tests.cloud_storage import cloud_storage
from tests.preflight.reading import GOOD, file, good, row_errors

ROOT = Path(__file__).parents[2]
AS_OF = Prices.load().as_of
BAD = {"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command on a file of these lines, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL", "BACKEND", "LOCATION", "PRICES", "GENERATION_CONFIG"):
        monkeypatch.delenv(f"BATCHDROP_{name}", raising=False)

    def check(text: bytes, *arguments: str) -> Result:
        Path("in.jsonl").write_bytes(text)
        return CliRunner().invoke(main, ["check", "in.jsonl", *arguments])

    return check


def report(result: Result) -> dict[str, Any]:
    return dict(json.loads(result.stdout))


def test_a_good_file_ends_well_and_is_estimated(run: Run) -> None:
    done = run(file(*[GOOD] * 2000), "--json")

    assert done.exit_code == 0
    assert report(done)["rows"] == 2000
    assert report(done)["errors"] == []
    estimate = report(done)["estimate"]
    assert estimate["rows"] == 2000
    # "hi" is one token
    assert estimate["tokens"]["prompt"] == pytest.approx(2000, rel=0.02)
    assert estimate["parts"] == 1
    assert estimate["bytes"] > 2000 * len(json.dumps(GOOD))


def test_errors_are_listed_and_end_it_with_1(run: Run) -> None:
    done = run(file(GOOD, BAD, b"nope"), "--json")

    assert done.exit_code == 1
    first, second = report(done)["errors"]
    assert set(first) == {"line", "path", "code", "message", "fix"}
    assert (first["line"], first["path"], first["code"]) == (
        2,
        "contents[0].role",
        "bad_role",
    )
    assert (second["line"], second["code"]) == (3, "not_json")


def test_the_report_for_people_marks_what_is_wrong(run: Run) -> None:
    done = run(file(GOOD, BAD))

    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "in.jsonl:2  contents[0].role  bad_role"
    marked = slice(lines[2].index("^"), lines[2].rindex("^") + 1)
    assert lines[1][marked] == '"assistant"'
    assert 'write "role": "user"' in done.stdout
    assert lines[4].startswith('    write "role": "user"')
    assert lines[5:7] == ["", "1 of 2 rows is bad"]
    assert "about 1 token, in one job" in done.stdout


def test_the_page_shows_the_report_as_it_is(run: Run) -> None:
    page = (ROOT / "docs/how-to/check-a-file.md").read_text()
    fine = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}

    report = run(file(fine, BAD)).stdout.replace("in.jsonl", "requests.jsonl")

    assert indent(report, "    ") in page


def test_a_file_of_blank_lines_is_not_good(run: Run) -> None:
    assert run(b"\n\n").exit_code == 1


def test_a_packed_file_is_checked(run: Run) -> None:
    done = run(gzip.compress(file(GOOD, GOOD)), "--json")

    assert (done.exit_code, report(done)["rows"]) == (0, 2)


def test_the_rules_are_those_of_backend_and_model(run: Run) -> None:
    roleless = {"contents": [{"parts": [{"text": "x"}]}]}

    assert run(file(roleless)).exit_code == 1
    assert run(file(roleless), "--backend", "developer").exit_code == 0
    assert run(file({"text": "x"})).exit_code == 1
    assert run(file({"text": "x"}), "--model", "gemini-embedding-2").exit_code == 0


@pytest.mark.parametrize(
    ("backend", "model", "says"),
    [
        ("vertex", "", "write a model's name"),
        ("vertex", "publishers/x", "write a model's name"),
        ("vertex", "gemini-3.8-flash:predict", "write a model's name"),
        (
            "developer",
            "publishers/anthropic/models/claude-sonnet-5-5",
            "is no model",
        ),
    ],
)
def test_a_bad_model_name_is_an_error(
    run: Run, backend: str, model: str, says: str
) -> None:
    done = run(file(GOOD), "--backend", backend, "--model", model)

    assert done.exit_code == 1
    assert says in done.stderr


def test_media_must_be_in_the_allowed_places(run: Run) -> None:
    line = {
        "contents": [
            {"role": "user", "parts": [{"fileData": {"fileUri": "gs://media/x"}}]}
        ]
    }

    assert run(file(line)).exit_code == 0
    assert run(file(line), "--allow", "gs://media/").exit_code == 0
    assert run(file(line), "--allow", "gs://other").exit_code == 1


def test_what_is_mended_is_written_and_is_good_then(run: Run) -> None:
    lines = file(GOOD, b"", good(tools=None), good(labels={}))

    done = run(lines, "--fix", "-o", "out.jsonl", "--json")

    assert done.exit_code == 0
    assert report(done)["fixed"] == 2
    written = Path("out.jsonl").read_bytes()
    assert written.split(b"\n")[0] == json.dumps(GOOD).encode()
    assert run(written).exit_code == 0


def test_what_can_not_be_mended_is_written_as_it_was(run: Run) -> None:
    done = run(file(BAD, good(tools=None)), "--fix", "-o", "out.jsonl")

    assert done.exit_code == 1
    first, second = Path("out.jsonl").read_text().splitlines()
    assert json.loads(first) == BAD
    assert json.loads(second) == GOOD


def test_all_lines_but_those_that_are_too_long_are_written_with_their_ends(
    run: Run,
) -> None:
    row = json.dumps(GOOD).encode()
    longest = row.ljust(LINE_LIMIT)

    done = run(
        b" " + row + b" \r\n\r\n \n" + longest + b"\r\n" + longest + b" \n" + row,
        *("--fix", "-o", "out.jsonl"),
    )

    assert done.exit_code == 1
    written = Path("out.jsonl").read_bytes().split(b"\n")
    assert written == [b" " + row + b" \r", b"\r", b" ", longest + b"\r", row, b""]


def test_of_a_file_of_answers_the_rows_without_one_are_written(run: Run) -> None:
    response = {"candidates": [{"content": {"parts": [{"text": "x"}]}}]}
    answered = {"status": "", "request": GOOD, "response": response}
    failed = {"status": "Bad Request", "request": GOOD, "response": {}}
    lines = file(answered, failed, answered, failed)

    assert run(lines).exit_code == 1
    done = run(lines, "--fix", "--only-unanswered", "-o", "rest.jsonl", "--json")

    assert done.exit_code == 0
    assert (report(done)["rows"], report(done)["answered"]) == (2, 2)
    assert Path("rest.jsonl").read_bytes() == file(failed, failed) + b"\n"
    assert run(Path("rest.jsonl").read_bytes()).exit_code == 0


def test_one_row_with_an_answer_is_left_out_in_the_singular(run: Run) -> None:
    response = {"candidates": [{"content": {"parts": [{"text": "x"}]}}]}
    answered = {"status": "", "request": GOOD, "response": response}
    failed = {"status": "Bad Request", "request": GOOD, "response": {}}
    options = ("--fix", "--only-unanswered", "-o", "rest.jsonl", "--answer-tokens", "1")

    done = run(file(answered, failed), *options)

    assert "rest.jsonl has all lines but 1 that has an answer" in done.output
    assert "if the answers take 1 token\n" in done.output


def test_only_unanswered_needs_fix(
    run: Run,
) -> None:
    done = run(file(GOOD), "--only-unanswered")

    assert done.exit_code == 2
    assert "needs --fix" in done.stderr


def test_members_newer_than_the_list_pass_with_unknown_allow(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = file(good(new=1))

    assert run(lines).exit_code == 1
    assert run(lines, "--unknown", "allow").exit_code == 0
    monkeypatch.setenv("BATCHDROP_UNKNOWN", "allow")
    assert run(lines).exit_code == 0


CONFIG = {"maxOutputTokens": 7, "systemInstruction": "Be brief."}
#: As a job stages it: the instruction is a content, beside `contents`.
MERGED = {
    "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
    "generationConfig": {"maxOutputTokens": 7},
}


def test_a_generation_configuration_is_merged_and_counted(run: Run) -> None:
    bare = report(run(file(*[GOOD] * 20), "--json"))["estimate"]
    Path("config.json").write_text(json.dumps(CONFIG))

    by_text = run(
        file(*[GOOD] * 20), "--json", "--generation-config", json.dumps(CONFIG)
    )
    by_file = run(file(*[GOOD] * 20), "--json", "--generation-config", "config.json")

    assert by_text.exit_code == 0
    assert by_text.stdout == by_file.stdout
    estimate = report(by_text)["estimate"]
    added = len(json.dumps(MERGED, separators=(",", ":"))) - 1  # a comma for two braces
    assert estimate["bytes"] == bare["bytes"] + 20 * added
    assert estimate["tokens"]["prompt"] > bare["tokens"]["prompt"]
    assert estimate["tokens"]["output"] == 20 * 7


def test_a_mended_file_has_no_configuration_in_it(run: Run) -> None:
    rows = file(GOOD, BAD)
    run(rows, "--fix", "-o", "bare.jsonl")
    run(rows, "--fix", "-o", "out.jsonl", "--generation-config", json.dumps(CONFIG))

    assert Path("out.jsonl").read_bytes() == Path("bare.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{", "generation configuration: "),
        ('{"temperature": "warm"}', "generation configuration: temperature"),
        ("nowhere.json", "No such file or directory: nowhere.json"),
    ],
)
def test_a_configuration_that_makes_every_row_bad_is_an_error(
    run: Run, config: str, says: str
) -> None:
    done = run(file(GOOD), "--generation-config", config)

    assert done.exit_code == 1
    assert says in done.stderr


def test_a_deployments_configuration_is_not_for_a_model_that_takes_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = file({"content": {"parts": [{"text": "hi"}]}})
    embeds = ("--model", "gemini-embedding-2")
    given = run(row, *embeds, "--generation-config", json.dumps(CONFIG))
    monkeypatch.setenv("BATCHDROP_GENERATION_CONFIG", json.dumps(CONFIG))

    assert "takes none" in given.stderr
    assert run(row, *embeds).exit_code == 0
    assert report(run(file(GOOD), "--json"))["estimate"]["tokens"]["output"] == 7


def test_a_misspelt_variable_is_an_error_before_the_wrong_rules_apply(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHDROP_MODLE", "gemini-embedding-2")

    done = run(file(GOOD))

    assert done.exit_code == 1
    assert "write BATCHDROP_MODEL, or remove it" in done.stderr


def test_a_medium_that_is_null_costs_nothing(run: Run) -> None:
    part = {"text": "hi", "inline_data": None, "file_data": None}
    lines = file({"contents": [{"role": "user", "parts": [part]}]})

    done = run(lines, "--backend", "developer", "--json")

    assert report(done)["estimate"]["tokens"]["prompt"] == 1


def test_a_file_that_can_not_be_read_to_its_end_leaves_none_behind(run: Run) -> None:
    done = run(gzip.compress(file(GOOD, GOOD))[:-4], "--fix", "-o", "out.jsonl")

    assert done.exit_code == 1
    assert "ends in its middle" in done.stderr
    assert not Path("out.jsonl").exists()


def test_nothing_is_written_over(run: Run) -> None:
    done = run(file(GOOD), "--fix", "-o", "in.jsonl")

    assert done.exit_code == 1
    assert "in.jsonl exists already" in done.stderr
    assert Path("in.jsonl").read_bytes() == file(GOOD)


def test_an_output_without_fix_is_refused(run: Run) -> None:
    done = run(file(GOOD), "-o", "out.jsonl")

    assert done.exit_code == 2
    assert "go together" in done.stderr


def test_a_file_that_is_not_there_is_named(run: Run) -> None:
    done = CliRunner().invoke(main, ["check", "gone.jsonl"])

    assert done.exit_code == 1
    assert "gone.jsonl: No such file" in done.stderr


def test_only_the_first_errors_are_printed_and_all_are_counted(run: Run) -> None:
    done = run(file(*[BAD] * 50))

    assert done.stdout.count("bad_role") == 20
    assert "and 30 more errors" in done.stdout
    assert report(run(file(*[BAD] * 50), "--json"))["errors_found"] == 50


# -- what it would cost ---------------------------------------------------------------


PRICES = {
    "as_of": "2030-01-01",
    "currency": "EUR",
    "sources": {"contract": {"what": "our contract", "read": "2029-12-01"}},
    "prices": [
        {
            "models": ["gemini-3.8-flash"],
            "input": 1000,
            "output": 10_000,
            "elsewhere": 1.1,
            "sources": ["contract"],
        }
    ],
}


def test_the_cost_follows_your_own_price_list(run: Run) -> None:
    Path("prices.json").write_text(json.dumps(PRICES))
    lines = [good(generationConfig={"maxOutputTokens": 20})] * 1000

    done = run(file(*lines), "--json", "--prices", "prices.json")

    estimate = report(done)["estimate"]
    # Of 250 each, but for their limit.
    assert estimate["tokens"]["output"] == 20_000
    # 1,000 * 1,000 millionths of a euro, and 20,000 * 10,000
    assert estimate["cost"] == {
        "micros": pytest.approx(201_000_000, rel=0.01),
        "currency": "EUR",
        "prices_as_of": "2030-01-01",
    }


def test_the_cost_is_that_of_the_location(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("prices.json").write_text(json.dumps(PRICES))
    text = file(*[good(generationConfig={"maxOutputTokens": 20})] * 1000)

    def micros(*arguments: str) -> int:
        done = run(text, "--json", "--prices", "prices.json", *arguments)
        return int(report(done)["estimate"]["cost"]["micros"])

    globally = micros()
    monkeypatch.setenv("BATCHDROP_LOCATION", "us-central1")

    assert micros("--location", "global") == globally
    assert micros() == pytest.approx(globally * 1.1, rel=1e-6)


def test_a_few_rows_do_not_cost_nothing(run: Run) -> None:
    assert "under 0.01 USD" in run(file(GOOD)).stdout
    assert "about 0.00" not in run(file(GOOD)).stdout


def test_a_file_over_a_limit_becomes_several_jobs(run: Run) -> None:
    done = run(file(*[{"text": "x"}] * 30_001), "--model", "text-embedding-005")

    assert done.exit_code == 0
    assert "in 2 jobs" in done.stdout


def test_a_model_without_a_price_has_no_cost_and_a_reason(run: Run) -> None:
    why = f"the prices of {AS_OF} have none for gemini-of-tomorrow"

    done = run(file(GOOD), "--model", "gemini-of-tomorrow")

    assert done.exit_code == 0
    assert f"the cost isn't known: {why}; give a list with --prices" in done.stdout
    estimate = report(run(file(GOOD), "--json", "--model", "gemini-of-tomorrow"))[
        "estimate"
    ]
    assert (estimate["cost"], estimate["no_cost"]) == (None, why)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"models": 7}', "prices.json: not a price list"),
        (None, "prices.json: No such file"),
    ],
)
def test_a_bad_price_list_is_an_error(run: Run, text: str | None, told: str) -> None:
    if text is not None:
        Path("prices.json").write_text(text)

    done = run(file(GOOD), "--prices", "prices.json")

    assert done.exit_code == 1
    assert told in done.stderr


# -- retired models ------------------------------------------------------------------


def test_a_retired_model_is_warned_of_with_its_date(run: Run) -> None:
    done = run(file(GOOD), "--model", "publishers/google/models/gemini-2.5-flash@001")

    assert done.exit_code == 0
    assert (
        "warning: gemini-2.5-flash: Vertex AI refuses it from 2026-10-20 on (retired, "
        "404); use gemini-3.5-flash-lite" in done.stdout
    )


def test_a_rerouted_model_is_warned_of_with_what_answers_in_its_place(run: Run) -> None:
    args = ("--model", "gemini-2.5-pro", "--backend", "developer", "--json")

    assert report(run(file(GOOD), *args))["warnings"] == [
        "gemini-2.5-pro: the Gemini Developer API answers it with gemini-3.8-flash "
        "from 2026-12-01 on, at that model's price; name the model that you want"
    ]


def test_a_model_is_warned_of_on_the_backend_alone_that_retires_it(run: Run) -> None:
    assert (
        report(run(file(GOOD), "--model", "gemini-3.5-flash", "--json"))["warnings"]
        == []
    )
    assert "warning" not in run(file(GOOD)).stdout


def test_a_name_that_is_ignored_is_warned_of_with_one_that_is_taken(run: Run) -> None:
    Path("reviews.json").write_bytes(file(GOOD))

    done = CliRunner().invoke(main, ["check", "reviews.json"])

    assert done.exit_code == 0
    assert (
        "warning: a dropped file of this name is ignored: the name doesn't end in "
        ".jsonl, .ndjson (or either with .gz) or .job.json; drop it as reviews.jsonl"
        in done.stdout
    )


def test_an_empty_file_has_no_rows(run: Run) -> None:
    done = run(b"")

    assert done.exit_code == 1
    assert "there are no rows" in done.stdout


# -- objects -------------------------------------------------------------------------


@pytest.fixture
def uri(gcs: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a packed object with 3,000 rows."""
    with cloud_storage(gcs) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        client = storage.Client(project="p", credentials=AnonymousCredentials())
        blob = client.create_bucket(f"b-{uuid.uuid4().hex[:12]}").blob("in.jsonl")
        blob.content_encoding = "gzip"
        blob.upload_from_string(gzip.compress(file(*[GOOD] * 3000)))
        yield f"gs://{blob.bucket.name}/in.jsonl"
        client.close()


def test_a_packed_object_is_checked_to_its_last_row(uri: str) -> None:
    done = CliRunner().invoke(main, ["check", uri, "--json"])

    assert (done.exit_code, report(done)["rows"]) == (0, 3000)


def test_an_object_that_is_not_there_is_named(uri: str) -> None:
    done = CliRunner().invoke(main, ["check", f"{uri}.gone"])

    assert done.exit_code == 1
    assert f"{uri}.gone is not there" in done.output


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("gs://bucket", "gs://bucket names no object; write gs://bucket/name"),
        ("gs://bucket/", "gs://bucket/ names no object; write gs://bucket/name"),
        ("s3://bucket/x", "s3://bucket/x: write a path, or gs://bucket/name"),
    ],
)
def test_an_address_that_is_none_of_an_object_says_what_to_write(
    address: str, text: str
) -> None:
    done = CliRunner().invoke(main, ["check", address])

    assert (done.exit_code, done.output) == (1, f"Error: {text}\n")


# -- marking -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ('{"a": 1, "b": [10, {"c": "x"}]}', "b[1].c", '"x"'),
        ('{"a": 1, "b": [10, {"c": "x"}]}', "b[0]", "10"),
        ('{"a": 1, "b": [10, {"c": "x"}]}', "b", '[10, {"c": "x"}]'),
        ('{ "a" : 1, "a" : 22 }', "a", "22"),
        ('{"a.b": {"c[0]": 5}}', "a.b.c[0]", "5"),
        (r'{"\u0061": 7}', "a", "7"),
        ('{"a": 1}', "b", '{"a": 1}'),
        ('{"a": 1}', "", '{"a": 1}'),
    ],
)
def test_what_is_marked_is_the_value_at_the_path(
    text: str, path: str, value: str
) -> None:
    start, end = span(text, RowError(line=1, path=path, code="x", message="y"))

    assert text[start:end] == value


def test_a_long_line_is_shown_around_what_is_wrong() -> None:
    text = json.dumps({"a": "x" * 5000, "b": {"c": "wrong"}, "d": "y" * 5000})
    row_error = RowError(line=1, path="b.c", code="x", message="y")

    piece, start, end = excerpt(text, row_error)

    assert len(piece) < 80
    assert piece[start:end] == '"wrong"'


def test_a_parsers_column_is_marked() -> None:
    text = '{"ä": "ö", ü}'
    (row_error,) = row_errors(text.encode())

    piece, start, end = excerpt(text, row_error)

    assert piece[start:end] == "ü"

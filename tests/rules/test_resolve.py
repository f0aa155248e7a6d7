"""What a job is to be: whose choice counts, and which are refused."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchdrop.batches import developer, vertex
from batchdrop.batches.types import JobState, is_terminal
from batchdrop.errors import BadChoice
from batchdrop.jobs.values import Location, Spec
from batchdrop.options import manifests, readers
from batchdrop.options.manifests import Manifest
from batchdrop.options.resolve import Chosen, choose, explain
from batchdrop.options.routes import Routes
from batchdrop.options.settings import Settings
from batchdrop.options.table import By, options
from batchdrop.preflight import Rules
from tests.rules.test_settings import ENOUGH

MORE = ENOUGH | {
    "BATCHDROP_MODELS": "gemini-4-argon, publishers/meta/models/llama-x,"
    "gemini-embedding-2,projects/1/locations/us/models/2",
    "BATCHDROP_SOURCES": "gs://shared/rows",
    "BATCHDROP_DESTINATIONS": "gs://results/teams/",
    "BATCHDROP_DATASETS": "bq://p.good,projects/1/locations/us/datasets/3",
    "GEMINI_API_KEY": "k",
}


#: A configuration that the import refuses.
NO_LINES = '{"speechConfig": {}}'


def settings(**more: str) -> Settings:
    return Settings.from_env(MORE | {f"BATCHDROP_{k}": v for k, v in more.items()})


def routes(text: str) -> Routes:
    read = Routes.parse(text.encode(), "routes.toml")
    read.check(settings())
    return read


def chosen(
    metadata: Mapping[str, str] | None = None,
    manifest: Mapping[str, Any] | None = None,
    *,
    name: str = "a/x.jsonl",
    route: str = "",
    env: Settings | None = None,
) -> Chosen:
    return choose(
        env or settings(),
        routes(f"[[route]]\nmatch = 'a/**'\n{route}") if route else Routes.none(),
        name,
        metadata={f"batchdrop-{k}": v for k, v in (metadata or {}).items()},
        manifest=None
        if manifest is None
        else Manifest.parse(json.dumps(manifest).encode()),
    )


def refusal(*args: Any, **kwargs: Any) -> tuple[str, str]:
    """The code and the text of a refused choice."""
    with pytest.raises(BadChoice) as caught:
        chosen(*args, **kwargs)
    return caught.value.code, str(caught.value)


# -- whose choice counts -----------------------------------------------------------


def test_the_environment_counts_where_nothing_else_chooses() -> None:
    found = chosen(env=Settings.from_env(ENOUGH))

    assert found.spec == Spec(
        kind="generation",
        backend="vertex",
        location="us-central1",
        model="gemini-3.8-flash",
        destination="gs://output/results/",
        display_name="a/x.jsonl",
        retry=1,
    )
    assert found.origin["model"] == "BATCHDROP_MODEL"
    assert found.origin["destination"] == "BATCHDROP_OUTPUT"
    assert found.origin["backend"] == "default"
    assert found.origin["kind"] == "the model"
    assert found.sources == (Location(bucket="inbox", prefix=""),)
    assert found.route is None


def test_every_field_has_an_origin() -> None:
    found = chosen()

    assert set(found.origin) == set(Spec.__dataclass_fields__)
    assert all(found.origin.values())


def test_the_environments_choices_have_their_variables_as_origins() -> None:
    found = chosen(
        env=settings(
            ON_INVALID="skip",
            MAX_ACTIVE_JOBS="3",
            PART_ROWS="10",
            STALLED_AFTER="PENDING=5",
            GENERATION_CONFIG='{"topK": 1}',
        )
    )

    assert found.spec.max_active == 3
    assert found.spec.part_rows == 10
    assert found.spec.stalled_after == {"JOB_STATE_PENDING": 5}
    assert found.spec.generation_config == '{"topK":1}'
    assert found.origin["max_active"] == "BATCHDROP_MAX_ACTIVE_JOBS"
    assert found.origin["part_rows"] == "BATCHDROP_PART_ROWS"
    assert found.origin["stalled_after"] == "BATCHDROP_STALLED_AFTER"
    assert found.origin["on_invalid"] == "BATCHDROP_ON_INVALID"


def test_the_stronger_choice_counts() -> None:
    route = 'on_invalid = "skip"\nmax_invalid = 1\nfix = true\nlocation = "eu"'
    manifest = {"config": {"max_invalid": 2, "fix": False}}

    found = chosen({"max-invalid": "3"}, manifest, route=route)

    assert found.origin["location"] == "route 1 (a/**)"
    assert (found.spec.on_invalid, found.origin["on_invalid"]) == (
        "skip",
        "route 1 (a/**)",
    )
    assert (found.spec.fix, found.origin["fix"]) == (False, "manifest a/x.job.json")
    assert (found.spec.max_invalid, found.origin["max_invalid"]) == (
        3,
        "metadata batchdrop-max-invalid",
    )


def test_a_configuration_replaces_a_weaker_one_as_a_whole() -> None:
    route = "generation_config = {temperature = 0}"

    assert chosen(route=route).spec.generation_config == '{"temperature":0}'
    assert (
        chosen({"generation-config": '{"topK": 1}'}, route=route).spec.generation_config
        == '{"topK":1}'
    )
    assert (
        chosen({"generation-config": "{}"}, route=route).spec.generation_config is None
    )


def test_labels_are_merged_and_the_stronger_layer_wins_for_each() -> None:
    found = chosen(
        {"labels": "run=7"},
        {"config": {"labels": {"env": "test"}}},
        route='labels = {env = "prod", team = "a"}',
        env=settings(LABELS="team=search,cost=x"),
    )

    assert found.spec.labels == {"team": "a", "cost": "x", "env": "test", "run": "7"}
    assert found.origin["labels"] == (
        "team: route 1 (a/**), cost: BATCHDROP_LABELS, env: manifest a/x.job.json, "
        "run: metadata batchdrop-labels"
    )


def test_labels_of_all_layers_together_leave_room_for_ours() -> None:
    many = ",".join(f"l{n}=x" for n in range(62))

    assert len(chosen({"labels": many}).spec.labels) == 62
    code, text = refusal({"labels": many}, {"config": {"labels": {"more": "x"}}})
    assert code == "not_possible"
    assert text.startswith("63 labels, of manifest a/x.job.json, metadata batchdrop-")


def test_a_manifest_that_was_dropped_is_called_by_its_own_name() -> None:
    found = chosen(manifest={"model": "gemini-4-argon"}, name="a/y.job.json")

    assert found.origin["model"] == "manifest a/y.job.json"


def test_a_long_name_is_cut_to_what_the_api_takes() -> None:
    assert chosen(name="a" * 200 + "b" * 128).spec.display_name == "b" * 128


@pytest.mark.parametrize("given", ["malformed, empty", ["malformed", "empty"]])
def test_a_manifest_has_outcomes_as_a_list_or_a_text(given: object) -> None:
    manifest = {"config": {"retry": 0, "retryOn": given, "retry_share": 1}}

    spec = chosen({"retry": "2"}, manifest).spec

    assert spec.retry == 2
    assert spec.retry_on == ("malformed", "empty")
    assert spec.retry_share == 1.0


def test_a_file_may_leave_out_the_outcomes_that_its_deployment_has() -> None:
    deployment = settings(RETRY_ON="truncated,empty,truncated", RETRY_SHARE="0.5")

    assert chosen(env=deployment).spec.retry_on == ("truncated", "empty")
    assert chosen(env=deployment).origin["retry_on"] == "BATCHDROP_RETRY_ON"
    assert chosen({"retry-on": ""}, env=deployment).spec.retry_on == ()


def test_metadata_keys_come_in_any_case_and_those_of_others_are_ignored() -> None:
    found = choose(
        settings(),
        Routes.none(),
        "x",
        metadata={"Batchdrop-Model": "gemini-4-argon", "owner": "me", "batchdrop": "x"},
        manifest=None,
    )

    assert found.spec.model == "gemini-4-argon"
    assert found.origin["model"] == "metadata batchdrop-model"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("model", " ", "write a text"),
        ("destination", "s3://x", "write gs://bucket/prefix/, or bq://"),
        ("destination", "gs://results/teams/../x", "made of dots"),
        ("display-name", "x" * 129, "at most 128"),
        ("display-name", "a\nb", "a text of one line"),
        ("generation-config", "temperature=0", "write a JSON object"),
        ("generation-config", "[]", "write a JSON object"),
        ("generation-config", '{"a": NaN}', "write a JSON object"),
        ("generation-config", '{"a": "\\ud800"}', "write a JSON object"),
        ("generation-config", '{"a": "\ud800"}', "write a JSON object"),
        ("labels", "team", "write team=search,env=prod"),
        ("labels", "batchdrop_job=x", "begin with batchdrop_"),
        ("labels", "team=x,team=y", "given twice"),
        ("labels", "team=X", "lowercase letters"),
        ("on-invalid", "drop", 'write "reject" or "skip"'),
        ("unknown", "skip", 'write "reject" or "allow"'),
        ("max-invalid", "-1", "write a whole number"),
        ("max-invalid", "٣", "write a whole number"),
        ("max-invalid", "9" * 5000, "write a whole number"),
        ("fix", "yes", "write true or false"),
        ("retry", "4", "write a whole number from 0 to 3"),
        ("retry", "1.0", "write a whole number from 0 to 3"),
        ("retry-on", "failed", "one or more of truncated, blocked, malformed, empty"),
        ("retry-share", "20%", "write a number from 0 to 1"),
        ("kind", "chat", 'write "generation" or "embedding"'),
    ],
)
def test_wrong_metadata_is_named_with_what_to_write(
    key: str, value: str, expected: str
) -> None:
    code, text = refusal({key: value})

    assert code == "bad_metadata"
    assert text.startswith(f"batchdrop-{key}: ")
    assert expected in text


@pytest.mark.parametrize(
    "key",
    ["modle", "backend", "location", "max-rows", "cancel-after", "max_invalid"],
)
def test_an_unknown_key_is_not_repeated_and_the_known_ones_are_listed(key: str) -> None:
    code, text = refusal({key: "x"})

    assert code == "bad_metadata"
    assert re.sub(r" did you mean batchdrop-[a-z-]+\?", "", text) == (
        "a key that begins with batchdrop-: unknown; write one of "
        "batchdrop-model, batchdrop-destination, batchdrop-display-name, "
        "batchdrop-generation-config, batchdrop-labels, batchdrop-on-invalid, "
        "batchdrop-max-invalid, batchdrop-fix, batchdrop-unknown, batchdrop-kind, "
        "batchdrop-results, batchdrop-retry, batchdrop-retry-on, "
        "batchdrop-retry-share, batchdrop-max-cost, or leave it out"
    )


def test_a_key_in_two_spellings_is_refused() -> None:
    assert "given twice" in refusal({"fix": "true", "FIX": "false"})[1]


@pytest.mark.parametrize("key", ["batchdrop_model", "Batchdrop_Model", "batchdrop_x"])
def test_a_key_written_like_a_label_is_refused(
    key: str,
) -> None:
    with pytest.raises(BadChoice, match="write one of batchdrop-model") as caught:
        choose(
            settings(),
            Routes.none(),
            "x.jsonl",
            metadata={key: "gemini-4-argon"},
            manifest=None,
        )

    assert caught.value.code == "bad_metadata"


# -- what goes together ------------------------------------------------------------


def test_the_kind_follows_from_the_model() -> None:
    assert chosen({"model": "gemini-embedding-2"}).spec.kind == "embedding"
    assert chosen({"kind": "generation"}).spec.kind == "generation"


@pytest.mark.parametrize(
    ("metadata", "manifest", "code"),
    [
        ({"kind": "embedding"}, None, "bad_metadata"),
        ({}, {"config": {"kind": "embedding"}}, "bad_manifest"),
        (
            {"model": "gemini-embedding-2"},
            {"config": {"kind": "generation"}},
            "bad_m",
        ),
    ],
)
def test_a_kind_that_is_not_the_models_is_refused(
    metadata: dict[str, str], manifest: dict[str, Any] | None, code: str
) -> None:
    found, text = refusal(metadata, manifest)

    assert found.startswith(code)
    assert "is not that of gemini-" in text


def test_the_deployments_configuration_is_not_for_a_model_that_takes_none() -> None:
    env = settings(GENERATION_CONFIG='{"topK": 1}')

    found = chosen({"model": "gemini-embedding-2"}, env=env)

    assert found.spec.generation_config is None
    assert found.origin["generation_config"] == (
        "BATCHDROP_GENERATION_CONFIG, but gemini-embedding-2 takes none"
    )


@pytest.mark.parametrize(
    ("metadata", "manifest", "env", "code", "who"),
    [
        ({"generation-config": NO_LINES}, None, "", "bad_metadata", "metadata "),
        (
            {},
            {"generation_config": {"speechConfig": {}}},
            "",
            "bad_manifest",
            "manifest ",
        ),
        ({}, None, NO_LINES, "not_possible", "BATCHDROP_GENERATION_CONFIG"),
    ],
    ids=["metadata", "manifest", "environment"],
)
def test_a_configuration_that_every_line_would_be_refused_for_is_refused_itself(
    metadata: dict[str, str],
    manifest: dict[str, Any] | None,
    env: str,
    code: str,
    who: str,
) -> None:
    found, text = refusal(
        metadata,
        {"config": manifest} if manifest else None,
        env=settings(GENERATION_CONFIG=env),
    )

    assert found == code
    assert text.startswith(f"the generation configuration ({who}")
    assert "can't be sent: speechConfig is an object without members" in text


def test_a_configuration_is_held_to_the_rules_of_its_lines() -> None:
    config = {"generation-config": '{"thinkingConfig": {}}'}

    assert refusal({**config, "fix": "true"})[0] == "bad_metadata"
    developer = chosen(config, env=settings(BACKEND="developer"))
    assert developer.spec.generation_config


def test_a_configuration_may_have_members_where_unknown_ones_are_allowed() -> None:
    config = {"generation-config": '{"newest": 1}'}

    assert refusal(config)[0] == "bad_metadata"
    assert chosen({**config, "unknown": "allow"}).spec.unknown == "allow"
    assert chosen(config, env=settings(UNKNOWN="allow")).spec.generation_config
    assert chosen(config, route='unknown = "allow"').spec.generation_config
    manifest = {"config": {"unknown": "allow", "generation_config": {"newest": 1}}}
    assert chosen(manifest=manifest).spec.generation_config


def test_a_choice_of_such_a_model_may_not_come_with_a_configuration() -> None:
    code, text = refusal(
        {"model": "gemini-embedding-2", "generation-config": '{"topK": 1}'}
    )

    assert code == "bad_metadata"
    assert "takes none" in text


def test_tables_and_datasets_are_only_for_vertex() -> None:
    route = 'backend = "developer"'

    code, text = refusal({"destination": "bq://p.good.t"}, route=route)
    assert (code, text[-21:]) == ("bad_metadata", "is only for Vertex AI")
    code, text = refusal(manifest={"src": "bq://p.good.t"}, route=route)
    assert (code, text[-21:]) == ("not_possible", "is only for Vertex AI")


def test_a_configuration_is_not_put_into_the_rows_of_a_table() -> None:
    env = settings(GENERATION_CONFIG='{"topK": 1}')
    table = {"src": "bq://p.good.t"}

    code, text = refusal(manifest=table, env=env)
    assert code == "not_possible"
    assert "BATCHDROP_GENERATION_CONFIG" in text

    found = chosen(manifest=table | {"config": {"generation_config": {}}}, env=env)
    assert found.spec.generation_config is None


# -- what is allowed ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "is_sent"),
    [
        ("gemini-4-argon", "gemini-4-argon"),
        ("publishers/google/models/gemini-4-argon", "gemini-4-argon"),
        ("google/gemini-4-argon", "gemini-4-argon"),
        ("models/gemini-4-argon", "gemini-4-argon"),
        ("meta/llama-x", "publishers/meta/models/llama-x"),
        ("publishers/meta/models/llama-x", "publishers/meta/models/llama-x"),
        ("projects/1/locations/us/models/2", "projects/1/locations/us/models/2"),
    ],
)
def test_a_model_is_allowed_in_each_of_its_spellings(given: str, is_sent: str) -> None:
    assert chosen({"model": given}).spec.model == is_sent


@pytest.mark.parametrize(
    "model",
    [
        "gemini-4-argon-x",
        "gemini-4-argon@001",
        "Gemini-4-argon",
        "meta/gemini-4-argon",
        "publishers/meta/models/gemini-4-argon",
        "google/llama-x",
        "projects/1/locations/us/publishers/google/models/gemini-4-argon",
        "projects/2/locations/us/models/2",
        "projects/1/locations/us/endpoints/2",
        "tunedModels/gemini-4-argon",
        "gemini-4-argon/..",
        "../gemini-4-argon",
        "x/../gemini-4-argon",
        "models/../gemini-4-argon",
        "gemini-4-argon?x",
        "gemini-4-argon&x",
        "gemini-4-argon#x",
        "gemini-4-argon:predict",
        "gemini-4-argon%2f",
        " gemini-4-argon",
        "gemini-4-argon\n",
        "/gemini-4-argon",
        "gemini-4-argon/",
    ],
)
def test_any_other_model_is_refused_with_the_rule(model: str) -> None:
    code, text = refusal(manifest={"model": model})

    if "\n" not in model:
        assert code == "not_allowed"
        assert "(manifest a/x.job.json)" in text
        assert "BATCHDROP_MODELS" in text
    assert code in ("not_allowed", "bad_manifest")


def test_without_lists_only_the_deployments_own_is_allowed() -> None:
    env = Settings.from_env(ENOUGH)

    own = chosen({"model": "google/gemini-3.8-flash"}, env=env)
    assert own.spec.model == "gemini-3.8-flash"
    for metadata, rule in (
        ({"model": "gemini-4-argon"}, "BATCHDROP_MODELS"),
        ({"destination": "gs://elsewhere/x"}, "BATCHDROP_DESTINATIONS"),
        ({"destination": "bq://p.d.t"}, "BATCHDROP_DATASETS"),
    ):
        code, text = refusal(metadata, env=env)
        assert code == "not_allowed"
        assert rule in text


def test_a_routes_own_model_and_destination_are_allowed_for_its_files() -> None:
    route = 'model = "gemini-9"\ndestination = "gs://nightly/out"'

    assert chosen(route=route).spec.model == "gemini-9"
    assert chosen(route=route).spec.destination == "gs://nightly/out/"
    found = chosen(
        {"model": "models/gemini-9", "destination": "gs://nightly/out/x"}, route=route
    )
    assert found.spec.destination == "gs://nightly/out/x/"
    own = chosen({"model": "gemini-3.8-flash"}, route=route)
    assert own.spec.model == "gemini-3.8-flash"
    assert refusal({"model": "gemini-9"}, route=route, name="b/x")[0] == "not_allowed"
    assert (
        refusal({"destination": "gs://nightly/out"}, route=route, name="b/x")[0]
        == "not_allowed"
    )


@pytest.mark.parametrize(
    "destination",
    [
        "gs://output/results",
        "gs://output/results/",
        "gs://output/results/mine",
        "gs://results/teams/a/b/",
        "bq://p.good",
        "bq://p.good.t",
    ],
)
def test_a_destination_within_those_that_are_listed_is_allowed(
    destination: str,
) -> None:
    assert chosen({"destination": destination}).spec.destination.startswith(destination)


@pytest.mark.parametrize(
    "destination",
    [
        "gs://output",
        "gs://output/result",
        "gs://output/results-2",
        "gs://results/team",
        "gs://results/",
        "gs://inbox/x",
        "gs://work/x",
        "gs://output/Results",
        "bq://p.bad.t",
        "bq://p.goo.d",
        "bq://q.good.t",
    ],
)
def test_any_other_destination_is_refused(destination: str) -> None:
    code, text = refusal(manifest={"config": {"dest": destination}})

    assert code == "not_allowed"
    assert destination not in text
    assert "the destination (manifest a/x.job.json)" in text


def test_no_file_sends_results_among_the_staged_ones() -> None:
    env = settings(OUTPUT="gs://one/", WORK="gs://one/work")

    found = chosen({"destination": "gs://one/x"}, env=env)
    assert found.spec.destination == "gs://one/x/"
    assert refusal({"destination": "gs://one/work"}, env=env)[0] == "not_allowed"
    assert refusal({"destination": "gs://one/work/x"}, env=env)[0] == "not_allowed"


@pytest.mark.parametrize(
    "src",
    [
        "gs://inbox/a.jsonl",
        "gs://shared/rows/a/b.jsonl",
        ["gs://shared/rows/a", "gs://inbox/b"],
        "bq://p.good.t",
        "projects/1/locations/us/datasets/3",
        [{"contents": "hi"}],
    ],
)
def test_a_source_within_those_that_are_listed_is_allowed(src: Any) -> None:
    found = chosen(manifest={"src": src})

    assert found.spec.destination == "gs://output/results/"
    assert found.sources == (
        Location(bucket="inbox", prefix=""),
        Location(bucket="shared", prefix="rows/"),
    )


@pytest.mark.parametrize(
    ("src", "rule"),
    [
        ("gs://shared/rows", "BATCHDROP_SOURCES"),
        ("gs://shared/rowsx/a", "BATCHDROP_SOURCES"),
        ("gs://shared/a", "BATCHDROP_SOURCES"),
        ("gs://inbox2/a", "BATCHDROP_SOURCES"),
        ("gs://work/a", "BATCHDROP_SOURCES"),
        ("gs://output/results/a", "BATCHDROP_SOURCES"),
        (["gs://inbox/a", "gs://secret/a"], "BATCHDROP_SOURCES"),
        ("bq://p.bad.t", "BATCHDROP_DATASETS"),
        ("bq://p.goodx.t", "BATCHDROP_DATASETS"),
        ("projects/1/locations/us/datasets/33", "BATCHDROP_DATASETS"),
    ],
)
def test_any_other_source_is_refused_with_the_rule(src: Any, rule: str) -> None:
    code, text = refusal(manifest={"src": src})

    assert code == "not_allowed"
    assert rule in text
    assert "(manifest a/x.job.json)" in text


# -- untrusted input ---------------------------------------------------------------


def words(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


PIECES = words("""gs:// bq:// inbox shared rows output results teams work secret
    p.good p.bad .t
    / // .. . ../ gemini-4-argon gemini-3.8-flash gemini-embedding-2 publishers google
    models projects/1/locations/us/models/2 projects/1/locations/us/datasets/3 meta
    llama-x /x ? & # % * : @001""")
TEXT = (
    st.lists(PIECES, max_size=6).map("".join)
    | st.lists(PIECES, max_size=5).map("/".join)
    | st.text(max_size=12)
    | words("""gs://output/results/ gs://results/teams/a gs://shared/rows/x bq://p.good.t
        gs://inbox/a publishers/google/models/gemini-4-argon true 3 reject
        a=b {"topK":1} embedding""")
)
KEYS = words(
    "model destination display-name generation-config labels on-invalid max-invalid "
    "fix unknown kind"
)
CONFIG = st.dictionaries(
    words(
        "displayName destination dest generation_config labels on_invalid fix "
        "unknown kind backend location"
    )
    | st.text(max_size=4),
    TEXT
    | st.dictionaries(st.sampled_from(["gcs_uri", "bigqueryUri", "a"]), TEXT)
    | st.booleans(),
    max_size=3,
)
MANIFESTS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "model": TEXT,
        "src": TEXT | st.lists(TEXT, max_size=2),
        "config": CONFIG,
    },
)
ROUTES = routes(
    "[[route]]\nmatch = 'a/**'\nmodel = 'gemini-9'\ndestination = 'gs://nightly/out'\n"
    "[[route]]\nmatch = 'd/**'\nbackend = 'developer'\n"
)


@given(
    st.dictionaries(KEYS, TEXT, max_size=3),
    MANIFESTS,
    st.sampled_from(["a/x.jsonl", "b.jsonl", "d/x.jsonl"]) | st.text(max_size=20),
)
def test_no_file_chooses_anything_that_is_not_allowed(
    metadata: dict[str, str], manifest: dict[str, Any] | None, name: str
) -> None:
    read = None
    try:
        if manifest is not None:
            read = Manifest.parse(json.dumps(manifest).encode())
        found = choose(
            settings(),
            ROUTES,
            name,
            metadata={f"batchdrop-{k}": v for k, v in metadata.items()},
            manifest=read,
        )
    except BadChoice:
        return

    spec, routed = found.spec, found.route is ROUTES.routes[0]
    assert spec.model in {
        "gemini-3.8-flash",
        "gemini-4-argon",
        "publishers/meta/models/llama-x",
        "gemini-embedding-2",
        "projects/1/locations/us/models/2",
        *(["gemini-9"] if routed else []),
    }
    places = ["gs://output/results/", "gs://results/teams/", "bq://p.good"]
    assert spec.destination.startswith(
        tuple(places + (["gs://nightly/out/"] if routed else []))
    )
    assert spec.destination[len("gs://") :].count("//") == 0
    assert ".." not in spec.destination
    assert spec.backend == ("developer" if name.startswith("d/") else "vertex")
    assert spec.location == "us-central1"
    assert spec.kind == (
        "embedding" if spec.model == "gemini-embedding-2" else "generation"
    )
    assert not any(label.startswith("batchdrop") for label in spec.labels)
    assert spec.stalled_after == {}
    for address in read.objects if read else ():
        assert address.startswith(("gs://inbox/", "gs://shared/rows/"))
    Rules(
        backend=spec.backend,
        model=spec.model,
        generation_config=spec.generation_config.encode()
        if spec.generation_config
        else None,
    )


@given(TEXT)
def test_a_model_is_sent_as_what_was_compared(text: str) -> None:
    """The client makes the same URL of each spelling."""
    for backend, sent_as in (
        ("vertex", vertex.model_name),
        ("developer", developer.model_name),
    ):
        try:
            model = readers.model(text, backend)
        except ValueError:
            continue

        assert readers.model(model, backend) == model
        sent = sent_as(model)
        if backend == "developer":
            assert sent == (model if "/" in model else f"models/{model}")
        elif not text.startswith("models/"):
            assert sent == sent_as(text)


def test_the_states_that_can_stall_are_all_but_the_final_ones() -> None:
    ours = {f"JOB_STATE_{state}" for state in readers.STATES}

    assert ours == {str(state) for state in JobState if not is_terminal(state)}


# -- for people --------------------------------------------------------------------


def test_an_explanation_has_each_value_and_who_chose_it() -> None:
    rows = {
        row.name: (row.value, row.origin)
        for row in explain(
            chosen(
                {"labels": "a=b", "fix": "true"},
                route="stalled_after = 60\ncancel_after = 1e3",
            )
        )
    }

    assert rows["model"] == ("gemini-3.8-flash", "BATCHDROP_MODEL")
    assert rows["labels"] == ("a=b", "a: metadata batchdrop-labels")
    assert rows["fix"] == ("true", "metadata batchdrop-fix")
    assert rows["stalled_after"] == ("other=60", "route 1 (a/**)")
    assert rows["cancel_after"] == ("1000", "route 1 (a/**)")
    assert rows["max_rows"] == ("-", "default")
    assert rows["sources"][0] == "gs://inbox/, gs://shared/rows/"


GUIDE = (Path(__file__).parents[2] / "docs/how-to/choose-per-file.md").read_text()


def example(language: str) -> str:
    """The guide's only example in a language."""
    [text] = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(text)


def test_the_examples_of_the_guide_are_accepted() -> None:
    read = routes(example("toml"))
    manifest = Manifest.parse(example("json").encode())

    found = choose(settings(), read, "x.job.json", metadata={}, manifest=manifest)

    assert [route.match for route in read.routes] == [
        ("translations/**",),
        ("embed/**", "**/*.embed.jsonl"),
    ]
    assert found.spec.destination == "gs://results/teams/search/"
    assert found.spec.max_invalid == 10


@pytest.mark.parametrize(
    "key",
    [
        *(option.name for option in options(By.ROUTE)),
        *(f"batchdrop-{option.key}" for option in options(By.METADATA)),
    ],
)
def test_the_guide_names_every_key(key: str) -> None:
    assert f"`{key}`" in GUIDE


@pytest.mark.parametrize("member", manifests.CONFIG)
def test_the_guide_names_every_member_of_a_manifests_config(member: str) -> None:
    assert member in GUIDE.partition("## Manifests")[2].partition("## Routes")[0]

"""What a deployment can choose, and what it is told when it chose wrongly."""

import pytest

from batchdrop.errors import BadSetting
from batchdrop.settings import Location, Settings

ENOUGH = {
    "BATCHDROP_PROJECT": "p",
    "BATCHDROP_LOCATION": "us-central1",
    "BATCHDROP_MODEL": "gemini-3.8-flash",
    "BATCHDROP_INBOX": "inbox",
    "BATCHDROP_WORK": "gs://work",
    "BATCHDROP_OUTPUT": "gs://output/results/",
    "BATCHDROP_TOPIC": "announcements",
}


def test_the_required_settings_are_enough() -> None:
    settings = Settings.from_env(ENOUGH)

    assert settings.inbox == "inbox"
    assert settings.work == Location(bucket="work", prefix="")
    assert str(settings.output) == "gs://output/results/"
    assert (settings.lease, settings.create_timeout, settings.settle) == (600, 60, 120)


@pytest.mark.parametrize(
    "name", ["PROJECT", "LOCATION", "MODEL", "INBOX", "WORK", "OUTPUT", "TOPIC"]
)
def test_a_missing_setting_stops_the_start_with_its_name(name: str) -> None:
    env = {k: v for k, v in ENOUGH.items() if k != f"BATCHDROP_{name}"}

    with pytest.raises(BadSetting, match=f"BATCHDROP_{name} is not set; set it to"):
        Settings.from_env(env)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("WORK", "work-bucket", "not of the form gs://bucket/prefix"),
        ("OUTPUT", "gs://inbox/results", "in the inbox bucket"),
        ("WORK", "gs://inbox", "in the inbox bucket"),
        ("LEASE", "ten minutes", "number of seconds"),
        ("SETTLE", "-1", "number of seconds"),
        ("TICK", "nan", "number of seconds"),
        ("CREATE_TIMEOUT", "600", "must be below BATCHDROP_LEASE"),
        ("DEPLOYMENT", "Prod EU", "becomes a label"),
        ("BACKEND", "openai", "must be 'vertex'"),
        ("MODELS", "gemini-x,a b", "'a b' is no model's name"),
        ("SOURCES", "shared/rows", "not of the form gs://bucket/prefix"),
        ("SOURCES", "gs://shared/../x", "made of dots"),
        ("DESTINATIONS", "gs://results//x", "a part that is empty"),
        ("DESTINATIONS", "gs://inbox/x", "in the bucket of BATCHDROP_INBOX"),
        ("DESTINATIONS", "gs://output/,gs://work/x", "the bucket of BATCHDROP_WORK"),
        ("DATASETS", "p.d.t", "neither project.dataset nor projects/"),
        ("LABELS", "team", "write team=search,env=prod"),
        ("LABELS", "batchdrop_job=x", "begin with batchdrop_"),
        ("PART_ROWS", "many", "must be a whole number"),
        ("PART_BYTES", "-1", "must be a whole number"),
        ("DELETE_AFTER", "7776000", "must be below BATCHDROP_LEDGER_TTL"),
        ("STALLED_AFTER", "an hour", "no number of seconds"),
        ("STALLED_AFTER", "PENDING=", "no number of seconds"),
        ("STALLED_AFTER", "PENDNG=1", "no state to stand still in; write one of"),
        ("STALLED_AFTER", "PENDING=1,JOB_STATE_PENDING=2", "there twice"),
        ("STALLED_AFTER", "60,PENDING=1", "no state to stand still in"),
        ("GENERATION_CONFIG", "temperature=0", "write a JSON object"),
    ],
)
def test_a_wrong_setting_is_named_with_what_it_must_be(
    name: str, value: str, says: str
) -> None:
    with pytest.raises(BadSetting, match=f"BATCHDROP_{name}") as caught:
        Settings.from_env(ENOUGH | {f"BATCHDROP_{name}": value})

    assert says in str(caught.value)


def test_a_prefix_holds_what_lies_under_it_and_not_its_neighbours() -> None:
    place = Location.parse("gs://out/results")

    assert place.holds("out", "results/x.jsonl")
    assert not place.holds("out", "results-2/x.jsonl")
    assert not place.holds("other", "results/x.jsonl")


def test_what_a_deployment_lists_is_read() -> None:
    settings = Settings.from_env(
        ENOUGH
        | {
            "BATCHDROP_ROUTES": "gs://work/routes.toml",
            "BATCHDROP_MODELS": " gemini-4-argon, tunedModels/x ,",
            "BATCHDROP_SOURCES": "gs://shared/rows,gs://other",
            "BATCHDROP_DESTINATIONS": "gs://results/a/",
            "BATCHDROP_DATASETS": "bq://p.d,p.e,projects/p/locations/us/datasets/1",
            "BATCHDROP_LABELS": "team=search, env=",
            "BATCHDROP_PART_ROWS": "1000",
            "BATCHDROP_PART_BYTES": "0",
        }
    )

    assert settings.routes == "gs://work/routes.toml"
    assert settings.models == ("gemini-4-argon", "tunedModels/x")
    assert settings.sources == (
        Location(bucket="shared", prefix="rows/"),
        Location(bucket="other", prefix=""),
    )
    assert settings.destinations == (Location(bucket="results", prefix="a/"),)
    assert settings.datasets == ("p.d", "p.e", "projects/p/locations/us/datasets/1")
    assert settings.labels == {"team": "search", "env": ""}
    assert (settings.part_rows, settings.part_bytes) == (1000, None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", {}),
        ("3600", {"other": 3600}),
        (
            "PENDING=60, JOB_STATE_RUNNING=1.5",
            {"JOB_STATE_PENDING": 60, "JOB_STATE_RUNNING": 1.5},
        ),
    ],
)
def test_how_long_a_batch_may_stand_still_is_for_every_state_or_for_each(
    value: str, seconds: dict[str, float]
) -> None:
    settings = Settings.from_env(ENOUGH | {"BATCHDROP_STALLED_AFTER": value})

    assert settings.stalled_after == seconds


def test_a_configuration_is_kept_on_one_line() -> None:
    env = ENOUGH | {"BATCHDROP_GENERATION_CONFIG": '{"a":\n{"b":\r\n 1}}'}

    assert Settings.from_env(env).generation_config == '{"a": {"b":   1}}'

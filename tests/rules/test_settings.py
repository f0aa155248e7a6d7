"""Settings: what is read from the environment, and the errors of wrong values."""

import pytest

from batchdrop.errors import BadSetting
from batchdrop.jobs.values import Location
from batchdrop.options.settings import Settings

ENOUGH = {
    "BATCHDROP_PROJECT": "p",
    "BATCHDROP_LOCATION": "us-central1",
    "BATCHDROP_MODEL": "gemini-3.8-flash",
    "BATCHDROP_INBOX": "inbox",
    "BATCHDROP_WORK": "gs://work",
    "BATCHDROP_OUTPUT": "gs://output/results/",
    "BATCHDROP_TOPIC": "announcements",
    "BATCHDROP_WORK_TOPIC": "work",
}


def test_the_required_settings_are_enough() -> None:
    settings = Settings.from_env(ENOUGH)

    assert settings.inbox == "inbox"
    assert settings.work == Location(bucket="work", prefix="")
    assert str(settings.output) == "gs://output/results/"
    assert (settings.lease, settings.create_timeout, settings.list_lag) == (
        600,
        60,
        120,
    )


@pytest.mark.parametrize(
    "name",
    [
        *("PROJECT", "LOCATION", "MODEL", "INBOX", "WORK", "OUTPUT", "TOPIC"),
        "WORK_TOPIC",
    ],
)
def test_a_missing_setting_stops_the_start_with_its_name(name: str) -> None:
    env = {k: v for k, v in ENOUGH.items() if k != f"BATCHDROP_{name}"}

    with pytest.raises(BadSetting, match=f"BATCHDROP_{name} is not set; set it to"):
        Settings.from_env(env)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("WORK", "work-bucket", "write gs://bucket/prefix"),
        ("OUTPUT", "gs://inbox/results", "in the inbox bucket"),
        ("OUTPUT", "gs://out/" + "é" * 256, "513 bytes; write one of at most 512"),
        ("WORK", "gs://work/" + "x" * 512, "513 bytes; write one of at most 512"),
        ("WORK", "gs://inbox", "in the inbox bucket"),
        ("LEASE", "ten minutes", "number of seconds"),
        ("LIST_LAG", "-1", "number of seconds"),
        ("TICK", "nan", "number of seconds"),
        ("CREATE_TIMEOUT", "600", "must be below BATCHDROP_LEASE"),
        ("DEPLOYMENT", "Prod EU", "becomes a label"),
        ("BACKEND", "openai", 'write "vertex" or "developer"'),
        ("ON_INVALID", "drop", 'write "reject" or "skip"'),
        ("UNKNOWN", "skip", 'write "reject" or "allow"'),
        ("MODELS", "gemini-x,a b", "got a text of 3 characters; write a model's name"),
        ("SOURCES", "shared/rows", "write gs://bucket/prefix"),
        ("SOURCES", "gs://shared/../x", "made of dots"),
        ("DESTINATIONS", "gs://results//x", "a part that is empty"),
        ("DESTINATIONS", "gs://inbox/x", "in the bucket of BATCHDROP_INBOX"),
        ("DESTINATIONS", "gs://output/,gs://work/x", "the bucket of BATCHDROP_WORK"),
        ("DATASETS", "p.d.t", "write project.dataset, or projects/"),
        ("LABELS", "team", "write team=search,env=prod"),
        ("LABELS", "batchdrop_job=x", "begin with batchdrop_"),
        ("PART_ROWS", "many", "write a whole number, or 0 for no limit"),
        ("PART_BYTES", "-1", "write a whole number, or 0 for no limit"),
        ("MAX_ROWS", "9" * 5000, "write a whole number, or 0 for no limit"),
        ("CANCEL_AFTER", "-1", "write a number of seconds, or 0 for never"),
        ("DELETE_AFTER", "soon", "write a number of seconds, or 0 for never"),
        ("DELETE_AFTER", "7776000", "must be below BATCHDROP_LEDGER_TTL"),
        ("WORK_TTL", "2591999", "must be at least 2592000 s, which is 30 days"),
        ("STALLED_AFTER", "an hour", "write a number of seconds"),
        ("STALLED_AFTER", "PENDING=", "write a number of seconds"),
        ("STALLED_AFTER", "PENDNG=1", "got 'PENDNG'; write one of the states"),
        ("STALLED_AFTER", "PENDING=1,JOB_STATE_PENDING=2", "PENDING is given twice"),
        ("STALLED_AFTER", "60,PENDING=1", "got '60'; write one of the states"),
        ("GENERATION_CONFIG", "temperature=0", "write a JSON object"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_write(
    name: str, value: str, expected: str
) -> None:
    with pytest.raises(BadSetting, match=f"BATCHDROP_{name}") as caught:
        Settings.from_env(ENOUGH | {f"BATCHDROP_{name}": value})

    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("BATCHDROP_MAX_ACTIVE_JOB", "write BATCHDROP_MAX_ACTIVE_JOBS, or remove it"),
        ("BATCHDROP_MODLE", "write BATCHDROP_MODEL, or remove it"),
        ("BATCHDROP_API_KEY", "write GEMINI_API_KEY, or remove it"),
        ("BATCHDROP_max_rows", "write BATCHDROP_MAX_ROWS, or remove it"),
        ("BATCHDROP_COLOUR", "remove it"),
        ("BATCHDROP_", "remove it"),
    ],
)
def test_an_unknown_setting_stops_the_start_with_the_nearest_name(
    name: str, instead: str
) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.from_env(ENOUGH | {name: ""})

    assert str(caught.value).startswith(f"there is no setting {name}; {instead}")


def test_all_unknown_settings_are_named_at_once() -> None:
    with pytest.raises(BadSetting, match=r"BATCHDROP_A;.* BATCHDROP_B;"):
        Settings.from_env(ENOUGH | {"BATCHDROP_B": "1", "BATCHDROP_A": "1"})


def test_variables_without_the_prefix_are_ignored() -> None:
    others = {
        "K_SERVICE": "poll",
        "BATCHDROPS": "1",
        "MODEL": "x",
        "GEMINI_API_KEY": "",
    }

    assert Settings.from_env(ENOUGH | others) == Settings.from_env(ENOUGH)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("cancel_after", "0"), ("cancel_after", "0.0"), ("cancel_after", " ")],
        *[("delete_after", "0"), ("delete_after", "")],
        *[("max_rows", "0"), ("max_rows", " "), ("max_active_jobs", "0")],
        *[("api_url", " "), ("generation_config", "{}"), ("routes", " ")],
    ],
)
def test_empty_and_zero_mean_never_and_no_limit(name: str, value: str) -> None:
    settings = Settings.from_env(ENOUGH | {f"BATCHDROP_{name.upper()}": value})

    assert getattr(settings, name) is None


def test_a_prefix_holds_objects_under_it_and_not_its_neighbours() -> None:
    place = Location.parse("gs://out/results")

    assert place.holds("out", "results/x.jsonl")
    assert not place.holds("out", "results-2/x.jsonl")
    assert not place.holds("other", "results/x.jsonl")


def test_lists_and_labels_are_read() -> None:
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
        ("0", {}),
        ("3600", {"other": 3600}),
        ("PENDING=0, RUNNING=60", {"JOB_STATE_RUNNING": 60}),
        (
            "PENDING=60, JOB_STATE_RUNNING=1.5",
            {"JOB_STATE_PENDING": 60, "JOB_STATE_RUNNING": 1.5},
        ),
    ],
)
def test_stalled_after_is_for_every_state_or_by_state(
    value: str, seconds: dict[str, float]
) -> None:
    settings = Settings.from_env(ENOUGH | {"BATCHDROP_STALLED_AFTER": value})

    assert settings.stalled_after == seconds


def test_a_configuration_is_kept_on_one_line() -> None:
    env = ENOUGH | {"BATCHDROP_GENERATION_CONFIG": '{"a":\n{"b":\r\n 1}}'}

    assert Settings.from_env(env).generation_config == '{"a": {"b":   1}}'


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("PROJECT", 100),
        ("LOCATION", 63),
        ("MODEL", 512),
        ("INBOX", 222),
        ("TOPIC", 400),
        ("WORK_TOPIC", 400),
        ("DATABASE", 63),
    ],
)
def test_a_setting_too_long_for_the_names_made_of_it_stops_the_start(
    name: str, most: int
) -> None:
    Settings.from_env(ENOUGH | {f"BATCHDROP_{name}": "x" * most})

    with pytest.raises(BadSetting, match=f"BATCHDROP_{name} has .* at most {most}"):
        Settings.from_env(ENOUGH | {f"BATCHDROP_{name}": "x" * (most + 1)})

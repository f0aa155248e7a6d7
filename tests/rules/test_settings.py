"""What a deployment can choose, and what it is told when it chose wrongly."""

import pytest

from batchdrop.errors import BadSetting
from batchdrop.settings import Location, Settings

ENOUGH = {
    "BATCHDROP_PROJECT": "p",
    "BATCHDROP_LOCATION": "us-central1",
    "BATCHDROP_MODEL": "gemini-2.5-flash",
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

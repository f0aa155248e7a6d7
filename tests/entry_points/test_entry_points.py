"""The entry points, called as Eventarc and Cloud Scheduler call them."""

import json
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from werkzeug.test import Client

from batchdrop import wiring
from batchdrop.errors import BadSetting, Unavailable
from batchdrop.jobs.values import Drop
from batchdrop.options.settings import Settings
from tests.entry_points.app import MAIN, Worker, client_of
from tests.rules.test_settings import ENOUGH

EVENT = json.loads((Path(__file__).parents[1] / "events/finalized.json").read_text())


@pytest.fixture
def on_upload(worker: Worker) -> Client:
    return client_of("on_upload")


@pytest.fixture
def poll(worker: Worker) -> Client:
    return client_of("poll")


def data(**members: Any) -> bytes:
    """An event's body with other members; None: without it."""
    changed = EVENT["data"] | members
    return json.dumps({k: v for k, v in changed.items() if v is not None}).encode()


def deliver(
    entry_point: Client, data: Any = None, headers: dict[str, str] | None = None
) -> int:
    body = json.dumps(EVENT["data"]) if data is None else data
    answer = entry_point.post(
        "/", headers=EVENT["headers"] | (headers or {}), data=body
    )
    return answer.status_code


def test_an_event_of_an_upload_reaches_the_worker_as_a_drop(
    on_upload: Client, worker: Worker
) -> None:
    assert deliver(on_upload) == 200

    assert worker.drops == [
        Drop(
            bucket="inbox",
            name="reviews.jsonl",
            generation=1772366400000000,
            size=352,
        )
    ]


def test_an_event_that_could_not_be_recorded_is_asked_for_again(
    on_upload: Client, worker: Worker
) -> None:
    worker.fails = Unavailable("Firestore gave no answer")

    assert deliver(on_upload) == 500


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"{broken", {}),
        (b"\xff\xfe", {}),
        (b"[]", {}),
        (b"", {}),
        (b"[" * 100_000, {}),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, {}),
        (b"[{}" + b",{}" * 500_000 + b"]", {}),
        (b'{"generation": ' + b"9" * 100_000 + b"}", {}),
        (b'{"bucket": "inbox"}', {}),
        (data(bucket=None), {}),
        (data(bucket="\udc00"), {}),
        (data(name=7), {}),
        (data(name=""), {}),
        (data(name="\ud800.jsonl"), {}),
        (data(name="é" * 510 + ".jsonl"), {}),
        (data(generation=None), {}),
        (data(generation="0"), {}),
        (data(generation=-5), {}),
        (data(generation="-5"), {}),
        (data(generation=str(2**63)), {}),
        (data(generation=2**63), {}),
        (data(generation="9" * 5000), {}),
        (data(generation=1.5), {}),
        (data(generation=float("inf")), {}),
        (data(generation=float("nan")), {}),
        (data(generation=True), {}),
        (data(generation="1_0"), {}),
        (data(generation="١٢"), {}),
        (data(generation=[1]), {}),
        (data(size="-1"), {}),
        (data(size=2**64), {}),
        (None, {"ce-type": "google.cloud.storage.object.v1.deleted"}),
        (None, {"ce-type": "com.example.other"}),
        (None, {"ce-specversion": "9"}),
        (b"{", {"content-type": "application/cloudevents+json"}),
        (b"[1]", {"content-type": "application/cloudevents+json"}),
    ],
)
def test_what_is_no_upload_is_acknowledged_with_an_error_in_the_log(
    on_upload: Client,
    worker: Worker,
    capsys: pytest.CaptureFixture[str],
    data: bytes | None,
    headers: dict[str, str],
) -> None:
    assert deliver(on_upload, data, headers) == 200

    assert worker.drops == []
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["severity"], line["message"]) == ("ERROR", "event is not a drop")
    assert line["event_id"] == "9876543210"
    assert line["logging.googleapis.com/trace"] == (
        "projects/p/traces/4bf92f3577b34da6a3ce929d0e0e4736"
    )


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b'{"bucket": zqword}', {}),
        (b'{"zqword": "zqword"}', {}),
        (b'["zqword"]', {}),
        *((data(**{member: ["zqword"]}), {}) for member in ("bucket", "name", "size")),
        (data(generation="zqword", metadata={"zqword": "zqword"}), {}),
        (data(name="zqword" * 200), {}),
        (None, {"ce-type": "zqword"}),
        (None, {"ce-specversion": "zqword"}),
        (b"zqword", {"content-type": "application/cloudevents+json; zqword=zqword"}),
    ],
)
def test_an_event_that_cannot_be_read_is_not_quoted(
    on_upload: Client,
    capsys: pytest.CaptureFixture[str],
    data: bytes | None,
    headers: dict[str, str],
) -> None:
    others = {"ce-subject": "objects/zqword", "user-agent": "zqword"}

    assert deliver(on_upload, data, others | headers) == 200

    out, err = capsys.readouterr()
    assert '"message": "event is not a drop"' in out
    assert "zqword" not in out + err


@pytest.mark.parametrize("missing", ["ce-id", "ce-source", "ce-specversion", "ce-type"])
def test_an_event_that_lacks_a_header_is_acknowledged_with_an_error_in_the_log(
    on_upload: Client,
    worker: Worker,
    capsys: pytest.CaptureFixture[str],
    missing: str,
) -> None:
    headers = {k: v for k, v in EVENT["headers"].items() if k != missing}

    answer = on_upload.post("/", headers=headers, data=data())

    assert answer.status_code == 200
    assert worker.drops == []
    assert '"message": "event is not a drop"' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a\nb.jsonl", "é" * 509 + ".jsonl", "a\u2028.jsonl"])
def test_any_name_that_an_object_can_have_reaches_the_worker(
    on_upload: Client, worker: Worker, name: str
) -> None:
    assert deliver(on_upload, data(name=name)) == 200

    assert [drop.name for drop in worker.drops] == [name]


def test_the_tick_returns_its_counts_to_the_schedule(
    poll: Client, worker: Worker
) -> None:
    answer = poll.post("/")

    assert answer.status_code == 200
    assert answer.get_json() == {"locked_out": False, "ended": 2}


def test_a_tick_that_went_wrong_is_seen_by_the_schedule(
    poll: Client, worker: Worker
) -> None:
    worker.fails = ExceptionGroup("some jobs could not be looked at", [ValueError()])

    assert poll.post("/").status_code == 500


def test_a_missing_setting_stops_the_start_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = {name: value for name, value in ENOUGH.items() if "MODEL" not in name}
    monkeypatch.setattr(wiring, "settings", lambda: Settings.from_env(env))

    with pytest.raises(BadSetting, match="BATCHDROP_MODEL is not set"):
        functions_framework.create_app("on_upload", str(MAIN))


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ('{"a b": 1}', "GENERATION_CONFIG: a b has a name that the import"),
        ('{"thinkingConfig": {}}', "GENERATION_CONFIG: thinkingConfig is an object"),
    ],
)
def test_a_configuration_that_no_line_could_be_sent_with_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, config: str, told: str
) -> None:
    env = ENOUGH | {"BATCHDROP_GENERATION_CONFIG": config}
    monkeypatch.setattr(wiring, "settings", lambda: Settings.from_env(env))

    with pytest.raises(BadSetting, match=told):
        functions_framework.create_app("on_upload", str(MAIN))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "BATCHDROP_PRICES: .*prices.json: No such file"),
        (
            '{"models": {}}',
            "BATCHDROP_PRICES: .*prices.json: not a price list: .*models",
        ),
    ],
)
def test_a_price_list_that_is_wrong_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, told: str
) -> None:
    file = tmp_path / "prices.json"
    if text is not None:
        file.write_text(text)
    env = {**ENOUGH, "BATCHDROP_PRICES": str(file)}
    monkeypatch.setattr(wiring, "settings", lambda: Settings.from_env(env))
    wiring.prices.cache_clear()

    with pytest.raises(BadSetting, match=told):
        functions_framework.create_app("on_upload", str(MAIN))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "BATCHDROP_ROUTES: .*routes.toml: No such file"),
        ('[[route]]\nmatch = "**"\nmodle = "x"\n', "modle: unknown"),
    ],
)
def test_routes_that_are_wrong_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, told: str
) -> None:
    file = tmp_path / "routes.toml"
    if text is not None:
        file.write_text(text)
    env = {**ENOUGH, "BATCHDROP_ROUTES": str(file)}
    monkeypatch.setattr(wiring, "settings", lambda: Settings.from_env(env))
    wiring.routes.cache_clear()

    with pytest.raises(BadSetting, match=told):
        functions_framework.create_app("on_upload", str(MAIN))

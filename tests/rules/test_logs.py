"""Log lines as Cloud Logging reads them."""

import json
import logging

import pytest

from batchdrop import logs


@pytest.fixture
def formatter() -> logs.JsonFormatter:
    return logs.JsonFormatter()


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "batchdrop.worker.run", "levelname": "INFO", "msg": "submitted"}
    )
    vars(made).update(extra)
    return made


def test_a_line_is_one_json_object_with_severity_message_and_fields(
    formatter: logs.JsonFormatter,
) -> None:
    line = formatter.format(record(job="abc", reason="two\nlines"))

    assert "\n" not in line
    assert json.loads(line) == {
        "severity": "INFO",
        "message": "submitted",
        "logger": "batchdrop.worker.run",
        "job": "abc",
        "reason": "two\nlines",
    }


def test_a_trace_has_places_and_kinds_but_no_messages(
    formatter: logs.JsonFormatter,
) -> None:
    def fails() -> None:
        try:
            raise KeyError("some text")
        except KeyError as exc:
            raise ValueError("more text") from exc

    with pytest.raises(ValueError, match="more") as caught:
        fails()
    info = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("x", logging.ERROR, "", 1, "failed", None, info)
    trace = json.loads(formatter.format(record))["stack_trace"]

    first, second = trace.split("\n\n")
    assert first.startswith("Traceback (most recent call last):\n")
    assert first.endswith("builtins.KeyError")
    assert second.endswith("builtins.ValueError")
    assert "in fails" in second


def test_a_lone_surrogate_can_be_printed(formatter: logs.JsonFormatter) -> None:
    line = formatter.format(record(object="\ud800.jsonl"))

    assert json.loads(line)["object"] == "\ud800.jsonl"
    assert line.encode()


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("headers", "span", "sampled"),
    [
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "00f067aa0ba902b7", True),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}, "00f067aa0ba902b7", False),
        ({"X-Cloud-Trace-Context": f"{TRACE}/11;o=1"}, "000000000000000b", True),
        ({"X-Cloud-Trace-Context": f"{TRACE}/11"}, "000000000000000b", False),
    ],
)
def test_lines_carry_the_trace_of_the_request(
    formatter: logs.JsonFormatter, headers: dict[str, str], span: str, sampled: bool
) -> None:
    with logs.request(headers, "p"):
        line = json.loads(formatter.format(record()))

    assert line["logging.googleapis.com/trace"] == f"projects/p/traces/{TRACE}"
    assert line["logging.googleapis.com/spanId"] == span
    assert line["logging.googleapis.com/trace_sampled"] is sampled


@pytest.mark.parametrize(
    "headers",
    [{}, {"traceparent": "junk"}, {"X-Cloud-Trace-Context": "../../x;o=1"}],
)
def test_without_a_trace_there_is_none(
    formatter: logs.JsonFormatter, headers: dict[str, str]
) -> None:
    with logs.request(headers, "p"):
        line = json.loads(formatter.format(record()))

    assert not [name for name in line if name.startswith("logging.googleapis.com")]


def test_a_trace_is_forgotten_after_the_request(
    formatter: logs.JsonFormatter,
) -> None:
    with logs.request({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "p"):
        pass

    assert TRACE not in formatter.format(record())

"""Each log line of the functions has an event id, and operators find it listed."""

import re

from tests.log_lines import PAGE, log_lines, page

#: Whose lines have no event: a client has no operators, and logs one warning.
WITHOUT = {"batchdrop/batches/settings.py"}


def test_each_log_line_has_an_event() -> None:
    without = [
        f"{line.where}: {line.message}" for line in log_lines() if not line.event
    ]

    assert [one for one in without if one.partition(":")[0] not in WITHOUT] == []


def test_an_event_is_a_thing_and_what_became_of_it() -> None:
    events = {line.event for line in log_lines() if line.event}

    assert len(events) > 50
    assert [one for one in events if not re.fullmatch(r"[a-z]+\.[a-z_]+", one)] == []


def test_an_event_has_one_message_and_a_message_one_event() -> None:
    pairs = {(line.event, line.message) for line in log_lines() if line.event}

    assert len({event for event, _ in pairs}) == len(pairs)
    assert len({message for _, message in pairs}) == len(pairs)


def test_a_message_is_a_stable_phrase() -> None:
    assert [line.where for line in log_lines() if not line.message] == []


def test_the_page_of_events_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run `make events`"

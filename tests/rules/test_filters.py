"""The filters that we show, applied to the attributes that announcements have."""

import re
from pathlib import Path

import pytest

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Stats
from tests.filters import BadFilter, Filter
from tests.rules.test_announcements import NOW, collected, ended, everything, of

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/how-to/subscribe.md").read_text()


def words(expression: str) -> set[str]:
    """Of which ends a subscription with this filter hears."""
    chosen = Filter(expression)
    return {kind(one) for one in everything() if chosen.matches(one.attributes)}


def kind(announcement: Announcement) -> str:
    return announcement.type.split(".")[3]


ALL = {kind(one) for one in everything()}
ENDS = ["succeeded", "partially_succeeded", "failed", "cancelled", "expired"]
SHOWN = re.findall(r"^\| `((?:attributes|hasPrefix).*)` \|", DOCUMENT, re.MULTILINE)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('attributes.state = "JOB_STATE_FAILED"', {"failed"}),
        ('attributes.state != "JOB_STATE_SUCCEEDED"', ALL - {"succeeded", "ready"}),
        ('attributes.event = "results"', {"ready"}),
        ('attributes.batch_rows = "incomplete"', set(ENDS)),
        ('attributes.rows_outcome = "incomplete"', {"ready"}),
        ('attributes.event = "stalled"', {"stalled"}),
        ('attributes.event = "rejected"', {"rejected"}),
        (
            'attributes."ce-type" = "dev.batchdrop.job.stalled.v1" OR '
            'attributes."ce-type" = "dev.batchdrop.job.lost.v1"',
            {"stalled", "lost"},
        ),
        ('hasPrefix(attributes.object, "a/") AND attributes:model', ALL - {"rejected"}),
        ('hasPrefix(attributes.object, "b/")', set()),
        ('NOT attributes:"ce-replayof"', ALL),
    ],
)
def test_a_filter_lets_through_what_it_should(
    expression: str, expected: set[str]
) -> None:
    # The one that is parked was never prepared, so it has no model either.
    if "model" in expression:
        expected = expected - {"stalled"}

    assert words(expression) == expected


def test_every_filter_that_the_document_shows_can_be_used() -> None:
    attributes = {name for one in everything() for name in one.attributes}

    assert len(SHOWN) >= 4
    for expression in SHOWN:
        assert Filter(expression).keys <= attributes | {"ce-replayof"}, expression
        assert words(expression) != set(), expression


FAILED = Stats(successful=0, failed=50)


@pytest.mark.parametrize(
    ("announced", "heard"),
    [
        (ended("SUCCEEDED", completion_stats=Stats(successful=50)), False),
        (ended("SUCCEEDED"), False),  # the API gives no counts
        (ended("SUCCEEDED", completion_stats=FAILED), True),
        (ended("SUCCEEDED", completion_stats=Stats(successful=49, failed=1)), True),
        (ended("CANCELLED"), True),
        (ended("SUCCEEDED").park(NOW), True),
        (collected(ended("SUCCEEDED"), ok=50), True),
        (collected(ended("SUCCEEDED"), failed=50), True),
        (collected(ended("SUCCEEDED"), ok=49, refused=1), True),
    ],
)
def test_the_deployment_s_example_hears_results_and_all_but_a_clean_end(
    announced: Job, heard: bool
) -> None:
    declared = (ROOT / "infra/variables.tf").read_text()
    block = declared.partition('variable "subscription_filter"')[2]
    found = re.search(r'default\s+= "(.*)"\n', block)
    assert found is not None

    default = Filter(found[1].replace('\\"', '"'))

    assert default.matches(of(announced).attributes) is heard


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "state = failed",
        'attributes.state == "x"',
        "attributes.state = x",
        'attributes.ce-type = "x"',
        'attributes.a = "x" AND attributes.b = "y" OR attributes:c',
        'attributes.state = "' + "x" * 256 + '"',
    ],
)
def test_what_pub_sub_would_refuse_is_refused(wrong: str) -> None:
    with pytest.raises(BadFilter):
        Filter(wrong)

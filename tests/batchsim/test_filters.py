"""The filter language of Vertex's list."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from batchsim import filters
from batchsim.wire import ApiError


@dataclass
class Job:
    display_name: str = "my_job"
    model: str = "publishers/google/models/gemini-3.8-flash"
    state: str = "JOB_STATE_SUCCEEDED"
    created: datetime = datetime(2021, 5, 18, tzinfo=UTC)
    labels: dict[str, str] = field(default_factory=dict)


def accepts(text: str, **job: object) -> bool:
    return filters.parse(text)(Job(**job))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('state="JOB_STATE_SUCCEEDED" AND display_name:"my_job*"', True),
        ('state="JOB_STATE_SUCCEEDED" AND display_name:"your_job*"', False),
        ('state!="JOB_STATE_SUCCEEDED" OR display_name="my_job"', True),
        ('NOT display_name="my_job"', False),
        ('-display_name="my_job"', False),
        ('create_time>"2021-05-17T00:00:00Z"', True),
        ('create_time>"2021-05-18T00:00:00Z"', False),
        ('create_time>="2021-05-18T00:00:00.000000000Z"', True),
        ('create_time<"2021-05-18T02:00:01+02:00"', True),
        ('create_time<="2021-05-17T23:59:59Z"', False),
        ('create_time="2021-05-18T00:00:00Z"', True),
        ('create_time!="2021-05-18T00:00:00Z"', False),
        ('model_display_name="gemini-3.8-flash"', True),
        ('model_display_name!="gemini-3.8-flash"', False),
        ("", True),
    ],
)
def test_a_documented_filter_means_what_it_says(text: str, wanted: bool) -> None:
    assert accepts(text) is wanted


def test_labels_match_by_value_or_by_presence() -> None:
    labels = {"keyA": "valueA", "job-1": "x"}

    assert accepts("labels.keyA=valueA", labels=labels)
    assert accepts('labels.keyA="valueA" AND labels.job-1:*', labels=labels)
    assert not accepts("labels.keyA=other", labels=labels)
    assert not accepts("labels.keyB:*", labels=labels)
    assert not accepts("labels.keyB=valueA", labels=labels)


def test_or_binds_tighter_than_and_and_parentheses_bind_tightest() -> None:
    a, b, c = 'display_name="a"', 'display_name="b"', 'state="JOB_STATE_FAILED"'

    assert not accepts(f"{a} OR {b} AND {c}", display_name="a")
    assert accepts(f"{a} OR ({b} AND {c})", display_name="a")
    assert accepts(f"NOT ({a} AND {c})", display_name="a")
    assert accepts(f"(({a}))", display_name="a")


def test_terms_side_by_side_must_all_hold() -> None:
    text = 'display_name="a" state="JOB_STATE_FAILED"'

    assert accepts(text, display_name="a", state="JOB_STATE_FAILED")
    assert not accepts(text, display_name="a")


def test_quoted_values_may_hold_quotes_spaces_and_operators() -> None:
    assert accepts(r'display_name="a \"b\" AND c=1"', display_name='a "b" AND c=1')


def test_only_the_star_is_a_wildcard() -> None:
    assert accepts('display_name:"*[1]?*"', display_name="job[1]? yes")
    assert not accepts('display_name:"job?"', display_name="job1")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('name="x"', "'name'"),
        ('display_name="a" AND', "field name"),
        ("display_name", "operator"),
        ("display_name=", "value"),
        ('display_name<"a"', "'<'"),
        ('state:"JOB_STATE_FAILED"', "':'"),
        ('state="FAILED"', "'FAILED'"),
        ('create_time>"yesterday"', "'yesterday'"),
        ('create_time>"2021-05-18T00:00:00"', "time zone"),
        ('(display_name="a"', "parenthesis"),
        ('display_name="a")', "')'"),
        ('labels.a!="b"', "labels.a"),
        ('display_name="a', "can't read"),
    ],
)
def test_an_invalid_filter_is_refused_with_the_reason(text: str, named: str) -> None:
    with pytest.raises(ApiError, match="Invalid filter") as caught:
        filters.parse(text)

    assert caught.value.code == 400
    assert named in caught.value.message

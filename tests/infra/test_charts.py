"""The charts are a dashboard that Cloud Monitoring takes, and all are seen."""

import itertools
import json
from typing import Any

import pytest
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.protobuf import json_format

from tests.infra import policy
from tests.infra.plan import Plan


def read(plan: Plan) -> dict[str, Any]:
    """The dashboard's JSON, as the plan sends it."""
    text = plan.at("google_monitoring_dashboard.this").values["dashboard_json"]
    content: dict[str, Any] = json.loads(text)
    return content


def parse(content: dict[str, Any]) -> Any:
    """The dashboard as the API's message; ParseError if a field does not exist."""
    return json_format.ParseDict(content, Dashboard.pb(Dashboard()))


def test_it_is_a_dashboard(plan: Plan) -> None:
    dashboard = parse(read(plan))

    assert dashboard.display_name == "batchdrop: batchdrop"
    assert len(dashboard.mosaic_layout.tiles) == 8


def test_its_name_is_the_deployments(everything: Plan) -> None:
    assert parse(read(everything)).display_name == "batchdrop: drops"


def test_its_tiles_fit_beside_each_other(plan: Plan) -> None:
    layout = parse(read(plan)).mosaic_layout

    for tile in layout.tiles:
        assert tile.x_pos + tile.width <= layout.columns
    for one, other in itertools.combinations(layout.tiles, 2):
        beside = (
            one.x_pos + one.width <= other.x_pos
            or other.x_pos + other.width <= one.x_pos
        )
        above = (
            one.y_pos + one.height <= other.y_pos
            or other.y_pos + other.height <= one.y_pos
        )
        assert beside or above, (one.widget.title, other.widget.title)


def test_each_metric_of_the_worker_is_on_it(plan: Plan) -> None:
    shown = json.dumps(read(plan))

    for metric in plan.of("google_logging_metric"):
        assert f"user_{metric.values['name']}" in shown


def test_its_queries_are_among_those_that_the_policy_checks(plan: Plan) -> None:
    charts = [
        each["timeSeriesQuery"]["prometheusQuery"]
        for tile in read(plan)["mosaicLayout"]["tiles"]
        for each in tile["widget"]["xyChart"]["dataSets"]
    ]

    assert set(charts) <= {query for _, query in policy.queries(plan)}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"prometheusQuery"', '"promQuery"'),
        ('"STACKED_BAR"', '"STACKED_BARS"'),
        ('"width": 24', '"width": "wide"'),
        ('"mosaicLayout"', '"mosaic"'),
    ],
)
def test_a_mistake_in_it_is_noticed(plan: Plan, old: str, new: str) -> None:
    text = json.dumps(read(plan))
    assert old in text

    with pytest.raises(json_format.ParseError):
        parse(json.loads(text.replace(old, new)))

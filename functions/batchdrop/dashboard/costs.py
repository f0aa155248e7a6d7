"""`/costs`: what jobs have cost."""

import flask

from batchdrop.dashboard.asked import asked

pages = flask.Blueprint("costs", __name__)


@pages.get("/costs")
def costs() -> str:
    return flask.render_template("costs.html", asked=asked())

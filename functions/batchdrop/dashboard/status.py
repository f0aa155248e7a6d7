"""`/status`: how the deployment is."""

import flask

from batchdrop.dashboard.asked import asked

pages = flask.Blueprint("status", __name__)


@pages.get("/status")
def status() -> str:
    return flask.render_template("status.html", asked=asked())

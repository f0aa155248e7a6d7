"""`/jobs/{id}/rows`: what the rows of a job ask and answer."""

import flask

from batchdrop.dashboard.asked import asked

pages = flask.Blueprint("rows", __name__)


@pages.get("/jobs/<id>/rows")
def rows(id: str) -> str:
    return flask.render_template("rows.html", asked=asked())

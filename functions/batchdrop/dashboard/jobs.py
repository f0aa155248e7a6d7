"""`/`: the jobs, the newest first."""

import flask

from batchdrop.dashboard.asked import asked
from batchdrop.views.listing import Filters, with_places

pages = flask.Blueprint("jobs", __name__)
#: Jobs of a page.
PAGE = 25


@pages.get("/")
def jobs() -> str:
    """The newest jobs."""
    here = asked()
    page = Filters().page(here.ledger, PAGE)
    found = with_places(here.ledger, page.jobs, 10)
    return flask.render_template("jobs.html", asked=here, jobs=found)

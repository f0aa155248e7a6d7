"""`/status`: the state of the deployment, what is wrong, and what to do."""

import flask

from batchdrop.dashboard.asked import asked
from batchdrop.dashboard.limits import shown_limits
from batchdrop.views.status import RECENT_DAYS, read

pages = flask.Blueprint("status", __name__)
#: Queues that a page shows.
MOST_QUEUES = 8
#: Seconds that Cloud Monitoring may take: the page waits for it.
PATIENCE = 2.0


@pages.get("/status")
def status() -> str:
    here = asked()
    found = read(here.wiring, most=MOST_QUEUES, patience=PATIENCE)
    limits = []
    if found.limits:
        limits = shown_limits(found.limits, here.wiring.prices().currency)
    return flask.render_template(
        "status.html",
        asked=here,
        found=found,
        limits=limits,
        recent_days=RECENT_DAYS,
    )

"""`/jobs/{id}`: one job."""

import flask

from batchdrop.dashboard.asked import asked
from batchdrop.jobs.values import is_job_id

pages = flask.Blueprint("job", __name__)


@pages.get("/jobs/<id>")
def job(id: str) -> str:
    """How far a job is, and what became of its rows."""
    here = asked()
    found = here.ledger.get(id) if is_job_id(id) else None
    if found is None:
        raise LookupError("There is no such job.")
    return flask.render_template("job.html", asked=here, job=found)

"""The doors: what Eventarc and Cloud Scheduler call. Nothing else."""

import logging

import flask
import functions_framework
from cloudevents.http import CloudEvent

from batchdrop import logs, wiring
from batchdrop.errors import NotADrop
from batchdrop.records import Drop

logs.set_up()
# A wrong setting stops the start, where a deployment sees it, and not the first event.
settings = wiring.start()
log = logging.getLogger("batchdrop.main")


@functions_framework.cloud_event
def on_upload(event: CloudEvent) -> None:
    """Eventarc calls this for each object that lands in the inbox bucket."""
    with logs.request(flask.request.headers, settings.project):
        try:
            drop = Drop.from_event(event["type"], event.data)
        except NotADrop as exc:
            # Any other answer than yes would bring it back for a day.
            log.error("not a drop", extra={"event": event["id"], "reason": str(exc)})
            return
        wiring.intake().take(drop)


@functions_framework.http
def poll(request: flask.Request) -> flask.typing.ResponseReturnValue:
    """Cloud Scheduler calls this every minute."""
    with logs.request(request.headers, settings.project):
        ticked = wiring.poller().tick()
        return {"locked_out": ticked.locked_out, "ended": ticked.ended}

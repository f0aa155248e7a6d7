"""The entry points: what Eventarc and Cloud Scheduler call. Nothing else."""

import logging
import os

import flask
import functions_framework
from cloudevents.exceptions import InvalidRequiredFields, MissingRequiredFields
from cloudevents.http import CloudEvent, from_http
from functions_framework.event_conversion import background_event_to_cloud_event

from batchdrop import logs, wiring
from batchdrop.errors import NotADrop, NotAWakeUp
from batchdrop.jobs.values import Drop
from batchdrop.jobs.wakeup import job_id_of

logs.set_up()
# A wrong setting stops the start, where a deployment sees it, and not the first event.
settings = wiring.start()
log = logging.getLogger("batchdrop.main")

#: Bytes of an event; Eventarc's have at most 512 KB.
MAX_EVENT = 1024**2
#: Whether this app is the entry point `collect`; the framework names it so.
COLLECTS = os.environ.get("FUNCTION_TARGET") == "collect"


def acknowledge_unreadable() -> flask.typing.ResponseReturnValue | None:
    """
    Answers yes to what is no CloudEvent, before the framework reads it: its 400 or 500
    would bring it back for a day.
    """
    request = flask.request
    if request.endpoint != "cloudevent":
        return None
    with logs.request(request.headers, settings.project):
        # Not even read: Cloud Run hands over 32 MiB, to several threads at once.
        request.max_content_length = MAX_EVENT
        try:
            _check_readable(request)
        except Exception as exc:  # whatever the libraries make of others' bytes
            unreadable = _not_a_wake_up if COLLECTS else _not_a_drop
            unreadable(request.headers.get("ce-id", ""), type(exc).__name__)
            return "OK"
    return None


def _check_readable(request: flask.Request) -> None:
    """Raises an error of the framework's libraries if it can't read the request."""
    try:
        from_http(request.headers, request.get_data())
    except (MissingRequiredFields, InvalidRequiredFields):
        if not COLLECTS:
            raise
        # A push of Pub/Sub's own, which the framework turns into an event.
        background_event_to_cloud_event(request)


def guard(response: flask.Response) -> flask.Response:
    """
    Gives the framework's own answers the headers of the pages: it answers /robots.txt,
    /favicon.ico and /static/ without them, and redirects from //.
    """
    if flask.current_app.import_name == "dashboard":
        from batchdrop.dashboard.site import HEADERS

        for name, value in HEADERS.items() | {("Cache-Control", "no-store")}:
            response.headers.setdefault(name, value)
    return response


if flask.has_app_context():  # while the framework makes the app
    flask.current_app.before_request(acknowledge_unreadable)
    flask.current_app.after_request(guard)


def _not_a_drop(event_id: str, reason: str) -> None:
    log.error(
        "event is not a drop",
        extra={"event": "drop.not_a_drop", "event_id": event_id, "reason": reason},
    )


def _not_a_wake_up(event_id: str, reason: str) -> None:
    log.error(
        "message is not a wake-up",
        extra={
            "event": "collect.not_a_wake_up",
            "event_id": event_id,
            "reason": reason,
        },
    )


@functions_framework.cloud_event
def on_upload(event: CloudEvent) -> None:
    """Eventarc calls this for each object that lands in the inbox bucket."""
    with logs.request(flask.request.headers, settings.project):
        try:
            drop = Drop.from_event(event["type"], event.data)
        except NotADrop as exc:
            # Any other answer than yes would bring it back for a day.
            return _not_a_drop(event["id"], str(exc))
        wiring.worker().take(drop)


@functions_framework.http
def poll(request: flask.Request) -> flask.typing.ResponseReturnValue:
    """Cloud Scheduler calls this every minute."""
    with logs.request(request.headers, settings.project):
        report = wiring.worker().tick()
        return {"locked_out": report.locked_out, "ended": report.ended}


@functions_framework.cloud_event
def collect(event: CloudEvent) -> None:
    """Eventarc calls this for each job whose answers `poll` wants collected."""
    with logs.request(flask.request.headers, settings.project):
        try:
            job_id = job_id_of(event["type"], event.data)
        except NotAWakeUp as exc:
            return _not_a_wake_up(event["id"], str(exc))
        wiring.worker().collect(job_id)


@functions_framework.http
def dashboard(request: flask.Request) -> flask.typing.ResponseReturnValue:
    """People look at jobs here."""
    # No other entry point pays for it at its start.
    from batchdrop.dashboard import site

    with logs.request(request.headers, settings.project):
        return site.answer(request)

"""How many messages wait with the dead letters, by Cloud Monitoring."""

import os
from concurrent.futures import Future
from datetime import datetime, timedelta
from threading import Thread
from typing import Any

API = "https://monitoring.googleapis.com"
METRIC = "pubsub.googleapis.com/subscription/num_undelivered_messages"
#: Pub/Sub's counts come each minute, and late.
SPAN = timedelta(minutes=15)


class NotCounted(Exception):
    """The number isn't known; the text says why."""


def begin(project: str, subscription: str, now: datetime) -> "Future[int]":
    """
    Asks in a thread of its own how many messages a subscription holds: who waits for
    the answer chooses for how long. The answer may be NotCounted.
    """
    answer: Future[int] = Future()

    def run() -> None:
        try:
            answer.set_result(count(project, subscription, now))
        except Exception as exc:
            answer.set_exception(exc)

    # A pool's thread would hold up the end of the process.
    Thread(target=run, daemon=True).start()
    return answer


def count(project: str, subscription: str, now: datetime) -> int:
    """
    How many messages a subscription holds.

    Raises:
        NotCounted: it is an emulator's, nobody is logged in, or Cloud Monitoring
            refuses.
    """
    if os.environ.get("PUBSUB_EMULATOR_HOST"):
        raise NotCounted("an emulator doesn't count its messages")
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, _ = google.auth.default(
            scopes=["https://www.googleapis.com/auth/monitoring.read"]
        )
        session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        return ask(session, API, project, subscription, now)
    except GoogleAuthError as exc:
        raise NotCounted("nobody is logged in to Google Cloud") from exc


def ask(session: Any, api: str, project: str, subscription: str, now: datetime) -> int:
    """
    As `count`, in a `requests.Session` that is logged in.

    Raises:
        NotCounted: Cloud Monitoring refuses, gives no answer, or has no number.
    """
    from requests import RequestException

    params = {
        "filter": f'metric.type="{METRIC}" AND '
        f'resource.labels.subscription_id="{subscription}"',
        "interval.startTime": (now - SPAN).isoformat(),
        "interval.endTime": now.isoformat(),
    }
    url = f"{api}/v3/projects/{project}/timeSeries"
    try:
        answer = session.get(url, params=params, timeout=10)
    except RequestException as exc:
        raise NotCounted("Cloud Monitoring gave no answer") from exc
    if answer.status_code == 403:
        raise NotCounted("counting them takes the role Monitoring Viewer")
    if not answer.ok:
        raise NotCounted(f"Cloud Monitoring answered {answer.status_code}")
    try:
        # The newest point comes first.
        return int(answer.json()["timeSeries"][0]["points"][0]["value"]["int64Value"])
    except (LookupError, TypeError, ValueError) as exc:
        raise NotCounted(
            f"Cloud Monitoring has no number of the subscription {subscription}"
        ) from exc

"""How many messages wait with the dead letters, by Cloud Monitoring."""

import os
from datetime import datetime, timedelta
from typing import Any

API = "https://monitoring.googleapis.com"
METRIC = "pubsub.googleapis.com/subscription/num_undelivered_messages"
#: Pub/Sub's counts come each minute, and late.
SPAN = timedelta(minutes=15)


class NotCounted(Exception):
    """The number isn't known; the text says why."""


def count(project: str, subscription: str, now: datetime) -> int:
    """
    How many messages a subscription holds.

    Raises:
        NotCounted: it is an emulator's, or Cloud Monitoring refuses.
        google.auth.exceptions.GoogleAuthError: nobody is logged in.
    """
    if os.environ.get("PUBSUB_EMULATOR_HOST"):
        raise NotCounted("an emulator doesn't count its messages")
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(
        scopes=["https://www.googleapis.com/auth/monitoring.read"]
    )
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    return ask(session, API, project, subscription, now)


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

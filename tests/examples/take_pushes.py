"""A function that takes pushes, and sees for itself that Pub/Sub has sent them."""

import logging
import os
from typing import Any

import flask
import functions_framework
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from batchdrop.subscribe import BadAnnouncement, parse

log = logging.getLogger(__name__)


@functions_framework.http
def on_push(request: flask.Request) -> flask.typing.ResponseReturnValue:
    """The push subscription's endpoint. What isn't answered 2xx comes again."""
    if not is_from_pubsub(request.headers.get("authorization", ""), Request()):
        return "who are you?", 403
    try:
        job = parse(request.get_data(), dict(request.headers))
    except BadAnnouncement as exc:
        log.error("not an announcement", extra={"reason": str(exc)})
        return "", 204  # it would be no better the next time
    log.warning("%s: %s", job.source.name, job.outcome)
    return "", 204


def is_from_pubsub(authorization: str, transport: Any) -> bool:
    """
    Whether the token was made by Google, for this endpoint, and for the account that
    the subscription pushes as. A signature alone says only that Google knows somebody.

    Args:
        transport: gets Google's certificates; a google.auth.transport.Request.

    Raises:
        TransportError: the certificates can't be had. Then it should come again.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return False
    try:
        claims = id_token.verify_oauth2_token(
            token, transport, audience=os.environ["PUSH_AUDIENCE"]
        )
    except TransportError:
        raise
    except (GoogleAuthError, ValueError) as exc:
        log.warning("a token that is not valid", extra={"reason": str(exc)})
        return False
    return bool(
        claims.get("email_verified") and claims.get("email") == os.environ["PUSH_EMAIL"]
    )

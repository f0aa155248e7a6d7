"""
Forms that only these pages can have sent.

A random token is in a cookie and in each form: another site can't read the cookie, so
it can't fill in the form. The browser's headers on the form's origin are checked too.
https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import hmac
import re
import secrets
from urllib.parse import urlsplit

import flask

from batchdrop.dashboard.access import is_own_machine
from batchdrop.dashboard.asked import asked
from batchdrop.dashboard.errors import Denied

#: The member of a form that has the token.
MEMBER = "token"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def token() -> str:
    """The token of this browser's forms; the answer sets the cookie if it is new."""
    if "token" not in flask.g:
        known = _sent()
        flask.g.token_is_new = known is None
        flask.g.token = known or secrets.token_urlsafe(32)
    return str(flask.g.token)


def set_cookie(response: flask.Response) -> None:
    """Gives the browser the token of a form that the page has, if it has none."""
    if flask.g.get("token_is_new"):
        response.set_cookie(
            _cookie(),
            flask.g.token,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=_is_https(),
        )


def check(action: str) -> None:
    """
    Checks that a form came from these pages.

    Args:
        action: what it asks for.

    Raises:
        Denied: it didn't, or the browser's cookie is another one by now.
    """
    headers, person = flask.request.headers, asked().person
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None:
        ours = site == "same-origin"
    else:
        # An older browser, or a site of others that has given its own name the address
        # of this machine, and so of the proxy of gcloud, which writes the name of the
        # service over it: browsers send Sec-Fetch-Site only where a site is secure.
        ours = origin is None or _is_ours(origin, headers.get("Host", ""))
    if not ours:
        raise Denied(
            "this form was not sent by these pages", who=person.name, action=action
        )
    known, given = _sent(), flask.request.form.get(MEMBER, "")
    if known is None or not hmac.compare_digest(known.encode(), given.encode()):
        raise Denied(
            "this form is not of this browser's last visit; go back, reload the page, "
            "and try again",
            who=person.name,
            action=action,
        )


def _is_ours(origin: str, host: str) -> bool:
    """
    Whether an origin is the host. Only the proxy of gcloud, on a browser's machine,
    writes another name over it; elsewhere another port is another program's, which
    gets the cookies of all ports of this machine.
    """
    try:
        there = urlsplit(origin).netloc
    except ValueError:
        return False
    if asked().settings.dashboard_access == "iam":
        return is_own_machine(there)
    return bool(there) and there == host


def _sent() -> str | None:
    """The token in the browser's cookie; None if there is none."""
    found = flask.request.cookies.get(_cookie(), "")
    return found if _TOKEN.fullmatch(found) else None


def _is_https() -> bool:
    # The proxy of gcloud, and a machine's own pages, are reached by plain HTTP.
    return bool(asked().settings.dashboard_access == "iap")


def _cookie() -> str:
    # A browser takes this prefix only from the very host, by HTTPS.
    return "__Host-batchdrop" if _is_https() else "batchdrop"

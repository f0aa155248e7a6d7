"""
Who asks for a page, and what they may do.

If the deployment's access is `iam`, Cloud Run has checked an ID token before the
request arrives. If it is `iap`, the assertion of the Identity-Aware Proxy is checked
here. `local` lets in everyone on this machine.
"""

import base64
import getpass
import os
import re
import time
from dataclasses import dataclass

import msgspec
from werkzeug.wrappers import Request

from batchdrop.dashboard import assertions
from batchdrop.dashboard.assertions import Account
from batchdrop.dashboard.errors import Denied as Denied
from batchdrop.options.settings import Settings

#: Characters of a token; those of Google have about a thousand.
MAX_TOKEN = 8192
#: Who may have issued an ID token.
#: https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload
ISSUERS = ("https://accounts.google.com", "accounts.google.com")
#: Seconds by which clocks may differ.
SKEW = 30
#: Hosts of a browser's own machine.
OWN_MACHINE = ("127.0.0.1", "localhost", "[::1]")
#: Of an address such as `accounts.google.com:ada@example.com`, which IAP may write.
#: https://docs.cloud.google.com/iap/docs/identity-howto
IAP_PREFIX = "accounts.google.com:"
#: One address: with a second @, a prefix, white space or another alphabet somebody
#: could look like somebody else.
_ADDRESS = re.compile(r"[^\s@:,]{1,64}@[^\s@:,]{1,190}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who may look at the pages."""

    name: str  #: an address of email; on one machine, the user's name
    operates: bool  #: whether they may cancel, resume, rerun, retry and replay


def person(request: Request, settings: Settings) -> Person:
    """
    Who sent a request.

    Raises:
        Denied: nobody has checked who that is, or they may not look.
        Unavailable: the keys to check it with can't be had.
    """
    if settings.dashboard_access == "local":
        return _on_this_machine(request)
    if settings.dashboard_access == "iap":
        given = assertions.checked(request.headers, settings)
        account = Account(email=given.email.removeprefix(IAP_PREFIX), hd=given.hd)
    else:
        account = _claimed(request, settings)
    name = _plain(account.email)
    operates = _is_one_of(name, account.hd, settings.dashboard_operators)
    readers = settings.dashboard_readers
    if not operates and readers and not _is_one_of(name, account.hd, readers):
        raise Denied(
            f"{name} is none of the readers of these pages; ask who runs this "
            "deployment to add you",
            who=name,
        )
    return Person(name=name, operates=operates)


def is_own_machine(host: str) -> bool:
    """Whether a host, with a port or without, is that of the browser's machine."""
    return re.sub(r":\d{1,5}$", "", host).lower() in OWN_MACHINE


def _on_this_machine(request: Request) -> Person:
    # A site of others can give its own name this machine's address (DNS rebinding):
    # then the browser takes these pages for the site's.
    if not is_own_machine(request.headers.get("Host", "")):
        raise Denied("These pages are for one machine: open them at http://localhost")
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = "somebody"
    return Person(name=name, operates=True)


class _Claims(msgspec.Struct):
    """What an ID token says."""

    iss: str
    exp: float
    email: str = ""
    email_verified: bool = False
    hd: str = ""


def _claimed(request: Request, settings: Settings) -> Account:
    """
    The account in the ID token that Cloud Run has checked, and whose signature it has
    removed. If a request has both headers, Cloud Run checks X-Serverless-Authorization
    alone, and hands on Authorization as it came: anybody can have written that. Which
    of the two `gcloud run services proxy` sends depends on its release.

    https://cloud.google.com/run/docs/authenticating/service-to-service
    https://github.com/GoogleCloudPlatform/cloud-run-proxy/pull/25

    Raises:
        Denied: there is none, it is over, or it has no address.
    """
    given = request.headers.get("X-Serverless-Authorization")
    if given is None:
        given = request.headers.get("Authorization", "")
    kind, _, token = given.partition(" ")
    service = os.environ.get("K_SERVICE", "SERVICE")
    if kind.lower() != "bearer" or len(given) > MAX_TOKEN:
        raise Denied(
            "Cloud Run has not checked who you are. Run `gcloud run services proxy "
            f"{service} --region REGION --project {settings.project}`, and open "
            "http://localhost:8080"
        )
    try:
        _, payload, _ = token.split(".")
        content = base64.b64decode(payload + "=" * (-len(payload) % 4), b"-_", True)
        claims = msgspec.json.decode(content, type=_Claims)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise Denied("the token of the request is no ID token of Google") from None
    if claims.iss not in ISSUERS:
        raise Denied("the token of the request is no ID token of Google")
    if not claims.exp > time.time() - SKEW:
        raise Denied("the ID token is over; start `gcloud run services proxy` again")
    if not (claims.email and claims.email_verified):
        raise Denied(
            "the ID token has no address; a service account's has one if it is asked "
            "for (`--include-email`)"
        )
    return Account(email=claims.email, hd=claims.hd)


def _plain(address: str) -> str:
    """
    An address in small letters.

    Raises:
        Denied: it is no plain address.
    """
    plain = address.isascii() and address.isprintable()
    if not (plain and _ADDRESS.fullmatch(address)):
        raise Denied("your account has no plain address of email")
    return address.lower()


def _is_one_of(name: str, hd: str, people: tuple[str, ...]) -> bool:
    """
    Args:
        hd: see `Account`. Anybody can have an account of their own with an address of
            a domain, and keeps it when the domain's owner takes the mailbox away.
        people: addresses, or `domain:example.com`, all in small letters.
    """
    domain = f"domain:{name.rpartition('@')[2]}"
    return name in people or (bool(hd) and domain in people)

"""The assertions of the Identity-Aware Proxy, and the keys to check them with."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import httpx
import msgspec
from werkzeug.datastructures import Headers

from batchdrop.dashboard.errors import Denied
from batchdrop.errors import Unavailable
from batchdrop.options.settings import Settings

log = logging.getLogger(__name__)

HEADER = "X-Goog-IAP-JWT-Assertion"
ISSUER = "https://cloud.google.com/iap"
#: Seconds by which clocks may differ, as IAP's page allows.
SKEW = 30
#: Characters of an assertion; those of IAP have about a thousand.
MAX_ASSERTION = 8192
#: Bytes of the list of keys, which has a few.
MAX_KEYS = 64 * 1024
#: Seconds for the list of keys to come.
TIMEOUT = 5.0
#: Seconds for which keys are good, after which they are fetched again all the same, and
#: between two requests for them.
KEEP, FRESH, PAUSE = 3600.0, 1800.0, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """
    A Google account, as a token or an assertion names it: both have `hd` for accounts
    that an organization manages, and for no others.

    https://docs.cloud.google.com/iap/docs/signed-headers-howto
    https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload
    """

    email: str
    hd: str  #: the domain of the organization that manages it; empty if none does


def checked(headers: Headers, settings: Settings) -> Account:
    """
    The account in the assertion of a request, which is checked as IAP's page says:
    https://docs.cloud.google.com/iap/docs/signed-headers-howto. Its other headers have
    no signature, so anybody who reaches the service past IAP can write them.

    Raises:
        Denied: there is no assertion, or it is none of IAP's for this deployment.
        Unavailable: the keys can't be had.
    """
    given = headers.get(HEADER, "")
    if not given or len(given) > MAX_ASSERTION:
        raise Denied(
            "the Identity-Aware Proxy has not checked who you are; open the pages at "
            "the address that it is in front of"
        )
    claims = _checked(given, settings.dashboard_audience, keys(settings.dashboard_keys))
    if claims is None:
        raise Denied(
            "the assertion of the request is none of the Identity-Aware Proxy's for "
            "these pages"
        )
    email, hd = (claims.get(name) for name in ("email", "hd"))
    return Account(
        email=email if isinstance(email, str) else "",
        hd=hd if isinstance(hd, str) else "",
    )


def _checked(
    given: str, audience: str | None, keys: "Keys"
) -> "dict[str, object] | None":
    """
    What an assertion claims; None if it is not valid.

    Raises:
        Unavailable: the keys can't be had.
    """
    from google.auth import jwt

    # The text of the library's errors quotes the assertion: it is shown nowhere.
    try:
        header = jwt.decode_header(given)  # type: ignore[no-untyped-call]
        algorithm, kid = header.get("alg"), header.get("kid")
    except Exception:  # whatever the library makes of others' bytes
        return None
    # Nothing but what IAP signs with: no signature, or one by a secret that is in truth
    # the public key, is as good as none.
    if algorithm != "ES256" or not isinstance(kid, str) or not audience:
        return None
    key = keys.of(kid)
    if key is None:
        return None
    try:
        claims = jwt.decode(  # type: ignore[no-untyped-call]
            given, {kid: key}, audience=audience, clock_skew_in_seconds=SKEW
        )
    except Exception:
        return None
    return dict(claims) if claims.get("iss") == ISSUER else None


class Keys:
    """
    The public keys of an address, by their ids. They are fetched at first use, when
    they are no longer fresh, and for an id that is not among them; at most once a
    minute. Where that fails, those that are still good are used.
    """

    def __init__(
        self, address: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address, self._clock = address, clock
        self._lock = threading.Lock()
        self._keys: dict[str, str] = {}
        self._fetched: float | None = None
        self._tried: float | None = None

    def of(self, kid: str) -> str | None:
        """
        The key with this id, in PEM; None if there is no such key.

        Raises:
            Unavailable: no keys that are good can be had.
        """
        known = self._keys.get(kid) if self._are_younger_than(KEEP) else None
        if known and self._are_younger_than(FRESH):
            return known
        # One request, whatever comes at the same moment; who has a good key goes on.
        if not self._lock.acquire(blocking=known is None):
            return known
        try:
            return self._fetched_or_known(kid)
        finally:
            self._lock.release()

    def _fetched_or_known(self, kid: str) -> str | None:
        is_known = kid in self._keys and self._are_younger_than(FRESH)
        may_try = self._tried is None or self._clock() - self._tried >= PAUSE
        if may_try and not is_known:
            self._tried = self._clock()
            try:
                self._keys = _fetched(self._address)
                self._fetched = self._clock()
            except Unavailable as exc:
                if not self._are_younger_than(KEEP):
                    raise
                log.warning(
                    "keys not refreshed",
                    extra={"event": "dashboard.keys_not_refreshed", "error": str(exc)},
                )
        if not self._are_younger_than(KEEP):
            raise Unavailable(f"{self._address} has not answered")
        return self._keys.get(kid)

    def _are_younger_than(self, seconds: float) -> bool:
        return self._fetched is not None and self._clock() - self._fetched < seconds


@cache
def keys(address: str) -> Keys:
    """The keys of an address, once per instance."""
    return Keys(address)


def _fetched(address: str) -> dict[str, str]:
    """
    Fetches a JSON object of public keys in PEM by their ids.

    Raises:
        Unavailable: there was no such answer in time.
    """
    until, content = time.monotonic() + TIMEOUT, b""
    plain = {"Accept-Encoding": "identity"}  # so that the bound is that of what comes
    try:
        with httpx.stream("GET", address, headers=plain, timeout=TIMEOUT) as answer:
            answer.raise_for_status()
            for piece in answer.iter_raw():
                content += piece
                if len(content) > MAX_KEYS or time.monotonic() > until:
                    raise Unavailable(f"{address} has not answered as it should")
        found = msgspec.json.decode(content, type=dict[str, str])
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError) as exc:
        raise Unavailable(f"{address} has not answered as it should") from exc
    if not found:
        raise Unavailable(f"{address} has no keys")
    return found

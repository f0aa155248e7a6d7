"""Who may look at the pages, and who may act, in each mode."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from batchdrop.dashboard import access, assertions
from batchdrop.dashboard.access import Denied, Person
from batchdrop.errors import BadSetting, Unavailable
from batchdrop.options.settings import Settings
from tests.dashboard.people import (
    AUDIENCE,
    REMOVED,
    Iap,
    bearer,
    id_token,
    part,
    serving,
)
from tests.rules.test_settings import ENOUGH

IAM = Settings.from_env(ENOUGH)


def who(settings: Settings, headers: dict[str, str], host: str = "x.run.app") -> Person:
    """Who sends a request with these headers."""
    builder = EnvironBuilder(headers=Headers({"Host": host} | headers))
    return access.person(Request(builder.get_environ()), settings)


@pytest.fixture
def iap() -> Iterator[Iap]:
    assertions.keys.cache_clear()
    with serving(Iap()) as made:
        yield made


@pytest.fixture
def behind(iap: Iap) -> Settings:
    """The settings of a deployment behind that proxy."""
    return replace(
        IAM,
        dashboard_access="iap",
        dashboard_audience=AUDIENCE,
        dashboard_keys=iap.url,
    )


# -- iam ------------------------------------------------------------------------


def test_who_acts_is_read_from_the_token_that_cloud_run_has_checked() -> None:
    found = who(IAM, bearer("Ada@Example.com"))

    assert found == Person(name="ada@example.com", operates=False)


def test_of_two_tokens_the_one_that_cloud_run_checks_counts() -> None:
    operated = replace(IAM, dashboard_operators=("eve@evil.com", "ada@example.com"))
    checked = f"Bearer {id_token('bob@example.com')}"
    forged = bearer("ada@example.com")

    found = who(operated, forged | {"X-Serverless-Authorization": checked})

    assert found == Person(name="bob@example.com", operates=False)


@pytest.mark.parametrize("checked", ["", "Bearer", "Basic YTpi", "Bearer x.y.z"])
def test_a_header_that_cloud_run_does_not_check_is_never_used_instead(
    checked: str,
) -> None:
    with pytest.raises(Denied):
        who(IAM, bearer() | {"X-Serverless-Authorization": checked})


def test_a_request_without_a_token_is_told_how_to_open_the_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("K_SERVICE", "batchdrop-dashboard")

    with pytest.raises(
        Denied,
        match=r"gcloud run services proxy batchdrop-dashboard --region .* --project p",
    ):
        who(IAM, {})


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b",
        "a.b.c.d",
        f"{part({})}.%%%.{REMOVED}",
        f"{part({})}.{part([])}.{REMOVED}",
        f"{part({})}.{part(b'{broken')}.{REMOVED}",
        f"{part({})}.{part(b'[' * 5000)}.{REMOVED}",
        f"{part({})}.{part({'email': 'ada@example.com'})}.{REMOVED}",
        id_token(iss="https://evil.com"),
        id_token(iss="https://accounts.google.com.evil.com"),
        id_token(exp=time.time() - 60),
        id_token(exp="9" * 12),
        id_token(exp=None),
        id_token(email_verified=False),
        id_token(email_verified="true"),
        id_token(email_verified=None),
        id_token(""),
        id_token(email=["ada@example.com"]),
        id_token("a" * 9000 + "@example.com"),
    ],
    ids=itertools.count(),  # times and keys have other names in each process
)
def test_a_token_that_does_not_name_somebody_for_now_lets_nobody_in(
    token: str,
) -> None:
    with pytest.raises(Denied):
        who(IAM, {"Authorization": f"Bearer {token}"})


# -- whom lists have --------------------------------------------------------------

OPEN = replace(IAM, dashboard_operators=("ada@example.com", "domain:ops.example.com"))
READ = replace(OPEN, dashboard_readers=("domain:example.com", "carl@other.org"))


@pytest.mark.parametrize(
    ("address", "settings", "operates"),
    [
        ("ada@example.com", OPEN, True),
        ("ADA@EXAMPLE.COM", OPEN, True),
        ("bob@ops.example.com", OPEN, True),
        ("bob@example.com", OPEN, False),
        ("bob@evilops.example.com", OPEN, False),
        ("nada@example.com", OPEN, False),
        ("bob@ops.example.com.evil.com", OPEN, False),
        ("ada@example.com", IAM, False),
        ("bob@example.com", READ, False),
        ("carl@other.org", READ, False),
        ("bob@ops.example.com", READ, True),
    ],
)
def test_the_lists_say_who_looks_and_who_acts(
    address: str, settings: Settings, operates: bool
) -> None:
    assert who(settings, bearer(address)).operates is operates


@pytest.mark.parametrize(
    "address",
    [
        "bob@sample.com",
        "bob@ample.com",
        "bob@example.com.evil.com",
        "bob@sub.example.com",
        "ada@other.org",
        "mccarl@other.org",
        "carl@other.org.evil.com",
        "example.com",
        "@example.com",
        "domain:example.com",
        "x@evil.com@example.com",
        "ada@example.com@evil.com",
        "x:y@example.com",
        "securetoken.google.com/p/t:ada@example.com",
        "a da@example.com",
        "ada@example.com\n",
        "ada@example.com\x00",
        "\N{KELVIN SIGN}arl@example.com",
        "ada@ex\N{CYRILLIC SMALL LETTER A}mple.com",
        "ada@example.com,carl@other.org",
    ],
)
def test_whoever_only_looks_like_a_reader_is_let_in_by_no_list(address: str) -> None:
    with pytest.raises(Denied):
        who(READ, bearer(address))


@pytest.mark.parametrize("hd", [None, ""])
def test_an_account_that_no_organization_manages_is_of_no_domain(
    hd: str | None, iap: Iap, behind: Settings
) -> None:
    proxied = replace(
        behind,
        dashboard_operators=OPEN.dashboard_operators,
        dashboard_readers=READ.dashboard_readers,
    )

    for address in ("eve@example.com", "eve@ops.example.com"):
        with pytest.raises(Denied):
            who(READ, bearer(address, hd=hd))
        with pytest.raises(Denied):
            who(proxied, iap.header(address, hd=hd))
    assert who(READ, bearer("ada@example.com", hd=hd)).operates
    assert who(proxied, iap.header("ada@example.com", hd=hd)).operates
    assert who(proxied, iap.header("eve@ops.example.com")).operates


# -- iap ------------------------------------------------------------------------


def test_an_assertion_of_the_proxy_says_who_acts(iap: Iap, behind: Settings) -> None:
    operated = replace(behind, dashboard_operators=("ada@example.com",))

    for _ in range(3):
        found = who(operated, iap.header("accounts.google.com:Ada@example.com"))
        assert found == Person(name="ada@example.com", operates=True)

    assert iap.asked == 1


OTHER = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    "wrong",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"key": OTHER},
        {"kid": "unknown"},
        {"kid": ""},
        {"aud": AUDIENCE + "2"},
        {"aud": [AUDIENCE]},
        {"aud": None},
        {"iss": "https://accounts.google.com"},
        {"iss": None},
        {"exp": time.time() - 60},
        {"exp": None},
        # The test may run long after this line does.
        {"iat": time.time() + 86400, "exp": time.time() + 90000},
        {"iat": None},
        {"exp": "never"},
        {"email": None},
        {"email": ["ada@example.com"]},
    ],
    ids="".join,  # of the member alone: times and keys differ from process to process
)
def test_an_assertion_that_is_not_the_proxys_for_these_pages_lets_nobody_in(
    iap: Iap, behind: Settings, wrong: dict[str, Any]
) -> None:
    with pytest.raises(Denied):
        who(behind, iap.header(**wrong))


def test_clocks_may_differ_by_half_a_minute(iap: Iap, behind: Settings) -> None:
    late = iap.header(exp=int(time.time()) - 20)

    assert who(behind, late).name == "ada@example.com"


def test_an_assertion_that_was_changed_on_its_way_lets_nobody_in(
    iap: Iap, behind: Settings
) -> None:
    head, payload, signature = iap.assertion().split(".")
    _, other, _ = iap.assertion("eve@evil.com").split(".")

    for given in (
        f"{head}.{other}.{signature}",
        f"{head}.{payload}.",
        f"{head}.{payload}.{part(bytes(64))}",
        f"{head}.{payload}.{signature[:-4]}",
        f"{head}.{payload}",
        f"{part(b'[' * 5000)}.{payload}.{signature}",
        "x" * 9000,
        "",
    ):
        with pytest.raises(Denied):
            who(behind, {"X-Goog-IAP-JWT-Assertion": given})


def test_no_header_without_a_signature_says_who_acts(behind: Settings) -> None:
    unsigned = {
        "X-Goog-Authenticated-User-Email": "accounts.google.com:ada@example.com",
        "X-Goog-Authenticated-User-Id": "accounts.google.com:117",
    }

    with pytest.raises(Denied):
        who(behind, unsigned | bearer("ada@example.com"))


def test_without_the_keys_nobody_is_let_in(iap: Iap, behind: Settings) -> None:
    good = iap.answer
    answers = [(500, good), (404, b""), (200, b"{"), (200, b"{}"), (200, b"[1]")]
    answers += [(200, b'{"k1": 1}'), (200, good + b" " * 70_000), (302, good)]

    for status, answer in answers:
        iap.status, iap.answer = status, answer
        assertions.keys.cache_clear()
        with pytest.raises(Unavailable):
            who(behind, iap.header())


def test_keys_are_fetched_for_an_id_that_is_new_and_once_a_minute_at_most(
    iap: Iap,
) -> None:
    now = [0.0]
    keys = assertions.Keys(iap.url, lambda: now[0])
    first = iap.pem
    assert keys.of("k1") == first

    assert keys.of("k2") is None  # a stranger's, in the same minute
    assert iap.asked == 1

    now[0] = 61
    iap.publish("k2", OTHER)
    assert keys.of("k2") == iap.pem
    assert keys.of("k1") is None  # it was withdrawn
    assert iap.asked == 2


def test_keys_are_fetched_again_while_those_that_are_known_are_good(iap: Iap) -> None:
    now = [0.0]
    keys = assertions.Keys(iap.url, lambda: now[0])
    known = keys.of("k1")
    iap.status = 503

    for at, asked in ((1799, 1), (1801, 2), (1830, 2), (1862, 3), (3599, 4)):
        now[0] = at
        assert keys.of("k1") == known
        assert iap.asked == asked
    now[0] = 3601
    with pytest.raises(Unavailable):
        keys.of("k1")

    iap.status = 200
    iap.publish("k1", OTHER)
    now[0] = 3661
    assert keys.of("k1") == iap.pem != known


def test_nobody_with_a_good_key_waits_for_new_ones(iap: Iap) -> None:
    now = [0.0]
    keys = assertions.Keys(iap.url, lambda: now[0])
    known = keys.of("k1")
    now[0] = 1801

    with keys._lock:  # as somebody's request for them holds it
        assert keys.of("k1") == known


def test_keys_that_are_old_are_not_used_when_new_ones_do_not_come(iap: Iap) -> None:
    now = [0.0]
    keys = assertions.Keys(iap.url, lambda: now[0])
    keys.of("k1")
    iap.status = 503

    now[0] = 3601
    for _ in range(3):
        with pytest.raises(Unavailable):
            keys.of("k1")
    assert iap.asked == 2

    iap.status, now[0] = 200, 3700
    assert keys.of("k1") == iap.pem


# -- local ------------------------------------------------------------------------

LOCAL = replace(IAM, dashboard_access="local")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "127.0.0.1:81", "[::1]", "[::1]:8080"]
)
def test_on_one_machine_its_user_operates(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")

    assert who(LOCAL, {}, host) == Person(name="ada", operates=True)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.com", "localhost.evil.com", "127.0.0.1.evil.com:80", "localhost@e.com"),
        *("", "[::1", "127.0.0.1:x", "0.0.0.0", "localhost:80:80", "192.168.0.7"),
    ],
)
def test_another_name_for_this_machine_is_refused(host: str) -> None:
    with pytest.raises(Denied, match="localhost"):
        who(LOCAL, {}, host)


# -- settings -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"BATCHDROP_DASHBOARD_ACCESS": "local", "K_SERVICE": "x"}, "one machine"),
        ({"BATCHDROP_DASHBOARD_ACCESS": "iap"}, "BATCHDROP_DASHBOARD_AUDIENCE"),
        ({"BATCHDROP_DASHBOARD_KEYS": "http://evil.com/keys"}, "https://"),
        ({"BATCHDROP_DASHBOARD_KEYS": "http://localhost.evil.com/"}, "https://"),
        ({"BATCHDROP_DASHBOARD_KEYS": "http://localhost:x@evil.com/"}, "https://"),
        ({"BATCHDROP_DASHBOARD_KEYS": "file:///etc/passwd"}, "https://"),
        ({"BATCHDROP_BACKEND": "developer"}, "GEMINI_API_KEY"),
    ],
)
def test_settings_that_would_let_anybody_in_stop_the_start(
    more: dict[str, str], match: str
) -> None:
    with pytest.raises(BadSetting, match=match):
        Settings.from_env(ENOUGH | more)


def test_the_pages_need_no_key() -> None:
    more = {"BATCHDROP_BACKEND": "developer", "FUNCTION_TARGET": "dashboard"}

    assert Settings.from_env(ENOUGH | more).api_key is None

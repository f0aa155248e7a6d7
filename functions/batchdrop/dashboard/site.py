"""The application: paths, access, errors as pages, and headers."""

import hashlib
import logging
from functools import cache
from pathlib import Path
from types import ModuleType

import flask
import jinja2
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.wrappers import Request, Response

from batchdrop import wiring
from batchdrop.dashboard import (
    access,
    actions,
    costs,
    forms,
    job,
    jobs,
    rows,
    status,
    words,
)
from batchdrop.dashboard.asked import Asked
from batchdrop.dashboard.errors import UNKNOWN, Denied, explained
from batchdrop.jobs.values import is_job_id

log = logging.getLogger(__name__)

#: Bytes of a form; those of the pages have a few hundred.
MAX_FORM = 64 * 1024
#: A page runs no script and loads nothing that is not its own, and no other site may
#: show it in a frame. https://developer.mozilla.org/docs/Web/HTTP/Guides/CSP
POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'"),
        *("img-src 'self'", "connect-src 'self'", "form-action 'self'"),
        *("base-uri 'none'", "frame-ancestors 'none'"),
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With "no-referrer" browsers write `Origin: null` for forms of these pages, too.
    # `forms.check` needs it where there is no Sec-Fetch-Site.
    # https://fetch.spec.whatwg.org/#append-a-request-origin-header-for-a-request
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ASSETS = Path(__file__).parent / "assets"
#: Characters of an address behind its `?`; those of the pages have a few hundred.
MAX_QUERY = 4096
#: What an error's page is called, and what to do about it.
HELP = {
    400: ("Not understood", "Go back, and try it as the page has it."),
    403: ("Not allowed", ""),
    404: ("Not found", "A job's document is deleted some months after its end."),
    405: ("Not this way", "Use the buttons of a job's page."),
    409: ("Not possible now", "The job's page shows how it is by now."),
    413: ("Too large", "A form of these pages is never so large."),
    414: ("Too long", "An address of these pages is never so long."),
    503: ("Not now", "Reload the page in a moment."),
}


def site(deployment: ModuleType) -> flask.Flask:
    """
    Makes the application.

    Args:
        deployment: `batchdrop.wiring`; no client is made before the first request.
    """
    # The framework has an application of its own around this one, with /static/.
    app = flask.Flask(__name__, static_folder="assets", static_url_path="/assets")
    app.config.update(MAX_CONTENT_LENGTH=MAX_FORM, SEND_FILE_MAX_AGE_DEFAULT=86400)
    # A redirect to the address with fewer slashes would name a host and a scheme.
    app.url_map.merge_slashes = False
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.undefined = jinja2.StrictUndefined
    app.jinja_env.finalize = words.output
    app.jinja_env.filters.update(words.FILTERS)
    app.jinja_env.globals.update(
        asset=_asset,
        action_done=actions.done,
        action_offers=actions.offers,
        form_token=forms.token,
    )

    def begin() -> None:
        if len(flask.request.query_string) > MAX_QUERY:
            flask.abort(414, "The address is too long.")
        if flask.request.endpoint == "static":
            return
        person = access.person(flask.request, deployment.settings())
        now = deployment.now()()
        flask.g.asked = Asked(wiring=deployment, person=person, now=now)

    app.before_request(begin)
    app.after_request(_with_headers)
    app.register_error_handler(Exception, _error)
    for page in (jobs, job, rows, costs, status, actions):
        app.register_blueprint(page.pages)
    return app


def answer(request: Request) -> Response:
    """Answers a request that the framework has received."""
    try:
        return Response.from_app(_site().wsgi_app, request.environ)
    except Exception:
        # The framework would answer with the error's text.
        log.exception("page failed", extra={"event": "dashboard.failed"})
        return Response(UNKNOWN, 500, HEADERS, content_type="text/plain")


@cache
def _site() -> flask.Flask:
    return site(wiring)


@cache
def _asset(name: str) -> str:
    """The address of a file in assets/, which changes with its content."""
    content = (_ASSETS / name).read_bytes()
    return f"/assets/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def _with_headers(response: flask.Response) -> flask.Response:
    response.headers.update(HEADERS)
    forms.set_cookie(response)
    if flask.request.endpoint != "static":
        # What a page shows may be confidential, and is of this moment.
        response.headers["Cache-Control"] = "no-store"
    return response


def _error(exc: Exception) -> tuple[str, int, dict[str, str]] | HTTPException:
    """Any error as a page that says what to do; never with a trace."""
    if isinstance(exc, HTTPException) and (exc.code or 500) < 400:
        return exc
    code, text = explained(exc)
    if isinstance(exc, Denied):
        log.warning(
            "page or action denied",
            extra={"event": "dashboard.denied", "by": exc.who, "action": exc.action},
        )
    if code >= 500:
        log.error("page failed", exc_info=exc, extra={"event": "dashboard.failed"})
    title, help = HELP.get(code, HELP[503])
    if isinstance(exc, NotFound):  # no page at all, instead of no job
        help = "The pages are Jobs, Costs and Status, above."
    # Of an address that no page has, Flask names no id.
    _, _, id = flask.request.path.partition("/jobs/")
    id = id.partition("/")[0]
    page = flask.render_template(
        "error.html",
        code=code,
        title=title,
        text=text,
        help=help,
        job=id if is_job_id(id) and code != 404 else None,
        asked=flask.g.get("asked"),
    )
    headers = {}
    if isinstance(exc, MethodNotAllowed) and exc.valid_methods:
        headers["Allow"] = ", ".join(sorted(exc.valid_methods))
    return page, code, headers

"""`/jobs/{id}/rows`: what the rows of a job ask and answer, and why some failed."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import flask

from batchdrop.dashboard import contents
from batchdrop.dashboard.asked import Asked, asked
from batchdrop.dashboard.legible import content
from batchdrop.dashboard.ranges import (
    PAGE,
    NoPlace,
    Page,
    Place,
    Ranges,
    line_at,
)
from batchdrop.errors import Misconfigured, SourceGone, Unavailable
from batchdrop.jobs.values import Drop
from batchdrop.results.questions import line_of, row_id
from batchdrop.results.seeking import Found, Line, NotReached, Row, Seeker
from batchdrop.rows import OUTCOMES, RowOutcome
from batchdrop.stored import split_uri
from batchdrop.views.results import why_none
from batchdrop.views.text import in_shell

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job
    from batchdrop.jobs.values import Results

pages = flask.Blueprint("rows", __name__)
pages.add_app_template_filter(content)
#: Digits of a number in an address.
_WHOLE = re.compile("[0-9]{1,15}")
#: Characters of an id in an address.
_LONGEST = 40
OFF = (
    "What rows ask and answer is not shown by this deployment. To show it, set "
    "BATCHDROP_DASHBOARD_ROWS to true (in Terraform: dashboard.rows)."
)
GONE = (
    "The object was deleted or replaced since it was written. The job's document names "
    "the version that it had."
)
TOO_LONG = "The lines around it are too long to look for it."


@dataclass(frozen=True, slots=True)
class Filter:
    """An outcome that a list may have alone, or together with others."""

    outcome: str
    count: int
    href: str
    is_on: bool


@dataclass(frozen=True, slots=True)
class Asking:
    """What a row asked: pieces, or why they are not shown."""

    pieces: list[contents.Piece]
    why: str = ""
    command: str = ""  #: which fetches what was not read


@pages.get("/jobs/<id>/rows")
def rows(id: str) -> Any:
    """A page of rows, or one row."""
    here = asked()
    job = here.job(id)
    if not here.settings.dashboard_rows:
        return _nothing(here, job, "Rows are not shown", OFF), 403
    if job.results is None:
        why = f"{why_none(job)}."
        return _nothing(here, job, "No results", why[0].upper() + why[1:])
    number = _row()
    try:
        if number is not None:
            return _one(here, job, job.results, number)
        return _many(here, job, job.results)
    except SourceGone:
        return _nothing(here, job, "The results are gone", GONE), 404
    except Misconfigured as exc:
        return _nothing(here, job, "The results can't be read", str(exc)), 503


def _nothing(here: Asked, job: "Job", title: str, why: str) -> str:
    return flask.render_template(
        "rows_none.html", asked=here, job=job, title=title, why=why
    )


# -- many ------------------------------------------------------------------------------


def _many(here: Asked, job: "Job", results: "Results") -> str:
    only = _only()
    counts = _counts(job)
    total = job.rows.total
    first = min(_whole("from") or 1, max(total, 1))
    page: Page | None = None
    if not only or any(counts.get(each) for each in only):
        ranges = Ranges(here.wiring.storage(), results, total)
        try:
            page = ranges.page(first, _whole("at", least=0), only)
        except NoPlace:
            flask.abort(400, "No row begins at this address; open the job's rows anew.")
        except NotReached:
            flask.abort(400, f"{TOO_LONG} Fetch the results with `batchdrop results`.")
    where: dict[str, Any] = {"only": ",".join(only)} if only else {}
    return flask.render_template(
        "rows.html",
        asked=here,
        job=job,
        total=total,
        page=page,
        filters=_filters(job, counts, only),
        only=only,
        everything=_href(job),
        previous=_href(job, **{"from": max(1, page.first - PAGE)})
        if page and page.first > 1 and not only
        else "",
        again=_href(job, **where) if page and page.first > 1 and only else "",
        next=_href(job, **_of(page.next), **where) if page and page.next else "",
        place={"from": page.first, **where}
        if page and (page.first > 1 or only)
        else {},
        href=lambda **more: _href(job, **more),
        command=f"batchdrop results {job.id}"
        + (f" --only {','.join(only)}" if only else "")
        + " -o results.jsonl",
    )


def _of(place: Place) -> dict[str, int]:
    return {"from": place.n, "at": place.at}


def _counts(job: "Job") -> dict[RowOutcome, int]:
    return {each: n for each, n in job.rows.all_outcomes.items() if n}


def _filters(
    job: "Job", counts: dict[RowOutcome, int], only: Collection[str]
) -> list[Filter]:
    found = []
    for each in OUTCOMES:
        if each in counts or each in only:
            wanted = [one for one in OUTCOMES if (one in only) is not (one is each)]
            href = _href(job, only=",".join(wanted)) if wanted else _href(job)
            found.append(Filter(each, counts.get(each, 0), href, each in only))
    return found


# -- one -------------------------------------------------------------------------------


def _one(here: Asked, job: "Job", results: "Results", number: int) -> Any:
    ranges = Ranges(here.wiring.storage(), results, job.rows.total)
    try:
        found, line = ranges.row(number)
    except NotReached:
        return _nothing(here, job, f"Row {row_id(number)}", TOO_LONG), 404
    back = {"only": ",".join(only)} if (only := _only()) else {}
    back |= {"from": str(n)} if (n := _whole("from")) else {}

    def beside(row: Row | None) -> str:
        return _href(job, line=row.number, **back) if row else ""

    if line is None:
        text = "No result has this line: it is blank, or not in the file."
        page = flask.render_template(
            "rows_none.html",
            asked=here,
            job=job,
            title=f"No row {row_id(number)}",
            why=text,
            previous=beside(found.before),
            next=beside(found.after),
        )
        return page, 404
    shown = contents.shown(line.head)
    return flask.render_template(
        "rows_one.html",
        asked=here,
        job=job,
        row=shown,
        raw=contents.raw(line.head),
        line=line,
        command=_fetching(results.drop, line),
        asking=_asking(here, job, shown),
        previous=beside(_previous(found)),
        next=beside(_next(found, line, results.bytes)),
        rows=_href(job, **back),
    )


def _previous(found: Found) -> Row | None:
    assert found.row is not None
    if found.before or not found.row.start:
        return found.before
    return Row(0, found.row.number - 1)  # it is there, unless that line is blank


def _next(found: Found, line: Line, size: int) -> Row | None:
    assert found.row is not None
    if found.after or (line.is_ended and line.end >= size):
        return found.after
    return Row(0, found.row.number + 1)


def _asking(here: Asked, job: "Job", row: contents.Shown) -> Asking:
    """What a row asked, from where it was staged, or was reported."""
    is_refused = row.outcome == RowOutcome.REFUSED
    if is_refused:
        uri, guess = _report(here, job), None
        why = "The report of refused lines is not there any more."
    else:
        uri, guess = _staged(here, job, row.line)
        why = "The rows as they were sent are kept for some time only, and are gone."
    if uri is None:
        return Asking([], why)
    storage = here.wiring.storage()
    try:
        drop = storage.present(uri)
        read = storage.ranges(drop)
        low, high = guess or (1, row.line + 1)
        around = Row(0, low), Row(drop.size, high + 1)
        found = Seeker(read, drop.size).find(row.line, around).row
        if found is None:
            return Asking([], "It is not among the rows that were sent.")
        line = line_at(read, drop.size, found.start)
    except SourceGone:
        return Asking([], why)
    except Misconfigured:
        bucket = split_uri(uri)[0]
        text = (
            f"The pages may not read gs://{bucket}: grant Storage Object Viewer on it."
        )
        return Asking([], text)
    except Unavailable:
        return Asking([], "Cloud Storage gave no answer; reload the page in a moment.")
    except NotReached:
        return Asking([], TOO_LONG)
    made = contents.refused if is_refused else contents.question
    cut = "" if line.is_whole else "Only the beginning of a long line is shown."
    return Asking(made(line.head), cut, "" if line.is_whole else _fetching(drop, line))


def _staged(
    here: Asked, job: "Job", line: int
) -> tuple[str | None, tuple[int, int] | None]:
    """The object with a row as it was sent, and its first and last row."""
    for id, part in job.parts.items():
        if part.first <= line <= part.last:
            # A part may have been staged anew since the file was split.
            own = here.ledger.get(id)
            staging = own.staging if own and own.staging else part.staging
            return staging.uri, (part.first, part.last)
    if job.staging is None:
        return None, None
    first = job.staging.first
    count = job.staging.rows + job.staging.refused
    return job.staging.uri, (first, first + max(count, 1) - 1)


def _report(here: Asked, job: "Job") -> str | None:
    whole = here.ledger.get(job.part_of) if job.part_of else job
    return whole.report if whole else None


def _fetching(drop: Drop, line: Line) -> str:
    """
    The command that fetches a line (`-r FIRST-LAST` counts bytes from 0:
    https://cloud.google.com/sdk/gcloud/reference/storage/cat).
    """
    last = line.end - 1 if line.is_ended else drop.size - 1
    name = in_shell(f"gs://{drop.bucket}/{drop.name}#{drop.generation}")
    command = f"gcloud storage cat -r {line.start}-{last} {name}"
    return command if line.is_ended else f"{command} | head -n 1"


# -- addresses -------------------------------------------------------------------------


def _href(job: "Job", **more: Any) -> str:
    # `id` is in the path as well, so this is no matter for url_for alone.
    query = urlencode(more, safe=",")
    return flask.url_for("rows.rows", id=job.id) + (f"?{query}" if query else "")


def _whole(name: str, least: int = 1) -> int | None:
    text = flask.request.args.get(name, "")
    if not text:
        return None
    if not _WHOLE.fullmatch(text) or int(text) < least:
        flask.abort(400, f"Write a whole number of at least {least} for {name}.")
    return int(text)


def _row() -> int | None:
    """The line of the row that is asked for, by its id or its line."""
    text = flask.request.args.get("id", "").strip()[: _LONGEST + 1]
    if not text:
        return _whole("line")
    number = int(text) if _WHOLE.fullmatch(text) else line_of(text)
    if not number:
        flask.abort(400, "Write the id of a row, such as r0000017, or its line.")
    return number


def _only() -> tuple[RowOutcome, ...]:
    """The outcomes that a list is asked for."""
    named = ",".join(flask.request.args.getlist("only"))[:500].split(",")
    wanted = {name.strip() for name in named} - {""}
    if wanted - {*RowOutcome}:
        flask.abort(400, f"Write for only one or several of {', '.join(OUTCOMES)}.")
    return tuple(each for each in OUTCOMES if each in wanted)

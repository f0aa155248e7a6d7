"""Pages of a list of jobs, newest first, for both APIs."""

import base64
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from batchsim.clock import Clock
from batchsim.faults import Faults, Rule, Subject, fits
from batchsim.filters import Predicate
from batchsim.jobs import Job
from batchsim.models import fingerprint
from batchsim.wire import invalid


@dataclass(frozen=True, slots=True)
class View:
    """A job as it was at a moment. Filters read it."""

    job: Job
    at: datetime | None = None

    @property
    def display_name(self) -> str:
        return self.job.display_name

    @property
    def model(self) -> str:
        return self.job.model

    @property
    def labels(self) -> dict[str, str]:
        return self.job.labels

    @property
    def created(self) -> datetime:
        return self.job.created

    @property
    def state(self) -> str:
        phase = self.job.phase_at(self.at)[1] if self.at else self.job.phase
        return f"JOB_STATE_{phase}"


@dataclass(frozen=True, slots=True)
class Page:
    """One page, and the token of the next page, if any."""

    views: list[View]
    token: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: after job `before`. `given`: an empty page was returned
    for this place already."""

    before: int | None = None
    given: bool = False


def page(
    jobs: Callable[[int | None], Iterable[Job]],
    wanted: Predicate,
    *,
    size: int,
    token: str | None,
    query: str,
    clock: Clock,
    faults: Faults,
) -> Page:
    """
    The page at `token`. `jobs` returns those created before a job, newest first.
    ApiError 400 if the token is not of this `query`.

    A token names a job, so jobs created between two pages don't shift the second.
    """
    mark = fingerprint(query)[:12]
    place = _read_token(token, mark) if token else _Place()
    rules = {rule.fault: rule for rule in faults.of_list()}
    if (empty := rules.get("list_empty_page")) and not place.given:
        position = "middle" if place.before else "first"
        if empty.params["where"] in ("every", position):
            return Page([], _write_token(_Place(place.before, True), mark))
    found: list[View] = []
    more = False
    for view in _views(jobs(place.before), rules, clock, faults):
        if wanted(view):
            if len(found) == size:
                more = True
                break
            found.append(view)
    next_token = _write_token(_Place(found[-1].job.seq), mark) if more else None
    if truncated := rules.get("list_truncated"):
        keep = int(truncated.params["keep"])
        return Page(found[:keep] if keep else found, None)
    if "list_out_of_order" in rules:
        random.Random(mark).shuffle(found)
    return Page(found, next_token)


def subject_of(job: Job) -> Subject:
    """The job as fault rules match it."""
    return Subject(job.model, job.display_name, job.labels)


def page_size(text: str | None, default: int, most: int) -> int:
    """The page size to use. ApiError 400 if `text` is not a number, or negative."""
    if not text:
        return default
    try:
        size = int(text)
    except ValueError:
        raise invalid(f"page_size: {text!r} is not a number.") from None
    if size < 0:
        raise invalid(f"page_size: {size} is negative.")
    return min(size, most) or default


def _views(
    jobs: Iterable[Job], rules: dict[str, Rule], clock: Clock, faults: Faults
) -> Iterator[View]:
    now = clock.now()
    lag = rules.get("list_lagging")
    stale = rules.get("list_stale")
    vanishing = any(rule.fault == "vanished" for rule in faults.rules())
    for job in jobs:
        if vanishing and faults.vanished(subject_of(job)):
            continue
        if lag and fits(lag, subject_of(job)) and job.created > now - _by(lag):
            continue
        if stale and fits(stale, subject_of(job)):
            yield View(job, now - _by(stale))
        else:
            yield View(job)


def _by(rule: Rule) -> timedelta:
    return timedelta(seconds=float(rule.params["seconds"]))


def _write_token(place: _Place, mark: str) -> str:
    value = [place.before, place.given, mark]
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode()


def _read_token(token: str, mark: str) -> _Place:
    try:
        before, given, its_mark = msgspec.json.decode(
            base64.urlsafe_b64decode(token), type=tuple[int | None, bool, str]
        )
    except (ValueError, msgspec.DecodeError):
        raise invalid("page_token: not a token of this list.") from None
    if its_mark != mark:
        raise invalid("page_token: the token of a list with another filter.")
    return _Place(before, given)

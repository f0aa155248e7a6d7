"""Admits waiting jobs, in order of arrival, up to the caps of queues and days."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from batchdrop.backends import Backends
from batchdrop.batches import BatchesError
from batchdrop.errors import Misconfigured
from batchdrop.jobs import codes
from batchdrop.jobs.codes import WaitCode
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.options.settings import Settings
from batchdrop.worker.reserve import Reserving
from batchdrop.worker.run import Runner
from batchdrop.worker.setbacks import Setbacks
from batchdrop.worker.stages import Tick, few_at_once

log = logging.getLogger(__name__)

#: How many jobs one tick admits at an endpoint, whose quota all of its queues share.
#: Each job takes a search and a create: see `stages.AT_ONCE`.
MAX_ADMITTED = 200
#: The Developer API's jobs with more bytes of rows, which are uploaded to it, go alone.
LARGE = 64 << 20
#: How many failed queues are remembered until the next tick.
MAX_FAILED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """The queues of waiting jobs."""

    ledger: Ledger
    backends: Backends
    runner: Runner
    setbacks: Setbacks
    reserving: Reserving
    settings: Settings
    now: Callable[[], datetime]

    def run(self, tick: Tick) -> int:
        """
        Admits waiting jobs in order of arrival, a few at once, until the queue's cap or
        the daily limit is reached. A full queue is read no further; nor is the line of
        a route whose ceiling is reached. A queue that failed comes after the others in
        the next tick.

        Returns:
            How many were admitted.
        """
        if self.settings.paused:
            return 0
        lines = list(self.ledger.waiting_lines())
        if not lines:
            return 0
        cursor = self.ledger.cursor("admit")
        before = cursor.get("failed", ())
        turns = Turns(Line(self.ledger, lines, before))
        for job, answer in few_at_once(self._take_up, self._due(turns, tick)):
            self._note(job, answer.result, turns, tick)
        untried = (queue for queue in before if queue not in turns.tried)
        failed = [*untried, *turns.failed]
        at = {"failed": failed[-MAX_FAILED:]} if failed else {}
        self.ledger.move_cursor("admit", cursor, at)
        return turns.admitted

    def _due(self, turns: "Turns", tick: Tick) -> Iterator[Job]:
        """
        The jobs whose turn it is, but for those that go alone: they are admitted here,
        one after another, beside others that are under way.
        """
        line = turns.line
        while job := line.first():
            now = self.now()
            if now >= tick.deadline:
                return
            if why := self._over_the_day(job, now):
                with tick.job(job.id):
                    self._waits(job, WaitCode.DAY, why, now)
                return
            if self.backends.is_silent(job, "active", "search", "create"):
                line.leave(job.queue)
                continue
            if job.queue not in turns.paused:
                turns.paused[job.queue] = self._paused(job)
            if turns.paused[job.queue]:
                line.leave(job.queue)  # so are all behind it
                continue
            if not job.is_due(now) or job.is_held(now):
                continue
            if over := self.reserving.full(job):
                route, why = over
                with tick.job(job.id):
                    self._waits(job, WaitCode.CEILING, why, now)
                if route:
                    line.leave_route(route)
                elif not self.reserving.never_fits(job):
                    return
                continue
            turns.tried.add(job.queue)
            if not self._has_room(job, turns, tick):
                continue
            # By the next turn the answers to requests may have paused queues.
            turns.paused.clear()
            if self._goes_alone(job):
                self._note(job, partial(self._take_up, job), turns, tick)
            else:
                yield job

    def _goes_alone(self, job: Job) -> bool:
        """
        Whether no other such job may be under way at the same time:

            a day's limit      the day's room for the next job is known once this one's
            or ceiling         intent is written; at once they would race for a document
                               that Firestore lets change about once a second
            a large upload     at once they share the bandwidth, and none might end in
                               time
        """
        if self._counts_for_day(job) or self.reserving.ceilings_of(job):
            return True
        is_large = job.staging is not None and job.staging.bytes > LARGE
        return is_large and job.endpoint == codes.Backend.DEVELOPER

    def _take_up(self, job: Job) -> bool:
        return self.runner.take_up(job, admitted=True)

    def _note(
        self, job: Job, outcome: Callable[[], bool], turns: "Turns", tick: Tick
    ) -> None:
        """Counts a job that was taken up; leaves its queue where that failed."""
        with tick.job(job.id):
            turns.admitted += outcome()
        if job.id in tick.failed:
            turns.fail(job.queue)

    def _has_room(self, job: Job, turns: "Turns", tick: Tick) -> bool:
        """
        Takes a place for a job below its queue's cap, before its request is sent. The
        place is not given back in this tick: where an overlapping tick was faster, it
        has taken one for the same job.
        """
        with tick.job(job.id):
            if self._room(job, turns) > 0:
                turns.taken[job.queue] += 1
                turns.taken_at[job.endpoint] += 1
                return True
            turns.line.leave(job.queue)
        if job.id in tick.failed:
            turns.fail(job.queue)
        return False

    def _room(self, job: Job, turns: "Turns") -> int:
        """How many more jobs of its queue this tick may admit."""
        left = MAX_ADMITTED - turns.taken_at[job.endpoint]
        if left <= 0 or job.spec is None or job.spec.max_active is None:
            return left
        if job.queue not in turns.active:
            turns.active[job.queue] = self.active(job)
        used = turns.active[job.queue] + turns.taken[job.queue]
        return min(left, job.spec.max_active - used)

    def _paused(self, job: Job) -> bool:
        """Whether the API has answered 429 for this queue a short while ago."""
        return self.ledger.queue_pause_end(job.queue, self.now()) is not None

    def _over_the_day(self, job: Job, now: datetime) -> str:
        """
        The daily limit that leaves no room for a job, in words that stay the same all
        day; empty if there is room. No other job overtakes one that has to wait, which
        would wait for ever behind smaller ones.
        """
        if not self._counts_for_day(job):
            return ""
        rows, bytes = self.settings.max_rows_per_day, self.settings.max_bytes_per_day
        staging = job.staging
        assert staging is not None
        spent = self.ledger.spending_on(day := f"{now:%Y-%m-%d}")
        if rows is not None and spent.rows + staging.rows > rows:
            limit = f"BATCHDROP_MAX_ROWS_PER_DAY={rows}"
        elif bytes is not None and spent.bytes + staging.bytes > bytes:
            limit = f"BATCHDROP_MAX_BYTES_PER_DAY={bytes}"
        else:
            return ""
        log.warning(
            "daily limit reached",
            extra={"event": "admit.daily_limit", "job": job.id},
        )
        return f"it would exceed {limit} on {day}, and waits for a day with room"

    def _counts_for_day(self, job: Job) -> bool:
        """Whether its intent adds rows and bytes to those of a day with a limit."""
        chosen = self.settings
        limits = (chosen.max_rows_per_day, chosen.max_bytes_per_day)
        return not job.spent_on and job.staging is not None and limits != (None, None)

    def _waits(self, job: Job, code: WaitCode, why: str, now: datetime) -> None:
        """Records once a day which limit or ceiling the job waits for."""
        if job.put_off and job.put_off.message == why:
            return
        if code is WaitCode.CEILING:
            log.warning(
                "ceiling reached",
                extra={"event": "admit.ceiling", "job": job.id, "reason": why},
            )
        self.ledger.advance(job, lambda j: j.wait(code, why, now, due=now))

    def active(self, job: Job) -> int:
        """
        How many batches of a waiting job's model are under way, of all makers.

        Raises:
            BatchesError: the API gave none; the job's document records that it waits.
            Superseded: the job moved on.
            Unavailable: Firestore gave no answer.
        """
        assert job.spec is not None
        try:
            return self.backends.of(job).active(job.spec.model)
        except BatchesError as exc:
            # Due at once, so that no later job overtakes it.
            error = self.setbacks.trouble(
                job, "could not count the batches of its queue", exc
            )
            if isinstance(error, Misconfigured):
                self.setbacks.not_allowed(job, str(error), due=self.now())
            else:
                self.setbacks.postpone(job, str(error))
            raise


class Turns:
    """What one tick knows of the queues, and how many jobs it has admitted."""

    def __init__(self, line: "Line") -> None:
        self.line = line
        self.active: dict[str, int] = {}  #: batches of a queue at the API
        self.paused: dict[str, bool] = {}
        self.taken: Counter[str] = Counter()  #: jobs taken up, by queue
        self.taken_at: Counter[str] = Counter()  #: the same, by endpoint
        self.tried: set[str] = set()
        self.failed: list[str] = []
        self.admitted = 0

    def fail(self, queue: str) -> None:
        """No more of this queue in this tick; after the others in the next."""
        self.line.leave(queue)
        if queue not in self.failed:
            self.failed.append(queue)


class Line:
    """All waiting jobs in order of arrival, without the lines that were left."""

    def __init__(
        self, ledger: Ledger, lines: Sequence[str], last: Sequence[str]
    ) -> None:
        """
        Args:
            lines: those in which jobs wait: see `Job.waiting_in`.
            last: these queues come after all others, in this order.
        """
        self._rank = {queue: n for n, queue in enumerate(last, start=1)}
        self._lines = {line: ledger.waiting_jobs(line) for line in lines}
        self._next: dict[str, Job] = {}
        for line in list(self._lines):
            self._advance(line)

    def first(self) -> Job | None:
        """Takes the one that has waited longest."""
        if not self._next:
            return None
        line, job = min(
            self._next.items(),
            key=lambda item: (
                self._rank.get(item[1].queue, 0),
                item[1].created_at,
                item[1].id,
            ),
        )
        self._advance(line)
        return job

    def leave(self, queue: str) -> None:
        """No more of this queue."""
        self._leave(lambda job: job.queue == queue)

    def leave_route(self, route: str) -> None:
        """No more of this route's jobs, whatever their queue."""
        self._leave(lambda job: job.spec is not None and job.spec.ceiling == route)

    def _leave(self, is_left: Callable[[Job], bool]) -> None:
        # All jobs of a line have the same queue, and the same ceiling.
        for line in [name for name, job in self._next.items() if is_left(job)]:
            del self._lines[line], self._next[line]

    def _advance(self, line: str) -> None:
        job = next(self._lines[line], None)
        if job is None:
            self._next.pop(line, None)
        else:
            self._next[line] = job

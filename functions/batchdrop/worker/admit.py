"""Admits waiting jobs, in order of arrival, up to the caps of queues and days."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from batchdrop.backends import Backends
from batchdrop.batches import BatchesError
from batchdrop.errors import Misconfigured
from batchdrop.jobs.codes import WaitCode
from batchdrop.jobs.job import Job
from batchdrop.ledger import Ledger
from batchdrop.options.settings import Settings
from batchdrop.worker.reserve import Reserving
from batchdrop.worker.run import Runner
from batchdrop.worker.setbacks import Setbacks
from batchdrop.worker.stages import Tick

log = logging.getLogger(__name__)

#: How many jobs one tick admits to a queue without a cap.
MAX_ADMITTED = 200
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
        Admits waiting jobs in order of arrival, until the queue's cap or the daily
        limit is reached. A full queue is read no further; nor is the line of a route
        whose ceiling is reached. A queue that failed comes after the others in the next
        tick.

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
        line = Line(self.ledger, lines, before)
        tried: set[str] = set()
        active: dict[str, int] = {}  # batches of a queue at the API
        paused: dict[str, bool] = {}
        failed: list[str] = []
        admitted: Counter[str] = Counter()
        while job := line.first():
            now = self.now()
            if now >= tick.deadline:
                break
            if why := self._over_the_day(job, now):
                with tick.job(job.id):
                    self._waits(job, WaitCode.DAY, why, now)
                break
            if self.backends.is_silent(job, "active", "search", "create"):
                line.leave(job.queue)
                continue
            if job.queue not in paused:
                paused[job.queue] = self._paused(job)
            if paused[job.queue]:
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
                    break
                continue
            tried.add(job.queue)
            with tick.job(job.id):
                if admitted[job.queue] >= self._room(job, active):
                    line.leave(job.queue)
                    continue
                # The answer to its request may pause the queue.
                paused.pop(job.queue)
                admitted[job.queue] += self.runner.take_up(job, admitted=True)
            if job.id in tick.failed:
                line.leave(job.queue)
                failed.append(job.queue)
        failed = [*(queue for queue in before if queue not in tried), *failed]
        at = {"failed": failed[-MAX_FAILED:]} if failed else {}
        self.ledger.move_cursor("admit", cursor, at)
        return admitted.total()

    def _room(self, job: Job, active: dict[str, int]) -> int:
        """How many jobs of its queue this tick may admit in all."""
        if job.spec is None or job.spec.max_active is None:
            return MAX_ADMITTED
        if job.queue not in active:
            active[job.queue] = self.active(job)
        return min(MAX_ADMITTED, job.spec.max_active - active[job.queue])

    def _paused(self, job: Job) -> bool:
        """Whether the API has answered 429 for this queue a short while ago."""
        return self.ledger.queue_pause_end(job.queue, self.now()) is not None

    def _over_the_day(self, job: Job, now: datetime) -> str:
        """
        The daily limit that leaves no room for a job, in words that stay the same all
        day; empty if there is room. No other job overtakes one that has to wait, which
        would wait for ever behind smaller ones.
        """
        rows, bytes = self.settings.max_rows_per_day, self.settings.max_bytes_per_day
        staging = job.staging
        if job.spent_on or staging is None or (rows is None and bytes is None):
            return ""
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

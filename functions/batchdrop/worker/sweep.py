"""What the service says of the jobs it has: one list, and few documents read."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, islice

from batchdrop.backends import PAGE, Service, Services, explained, is_not_allowed
from batchdrop.batches import BatchJob, ClientError
from batchdrop.errors import BatchdropError, Superseded
from batchdrop.failpoints import failpoint
from batchdrop.jobs.job import MOVES, Job
from batchdrop.jobs.values import DEVELOPER, Batch, Health, Phase, is_job_id
from batchdrop.ledger import Ledger
from batchdrop.ledger.state import SweepRecord
from batchdrop.quoting import told
from batchdrop.worker.stages import few_at_once, rotated

log = logging.getLogger(__name__)

#: So many jobs that the list didn't show are asked for by name in one tick.
MAX_GETS = 200
#: So many batches are cancelled in one tick.
MAX_CANCELS = 100
#: So many documents are read at once.
READ_AT_ONCE = 300
#: The list reaches back at least this long.
REACH = timedelta(hours=2)
#: Up to so many jobs older than that are asked for by name, if that is less work.
STRAGGLERS = 20
#: What the service answers to a cancel that comes too late: the next sweep says how
#: the batch has ended. Any other refusal is of our asking, and it is asked again.
OVER = frozenset({400, 404})
#: All open jobs are accounted for at least this often.
COMPLETE_EVERY = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a sweep did, and what it could not do."""

    open_jobs: int = 0  #: when it began
    changed: int = 0
    ended: int = 0
    seen: set[str] = field(default_factory=set)  #: ids of open jobs accounted for
    failed: set[str] = field(default_factory=set)  #: ids to look at again
    asked: set[str] = field(default_factory=set)  #: ids asked for by name
    missing: list[Job] = field(default_factory=list)  #: 404 to their batch's name
    unasked: int = 0  #: how many the list didn't show and nobody has asked for yet
    errors: list[Exception] = field(default_factory=list)
    oldest: datetime | None = None  #: no open job's batch is older, if that is known

    def note(self, exc: Exception, job_id: str) -> None:
        """One job that can't be looked at doesn't hold up the others."""
        exc.add_note(f"while looking at job {job_id}")
        log.error("job not looked at", extra={"job": job_id, "reason": told(exc)})
        self.errors.append(exc)
        self.failed.add(job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Brings the ledger up to what the service says."""

    ledger: Ledger
    services: Services
    list_lag: timedelta  #: how far the service's list may lag
    now: Callable[[], datetime]

    def run(self, deadline: datetime) -> Tally:
        """
        Reads the documents of those jobs of whose batch the list says something new,
        and asks by name for those that it doesn't show: being absent from a list says
        nothing.
        """
        start, tally = self.now(), Tally()
        before = self.ledger.last_sweep()
        if before.started and before.started > start:
            # By a clock that was ahead: what is news can't be told by it.
            before = SweepRecord(failed=before.failed)
        open_jobs = tally.open_jobs = self.ledger.open_job_count()
        all_heard = True
        if open_jobs:
            all_heard = self._by_lists(before, deadline, tally)
            if not all(one.has_a_list for one in self.services.chosen()):
                self._by_names_alone(deadline, tally)
            if all_heard:
                self._unseen(before, open_jobs, deadline, tally)
        if self.now() < deadline:
            # Else it isn't known how many more would have been missing.
            self._not_found(tally)
        if all_heard and self.now() < deadline:
            complete = before.complete
            if complete is None or start - complete >= COMPLETE_EVERY:
                complete = start
            # Where more have failed than are kept, what was news is so once more.
            all_kept = len(tally.failed) <= MAX_GETS
            self.ledger.record_sweep(
                SweepRecord(
                    started=start if all_kept else before.started,
                    complete=complete,
                    failed=tuple(sorted(tally.failed))[:MAX_GETS],
                    oldest=tally.oldest,
                )
            )
        return tally

    # -- the list ---------------------------------------------------------------

    def _by_lists(self, before: SweepRecord, deadline: datetime, tally: Tally) -> bool:
        """
        Reads the list of each place, and asks by name for the few that it would take
        long to come to.

        Returns:
            whether all have answered: of what lies where one didn't, nothing is known.
        """
        listed = [one for one in self.services.chosen() if one.has_a_list]
        if not listed:
            return True
        since, stragglers = self._reach(before, tally)
        all_heard = True

        cursor = self.ledger.cursor("lists")
        first = cursor.get("next", 0) % len(listed)
        left = [*range(first, len(listed)), *range(first)]

        def due() -> Iterator[int]:
            for n in tuple(left):
                if self.now() >= deadline:
                    return
                yield n

        # The first pages at once: a place that is silent holds up no other's list.
        for n, found in few_at_once(lambda n: _begin(listed[n], since), due()):
            try:
                self._by_list(found.result(), before, deadline, tally)
                if self.now() < deadline:
                    left.remove(n)
            except Exception as exc:
                # Nothing is concluded from no answer; the next tick asks again.
                log.error("no list", extra={"reason": told(exc)})
                tally.errors.append(exc)
                all_heard = False
                left.remove(n)
        self.ledger.move_cursor("lists", cursor, {"next": left[0]} if left else {})
        again = self.ledger.get_all(before.failed)
        late = {job.id: job for job in (*stragglers, *again)}
        # Those of the Developer API are asked for by name anyway.
        self._by_name(
            [job for job in late.values() if job.endpoint != DEVELOPER], deadline, tally
        )
        return all_heard

    def _by_list(
        self,
        answers: Iterable[tuple[str, BatchJob]],
        before: SweepRecord,
        deadline: datetime,
        tally: Tally,
    ) -> None:
        # What was said before the last sweep began is in the ledger.
        news = before.started - self.list_lag if before.started else None
        moved: dict[str, list[BatchJob]] = {}
        try:
            for job_id, answer in answers:
                if self.now() >= deadline:
                    return
                if not is_job_id(job_id):
                    continue
                if not answer.done:
                    tally.seen.add(job_id)
                said = answer.update_time
                if news is None or said is None or said > news:
                    moved.setdefault(job_id, []).append(answer)
                if len(moved) >= READ_AT_ONCE:
                    self._settle_moved(moved, deadline, tally)
                    moved = {}
        finally:
            # Also where the list failed half way: else one bad page hides all others.
            self._settle_moved(moved, deadline, tally)

    def _reach(self, before: SweepRecord, tally: Tally) -> tuple[datetime, list[Job]]:
        """
        How far back to list, and the few older jobs to ask for by name instead,
        whichever takes fewer requests.
        """
        recent = self.now() - REACH
        if before.oldest and before.oldest >= recent:
            # Those that were open then are younger, and those since then anyway.
            tally.oldest = before.oldest
            return recent, []
        oldest = self.ledger.oldest_open_jobs(STRAGGLERS + 1)
        tally.oldest = begun(oldest[0]) if oldest else self.now()
        stragglers = [job for job in oldest if begun(job) < recent]
        if not stragglers:
            return recent, []
        far = begun(stragglers[0])
        if len(stragglers) > STRAGGLERS:
            return far, []
        # What ended long ago isn't counted further than it matters.
        most = (len(stragglers) + 1) * PAGE
        pages = -(-self.ledger.arrival_count(far, recent, most) // PAGE)
        return (recent, stragglers) if len(stragglers) < pages else (far, [])

    def _settle_moved(
        self, moved: dict[str, list[BatchJob]], deadline: datetime, tally: Tally
    ) -> None:
        for job in self.ledger.get_all(moved):
            # Anybody's batch can bear the label: only the job's own shows the job.
            tally.seen.discard(job.id)
            if job.phase is not Phase.SUBMITTED or job.batch is None:
                if MOVES[job.phase]:
                    # Its batch isn't recorded yet: what is new now will not be then.
                    tally.failed.add(job.id)
                continue
            for answer in moved[job.id]:
                if self.now() >= deadline:
                    return
                try:
                    batch = self.services.of(job).read(job, answer)
                except Exception as exc:
                    tally.note(exc, job.id)
                    continue
                if batch.name == job.batch.name:
                    self._look_at(job, batch, tally)
                elif batch.epoch is not None and job.spec and job.spec.source:
                    self._handle_duplicate(job, batch, tally)

    def _handle_duplicate(self, job: Job, batch: Batch, tally: Tally) -> None:
        """
        A second batch over a table, which no fence keeps from being paid: the sooner it
        is cancelled, the less it costs. Of all others `check` takes care, when a batch
        that was found here can't be the one that the job goes on with.
        """
        try:
            cancel_duplicate(self.ledger, self.services.of(job), job, batch, self.now())
        except Superseded:
            return  # another tick was here
        except Exception as exc:
            tally.note(exc, job.id)

    # -- by name ----------------------------------------------------------------

    def _unseen(
        self, before: SweepRecord, open_jobs: int, deadline: datetime, tally: Tally
    ) -> None:
        """Accounts for the open jobs that the list didn't show, if there are any."""
        if self.now() >= deadline:
            return
        due = before.complete is None or self.now() - before.complete >= COMPLETE_EVERY
        if len(tally.seen | tally.asked) >= open_jobs and not due:
            return
        cursor = self.ledger.cursor("unseen")
        unseen = rotated(
            list(self.ledger.open_job_ids() - tally.seen - tally.asked),
            cursor.get("id", ""),
            key=str,
        )
        tally.unasked = len(unseen[MAX_GETS:])
        # In their order, as `get_all` gives them in any.
        found = {job.id: job for job in self.ledger.get_all(unseen[:MAX_GETS])}
        jobs = [found[id] for id in unseen if id in found]
        last, all_asked = self._by_name(jobs, deadline, tally)
        at = {} if (all_asked and not tally.unasked) or not last else {"id": last}
        self.ledger.move_cursor("unseen", cursor, at)

    def _by_names_alone(self, deadline: datetime, tally: Tally) -> None:
        """The jobs of the API whose list doesn't tell enough."""
        cursor = self.ledger.cursor("by-name")
        jobs = self.ledger.submitted_jobs(DEVELOPER, cursor.get("id", ""))
        last, all_asked = self._by_name(jobs, deadline, tally)
        at = {"id": last} if last and not all_asked else {}
        self.ledger.move_cursor("by-name", cursor, at)

    def _by_name(
        self, jobs: Iterable[Job], deadline: datetime, tally: Tally
    ) -> tuple[str, bool]:
        """
        Asks for each by its batch's name.

        Returns:
            The id of the last that was asked for, and whether all were: not if the
            time was up, or their place is silent.
        """
        last, all_asked = "", True

        def due() -> Iterator[Job]:
            nonlocal last, all_asked
            for job in jobs:
                if self.now() >= deadline:
                    all_asked = False
                    return
                if job.phase is not Phase.SUBMITTED or job.id in tally.asked:
                    continue
                if self.services.is_silent(job, "get"):
                    all_asked = False
                    if job.endpoint != DEVELOPER:  # all of its are asked for anyway
                        tally.failed.add(job.id)
                    continue
                last = job.id
                tally.asked.add(job.id)
                yield job

        for job, answer in few_at_once(
            lambda one: self.services.of(one).get(one), due()
        ):
            try:
                batch = answer.result()
            except Exception as exc:
                if isinstance(exc, ClientError) and exc.code == 404:
                    tally.missing.append(job)
                    tally.seen.add(job.id)
                    tally.failed.add(job.id)
                else:
                    tally.note(exc, job.id)
                    self._say_failing(job, exc, tally)
                continue
            self._look_at(job, batch, tally)
        return last, all_asked

    def _say_failing(self, job: Job, exc: Exception, tally: Tally) -> None:
        """That we can't ask says nothing of the batch."""
        if job.health and job.health.code == "poll_failed":
            return
        now = self.now()
        health = Health(code="poll_failed", message=told(exc), since=now)
        try:
            self.ledger.advance(job, lambda j: j.unhealthy(health, now))
        except BatchdropError as failure:
            tally.note(failure, job.id)

    # -- settle -----------------------------------------------------------------

    def _look_at(self, job: Job, batch: Batch, tally: Tally) -> None:
        tally.seen.add(job.id)
        try:
            after = self._settle(job, batch)
        except Superseded:
            return  # another tick was here
        except Exception as exc:
            tally.note(exc, job.id)
            return
        if batch.terminal and after.phase is Phase.SUBMITTED:
            tally.failed.add(job.id)  # it is to name its output: ask again
        tally.changed += after is not job
        tally.ended += after.phase is Phase.ENDED

    def _settle(self, job: Job, batch: Batch) -> Job:
        """Writes what is new; an end together with its announcement."""
        assert job.batch is not None
        if batch.is_older_than(job.batch):
            return job
        # One that was found when it had ended already is not new, and yet an end.
        now = self.now()
        late = job.may_name_output(batch, now)
        if batch == job.batch and job.is_visible and (late or not batch.terminal):
            return job
        if late or not batch.terminal:
            log.info("moved on", extra={"job": job.id, "state": batch.state})
            after = self.ledger.advance(job, lambda j: j.observed(batch, now))
            failpoint("after_observed")
            return after
        if job.failed_by_fence(batch):
            log.warning("fenced batch failed", extra={"job": job.id})
            return self.ledger.advance(job, lambda j: j.revived(now))
        batch = self.services.of(job).collect(job, batch)
        failpoint("after_collecting")
        log.info("ended", extra={"job": job.id, "state": batch.state})
        if batch.awaits_output:
            log.error("no output", extra={"job": job.id, "batch": batch.name})
        error = explained(batch)
        after = self.ledger.advance(job, lambda j: j.ended(batch, now, error))
        failpoint("after_ended")
        return after

    # -- cancel -----------------------------------------------------------------

    def cancel(self, deadline: datetime) -> list[Exception]:
        """
        Asks the service to cancel what somebody wants cancelled.

        Returns:
            what went wrong on the way; nothing holds up anything else.
        """
        tally, wanted = Tally(), self.ledger.jobs_to_cancel()
        if not wanted:
            return tally.errors
        cursor, last = self.ledger.cursor("cancel"), ""

        def due() -> Iterator[Job]:
            nonlocal last
            for n, job in enumerate(rotated(wanted, cursor.get("id", ""), _id_of)):
                if self.now() >= deadline or n == MAX_CANCELS:
                    return
                if not self.services.is_silent(job, "cancel"):
                    last = job.id
                    yield job

        for job, answer in few_at_once(self._ask_to_cancel, due()):
            try:
                answer.result()
                failpoint("after_cancel")
                self.ledger.advance(job, lambda j: j.cancel_sent(self.now()))
                name = job.batch.name if job.batch else ""
                log.info("cancelled", extra={"job": job.id, "batch": name})
            except Superseded:
                continue
            except Exception as exc:
                tally.note(exc, job.id)
        self.ledger.move_cursor("cancel", cursor, {"id": last} if last else {})
        return tally.errors

    def _ask_to_cancel(self, job: Job) -> None:
        assert job.batch is not None
        try:
            self.services.of(job).cancel(job.batch.name)
        except ClientError as exc:
            if exc.code not in OVER or is_not_allowed(exc):
                raise

    # -- 404 --------------------------------------------------------------------

    def _not_found(self, tally: Tally) -> None:
        """
        One 404 means little, and many at once in a queue mean that it is we who can't
        see: a key of another project, a wrong location. Those that a tick didn't come
        to ask for may be missing as well.
        """
        missing = Counter(job.queue for job in tally.missing)
        # One alone is never so: else no job of a small deployment could be lost.
        blind = {
            queue
            for queue, count in missing.items()
            if count > 1
            and count + tally.unasked > self.ledger.open_job_count(queue) / 10
        }
        for job in tally.missing:
            try:
                if job.queue in blind:
                    self._blind(job, missing[job.queue], self.now())
                else:
                    self._absent(job, self.now())
            except Superseded:
                continue
            except Exception as exc:
                tally.note(exc, job.id)

    def _absent(self, job: Job, now: datetime) -> None:
        def move(job: Job) -> Job:
            # Asked again where another tick came first: that may have found it.
            job = job.not_found(now)
            return job.lost(now) if job.may_be_lost(now) else job

        after = self.ledger.advance(job, move)
        if after.is_lost:
            log.error("lost", extra={"job": job.id})
        else:
            log.warning("not found", extra={"job": job.id})

    def _blind(self, job: Job, missing: int, now: datetime) -> None:
        log.error("not visible", extra={"job": job.id, "missing": missing})
        if job.health and job.health.code == "not_visible":
            return
        health = Health(
            code="not_visible",
            message=f"{missing} open batches answer 404 at once; see whether project, "
            "location and credentials are those that made them",
            since=now,
        )
        self.ledger.advance(job, lambda j: j.unhealthy(health, now))


def _begin(service: Service, since: datetime) -> Iterator[tuple[str, BatchJob]]:
    """A list of which the first page was read."""
    found = service.ours(since)
    first = list(islice(found, 1))
    return chain(first, found)


def _id_of(job: Job) -> str:
    return job.id


def cancel_duplicate(
    ledger: Ledger, service: Service, job: Job, batch: Batch, now: datetime
) -> None:
    """
    Says at a job that has a batch that this is another, and cancels it. Whoever let it
    in may have died before it did, or before it said so.

    Raises:
        Superseded: the job has moved on, and may have this very batch by now.
    """
    failpoint("after_finding_duplicate")
    if batch.name not in job.duplicates:
        health = Health(
            code="duplicate_batch",
            message="another was made, and cancelled unless it was over: " + batch.name,
            since=now,
        )
        ledger.advance(job, lambda j: j.duplicates_found([batch.name], health, now))
        failpoint("after_recording_duplicates")
    if not batch.terminal:
        log.error("duplicate batch", extra={"job": job.id, "cancelled": batch.name})
        service.cancel(batch.name)
        failpoint("after_cancelling_found")


def begun(job: Job) -> datetime:
    """When the service made the job's batch."""
    known = job.batch.create_time if job.batch else None
    return known or job.created_at

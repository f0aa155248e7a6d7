"""The ledger's contract, on Google's own Firestore emulator."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import firestore

from batchdrop.errors import NotWritable, Superseded, Unavailable
from batchdrop.jobs.codes import HealthCode, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch, Problem, Staging
from batchdrop.ledger import Ledger
from batchdrop.ledger.state import SweepRecord
from batchdrop.rows import Rows
from tests import jobs
from tests.clock import Clock
from tests.jobs import DROP, SPEC, TIMING, collected
from tests.there import there


@pytest.fixture
def ledger(database: firestore.Client) -> Ledger:
    return Ledger(lambda: database, "//batchdrop/tests")


@pytest.fixture
def claimed(ledger: Ledger, clock: Clock) -> Job:
    job = ledger.claim(Job.claimed(DROP, "first", clock(), TIMING))
    assert job is not None
    return job


def rich(job: Job, clock: Clock) -> Job:
    """A job with a value in every part."""
    labels = {"batchdrop_job": job.id, "a.b": "dots in a name"}
    spec = replace(SPEC, labels=labels)
    staging = Staging(epoch=1, uri="gs://work/x/1/requests.jsonl")
    return job.prepared(spec, staging, Rows(total=2, accepted=2), clock(), TIMING)


def test_what_is_written_is_read_back_equal(
    ledger: Ledger, claimed: Job, clock: Clock
) -> None:
    written = ledger.advance(claimed, lambda job: rich(job, clock))

    read = ledger.get(claimed.id)

    assert read == written
    assert read is not None
    assert read.version == written.version


def test_one_of_many_concurrent_claims_gets_the_job(
    ledger: Ledger, clock: Clock
) -> None:
    def claim(by: int) -> Job | None:
        return ledger.claim(Job.claimed(DROP, f"worker-{by}", clock(), TIMING))

    with ThreadPoolExecutor(20) as pool:
        won = [job for job in pool.map(claim, range(20)) if job is not None]

    assert len(won) == 1
    assert ledger.get(DROP.job_id) == won[0]


def test_a_claim_whose_answer_was_lost_is_still_the_claimers(
    ledger: Ledger, claimed: Job, clock: Clock
) -> None:
    again = ledger.claim(Job.claimed(DROP, "first", clock(), TIMING))

    assert again == claimed


def test_a_worker_that_wakes_after_its_lease_writes_nothing(
    ledger: Ledger, claimed: Job, clock: Clock
) -> None:
    clock.time += TIMING.lease
    taken = ledger.advance(claimed, lambda job: job.resumed("second", clock(), TIMING))

    with pytest.raises(Superseded):
        ledger.advance(claimed, lambda job: rich(job, clock))

    assert ledger.get(claimed.id) == taken


def test_of_concurrent_takeovers_one_becomes_the_holder(
    ledger: Ledger, claimed: Job, clock: Clock
) -> None:
    clock.time += TIMING.lease

    def take(by: str) -> bool:
        try:
            ledger.advance(claimed, lambda job: job.resumed(by, clock(), TIMING))
        except Superseded:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        won = list(pool.map(take, ["a", "b", "c"]))

    assert won.count(True) == 1
    held = ledger.get(claimed.id)
    assert held is not None
    assert held.lease.by == "abc"[won.index(True)]
    assert held.lease.epoch == 2


def test_a_write_beside_the_transition_is_kept(
    ledger: Ledger, database: firestore.Client, claimed: Job, clock: Clock
) -> None:
    beside = database.collection("jobs").document(claimed.id)
    beside.update({"remark": "seen by ada"})

    ledger.advance(claimed, lambda job: rich(job, clock))

    document = beside.get().to_dict() or {}
    assert document["remark"] == "seen by ada"
    assert document["phase"] == "prepared"


class AnswerLost:
    """A client whose next commit is applied and not answered."""

    def __init__(self, client: firestore.Client) -> None:
        self._client = client
        self.lose = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def batch(self) -> firestore.WriteBatch:
        batch = self._client.batch()
        commit = batch.commit

        def commit_and_lose(*given: Any, **options: Any) -> list[Any]:
            result = commit(*given, **options)
            if self.lose:
                # Firestore's answer to the library's second attempt of the same commit.
                self.lose = False
                raise exceptions.FailedPrecondition("the document has changed")
            return result

        batch.commit = commit_and_lose  # type: ignore[method-assign]
        return batch


def test_a_transition_whose_answer_was_lost_counts_and_is_announced_once(
    ledger: Ledger, database: firestore.Client, claimed: Job, clock: Clock
) -> None:
    lossy = Ledger(lambda: AnswerLost(database), "//batchdrop/tests")  # type: ignore[arg-type, return-value]
    problem = Problem(code="bad_rows", message="line 1: ...")

    job = lossy.advance(claimed, lambda job: job.rejected(problem, clock()))

    assert job.phase is Phase.REJECTED
    assert ledger.get(claimed.id) == job
    assert [one.type for one in ledger.unpublished_announcements()] == [
        "dev.batchdrop.job.rejected.v1"
    ]


def test_an_end_and_its_announcement_are_written_together(
    ledger: Ledger, claimed: Job, clock: Clock
) -> None:
    job = ledger.advance(claimed, lambda job: rich(job, clock))
    job = ledger.advance(job, lambda job: job.submitting(clock(), TIMING))
    batch = Batch(name="batches/1", state="JOB_STATE_RUNNING", terminal=False)
    job = ledger.advance(job, lambda job: job.submitted(batch, clock()))
    done = replace(batch, state="JOB_STATE_SUCCEEDED", terminal=True)

    ledger.advance(job, lambda job: job.ended(done, clock()))

    (announcement,) = ledger.unpublished_announcements()
    assert announcement.job_id == claimed.id
    assert announcement.seq == 1
    ledger.mark_published(announcement, clock())
    assert list(ledger.unpublished_announcements()) == []


def test_due_jobs_are_those_whose_time_has_come(ledger: Ledger, clock: Clock) -> None:
    def claim(name: str) -> Job:
        job = ledger.claim(Job.claimed(replace(DROP, name=name), name, clock(), TIMING))
        assert job is not None
        return job

    first = claim("a.jsonl")
    clock.advance(minutes=1)
    claim("b.jsonl")
    rejected = claim("c.jsonl")
    problem = Problem(code="bad_rows", message="line 1: ...")
    ledger.advance(rejected, lambda job: job.rejected(problem, clock()))

    clock.time = first.lease.until

    assert [job.id for job in ledger.due_jobs(clock())] == [first.id]


@pytest.fixture
def lock(ledger: Ledger, clock: Clock) -> Callable[[str], bool]:
    return lambda by: ledger.lock("tick", by, clock(), timedelta(minutes=4))


def test_a_lock_has_one_holder_until_it_is_released(
    ledger: Ledger, clock: Clock, lock: Callable[[str], bool]
) -> None:
    assert lock("a")
    assert not lock("b")

    ledger.unlock("tick", "b")
    assert not lock("b")

    ledger.unlock("tick", "a")
    assert lock("b")


class Between:
    """A client of Firestore with which something happens before a guarded write."""

    def __init__(self, database: firestore.Client, happens: Callable[[], Any]) -> None:
        self._database = database
        self._happens = happens

    def write_option(self, **chosen: Any) -> Any:
        self._happens()
        return self._database.write_option(**chosen)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


@pytest.fixture
def overtaken(
    database: firestore.Client, lock: Callable[[str], bool], clock: Clock
) -> Ledger:
    """The lock's first holder, whose time is over: another takes it at the release."""
    between: Any = Between(database, lambda: lock("second"))
    first = Ledger(lambda: between, "//batchdrop/tests")
    assert first.lock("tick", "first", clock(), timedelta(minutes=4))
    clock.time += timedelta(minutes=5)
    return first


def test_a_lock_that_another_holder_takes_during_its_release_stays_taken(
    overtaken: Ledger, lock: Callable[[str], bool]
) -> None:
    overtaken.unlock("tick", "first")

    assert not lock("third")


def test_a_sweep_counts_even_if_another_tick_has_the_lock_meanwhile(
    overtaken: Ledger, clock: Clock
) -> None:
    swept = SweepRecord(started=clock())

    overtaken.record_sweep(swept)
    overtaken.unlock("tick", "first")

    assert overtaken.last_sweep() == swept


def test_a_dead_holders_lock_can_be_taken_when_its_time_is_over(
    ledger: Ledger, clock: Clock, lock: Callable[[str], bool]
) -> None:
    assert lock("a")
    clock.advance(minutes=4)

    assert lock("b")
    ledger.unlock("tick", "a")
    assert not lock("a")


def test_a_document_of_a_later_version_is_refused_with_what_to_do(
    ledger: Ledger, database: firestore.Client, claimed: Job
) -> None:
    database.collection("jobs").document(claimed.id).update({"v": 3})

    with pytest.raises(ValueError, match=r"document version 3.*deploy the newer one"):
        ledger.get(claimed.id)


def test_a_document_of_an_earlier_version_is_refused_before_it_is_decoded(
    ledger: Ledger, database: firestore.Client, claimed: Job
) -> None:
    document = database.collection("jobs").document(claimed.id)
    document.update({"v": 1, "lease": "no lease of ours"})

    with pytest.raises(ValueError, match=r"document version 1.*take a new database"):
        ledger.get(claimed.id)


def test_unfinished_documents_of_an_earlier_version_can_be_asked_for(
    ledger: Ledger, database: firestore.Client, claimed: Job
) -> None:
    document = database.collection("jobs").document(claimed.id)
    assert ledger.outdated_jobs() == []

    document.update({"v": 1})
    assert ledger.outdated_jobs() == [claimed.id]

    document.update({"phase": "ended"})
    assert ledger.outdated_jobs() == []


def test_a_document_leaves_out_what_is_empty(
    ledger: Ledger, database: firestore.Client, claimed: Job, clock: Clock
) -> None:
    document = database.collection("jobs").document(claimed.id)
    ledger.advance(claimed, lambda job: job.gave_up("no luck", clock()))

    said = there(document.get().to_dict())

    assert not {"health", "row_errors", "inputs", "parts", "spec", "error"} & set(said)
    assert [set(one) for one in said["history"]] == [
        {"at", "phase"},
        {"at", "phase", "note"},
    ]


def test_a_field_that_a_job_loses_is_deleted_from_its_document(
    ledger: Ledger, database: firestore.Client, claimed: Job, clock: Clock
) -> None:
    code = HealthCode.UNPUBLISHED
    unwell = ledger.advance(claimed, lambda job: job.troubled(code, "x", clock()))
    document = database.collection("jobs").document(claimed.id)
    assert there(document.get().to_dict())["health"]["code"] == "unpublished"

    well = ledger.advance(unwell, lambda job: job.announced_again(clock()))

    document = database.collection("jobs").document(claimed.id)
    assert "health" not in there(document.get().to_dict())
    assert ledger.get(claimed.id) == well


def test_a_document_gets_its_expiry_when_its_job_is_over(
    ledger: Ledger, database: firestore.Client, claimed: Job, clock: Clock
) -> None:
    document = database.collection("jobs").document(claimed.id)
    assert "expire_at" not in there(document.get().to_dict())
    problem = Problem(code="bad_rows", message="line 1: ...")

    ledger.advance(claimed, lambda job: job.rejected(problem, clock()))

    expected = clock() + timedelta(days=90)
    assert document.get().get("expire_at") == expected


def test_an_announcement_expires_after_it_was_published_and_not_before(
    ledger: Ledger, database: firestore.Client, claimed: Job, clock: Clock
) -> None:
    problem = Problem(code="bad_rows", message="line 1: ...")
    ledger.advance(claimed, lambda job: job.rejected(problem, clock()))
    (announcement,) = ledger.unpublished_announcements()
    document = database.collection("announcements").document(announcement.id)
    assert document.get().get("expire_at") is None

    clock.advance(days=100)
    ledger.mark_published(announcement, clock())

    assert document.get().get("expire_at") == clock() + timedelta(days=90)


# -- answers to collect -------------------------------------------------------------


@pytest.fixture
def ended(ledger: Ledger, clock: Clock) -> Callable[[int], Job]:
    """Makes the n-th job whose batch has ended."""

    def make(n: int) -> Job:
        drop = replace(DROP, name=f"{n}.jsonl")
        claimed = there(ledger.claim(Job.claimed(drop, "w", clock(), TIMING)))
        return ledger.advance(claimed, lambda job: jobs.ended(job, clock()))

    return make


def test_jobs_to_collect_are_those_that_are_due_the_oldest_first(
    ledger: Ledger, clock: Clock, ended: Callable[[int], Job]
) -> None:
    jobs = []
    for n in range(5):
        jobs.append(ended(n))
        clock.advance(minutes=1)
    first, woken, parked, done, last = jobs
    ledger.advance(woken, lambda job: job.woken(clock(), TIMING))
    ledger.advance(parked, lambda job: job.park(clock()))
    ledger.advance(done, lambda job: collected(job, clock()))

    def found(most: int = 10) -> list[str]:
        return [job.id for job in ledger.jobs_to_collect(clock(), most)]

    assert found() == [first.id, last.id]
    assert found(most=1) == [first.id]
    ledger.advance(there(ledger.get(parked.id)), lambda job: job.unpark("ada", clock()))
    assert found() == [first.id, last.id, parked.id]
    clock.time += TIMING.lease
    assert found() == [first.id, last.id, parked.id, woken.id]


def test_one_of_two_collectors_gets_the_job(
    ledger: Ledger, clock: Clock, ended: Callable[[int], Job]
) -> None:
    job = ended(1)
    one = ledger.advance(job, lambda job: job.collect_taken("one", clock(), TIMING))

    with pytest.raises(Superseded):
        ledger.advance(job, lambda job: job.collect_taken("two", clock(), TIMING))

    clock.time += TIMING.lease
    ledger.advance(one, lambda job: job.collect_taken("two", clock(), TIMING))
    with pytest.raises(Superseded):
        ledger.advance(one, lambda job: collected(job, clock()))


def test_a_collector_that_takes_a_job_which_is_done_meanwhile_changes_nothing(
    ledger: Ledger, clock: Clock, ended: Callable[[int], Job]
) -> None:
    frozen = ended(1)
    frozen = ledger.advance(frozen, lambda job: job.collect_taken("c", clock(), TIMING))
    clock.time += TIMING.lease
    seen_by_another = ledger.get(frozen.id)
    done = ledger.advance(frozen, lambda job: collected(job, clock()))

    after = ledger.advance(
        there(seen_by_another), lambda job: job.collect_taken("d", clock(), TIMING)
    )

    assert after == done == ledger.get(done.id)


def test_a_wake_up_does_not_disturb_the_collector_at_work(
    ledger: Ledger, clock: Clock, ended: Callable[[int], Job]
) -> None:
    held = ended(1)
    held = ledger.advance(held, lambda job: job.collect_taken("c", clock(), TIMING))
    clock.time += TIMING.lease
    ledger.advance(held, lambda job: job.woken(clock(), TIMING))

    done = ledger.advance(held, lambda job: collected(job, clock()))

    assert ledger.get(done.id) == done
    assert done.is_done


def test_a_job_expires_after_its_answers_are_collected_and_not_before(
    ledger: Ledger,
    database: firestore.Client,
    clock: Clock,
    ended: Callable[[int], Job],
) -> None:
    job = ended(1)
    document = database.collection("jobs").document(job.id)
    assert "expire_at" not in there(document.get().to_dict())
    clock.advance(days=100)

    ledger.advance(job, lambda job: collected(job, clock()))

    assert document.get().get("expire_at") == clock() + timedelta(days=90)
    assert "collecting" not in there(document.get().to_dict())


def test_results_are_announced_in_the_commit_that_records_them(
    ledger: Ledger, clock: Clock, ended: Callable[[int], Job]
) -> None:
    job = ended(1)
    clock.advance(minutes=1)
    ledger.advance(job, lambda job: collected(job, clock()))

    types = [one.type for one in ledger.unpublished_announcements()]

    assert types == ["dev.batchdrop.job.succeeded.v1", "dev.batchdrop.results.ready.v1"]


# -- what Firestore's answers mean ---------------------------------------------------


def too_large(job: Job, clock: Clock) -> Job:
    """A job whose document has more than a mebibyte."""
    made = rich(job, clock)
    assert made.spec is not None
    return replace(made, spec=replace(made.spec, generation_config="x" * 1_100_000))


def not_text(job: Job, clock: Clock) -> Job:
    """A job with half a character in it, which has no UTF-8."""
    made = rich(job, clock)
    assert made.spec is not None
    return replace(made, spec=replace(made.spec, display_name="\ud800"))


@pytest.mark.parametrize("never", [too_large, not_text])
def test_a_write_that_firestore_never_accepts_is_not_writable(
    ledger: Ledger, claimed: Job, clock: Clock, never: Callable[[Job, Clock], Job]
) -> None:
    with pytest.raises(NotWritable):
        ledger.advance(claimed, lambda job: never(job, clock))

    assert ledger.get(claimed.id) == claimed


def test_a_claim_that_firestore_never_accepts_is_not_writable(
    ledger: Ledger, clock: Clock
) -> None:
    drop = replace(DROP, name="n" * 1_100_000)

    with pytest.raises(NotWritable):
        ledger.claim(Job.claimed(drop, "first", clock(), TIMING))


def test_a_commit_that_is_too_large_is_refused_before_it_is_sent(
    ledger: Ledger, claimed: Job, clock: Clock
) -> None:
    spec = replace(SPEC, generation_config="x" * 900_000)
    others = [replace(claimed, id=f"{n:026}", spec=spec) for n in range(5)]

    with pytest.raises(NotWritable, match="commit of 6 documents"):
        ledger.advance(claimed, lambda job: rich(job, clock), creates=lambda _: others)

    assert ledger.get(claimed.id) == claimed


class Answers:
    """A client whose commits Firestore answers with an error of its own."""

    def __init__(self, client: firestore.Client, error: Exception) -> None:
        self._client = client
        self._error = error

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    def batch(self) -> firestore.WriteBatch:
        def commit(*given: Any, **options: Any) -> list[Any]:
            raise self._error

        batch = self._client.batch()
        batch.commit = commit  # type: ignore[method-assign]
        return batch


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (exceptions.InvalidArgument("Request payload size exceeds"), NotWritable),
        (exceptions.ResourceExhausted("quota"), Unavailable),
        (exceptions.ServiceUnavailable("down"), Unavailable),
        (exceptions.DeadlineExceeded("slow"), Unavailable),
        (exceptions.RetryError("for a minute", cause=None), Unavailable),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else "",
)
def test_each_of_firestores_errors_means_never_or_later(
    database: firestore.Client,
    claimed: Job,
    clock: Clock,
    answer: Exception,
    means: type[Exception],
) -> None:
    ledger = Ledger(lambda: Answers(database, answer), "//batchdrop/tests")  # type: ignore[arg-type, return-value]

    with pytest.raises(means):
        ledger.advance(claimed, lambda job: rich(job, clock))

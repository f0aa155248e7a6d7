"""A split job: its parts, and how it ends when they do."""

import json
from dataclasses import replace

import pytest

from batchdrop.announcements.message import Announcement
from batchdrop.jobs.codes import Outcome, Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.parts import MAX_PARTS
from batchdrop.jobs.values import Batch, Part, Problem, Staging, Stats, outcome_of_parts
from batchdrop.rows import Rows
from tests import announcements, jobs
from tests.clock import Clock
from tests.jobs import DROP, TIMING
from tests.there import there

SPEC = replace(
    jobs.SPEC,
    labels={
        "batchdrop_job": DROP.job_id,
        "batchdrop_deployment": "tests",
        "team": "ops",
    },
    generation_config='{"temperature":0}',
)
ROWS = Rows(total=6, accepted=6)


def part(n: int, outcome: str | None = None, successful: int | None = None) -> Part:
    return Part(
        n=n,
        first=2 * n + 1,
        last=2 * n + 2,
        staging=Staging(
            epoch=n + 1,
            uri=f"gs://work/p{n}/{n + 1}/requests.jsonl",
            rows=2,
            bytes=300 + n,
        ),
        outcome=Outcome(outcome) if outcome else None,
        stats=None if successful is None else Stats(successful=successful),
    )


@pytest.fixture
def arrived(clock: Clock) -> Job:
    return Job.claimed(DROP, "first", clock(), TIMING)


@pytest.fixture
def staged(arrived: Job, clock: Clock) -> Job:
    for n in range(3):
        arrived = arrived.part_staged(part(n), clock(), TIMING)
    return arrived


@pytest.fixture
def split_job(staged: Job, clock: Clock) -> Job:
    return staged.split(SPEC, ROWS, clock())


@pytest.fixture
def children(split_job: Job, clock: Clock) -> list[Job]:
    return split_job.part_jobs(clock())


def ended(child: Job, clock: Clock, word: str, **batch: object) -> Job:
    sent = Batch(name=f"batches/{child.id}", state="JOB_STATE_PENDING", terminal=False)
    done = replace(sent, state=f"JOB_STATE_{word}", terminal=True, **batch)  # type: ignore[arg-type]
    job = child.submitting(clock(), TIMING).submitted(sent, clock())
    return job.ended(done, clock())


# -- splitting -----------------------------------------------------------------------


def test_a_staged_part_is_kept_and_counts_as_progress(
    arrived: Job, clock: Clock
) -> None:
    again = arrived.resumed("second", clock(), TIMING).resumed("3", clock(), TIMING)
    clock.advance(minutes=5)

    job = again.part_staged(part(0), clock(), TIMING)

    assert job.phase is Phase.ARRIVED
    assert job.parts == {arrived.part_id(0): part(0)}
    assert job.lease.until == job.due == clock() + TIMING.lease
    assert job.resumes == 0
    assert job.history == arrived.history


def test_a_part_has_the_same_id_whoever_stages_it(arrived: Job, clock: Clock) -> None:
    other = arrived.resumed("second", clock(), TIMING)

    assert arrived.part_id(0) == other.part_id(0)
    assert len({arrived.part_id(n) for n in range(100)} | {arrived.id}) == 101


def test_a_file_has_a_limited_number_of_parts(arrived: Job, clock: Clock) -> None:
    arrived.part_staged(part(MAX_PARTS - 1), clock(), TIMING)

    with pytest.raises(ValueError, match=f"at most {MAX_PARTS} parts"):
        arrived.part_staged(part(MAX_PARTS), clock(), TIMING)


def test_a_split_job_gets_no_more_parts(split_job: Job, clock: Clock) -> None:
    with pytest.raises(ValueError, match="is split: it has no more parts"):
        split_job.part_staged(part(3), clock(), TIMING)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_job_is_not_split_while_a_part_is_missing(
    staged: Job, clock: Clock, missing: int
) -> None:
    parts = dict(staged.parts)
    del parts[staged.part_id(missing)]

    with pytest.raises(ValueError, match="lacks some of its parts"):
        replace(staged, parts=parts).split(SPEC, ROWS, clock())


def test_a_job_without_parts_is_not_split(arrived: Job, clock: Clock) -> None:
    with pytest.raises(ValueError, match="lacks some of its parts"):
        arrived.split(SPEC, ROWS, clock())


def test_no_worker_takes_up_a_split_job(split_job: Job, clock: Clock) -> None:
    assert split_job.phase is Phase.SPLIT
    assert not split_job.is_held(clock())
    assert split_job.due is None
    assert (split_job.spec, split_job.rows, split_job.seq) == (SPEC, ROWS, 0)


def test_a_job_is_cancelled_instead_of_split_after_a_cancel_request(
    staged: Job, clock: Clock
) -> None:
    job = staged.request_cancel("ada", clock()).split(SPEC, ROWS, clock())

    assert job.phase is Phase.REJECTED
    assert job.seq == 1
    assert job.part_jobs(clock()) == []


def test_a_part_is_a_job_of_its_own_with_its_files_place_in_the_order(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    _, child, _ = children

    assert child.id == split_job.part_id(1)
    assert (child.part_of, child.part) == (split_job.id, part(1))
    assert (child.source, child.created_at) == (DROP, split_job.created_at)
    assert child.phase is Phase.PREPARED
    assert child.is_due(clock())
    assert not child.is_held(clock())
    assert child.staging == part(1).staging
    assert child.lease.epoch == 2
    assert child.rows == Rows(total=2, accepted=2)
    assert child.spec == replace(
        SPEC,
        destination="gs://out/reviews.jsonl/x/part-0001/",
        display_name="reviews.jsonl part 2/3",
        labels=SPEC.labels | {"batchdrop_job": child.id},
        generation_config=None,
    )


def test_a_worker_searches_for_the_batch_of_a_part_before_it_sends(
    children: list[Job], clock: Clock
) -> None:
    assert children[0].lease.epoch == 1

    assert children[0].resumed("worker", clock(), TIMING).must_search


def test_the_display_name_of_a_part_is_cut_to_128_characters(
    staged: Job, clock: Clock
) -> None:
    long = replace(SPEC, display_name="n" * 128)

    child = staged.split(long, ROWS, clock()).part_jobs(clock())[2]

    assert child.spec is not None
    assert child.spec.display_name == "n" * 119 + " part 3/3"


@pytest.mark.parametrize(
    ("destination", "of_part"),
    [
        ("gs://out/a/", "gs://out/a/part-0001/"),
        ("bq://p.answers.mine", "bq://p.answers.mine_part_0001"),
        (
            "bq://example.com:p.answers.mine",
            "bq://example.com:p.answers.mine_part_0001",
        ),
        ("bq://p.answers", "bq://p.answers"),
        ("bq://example.com:p.answers", "bq://example.com:p.answers"),
        ("bq://p", "bq://p"),
    ],
)
def test_the_parts_write_beside_each_other(
    staged: Job, clock: Clock, destination: str, of_part: str
) -> None:
    spec = replace(SPEC, destination=destination)

    child = staged.split(spec, ROWS, clock()).part_jobs(clock())[1]

    assert child.spec is not None
    assert child.spec.destination == of_part


def test_the_parts_of_a_missed_drop_count_as_missed(staged: Job, clock: Clock) -> None:
    split_job = replace(staged, missed=True).split(SPEC, ROWS, clock())

    assert all(child.missed for child in split_job.part_jobs(clock()))


def test_a_part_counts_against_limits_with_its_own_bytes(children: list[Job]) -> None:
    staged = [child.staging.bytes for child in children if child.staging]

    assert staged == [300, 301, 302]


# -- the split job's end ---------------------------------------------------------

DONE, PARTLY = ("succeeded", None), ("partially_succeeded", None)
FAILED, FAILED_LATE = ("failed", 0), ("failed", 1)
CANCELLED, CANCELLED_LATE = ("cancelled", 0), ("cancelled", 1)
EXPIRED, EXPIRED_LATE = ("expired", 0), ("expired", 1)
UNSENT, LOST, REFUSED = ("cancelled", None), ("lost", None), ("rejected", None)
OPEN = (None, None)


@pytest.mark.parametrize(
    ("parts", "outcome"),
    [
        ([DONE], "succeeded"),
        ([DONE, DONE], "succeeded"),
        ([DONE, OPEN], None),
        ([FAILED, OPEN], None),
        ([OPEN], None),
        ([DONE, PARTLY], "partially_succeeded"),
        ([PARTLY, PARTLY], "partially_succeeded"),
        ([DONE, FAILED], "partially_succeeded"),
        ([DONE, LOST], "partially_succeeded"),
        ([DONE, REFUSED], "partially_succeeded"),
        ([DONE, UNSENT], "partially_succeeded"),
        ([FAILED_LATE, FAILED], "partially_succeeded"),
        ([CANCELLED_LATE, UNSENT], "partially_succeeded"),
        ([EXPIRED_LATE, EXPIRED], "partially_succeeded"),
        ([FAILED, FAILED], "failed"),
        ([LOST], "failed"),
        ([REFUSED, REFUSED], "failed"),
        ([FAILED, LOST, REFUSED], "failed"),
        ([FAILED, CANCELLED], "failed"),
        ([CANCELLED, EXPIRED], "failed"),
        ([REFUSED, UNSENT], "failed"),
        ([CANCELLED, CANCELLED], "cancelled"),
        ([CANCELLED, UNSENT], "cancelled"),
        ([UNSENT, UNSENT], "cancelled"),
        ([EXPIRED, EXPIRED], "expired"),
    ],
)
def test_the_outcome_of_a_split_job_follows_from_its_parts(
    parts: list[tuple[str | None, int | None]], outcome: str | None
) -> None:
    made = [part(n, *each) for n, each in enumerate(parts)]

    assert outcome_of_parts(made) == outcome
    assert outcome_of_parts(made[::-1]) == outcome


def test_only_the_last_part_ends_the_split_job(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    first, second, third = (ended(one, clock, "SUCCEEDED") for one in children)

    two = split_job.part_over(third, clock()).part_over(first, clock())
    assert (two.phase, two.seq, two.outcome) == (Phase.SPLIT, 0, None)

    over = two.part_over(second, clock())
    assert over.phase is Phase.ENDED
    assert over.seq == 1
    assert over.outcome == "succeeded"
    assert over.error is None


def test_the_end_of_a_part_is_not_announced(children: list[Job], clock: Clock) -> None:
    problem = Problem(code="service_refused", message="no")
    sent = Batch(name="batches/1", state="JOB_STATE_PENDING", terminal=False)
    running = children[0].submitting(clock(), TIMING).submitted(sent, clock())

    assert ended(children[0], clock, "FAILED").seq == 0
    assert children[0].rejected(problem, clock()).seq == 0
    assert children[0].request_cancel("ada", clock()).seq == 0
    assert running.lost(clock()).seq == 0


def test_a_split_job_has_the_outcome_and_counts_of_each_part(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    stats = Stats(successful=1, failed=1)
    sent = Batch(
        name="batches/1",
        state="JOB_STATE_RUNNING",
        terminal=False,
        completion_stats=stats,
    )
    running = children[1].submitting(clock(), TIMING).submitted(sent, clock())
    refused = Problem(code="service_refused", message="no such model")
    for over in (
        ended(children[0], clock, "FAILED", completion_stats=stats),
        running.lost(clock()),
        children[2].rejected(refused, clock()),
    ):
        split_job = split_job.part_over(over, clock())

    ends = [(each.outcome, each.stats) for each in split_job.parts.values()]
    assert ends == [("failed", stats), ("lost", None), ("rejected", None)]
    assert split_job.outcome == "partially_succeeded"


def test_a_part_without_named_answers_has_failed_without_rows(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    error = Problem(code="no_output", message="named nowhere")
    sent = Batch(name="batches/1", state="JOB_STATE_PENDING", terminal=False)
    stats = Stats(successful=2)
    done = replace(
        sent, state="JOB_STATE_SUCCEEDED", terminal=True, completion_stats=stats
    )
    for child in children:
        running = child.submitting(clock(), TIMING).submitted(sent, clock())
        split_job = split_job.part_over(running.ended(done, clock(), error), clock())

    states = {(part.outcome, part.stats) for part in split_job.parts.values()}
    assert states == {("failed", None)}
    assert split_job.outcome == "failed"


def test_a_part_cancelled_before_it_was_sent_has_not_failed(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    for child in children:
        split_job = split_job.part_over(child.request_cancel("ada", clock()), clock())

    assert split_job.outcome == "cancelled"
    assert split_job.phase is Phase.ENDED


def test_the_error_of_a_split_job_is_that_of_the_first_failed_part(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    for child, why in zip(children, (None, "bad bucket", "worse"), strict=True):
        error = Problem(code=9, message=why) if why else None
        word = "FAILED" if why else "SUCCEEDED"
        split_job = split_job.part_over(ended(child, clock, word, error=error), clock())

    assert split_job.error == Problem(
        code=9, message=f"part 2 of 3, job {children[1].id}: bad bucket"
    )


def test_a_split_job_with_lost_parts_is_not_lost_itself(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    sent = Batch(name="batches/1", state="JOB_STATE_PENDING", terminal=False)
    for child in children:
        running = child.submitting(clock(), TIMING).submitted(sent, clock())
        split_job = split_job.part_over(running.lost(clock()), clock())

    assert split_job.error is not None
    assert split_job.error.code == "lost"
    assert not split_job.is_lost
    assert split_job.outcome == "failed"


# -- what is collected ---------------------------------------------------------------


def over(split_job: Job, children: list[Job], clock: Clock) -> Job:
    for child in children:
        split_job = split_job.part_over(ended(child, clock, "SUCCEEDED"), clock())
    return split_job


@pytest.mark.parametrize(
    ("spec", "step"),
    [({}, "parts"), ({"results": "off"}, None), ({"source": "x"}, None)],
)
def test_a_split_job_that_has_ended_waits_for_the_results_of_its_parts(
    staged: Job, clock: Clock, spec: dict[str, str], step: str | None
) -> None:
    split_job = staged.split(replace(SPEC, **spec), ROWS, clock())  # type: ignore[arg-type]
    assert split_job.awaits == "ends"

    job = over(split_job, split_job.part_jobs(clock()), clock)

    assert (job.collecting and job.collecting.step) == step
    assert not job.is_due(clock())
    assert job.awaits == ("results" if step else None)


def test_a_part_that_was_never_sent_is_collected_and_no_other_job(
    children: list[Job], arrived: Job, clock: Clock
) -> None:
    part = children[0].request_cancel("ada", clock())

    assert part.is_over
    assert not part.is_done
    assert part.is_due(clock())
    assert (part.due, part.undone_of) == (None, DROP.job_id)
    assert arrived.cancelled(clock()).is_done


def test_a_split_job_is_due_once_no_part_is_left_undone(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    job = over(split_job, children, clock)
    clock.advance(minutes=1)

    waits = job.parts_counted(2, [], clock())
    due = waits.parts_counted(0, [], clock())

    assert there(waits.waiting_for).message == "2 of 3 parts are not done"
    assert not waits.is_due(clock())
    assert waits.parts_counted(2, [], clock()) is waits
    assert due.is_due(clock())
    assert due.waiting_for is None
    # A collector has it now.
    assert (due.awaits, due.parts_counted(1, [], clock())) == (None, due)


def test_a_split_job_that_is_parked_waits_for_a_person_alone(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    job = over(split_job, children, clock).parts_counted(0, [], clock())

    parked = job.park(clock(), "its parts don't add up")

    assert parked.awaits is None
    assert parked.unpark("ada", clock()).is_due(clock())


def test_a_split_job_has_the_health_of_parts_that_wait_for_a_person(
    split_job: Job, clock: Clock
) -> None:
    held = split_job.parts_counted(1, ["a", "b"], clock())
    since = clock()
    clock.advance(minutes=1)
    later = held.parts_counted(1, ["b"], clock())

    assert there(held.health).code == "parts_held"
    assert there(held.health).message.endswith(": a, b")
    assert there(later.health).since == since
    assert later.parts_counted(1, [], clock()).health is None


def test_a_part_may_expire_once_its_split_job_is_collected(
    children: list[Job], clock: Clock
) -> None:
    part = replace(children[0].request_cancel("ada", clock()), collecting=None)

    assert part.is_done
    assert not part.may_expire
    assert part.let_expire(clock()).may_expire


# -- a person ------------------------------------------------------------------------


def test_a_split_job_with_a_cancel_request_waits_for_its_parts(
    split_job: Job, clock: Clock
) -> None:
    job = split_job.request_cancel("ada", clock())

    assert job.phase is Phase.SPLIT
    assert job.cancel_request is not None
    assert job.cancel_request.by == "ada"


def test_a_part_can_not_be_run_again_by_itself(
    children: list[Job], clock: Clock
) -> None:
    over = ended(children[0], clock, "FAILED")

    with pytest.raises(ValueError, match=rf"a part of {DROP.job_id}; run that"):
        over.rerun_counted("ada", clock())


def test_the_rerun_of_a_split_job_splits_the_file_anew(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    for child in children:
        split_job = split_job.part_over(ended(child, clock, "FAILED"), clock())

    again = split_job.rerun_counted("ada", clock()).rerun("ada", clock())

    assert (again.phase, again.source) == (Phase.ARRIVED, DROP)
    assert (again.parts, again.outcome, again.parent) == ({}, None, split_job.id)
    assert again.part_id(0) != split_job.part_id(0)


# -- announcements -------------------------------------------------------------------


def test_a_split_job_is_announced_as_one(
    split_job: Job, children: list[Job], clock: Clock
) -> None:
    words = ("SUCCEEDED", "SUCCEEDED", "FAILED")
    for n, (child, word) in enumerate(zip(children, words, strict=True)):
        stats = Stats(successful=n, failed=2) if n else None
        split_job = split_job.part_over(
            ended(child, clock, word, completion_stats=stats), clock()
        )

    announcement = Announcement.of(split_job, "//batchdrop/tests")
    body = json.loads(announcement.body)

    announcements.check(announcement)
    assert announcement.type == "dev.batchdrop.job.partially_succeeded.v1"
    assert (
        announcement.attributes["state"]
        == body["state"]
        == "JOB_STATE_PARTIALLY_SUCCEEDED"
    )
    assert announcement.attributes["job_id"] == split_job.id
    assert body["parts"] == {
        "total": 3,
        "succeeded": 2,
        "partially_succeeded": 0,
        "failed": 1,
        "cancelled": 0,
        "expired": 0,
    }
    assert body["stats"] == {"successful": 3, "failed": 4, "incomplete": None}
    assert body["output_directory"] == "gs://out/reviews.jsonl/x/"
    assert (body["batch"], body["part_of"]) == (None, None)


@pytest.mark.parametrize("word", ["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"])
def test_the_announcement_of_a_split_job_has_the_type_of_its_outcome(
    split_job: Job, children: list[Job], clock: Clock, word: str
) -> None:
    for child in children:
        split_job = split_job.part_over(ended(child, clock, word), clock())

    announcement = Announcement.of(split_job, "//batchdrop/tests")

    announcements.check(announcement)
    assert announcement.type == f"dev.batchdrop.job.{word.lower()}.v1"


def test_a_stalled_part_is_announced_by_itself(
    children: list[Job], clock: Clock
) -> None:
    announcement = Announcement.of(children[0].park(clock()), "//batchdrop/tests")
    body = json.loads(announcement.body)

    announcements.check(announcement)
    assert announcement.type == "dev.batchdrop.job.stalled.v1"
    assert (body["job_id"], body["part_of"]) == (children[0].id, DROP.job_id)
    assert body["parts"] is None


def test_the_announcement_of_an_unsplit_job_has_no_parts(
    arrived: Job, clock: Clock
) -> None:
    problem = Problem(code="no_rows", message="empty")

    body = json.loads(Announcement.of(arrived.rejected(problem, clock()), "//x").body)

    assert (body["parts"], body["part_of"]) == (None, None)


def test_the_announcement_of_a_split_job_stays_small_with_long_errors(
    clock: Clock,
) -> None:
    drop = replace(DROP, name="\N{SNOWMAN}" * 341)
    job = Job.claimed(drop, "first", clock(), TIMING)
    for n in range(MAX_PARTS):
        job = job.part_staged(part(n), clock(), TIMING)
    spec = replace(
        SPEC,
        destination=f"gs://out/{drop.name}/x/",
        labels={f"{n:063}": "\N{SNOWMAN}" * 63 for n in range(64)},
    )
    job = job.split(spec, ROWS, clock())
    words = Problem(code="c" * 9999, message="\N{SNOWMAN}" * 9999)
    for child in job.part_jobs(clock()):
        job = job.part_over(ended(child, clock, "FAILED", error=words), clock())

    announcement = Announcement.of(job, "//batchdrop/tests")

    announcements.check(announcement)
    assert json.loads(announcement.body)["parts"]["failed"] == MAX_PARTS

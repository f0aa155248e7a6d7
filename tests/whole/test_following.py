"""
Every state that a batch can be in, the policies and a replay, on the whole stack.

All files are dropped at once and followed together; each test looks at its own. What
takes hours lies in tests/worker, where time is a clock: a batch that is lost, which
takes three ticks over an hour, and the bounds of the sweep.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest

from batchdrop.jobs.values import Drop
from batchdrop_local.nursery import Nursery
from batchdrop_local.stack import Stack
from tests.there import there
from tests.waiting import until
from tests.whole.deployment import Deployment, looking_at

#: How these tests pull; the streaming way has threads to wait for.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The return_immediately flag is deprecated"),
    pytest.mark.proof,  # each policy and state shows in tests/worker on a clock
]

#: Far enough apart for a slow machine: a batch that is not held is in each of its
#: states for less than three seconds.
POLICIES = {
    "BATCHDROP_STALLED_AFTER": "5",
    "BATCHDROP_DELETE_AFTER": "2",
    "BATCHDROP_RESULTS": "off",
    # On a loaded machine batchsim shows a change seconds after the time that it bears.
    "BATCHDROP_LIST_LAG": "30",
}
#: For one file alone: on a slow machine others run as long before anybody looks.
ROUTES = """
[[route]]
match = "runs_too_long.jsonl"
cancel_after = 2
"""
ROWS = 4

Rule = dict[str, Any]


def detour(state: str) -> Rule:
    """A fault that puts a batch into the state `JOB_STATE_<state>`."""
    return {"fault": "unknown_state", "state": state, "for_ever": True}


HELD = {"fault": "stuck_running", "for_ever": True}


#: What is dropped, and what befalls its batch.
FILES: dict[str, tuple[Rule, ...]] = {
    "plain": (),
    "paused": ({"fault": "paused", "for_ever": True}, HELD),
    "updating": ({"fault": "updating", "for_ever": True}, HELD),
    "queued": (detour("QUEUED"), HELD),
    "unspecified": (detour("UNSPECIFIED"), HELD),
    "future": (detour("FROM_THE_FUTURE"), HELD),
    "partly": ({"fault": "partially_succeeded", "rows": 0.5},),
    "failed": ({"fault": "failed", "code": 13},),
    "failed_with_rows": ({"fault": "failed", "code": 13, "rows": 0.5},),
    "expired": ({"fault": "expired"},),
    "expired_with_rows": ({"fault": "expired", "rows": 0.5},),
    "not_exported": ({"fault": "export_failed"},),
    "cancelled": (HELD,),
    "cancelled_too_late": (
        {"fault": "cancelling", "for_ever": True, "then": "SUCCEEDED"},
        HELD,
    ),
    "runs_too_long": (HELD,),
    "stands_still": ({"fault": "stuck_pending", "for_ever": True},),
}
#: Those that somebody cancels on the command line.
CANCELLED = ("cancelled", "cancelled_too_late")
#: Those that are held in a rare state until the ledger has it, then in RUNNING. A slow
#: machine may need the five seconds after which a job is announced as stalled: `types`
#: leaves that out.
DETOURS = {
    "paused": "PAUSED",
    "updating": "UPDATING",
    "queued": "QUEUED",
    "unspecified": "UNSPECIFIED",
    "future": "FROM_THE_FUTURE",
}


@dataclass
class Followed:
    """What there was to be seen of each job on its way."""

    deployment: Deployment
    drops: dict[str, Drop]
    rules: dict[str, list[int]] = field(default_factory=dict)
    health: dict[str, set[str]] = field(default_factory=dict)

    def look(self) -> dict[str, dict[str, Any]]:
        """All jobs as they are now; what is the matter with each is kept."""
        names = {drop.job_id: name for name, drop in self.drops.items()}
        jobs = {}
        for snapshot in self.deployment.database.collection("jobs").stream():
            if name := names.get(snapshot.id):
                jobs[name] = job = there(snapshot.to_dict())
                if job.get("health"):
                    self.health.setdefault(name, set()).add(job["health"]["code"])
        return jobs

    def all_over(self, *but: str) -> bool:
        """Whether every job has ended, except those named."""
        jobs = self.look()
        over = {name for name, job in jobs.items() if job["phase"] == "ended"}
        return over >= set(self.drops) - set(but)

    def are_at(self, phase: str, *names: str) -> bool:
        """Whether these jobs are in the phase, all of them."""
        jobs = self.look()
        return all(name in jobs and jobs[name]["phase"] == phase for name in names)

    def is_in(self, name: str, state: str) -> bool:
        """Whether the ledger has a batch in this state."""
        job = self.look().get(name) or {}
        batch = job.get("batch") or {}
        return bool(batch.get("state") == f"JOB_STATE_{state}")

    def job(self, name: str) -> dict[str, Any]:
        """The job's document; fails if there is none."""
        job = self.deployment.job(self.drops[name])
        assert job is not None
        return job

    def states(self, name: str) -> list[str]:
        """The states that the API reported of a batch, in order of arrival."""
        said = [moment.get("state") for moment in self.job(name)["history"]]
        return [
            state.removeprefix("JOB_STATE_")
            for state, before in zip(said[1:], said, strict=False)
            if state and state != before
        ]

    def announced(self, name: str, n: int) -> list[Any]:
        """The first n messages about a job, when they have come."""
        drop = self.drops[name]
        until(lambda: len(self.deployment.announced(drop)) >= n)
        return self.deployment.announced(drop)

    def types(self, name: str) -> list[str]:
        """What was announced of a job that is over, but for standing still."""
        messages = self.announced(name, self.job(name)["seq"])
        words = [message.attributes["ce-type"].split(".")[3] for message in messages]
        return [word for word in words if word != "stalled"]

    def add(self, name: str, *rules: Rule) -> None:
        """Has these befall the batch of a file."""
        match = {"display_name": f"{name}.jsonl"}
        given = [{**rule, "match": match} for rule in rules]
        answer = httpx.post(self._faults, json=given).raise_for_status().json()
        added = [rule["id"] for rule in answer["rules"]]
        self.rules[name] = self.rules.get(name, []) + added

    def spare(self, name: str) -> None:
        """Removes the rules that hold a batch."""
        while self.rules[name]:
            self.resume(name)

    def resume(self, name: str) -> None:
        """Removes the first of the rules that hold a batch."""
        id = self.rules[name].pop(0)
        httpx.delete(f"{self._faults}/{id}").raise_for_status()

    def drop(self, name: str, *rules: Rule) -> Drop:
        """Drops a file of four rows, with these faults for its batch."""
        self.add(name, *rules)
        self.drops[name] = self.deployment.drop(ROWS, f"{name}.jsonl")
        return self.drops[name]

    def command(self, *arguments: str) -> str:
        """Runs `batchdrop ...` on this deployment, as its users do."""
        ran = subprocess.run(
            [sys.executable, "-m", "batchdrop.cli", *arguments],
            env=os.environ | self.deployment.stack.env | {"LOGNAME": "a tester"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    @property
    def _faults(self) -> str:
        return f"{self.deployment.stack.addresses['batchsim']}/_sim/faults"


@pytest.fixture(scope="module")
def followed(
    tmp_path_factory: pytest.TempPathFactory,
    firestore_emulator: str,
    pubsub_emulator: str,
    nursery: Nursery,
) -> Iterator[Followed]:
    """All files, followed until each is over but the one that stands still."""
    folder = tmp_path_factory.mktemp("following")
    routes = folder / "routes.toml"
    routes.write_text(ROUTES)
    with (
        Stack(
            folder,
            poll_every=0.25,
            queue_seconds=0.4,
            run_seconds=2.5,
            env=POLICIES | {"BATCHDROP_ROUTES": str(routes)},
            pages=False,
            nursery=nursery,
        ) as stack,
        looking_at(stack, "following", Deployment) as deployment,
    ):
        followed = Followed(deployment, {})
        for name, rules in FILES.items():
            followed.drop(name, *rules)

        until(lambda: followed.are_at("submitted", *CANCELLED))
        for name in CANCELLED:
            until(partial(followed.is_in, name, "RUNNING"))
        with ThreadPoolExecutor(2) as pool:
            for name in CANCELLED:
                pool.submit(followed.command, "cancel", followed.drops[name].job_id)
            for name, state in DETOURS.items():
                until(partial(followed.is_in, name, state))
                followed.resume(name)
            for name in DETOURS:
                until(partial(followed.is_in, name, "RUNNING"))
                followed.resume(name)
            until(partial(followed.is_in, "cancelled_too_late", "CANCELLING"))
            followed.spare("cancelled_too_late")
            until(lambda: followed.all_over("stands_still"), seconds=90)
        yield followed


@pytest.mark.parametrize(
    ("name", "states", "end"),
    [
        ("plain", [], "succeeded"),
        ("paused", ["PAUSED", "RUNNING"], "succeeded"),
        ("updating", ["UPDATING", "RUNNING"], "succeeded"),
        ("queued", ["QUEUED", "RUNNING"], "succeeded"),
        ("unspecified", ["UNSPECIFIED", "RUNNING"], "succeeded"),
        ("future", ["FROM_THE_FUTURE", "RUNNING"], "succeeded"),
        ("partly", [], "partially_succeeded"),
        ("failed", [], "failed"),
        ("failed_with_rows", [], "failed"),
        ("expired", [], "expired"),
        ("expired_with_rows", [], "expired"),
        ("not_exported", [], "failed"),
        ("cancelled", ["RUNNING"], "cancelled"),
        ("cancelled_too_late", ["RUNNING", "CANCELLING"], "succeeded"),
        ("runs_too_long", ["RUNNING"], "cancelled"),
    ],
)
def test_a_batch_is_followed_through_its_states_and_its_end_announced_once(
    followed: Followed, name: str, states: list[str], end: str
) -> None:
    *passed, last = followed.states(name)

    # What lasts a moment may be over before anybody looks.
    assert [one for one in passed if one in states][-len(states) :] == states
    assert last == end.upper()
    assert followed.types(name) == [end]
    assert len(followed.deployment.batches(followed.drops[name])) == 1


def test_between_them_the_batches_were_in_every_state(followed: Followed) -> None:
    seen = {state for name in FILES for state in followed.states(name)}

    assert seen == {
        "UNSPECIFIED",
        "QUEUED",
        "PENDING",
        "RUNNING",
        "SUCCEEDED",
        "FAILED",
        "CANCELLING",
        "CANCELLED",
        "PAUSED",
        "EXPIRED",
        "UPDATING",
        "PARTIALLY_SUCCEEDED",
        "FROM_THE_FUTURE",
    }


def test_an_unknown_state_is_shown_as_health_while_it_lasts(
    followed: Followed,
) -> None:
    assert "unknown_state" in followed.health["future"]
    assert followed.job("future").get("health") is None
    unsettled = {
        name for name, codes in followed.health.items() if "unknown_state" in codes
    }
    assert unsettled == {"future"}


@pytest.mark.parametrize("name", ["partly", "failed_with_rows", "expired_with_rows"])
def test_what_was_answered_before_an_early_end_can_be_read(
    followed: Followed, name: str
) -> None:
    job = followed.job(name)
    body = json.loads(followed.announced(name, job["seq"])[-1].data)

    assert len(followed.deployment.answers(job)) == ROWS // 2
    assert body["output_directory"] == job["batch"]["output_directory"]
    assert body["stats"]["successful"] == ROWS // 2


@pytest.mark.parametrize("name", ["failed", "expired"])
def test_an_end_without_answers_has_an_error_and_no_directory(
    followed: Followed, name: str
) -> None:
    job = followed.job(name)
    body = json.loads(followed.announced(name, job["seq"])[-1].data)

    assert body["error"]["message"]
    assert body["output_directory"] is None


def test_a_cancel_request_has_the_name_of_the_person(followed: Followed) -> None:
    for name in CANCELLED:
        job = followed.job(name)
        assert job["cancel_request"]["by"] == "a tester"
        assert "cancel requested by a tester" in [
            one.get("note") for one in job["history"]
        ]


def test_what_runs_too_long_is_cancelled_by_the_policy_and_nothing_else_is(
    followed: Followed,
) -> None:
    requests = {name: followed.job(name).get("cancel_request") for name in FILES}

    by = "cancel_after=2 of route 1 (runs_too_long.jsonl)"
    assert there(requests["runs_too_long"])["by"] == by
    assert {name for name, one in requests.items() if one} == {
        *CANCELLED,
        "runs_too_long",
    }


def test_what_is_long_over_is_deleted_at_the_service_and_stays_here(
    followed: Followed,
) -> None:
    drop = followed.drops["plain"]

    job = until(
        lambda: one if (one := followed.job("plain")).get("deleted_at") else None
    )

    assert followed.deployment.batches(drop)[0]["deleteTime"]
    assert len(followed.deployment.answers(job)) == ROWS
    assert job["expire_at"] is not None


def test_a_stalled_batch_is_announced_once_and_may_still_succeed(
    followed: Followed,
) -> None:
    (first,) = followed.announced("stands_still", 1)
    before = followed.job("stands_still")

    followed.spare("stands_still")
    until(lambda: followed.job("stands_still")["phase"] == "ended")
    messages = followed.announced("stands_still", 2)

    assert first.attributes["ce-type"] == "dev.batchdrop.job.stalled.v1"
    assert (before["phase"], before.get("cancel_request")) == ("submitted", None)
    assert before["health"]["code"] == "stalled"
    assert [message.attributes["ce-type"].split(".")[3] for message in messages] == [
        "stalled",
        "succeeded",
    ]
    assert followed.job("stands_still").get("health") is None


def test_a_batch_that_vanishes_is_waited_for_and_not_asked_for_again(
    followed: Followed,
) -> None:
    drop = followed.drop("vanishing", {"fault": "stuck_running", "for_ever": True})
    until(lambda: followed.deployment.at(drop, "submitted"))
    followed.add("vanishing", {"fault": "vanished"})

    absence = until(
        lambda: (
            one
            if (one := followed.job("vanishing").get("not_found")) and one["count"] >= 3
            else None
        )
    )
    phase = followed.job("vanishing")["phase"]
    followed.spare("vanishing")
    job = until(lambda: followed.deployment.at(drop, "ended"))

    assert absence["since"]
    assert phase == "submitted"
    assert job["batch"]["state"] == "JOB_STATE_SUCCEEDED"
    assert job.get("not_found") is None
    assert followed.types("vanishing") == ["succeeded"]
    assert len(followed.deployment.batches(drop)) == 1


def test_when_all_are_gone_at_once_as_with_another_projects_key_none_is_lost(
    followed: Followed,
) -> None:
    names = ("unseen_1", "unseen_2", "unseen_3")
    for name in names:
        followed.drop(name, {"fault": "stuck_running", "for_ever": True})
    until(lambda: followed.are_at("submitted", *names))
    for name in names:
        followed.add(name, {"fault": "vanished"})

    until(
        lambda: all(
            (followed.job(name).get("health") or {}).get("code") == "not_visible"
            for name in names
        )
    )
    for name in names:
        followed.spare(name)
    until(followed.all_over)

    for name in names:
        job = followed.job(name)
        assert (job["batch"]["state"], job.get("health")) == (
            "JOB_STATE_SUCCEEDED",
            None,
        )
        assert followed.types(name) == ["succeeded"]


def test_a_replay_from_the_command_line_has_the_same_id_and_a_new_one_with_new(
    followed: Followed,
) -> None:
    drop = followed.drops["failed"]
    (first,) = followed.announced("failed", 1)

    followed.command("announcements", "replay", "--job", drop.job_id)
    again = followed.announced("failed", 2)[1]
    followed.command("announcements", "replay", "--job", drop.job_id, "--new")
    anew = followed.announced("failed", 3)[2]

    assert (again.data, again.attributes) == (first.data, first.attributes)
    assert anew.data == first.data
    assert anew.attributes["ce-id"] != first.attributes["ce-id"]
    assert anew.attributes["ce-replayof"] == first.attributes["ce-id"]
    assert anew.attributes["ce-sequence"] > first.attributes["ce-sequence"]

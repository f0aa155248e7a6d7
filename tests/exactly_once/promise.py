"""The promise, checked on what is there at the end."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batchdrop.jobs import Drop
from tests.exactly_once.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a subscriber gets it."""

    data: bytes
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is to be found about a drop, when all is quiet."""

    drop: Drop
    job: dict[str, Any] | None  #: its document in Firestore
    batches: Sequence[dict[str, Any]]  #: all that the service ever made of it
    outbox: Sequence[dict[str, Any]]  #: its announcements in Firestore
    messages: Sequence[Message]  #: what came on the subscription


def is_paid(batch: dict[str, Any]) -> bool:
    """Whether a batch costs something: it did rows, or it may yet."""
    if batch["rows"]["done"]:
        return True
    if batch["state"] == "JOB_STATE_CANCELLED":
        return batch["startTime"] is not None
    return bool(batch["state"] != "JOB_STATE_FAILED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job that harm was done to."""

    way: Scenario  #: how it went
    evidence: Evidence
    missed: list[str]  #: the harm that it didn't meet


def broken(outcome: Outcome) -> list[str]:
    """Which promises don't hold for a scenario's drop, in words."""
    way = outcome.way
    return breaches(outcome.evidence, way.end, also=way.also, duplicates=way.hidden > 1)


def breaches(
    found: Evidence,
    end: str = "succeeded",
    *,
    also: Sequence[str] = (),
    duplicates: bool = False,
) -> list[str]:
    """
    Which promises don't hold, in words; none when all do.

    Args:
        end: how the job is to end, as its announcement's type says it. Anybody may
            have wanted it "cancelled".
        also: what else is to be announced, once or more.
        duplicates: the service's list lagged for longer than SETTLE, so that a second
            batch could not be avoided: it must have been cancelled.
    """
    job = found.job
    if job is None:
        return [f"{found.drop} has no job"]
    phase = "rejected" if end == "rejected" else "ended"
    wrong = []
    if job["phase"] != phase:
        note = job["history"][-1]
        wrong.append(f"the job is {job['phase']} and not {phase}: {note}")
    wrong += _batches(found, job, end, duplicates)
    wrong += _announcements(found, end, also)
    return [f"{found.drop}: {what}" for what in wrong]


def _batches(
    found: Evidence, job: dict[str, Any], end: str, duplicates: bool
) -> list[str]:
    paid = [batch for batch in found.batches if is_paid(batch)]
    if end == "rejected":
        return [f"rejected, and yet paid: {names(paid)}"] if paid else []
    wrong = []
    recorded = (job["batch"] or {}).get("name")
    kept = [batch for batch in found.batches if batch["name"] == recorded]
    if not kept:
        wrong.append(f"{recorded} is recorded; the service made {names(found.batches)}")
    elif (state := job["batch"]["state"]) != kept[0]["state"]:
        wrong.append(f"its batch is {kept[0]['state']} and was followed to {state}")
    elif state == "JOB_STATE_CANCELLED" and end != "cancelled":
        wrong.append(f"the kept batch {recorded} was cancelled")
    others = [batch for batch in paid if batch["name"] != recorded]
    if duplicates:
        others = [b for b in others if b["state"] != "JOB_STATE_CANCELLED"]
        told = any(one["note"] == "duplicate_batch" for one in job["history"])
        if len(paid) > 1 and not told:
            wrong.append(f"nobody was told of the duplicates among {names(paid)}")
    if others:
        wrong.append(f"{recorded} is kept, and these are paid too: {names(others)}")
    return wrong


def _announcements(found: Evidence, end: str, also: Sequence[str]) -> list[str]:
    wrong = []
    told = {one.attributes["ce-id"]: one for one in found.messages}
    types = Counter(one.attributes["ce-type"] for one in told.values())
    for word in (end, *also):
        type = f"dev.batchdrop.job.{word}.v1"
        often = types.pop(type, 0)
        if often != 1 and (word == end or not often):
            wrong.append(f"{often} announcements say {type}")
    if types:
        wrong.append(f"it was also announced: {', '.join(types)}")
    wrong += disorder(found.messages)
    for kept in found.outbox:
        said = told.get(kept["id"])
        if said and said != Message(kept["body"], kept["attributes"]):
            wrong.append(f"the announcement {kept['id']} came unlike it is kept")
        if kept["published_at"] is None:
            wrong.append(f"the announcement {kept['id']} stays unpublished")
        elif kept["id"] not in told:
            wrong.append(f"the announcement {kept['id']} never came")
    if len(found.outbox) != len(told):
        wrong.append(f"the outbox has {len(found.outbox)}, {len(told)} were heard")
    return wrong


def disorder(messages: Sequence[Message]) -> list[str]:
    """
    What repeats and order of messages break: an id with two contents, a job's
    announcement that is heard for the first time after a later one.
    """
    wrong = []
    told: dict[str, Message] = {}
    latest: dict[str, str] = {}
    for message in messages:
        id, job = message.attributes["ce-id"], message.attributes["ce-subject"]
        number = message.attributes["ce-sequence"]
        if id not in told and number < latest.get(job, ""):
            wrong.append(f"{id}, number {number}, came after {latest[job]}")
        if message != told.setdefault(id, message):
            wrong.append(f"a repeat of {id} differs")
        latest[job] = max(number, latest.get(job, ""))
    return wrong


def names(batches: Sequence[dict[str, Any]]) -> str:
    """Batches for a person's eye."""
    return (
        ", ".join(f"{batch['name']} ({batch['state']})" for batch in batches) or "none"
    )

"""The promise, checked on what is there at the end."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from batchdrop.jobs.values import Drop
from batchdrop.rows import RowOutcome
from tests.exactly_once.scenarios import Scenario

ENDS = frozenset(
    f"JOB_STATE_{end}"
    for end in ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED")
)

RESULTS = "dev.batchdrop.results.ready.v1"

#: The phases of a job that nothing becomes of any more.
OVER = ("ended", "rejected", "attached")


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a subscriber gets it."""

    data: bytes
    attributes: dict[str, str]


class Answer(NamedTuple):
    """A line of the API's output."""

    key: str
    round: int = 0  #: in which its row was sent
    ok: bool = True  #: whether it is an answer, and not an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An object with results, as it lies beside the answers."""

    uri: str
    generation: int
    crc32c: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is to be found about a drop, when all is quiet."""

    drop: Drop
    job: dict[str, Any] | None  #: its document in Firestore
    batches: Sequence[dict[str, Any]]  #: all that the API ever made of it
    outbox: Sequence[dict[str, Any]]  #: its announcements in Firestore
    messages: Sequence[Message]  #: what came on the subscription
    answers: Sequence[Answer] | None = None  #: all that came out of it
    #: All objects with results that were ever written of it, and of its parts.
    results: Sequence[Published] | None = None
    parts: "Sequence[Evidence]" = ()  #: the same of each part
    rounds: "Sequence[Evidence]" = ()  #: and of each round in which rows went again
    #: Of a manifest that was dropped beside it; its answers aren't looked for.
    beside: "Evidence | None" = None

    @property
    def is_over(self) -> bool:
        """Whether no worker and no service has anything left to do."""
        if self.job is None or self.job["phase"] not in OVER or self.job["collecting"]:
            return False
        received = {one.attributes["ce-id"] for one in self.messages}
        return (
            all(one["published_at"] for one in self.outbox)
            and {one["id"] for one in self.outbox} == received
            and all(batch["state"] in ENDS for batch in self.batches)
            and all(one.is_over for one in (*self.parts, *self.rounds))
            and (self.beside is None or self.beside.is_over)
        )


def gathered(
    drop: Drop,
    jobs: Mapping[str, dict[str, Any]],
    batches: Sequence[dict[str, Any]],
    outbox: Sequence[dict[str, Any]],
    messages: Sequence[Message],
    job_id: str = "",
) -> Evidence:
    """What concerns a drop, of all that there is; or a part of it, by its job's id."""
    id = job_id or drop.job_id
    job = jobs.get(id)
    staged = sorted(job["parts"].items(), key=lambda it: it[1]["n"]) if job else []
    # Until the file is split no job of them is there, nor a batch.
    split = job is not None and (
        job["phase"] == "split" or (job["phase"] == "ended" and job["batch"] is None)
    )
    own = {id} if split else {id, *dict(staged)}
    return Evidence(
        drop=drop,
        job=job,
        batches=[batch for batch in batches if any(is_of(batch, one) for one in own)],
        outbox=[one for one in outbox if one["job_id"] == id],
        messages=[one for one in messages if one.attributes["job_id"] == id],
        parts=[
            gathered(drop, jobs, batches, outbox, messages, part) for part, _ in staged
        ]
        if split
        else (),
        rounds=[
            gathered(drop, jobs, batches, outbox, messages, one["job"])
            for one in (job["rounds"] if job else ())
            if one["n"] and one["job"]
        ],
    )


def is_of(batch: dict[str, Any], job_id: str) -> bool:
    """By label, or by what the display name ends with."""
    labelled = batch["labels"].get("batchdrop_job") == job_id
    return labelled or job_id in batch["displayName"]


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
    return breaches(
        outcome.evidence,
        way.end,
        also=way.also,
        duplicates=way.hidden > 1,
        collected="collected" in way.traits,
    )


def breaches(
    found: Evidence,
    end: str = "succeeded",
    *,
    also: Sequence[str] = (),
    duplicates: bool = False,
    collected: bool = False,
) -> list[str]:
    """
    Which promises don't hold, in words; none when all do.

    Args:
        end: how the job is to end, as its announcement's type says it. Anybody may
            have wanted it "cancelled".
        also: what else is to be announced, once or more.
        duplicates: the API's list lagged for longer than LIST_LAG, so that a second
            batch could not be avoided: it must have been cancelled.
        collected: each line of a file that was sent is to have a result.
    """
    job = found.job
    if job is None:
        return [f"{found.drop} has no job"]
    phase = "rejected" if end == "rejected" else "ended"
    wrong = []
    if job["phase"] != phase:
        note = job["history"][-1]
        wrong.append(f"the job is {job['phase']} and not {phase}: {note}")
    if found.parts:
        wrong += _split_job(found, job, end, duplicates)
    else:
        wrong += _batches(found, job, end, duplicates)
    for one in (found, *found.parts):
        for round in one.rounds:
            wrong += [f"{of_round(round)}: {what}" for what in _round(one, round, end)]
    wrong += _announcements(found, end, also)
    if end == "succeeded" and found.answers is not None:
        wrong += _rows(job, found.answers, duplicates)
    if found.results is not None:
        wrong += _results(found, found.results, collected)
    if found.beside:
        wrong += _manifest(job, found.beside)
    return [f"{found.drop}: {what}" for what in wrong]


def _split_job(
    found: Evidence, job: dict[str, Any], end: str, duplicates: bool
) -> list[str]:
    """What is wrong with a file's parts: each has one batch and announces no end."""
    wrong = []
    if found.batches:
        wrong.append(f"it was split, and sent as a whole too: {names(found.batches)}")
    if job["outcome"] != end:
        wrong.append(f"its parts have come to {job['outcome']}")
    sent = 0
    for part in found.parts:
        if part.job is None:
            wrong.append("one of its parts has no job")
            continue
        sent += part.job["rows"]["accepted"]
        each = [] if part.job["phase"] in ("ended", "rejected") else ["isn't over"]
        unsent = end == "cancelled" and part.job["phase"] == "rejected"
        each += _batches(part, part.job, "rejected" if unsent else end, duplicates)
        types = {one.attributes["ce-type"] for one in part.messages}
        if others := types - {"dev.batchdrop.job.stalled.v1"}:
            each.append(f"was announced: {', '.join(sorted(others))}")
        wrong += [f"part {part.job['part']['n']}: {what}" for what in each]
    if sent != job["rows"]["accepted"]:
        wrong.append(f"{job['rows']['accepted']} rows came in, its parts have {sent}")
    return wrong


def of_round(round: Evidence) -> str:
    """What a round is called in a message."""
    return f"round {round.job['round']}" if round.job else "a round"


def _round(root: Evidence, round: Evidence, end: str) -> list[str]:
    """
    What is wrong with a round of a job, or of a part: it has one batch, of as many rows
    as failed before, and announces nothing.
    """
    job, sent = root.job, round.job
    if job is None or sent is None:
        return ["it has no job"]
    if sent["phase"] not in OVER or sent["collecting"]:
        return [f"it is {sent['phase']}, and not done"]
    unsent = sent["phase"] == "rejected"
    wrong = _batches(round, sent, "rejected" if unsent else end, False)
    planned = next(one["rows"] for one in job["rounds"] if one["job"] == sent["id"])
    for batch in filter(is_paid, round.batches):
        if (rows := batch["rows"]["total"]) != planned:
            wrong.append(f"{planned} rows were to go again, and {rows} went")
    if round.outbox or round.messages:
        wrong.append("it was announced by itself")
    return wrong


def _rows(
    job: dict[str, Any], answers: Sequence[Answer], duplicates: bool
) -> list[str]:
    """
    Whether each row that went in has come out, and none went again that had an answer;
    their ids count them.
    """
    refused = {error["line"] for error in job["row_errors"]}
    lines = range(1, job["rows"]["accepted"] + len(refused) + 1)
    wanted = {f"r{n:07}" for n in lines if n not in refused}
    wrong = []
    keys = {one.key for one in answers}
    if keys != wanted:
        wrong.append(f"{sorted(wanted)} went in, {sorted(keys)} came out")
    sent = {(one.key, one.round) for one in answers}
    if len(sent) < len(answers) and not duplicates:
        wrong.append(f"{len(answers)} answers to {len(sent)} rows")
    latest = sorted(answers, key=lambda one: -one.round)
    answered = {one.key: one.round for one in latest if one.ok}
    if again := {
        one.key for one in answers if one.round > answered.get(one.key, one.round)
    }:
        wrong.append(f"{sorted(again)} had answers, and went again")
    return wrong


def _results(
    found: Evidence, published: Sequence[Published], collected: bool
) -> list[str]:
    """
    Whether the results are there once, as the documents of the job and its parts count
    them, and are announced as such.
    """
    wrong = []
    jobs = [one.job for one in (found, *found.parts) if one.job]
    named = {job["results"]["uri"]: job for job in jobs if job["results"]}
    before = {uri for job in jobs for uri in earlier_results(job)}
    if besides := {one.uri for one in published} - {*named} - before:
        wrong.append(f"no document names {', '.join(sorted(besides))}")
    if gone := {*named} - {one.uri for one in published}:
        wrong.append(f"these are gone: {', '.join(sorted(gone))}")
    for one in published:
        if one.uri in named:
            wrong += miscounted(named[one.uri], one)
            wrong += misjoined(one) if collected else []
    if collected and (bare := [job["id"] for job in jobs if lacks_results(job)]):
        wrong.append(f"no results of {', '.join(bare)}")
    for message in found.messages:
        if message.attributes["ce-type"] == RESULTS and found.job:
            said = json.loads(message.data)
            uri = said["results"]["uri"]
            if uri not in (found.job["results"]["uri"], *before):
                wrong.append(f"{uri} was announced, and is not what is named")
    return wrong


def earlier_results(job: dict[str, Any]) -> list[str]:
    """Where results lie that were published before rows went again on purpose."""
    if not job["results"] or not any(one["by"] for one in job["rounds"]):
        return []
    folder = job["results"]["uri"].rpartition("/")[0]
    rounds = [one["n"] for one in job["rounds"] if one["n"] < job["results"]["round"]]
    return [f"{folder}/results{f'-{n}' if n else ''}.jsonl" for n in {0, *rounds}]


def lacks_results(job: dict[str, Any]) -> bool:
    """Whether a job, or a part, was sent and has no results."""
    return job["phase"] == "ended" and job["results"] is None


def miscounted(job: dict[str, Any], published: Published) -> list[str]:
    """
    What is wrong with a job's results: other bytes than its document says, other
    counts, or lines that are not in the file's order.
    """
    wrong = []
    named, rows = job["results"], job["rows"]
    if (named["generation"], named["crc32c"], named["bytes"]) != (
        published.generation,
        published.crc32c,
        len(published.text.encode()),
    ):
        wrong.append("its results are not those that the document names")
    lines = [json.loads(line) for line in published.text.splitlines()]
    parts = job.get("parts", {}).values() or [job]
    first = min(each["staging"]["first"] for each in parts)
    places = list(range(first, first + len(lines)))
    if [line["line"] for line in lines] != places:
        wrong.append("its results are not in the file's order, each line once")
    if [line["id"] for line in lines] != [f"r{n:07}" for n in places]:
        wrong.append("its results have other ids than their lines")
    counts = Counter(line["outcome"] for line in lines)
    counted = {str(each): rows[each] or 0 for each in RowOutcome}
    if counts != Counter(counted) or rows["total"] != len(lines):
        wrong.append(f"its results have {dict(counts)}, its document {counted}")
    return wrong


def misjoined(published: Published) -> list[str]:
    """Which lines of `scenarios.keyed` have an answer under another's key: each has
    its key in its text, which comes back."""
    wrong = []
    for line in map(json.loads, published.text.splitlines()):
        key = line.get("key")
        if key is None or line["outcome"] != RowOutcome.OK:
            continue
        if not line["text"].endswith(key) or line["columns"] != {"customer": key}:
            wrong.append(f"{line['id']} has the key {key} and another's answer")
    return wrong


def _manifest(job: dict[str, Any], beside: Evidence) -> list[str]:
    """
    Whether a manifest is recorded, and either is attached to its file without an
    announcement, or is rejected as too late with one.
    """
    if beside.job is None:
        return [f"{beside.drop} has no job"]
    used = job["manifest"] == str(beside.drop)
    attached = beside.job["phase"] == "attached"
    if used and attached:
        news = [*beside.batches, *beside.outbox, *beside.messages]
        return [f"{beside.drop} is attached, and more came of it"] if news else []
    if used:
        return [f"{beside.drop} was heard, and is {beside.job['phase']}"]
    if job["manifest"] or attached:
        return [f"{beside.drop} is lost: the file has {job['manifest']}"]
    code = (beside.job["error"] or {}).get("code")
    late = [] if code == "manifest_too_late" else [f"the manifest says {code}"]
    return late + breaches(beside, "rejected")


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
        wrong.append(f"{recorded} is recorded; the API made {names(found.batches)}")
    elif (state := job["batch"]["state"]) != kept[0]["state"]:
        wrong.append(f"its batch is {kept[0]['state']} and was followed to {state}")
    elif state == "JOB_STATE_CANCELLED" and end != "cancelled":
        wrong.append(f"the kept batch {recorded} was cancelled")
    others = [batch for batch in paid if batch["name"] != recorded]
    if duplicates:
        others = [b for b in others if b["state"] != "JOB_STATE_CANCELLED"]
        reported = any(one["note"] == "duplicates" for one in job["history"])
        if len(paid) > 1 and not reported:
            wrong.append(f"nobody was told of the duplicates among {names(paid)}")
    if others:
        wrong.append(f"{recorded} is kept, and these are paid too: {names(others)}")
    return wrong


def _announcements(found: Evidence, end: str, also: Sequence[str]) -> list[str]:
    wrong = []
    # A part announces everything but its end.
    messages = [one for each in (found, *found.parts) for one in each.messages]
    outbox = [one for each in (found, *found.parts) for one in each.outbox]
    received = {one.attributes["ce-id"]: one for one in messages}
    types = Counter(one.attributes["ce-type"] for one in received.values())
    ready, job = types.pop(RESULTS, 0), found.job or {}
    often = bool(job.get("results")) + sum(
        bool(one["by"]) for one in job.get("rounds", ())
    )
    if ready != often:
        wrong.append(f"{ready} announcements say {RESULTS}, and not {often}")
    for word in (end, *also):
        type = f"dev.batchdrop.job.{word}.v1"
        often = types.pop(type, 0)
        if often != 1 and (word == end or not often):
            wrong.append(f"{often} announcements say {type}")
    if types:
        wrong.append(f"it was also announced: {', '.join(types)}")
    wrong += disorder(messages)
    for kept in outbox:
        sent = received.get(kept["id"])
        if sent and sent != Message(kept["body"], kept["attributes"]):
            wrong.append(f"the announcement {kept['id']} came unlike it is kept")
        if kept["published_at"] is None:
            wrong.append(f"the announcement {kept['id']} stays unpublished")
        elif kept["id"] not in received:
            wrong.append(f"the announcement {kept['id']} never came")
    if len(outbox) != len(received):
        wrong.append(f"the outbox has {len(outbox)}, {len(received)} were heard")
    return wrong


def disorder(messages: Sequence[Message]) -> list[str]:
    """
    Lists repeats and orders that break the promise: an id with two contents, or a
    job's announcement whose first delivery comes after a later announcement.
    """
    wrong = []
    received: dict[str, Message] = {}
    latest: dict[str, str] = {}
    for message in messages:
        id, job = message.attributes["ce-id"], message.attributes["ce-subject"]
        number = message.attributes["ce-sequence"]
        if id not in received and number < latest.get(job, ""):
            wrong.append(f"{id}, number {number}, came after {latest[job]}")
        if message != received.setdefault(id, message):
            wrong.append(f"a repeat of {id} differs")
        latest[job] = max(number, latest.get(job, ""))
    return wrong


def names(batches: Sequence[dict[str, Any]]) -> str:
    """Names of batches with their states, for messages."""
    return (
        ", ".join(f"{batch['name']} ({batch['state']})" for batch in batches) or "none"
    )

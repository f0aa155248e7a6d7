"""
The Developer API's dialect: `batchGenerateContent`, `asyncBatchEmbedContent` and
`batches` (generativelanguage v1beta discovery; captures of real operations).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import msgspec

from batchsim import jobs, listing, members
from batchsim.clock import Clock
from batchsim.faults import Faults
from batchsim.files import Files
from batchsim.jobs import Api, Job, Kind
from batchsim.rows import Rows
from batchsim.running import Runner
from batchsim.settings import Settings
from batchsim.store import Store, developer_id
from batchsim.wire import (
    ApiError,
    counts,
    invalid,
    timestamp,
)

Json = dict[str, Any]

#: The default page size and the largest. Not documented.
PAGE, LARGEST_PAGE = 50, 100

#: What a create request may hold (generativelanguage v1beta discovery; `webhookConfig`
#: as Google's client sends it). Members that only the server writes are ignored.
_MESSAGES: dict[str, dict[str, str]] = {
    "BatchGenerateContentRequest": {"batch": "@GenerateContentBatch"},
    "GenerateContentBatch": {
        "name": "string",
        "model": "string",
        "displayName": "string",
        "inputConfig": "@InputConfig",
        "priority": "integer",
        "webhookConfig": "@WebhookConfig",
        "state": "any",
        "createTime": "any",
        "updateTime": "any",
        "endTime": "any",
        "batchStats": "any",
        "output": "any",
    },
    "InputConfig": {"fileName": "string", "requests": "@InlinedRequests"},
    "InlinedRequests": {"requests": "@InlinedRequest | list @InlinedRequest"},
    "WebhookConfig": {"uris": "string | list string", "userMetadata": "map any"},
}

#: How many unreadable lines of a file an error lists. The API's number is unknown.
MOST_LINES = 10

#: The prefixes of models' names. Other names answer 404.
_PUBLISHED = ("gemini-", "gemma-", "learnlm-", "text-embedding-", "embedding-")

#: Messages are of this package in all versions of the API (captures).
_TYPES = "type.googleapis.com/google.ai.generativelanguage.v1main"

_QUOTA = "You exceeded your current quota, please check your plan and billing details. "
_HELP = {
    "@type": "type.googleapis.com/google.rpc.Help",
    "links": [
        {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
    ],
}


@dataclass(slots=True)
class Developer:
    """The methods that make, show, stop and remove `batches`."""

    clock: Clock
    store: Store
    runner: Runner
    files: Files
    faults: Faults
    settings: Settings

    def create(
        self, version: str, kind: Kind, model: str, body: Json, size: int
    ) -> Job:
        """
        Creates a job from a request of `size` bytes.

        ApiError 400 for a bad or too large request, 404 for an unknown model or file,
        429 over a quota.
        """
        if size > self.settings.limits.inline_bytes:
            raise invalid(
                "Request payload size exceeds the limit: "
                f"{self.settings.limits.inline_bytes} bytes."
            )
        model = _model(model, kind, version, self.settings)
        batch = _read(version, kind, body)
        if "batch" not in body:
            raise invalid("batch is required.")
        if "inputConfig" not in batch:
            raise invalid("batch.input_config is required.")
        config = batch["inputConfig"]
        file, inline = config.get("fileName"), config.get("requests")
        if (file is None) == (inline is None):
            raise invalid("batch.input_config: set one of file_name and requests.")
        lines = None if inline is None else _inline_lines(inline)
        if file is not None:
            size = self._check_file(file, kind, version)
        with self.store.lock:
            self._check_quotas(model, size // 4)
            made = Job(
                seq=self.store.next_seq(),
                api=Api.DEVELOPER,
                kind=kind,
                parent="",
                name=f"batches/{developer_id()}",
                version=version,
                display_name=str(batch.get("displayName") or ""),
                model=model,
                labels={},
                body=_kept(batch),
                created=self.store.creation_time(self.clock.now()),
                inlined=lines is not None,
                tokens=size // 4,
            )
            if lines is not None:
                made.inline = Rows.of_lines(lines)
                made.row_counts = jobs.RowCounts(total=len(lines))
            self.runner.submit(made)
        return made

    def get(self, id: str) -> Job:
        """ApiError 404 for an unknown batch."""
        job = self.store.get(f"batches/{id}")
        if job and not self.faults.strike(listing.subject_of(job), "vanished"):
            return job
        raise ApiError(404, f"Batch batches/{id} was not found.")

    def list(self, query: Mapping[str, str]) -> Json:
        """One page of operations, newest first, without inlined responses."""
        asked = query.get("pageSize") or query.get("page_size")
        found = listing.page(
            partial(self.store.newest_first, ""),
            lambda job: True,
            size=listing.page_size(asked, PAGE, LARGEST_PAGE),
            token=query.get("pageToken") or query.get("page_token"),
            query="",
            clock=self.clock,
            faults=self.faults,
        )
        answer: Json = {}
        if found.views:
            answer["operations"] = [
                operation(one.job, one.at, results=False) for one in found.views
            ]
        if found.token:
            answer["nextPageToken"] = found.token
        return answer

    def cancel(self, id: str) -> Json:
        """Cancels the batch. ApiError 400 FAILED_PRECONDITION if it has ended."""
        self.runner.cancel(self.get(id))
        return {}

    def delete(self, id: str) -> Json:
        """Deletes the batch. ApiError 400 FAILED_PRECONDITION before its end."""
        job = self.get(id)
        if not job.over:
            raise ApiError(
                400,
                f"{job.name} is in state BATCH_STATE_{job.phase}; only a finished "
                "batch can be deleted. Cancel it first.",
                status="FAILED_PRECONDITION",
            )
        job.deleted = self.clock.now()
        return {}

    def _check_file(self, name: str, kind: Kind, version: str) -> int:
        """
        Checks the file of a batch; returns its size in bytes.

        ApiError 404 if it doesn't exist; 400 lists the lines that can't be read.
        """
        try:
            file = self.files.find(name.removeprefix("files/"))
        except ApiError:
            raise ApiError(404, f"File {name} was not found.") from None
        wrong: list[str] = []
        rows = 0
        for number, line in enumerate(file.lines(), 1):
            if not line.strip():
                continue
            rows += 1
            if why := _wrong(line, kind, version):
                wrong.append(f"Error on line {number}: {why}")
                if len(wrong) == MOST_LINES:
                    break
        if wrong:
            raise invalid("\n".join(wrong))
        if not rows:
            raise invalid(f"{name} has no requests.")
        return file.size

    def _check_quotas(self, model: str, tokens: int) -> None:
        limits = self.settings.limits
        active = [
            job
            for job in self.store.ever()
            if job.api is Api.DEVELOPER and not job.over
        ]
        if len(active) >= limits.developer_jobs:
            why = f"Active batch jobs: {len(active)}."
            raise ApiError(429, _QUOTA + why, details=[_HELP])
        for pattern, most in limits.queued_tokens.items():
            if not fnmatchcase(model.partition("/")[2], pattern):
                continue
            queued = sum(job.tokens for job in active if job.model == model)
            if queued + tokens > most:
                why = f"Queued tokens of {model}: {queued}; of this batch: {tokens}."
                raise ApiError(429, _QUOTA + why, details=[_HELP])


def operation(job: Job, at: datetime | None = None, *, results: bool = True) -> Json:
    """
    A batch as an Operation, which is `done` once the batch has ended.

    With `at`, it is shown as it was at that time. Without `results`, inlined responses
    are left out, as in a list.
    """
    updated, phase = job.phase_at(at) if at else job.history[-1]
    over = phase in jobs.ENDS
    name = "EmbedContentBatch" if job.kind is Kind.EMBED else "GenerateContentBatch"
    kind = f"{_TYPES}.{name}"
    metadata: Json = {"@type": kind, "model": job.model}
    if job.display_name:
        metadata["displayName"] = job.display_name
    for member in ("inputConfig", "priority", "webhookConfig"):
        if member in job.body:
            metadata[member] = job.body[member]
    metadata["createTime"] = _nanoseconds(job.created)
    metadata["updateTime"] = _nanoseconds(updated)
    if over and job.ended:
        metadata["endTime"] = _nanoseconds(job.ended)
    if stats := _stats(job, over):
        metadata["batchStats"] = stats
    metadata["state"] = f"BATCH_STATE_{phase}"
    metadata["name"] = job.name
    answer: Json = {"name": job.name, "metadata": metadata}
    if not over:
        return answer
    answer["done"] = True
    output = job.output
    if output and not results:
        output = {name: output[name] for name in output if name == "responsesFile"}
    if output:
        metadata["output"] = output
    if job.error:
        answer["error"] = job.error.json()
    elif output:
        answer["response"] = {"@type": f"{kind}Output", **output}
    return answer


def _stats(job: Job, over: bool) -> Json:
    row_counts = job.row_counts
    return counts(
        requestCount=row_counts.total,
        successfulRequestCount=row_counts.ok if over else 0,
        failedRequestCount=row_counts.failed if over else 0,
        pendingRequestCount=0 if over else row_counts.total,
    )


def _kept(batch: Json) -> Json:
    """The members of a request that answers repeat; of its input, a file's name."""
    kept: Json = {
        name: batch[name] for name in ("priority", "webhookConfig") if name in batch
    }
    if "priority" in kept:
        kept["priority"] = str(kept["priority"])
    if file := batch["inputConfig"].get("fileName"):
        kept["inputConfig"] = {"fileName": file}
    return kept


def _read(version: str, kind: Kind, body: Json) -> Json:
    """The batch of a create request, with each `request` unchanged."""
    item = {"request": f"as it is @{members.REQUESTS[kind]}", "metadata": "map any"}
    messages = {**_MESSAGES, "InlinedRequest": item}
    reader = members.reader(Api.DEVELOPER, version, messages)
    read: Json = reader.read("BatchGenerateContentRequest", body)
    reader.refuse()
    return read.get("batch") or {}


def _wrong(line: bytes, kind: Kind, version: str) -> str:
    """Why a line of a file can't be read; "" if it can."""
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        found = re.search(r"byte (\d+)", str(exc))
        return _near(int(found[1]) if found else len(line) - 1, "syntax error")
    if not isinstance(row, dict):
        return _near(0, "expected an object")
    if row.get("request") is None and kind is Kind.GENERATE and "body" in row:
        return _wrong_openai(row)
    if row.get("request") is None:
        return _near(0, "missing field: 'request'")
    reader = members.reader(Api.DEVELOPER, version)
    reader.read(members.REQUESTS[kind], row["request"])
    for fault in reader.faults:
        at = max(0, line.find(f'"{fault.name}"'.encode()))
        if fault.unknown:
            return _near(at, f"no such field: '{fault.name}'")
        return _near(at, fault.text)
    return ""


def _wrong_openai(row: Json) -> str:
    """The same of an OpenAI-style line. What the API checks in these is unknown."""
    if not isinstance(row["body"], dict):
        return _near(0, "expected an object: 'body'")
    for name, only in (("method", "POST"), ("url", "/v1/chat/completions")):
        if row.get(name) != only:
            return _near(0, f"expected '{only}': '{name}'")
    return ""


def _near(column: int, why: str) -> str:
    return f"invalid JSON, near column {column + 1}: {why}"


def _inline_lines(inline: Json) -> list[bytes]:
    """`{"requests": [{"request", "metadata"}]}` as lines."""
    items = inline.get("requests")
    if not items:
        raise invalid(
            "batch.input_config.requests.requests must hold at least one request."
        )
    for number, item in enumerate(items):
        if "request" not in item:
            raise invalid(
                f"batch.input_config.requests.requests[{number}]: `request` is missing."
            )
    return [msgspec.json.encode(item) for item in items]


def _model(model: str, kind: Kind, version: str, settings: Settings) -> str:
    if re.fullmatch(r"tunedModels/[^/]+", model):
        return model
    name = model.removeprefix("models/")
    embeds = "embedding" in name
    fits = name.startswith(_PUBLISHED) and embeds == (kind is Kind.EMBED)
    if not fits or settings.is_retired(name):
        method = (
            "asyncBatchEmbedContent" if kind is Kind.EMBED else "batchGenerateContent"
        )
        raise ApiError(
            404,
            f"models/{name} is not found for API version {version}, or is not "
            f"supported for {method}.",
        )
    return f"models/{name}"


def _nanoseconds(at: datetime) -> str:
    return timestamp(at)[:-1] + "000Z"

"""Reads the rows of an ended job from where they are, and writes them to a bucket."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchdrop.batches import answers
from batchdrop.batches.call import Call, Flow, Pause, ask, dated, work
from batchdrop.batches.developer import Developer, row_error
from batchdrop.batches.errors import ClientError, NoResults
from batchdrop.batches.files import FileApi, checked
from batchdrop.batches.lines import OWN, split
from batchdrop.batches.objects import Objects, below
from batchdrop.batches.types import BatchJob, InlinedResponse, JobError, OutputInfo
from batchdrop.batches.vertex import Vertex
from batchdrop.batches.wait import GROWTH, Patience

#: Seconds between polls for a job's output: the first wait, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0

_KEYS = frozenset({"key", "custom_id"})
_JSON_IN_STATUS = re.compile(r"\{.*\}", re.DOTALL)
#: Objects with rows in an output directory. A custom model's have the second kind of
#: name, without an ending; rows that failed are in its errors_stats.
_SHARD = re.compile(r"\.jsonl$|/prediction\.(?:results|errors_stats)-\d+-of-\d+$")


class ResultRow(Struct, frozen=True, kw_only=True):
    """
    The answer to one request.

    At most one of `response` and `error` is set. Rows come in any order: join them by
    `key`.

        >>> row_of({"key": "a", "response": {"candidates": []}}).key
        'a'
    """

    key: str | None = None  #: `key`, `custom_id` or `metadata.key` of the request
    response: dict[str, Any] | None = None
    error: JobError | None = None
    metadata: dict[str, Any] | None = None
    raw: dict[str, Any] = {}  #: the whole row, unchanged

    @property
    def text(self) -> str | None:
        """
        The text of the answer (Gemini's first candidate, Claude's content, OpenAI's
        first choice), its pieces joined, without thoughts. If it is None, then `error`,
        `blocked` or `finish_reason` says why.
        """
        return answers.text_of(self.response)

    @property
    def thoughts(self) -> str | None:
        """The text of the thoughts in the answer, joined; None if it has none."""
        return answers.thoughts_of(self.response)

    @property
    def finish_reason(self) -> str | None:
        """
        Why the model stopped, in its publisher's word, such as STOP, MAX_TOKENS,
        end_turn or length; None if the answer doesn't say, or there is no answer.
        """
        return answers.finish_reason_of(self.response)

    @property
    def blocked(self) -> str | None:
        """
        Why the prompt or the answer was withheld, such as PROHIBITED_CONTENT, SAFETY,
        refusal or content_filter; None if it wasn't.
        """
        return answers.blocked_of(self.response)


def row_of(raw: dict[str, Any]) -> ResultRow:
    """
    A row from its JSON value, of either API:

        response, error              the Developer API's
        response, status: ""         Vertex: answered
        status: "Bad Request: {..}"  Vertex: not answered; the text ends in a JSON error
        predictions, prediction      Vertex: a legacy embedding; a custom model
        response.status_code, .body  OpenAI's: answered below 400
        response.error               a model server's: not answered

    Keys and columns that `create` packed into one member are restored.
    """
    raw = _with_its_own(raw)
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else None
    response = raw.get("response")
    if isinstance(response, str):  # BigQuery gives JSON columns as text
        response = _decoded(response)
    for name in ("predictions", "prediction"):
        if response is None and name in raw:
            response = {name: raw[name]}
    error = (
        row_error(raw.get("error"))
        or _status_error(raw.get("status"))
        or _inner_error(response)
    )
    answered = isinstance(response, dict) and bool(response)
    return ResultRow(
        key=_key(raw, metadata),
        response=response if answered and error is None else None,
        error=error,
        metadata=metadata,
        raw=raw,
    )


def _with_its_own(raw: dict[str, Any]) -> dict[str, Any]:
    """
    A row with the caller's own columns; a legacy embedding has them in `instance`.
    """
    for holder in (raw, raw.get("instance")):
        if isinstance(holder, dict) and isinstance(text := holder.get(OWN), str):
            own = _decoded(text)
            if isinstance(own, dict):
                # `create` replaced the caller's key; all else is the API's.
                theirs = raw.keys() - {OWN, *(own.keys() & _KEYS)}
                return own | {name: raw[name] for name in raw if name in theirs}
    return raw


def _key(raw: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> str | None:
    holders: list[Mapping[str, Any]] = [raw]
    instance = raw.get("instance")
    if isinstance(instance, str):  # BigQuery gives JSON columns as text
        instance = _decoded(instance)
    if isinstance(instance, dict) and isinstance(instance.get("content"), str):
        # A legacy embedding returns the whole line in `instance`. In those of other
        # models, "key" may be a feature.
        holders.append(instance)
    for holder in holders:
        for name in ("key", "custom_id"):
            if holder.get(name) is not None:
                return str(holder[name])
    key = (metadata or {}).get("key")
    return None if key is None else str(key)


def _inner_error(response: Any) -> JobError | None:
    """The error that a model's server returned in place of an answer."""
    if not isinstance(response, dict):
        return None
    body, status = response, response.get("status_code")
    if status is not None:  # OpenAI's batch lines
        inner = response.get("body")
        body = inner if isinstance(inner, dict) else {}
    error = row_error(body.get("error"))
    if not isinstance(status, int) or status < 400:
        return error
    return JobError(
        code=status,
        message=(error and error.message) or f"HTTP status {status}",
        details=error.details if error else None,
    )


def _status_error(status: object) -> JobError | None:
    if not status:
        return None
    if isinstance(status, dict):
        error = row_error(status)
        return error if error and (error.code or error.message) else None
    text = str(status)
    found = _JSON_IN_STATUS.search(text)
    inner = _decoded(found[0]) if found else None
    error = inner.get("error", inner) if isinstance(inner, dict) else None
    if not isinstance(error, dict):
        return JobError(message=text)
    made = row_error(error)
    return made if made and made.message else JobError(message=text)


def _decoded(text: str | bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _inline_row(answer: InlinedResponse) -> ResultRow:
    raw: dict[str, Any] = {}
    if answer.response is not None:
        raw["response"] = answer.response
    if answer.error is not None:
        raw["error"] = msgspec.to_builtins(answer.error)
    if answer.metadata is not None:
        raw["metadata"] = answer.metadata
    return row_of(raw)


def rows_of(lines: Iterable[bytes], where: str) -> Iterator[ResultRow]:
    """
    The rows of JSONL. A line that can't be read becomes a row with an error, and its
    text is in raw["line"], so that one bad line neither stops the others nor is lost.
    """
    for number, line in enumerate(lines, 1):
        row = _row_of_line(line, where, number)
        if row is not None:
            yield row


def _row_of_line(line: bytes, where: str, number: int) -> ResultRow | None:
    """The row of one line; None for a blank one."""
    text = line.strip()
    if not text:
        return None
    value = _decoded(text)
    if isinstance(value, dict):
        return row_of(value)
    error = JobError(message=f"{where}, line {number}: not a JSON object")
    return ResultRow(error=error, raw={"line": text.decode(errors="replace")})


@dataclass(frozen=True, slots=True)
class Results:
    """
    Finds the rows of a job, and reads them.

    Attributes:
        stream: the body of a call's answer, piece by piece; blocks.
    """

    dialect: Vertex | Developer
    objects: Objects
    stream: Callable[[Call[Any]], Iterator[bytes]]

    def locate(
        self, job: BatchJob | str, output_timeout: float
    ) -> Flow[Iterator[ResultRow]]:
        """
        The rows of a job, as an iterator that blocks while it reads.

        The job is read again unless it has ended and names its output, which a listed
        job may not.

        Raises:
            NoResults: the job is running, names no output, or its output has no row.
        """
        job = yield from self._ended(job, output_timeout)
        rows = self._rows(job)
        try:
            first = yield from work(lambda: next(rows, None))
        except ClientError as exc:
            if exc.code == 404 and job.error is not None:
                raise _no_rows(job) from exc  # its export failed
            raise
        if first is None:
            raise _no_rows(job)
        return chain((first,), rows)

    def collect(
        self, job: BatchJob | str, destination: str | None, output_timeout: float
    ) -> Flow[BatchJob]:
        """See `Batches.collect`."""
        directory = destination
        if directory is None and isinstance(job, BatchJob):
            directory = job.collect_to
        job = yield from self._ended(job, output_timeout)
        if isinstance(self.dialect, Vertex):
            return job
        if directory is None:
            raise ValueError(
                f"{job.name}: where to? The API doesn't keep the destination of a "
                "job; pass the job that `create` returned, or destination='gs://..'"
            )
        home = below(directory, job.name.rpartition("/")[2])
        uri = below(home, "predictions.jsonl")
        yield from work(lambda: self._write(uri, job))
        return replace(
            job,
            output_info=OutputInfo(gcs_output_directory=home),
            collect_to=directory,
        )

    def _write(self, uri: str, job: BatchJob) -> None:
        # Objects appear whole or not at all, so an existing one is complete.
        if self.objects.exists(uri):
            return
        pieces = self._lines(job)
        first = next(filter(bytes.strip, pieces), None)
        if first is None:
            raise _no_rows(job)
        try:
            self.objects.write(uri, chain((first,), pieces))
        except ClientError as exc:
            if exc.code != 412:  # another call wrote it first
                raise

    def _lines(self, job: BatchJob) -> Iterator[bytes]:
        assert job.dest is not None
        if job.dest.file_name is not None:
            yield from self._downloaded(job.dest.file_name)
            return
        for row in self._rows(job):
            yield msgspec.json.encode(row.raw) + b"\n"

    def _downloaded(self, name: str) -> Iterator[bytes]:
        assert isinstance(self.dialect, Developer)
        return checked(self.stream(FileApi(self.dialect).download(name)))

    def _ended(self, job: BatchJob | str, output_timeout: float) -> Flow[BatchJob]:
        name = job if isinstance(job, str) else job.name
        if isinstance(job, BatchJob) and job.done and job.has_output:
            return job
        patience = Patience(output_timeout)
        pause = FIRST_PAUSE
        while True:
            job, date = yield from ask(dated(self.dialect.get(name)))
            if not job.done:
                raise NoResults(f"{name} is {job.state}: wait for its end", job)
            again = patience.pause(job, date, pause)
            if again is None:
                break
            yield Pause(again)
            pause = min(again * GROWTH, LONGEST_PAUSE)
        if not job.has_output:
            raise _no_rows(job)
        return job

    def _rows(self, job: BatchJob) -> Iterator[ResultRow]:
        info, dest = job.output_info, job.dest
        if info and info.gcs_output_directory:
            return self._directory(info.gcs_output_directory)
        if info and info.bigquery_output_table:
            return self._table(info)
        if dest is None or not dest.has_answers:
            return iter(())  # an output that we can't read; the error names it
        if dest.file_name is not None:
            return rows_of(split(self._downloaded(dest.file_name)), dest.file_name)
        inlined = dest.inlined_responses or dest.inlined_embed_content_responses or ()
        return map(_inline_row, inlined)

    def _directory(self, directory: str) -> Iterator[ResultRow]:
        """
        The rows of every shard. Of identical lines one is kept; lines that differ are
        all kept, even with the same key.

        Shards that the job exported while it ran may be beside the final file. So the
        final file is read first, and the shards add rows whose key it lacks. Rows
        without a key can't be compared, so shards add those only if there is no final
        file.
        """
        shards = [f for f in self.objects.list(directory) if _SHARD.search(f.uri)]
        final = [f for f in shards if f.uri.endswith("/predictions.jsonl")]
        others = [f for f in shards if f not in final]
        seen: set[int] = set()
        finished: set[str] = set()
        for shard in final + others:
            lines = split(self.objects.read(shard))
            for number, line in enumerate(lines, 1):
                row = _row_of_line(line, shard.uri, number)
                if row is None:
                    continue
                if row.key is None:
                    if shard in final or not final:
                        yield row
                    continue
                if shard in final and others:
                    finished.add(row.key)
                elif row.key in finished:
                    continue
                if (mark := hash(line)) not in seen:
                    seen.add(mark)
                    yield row

    def _table(self, info: OutputInfo) -> Iterator[ResultRow]:
        table = (info.bigquery_output_table or "").removeprefix("bq://")
        if "." not in table:
            dataset = (info.bigquery_output_dataset or "").removeprefix("bq://")
            table = f"{dataset}.{table}"
        for row in self.objects.rows(table):
            yield row_of(dict(row))


def _no_rows(job: BatchJob) -> NoResults:
    """The error for an ended job without rows, with the API's reason."""
    errors = (job.error, *job.partial_failures)
    words = [error.message for error in errors if error and error.message]
    why = words[0] if words else "the API gives no reason"
    info, dest = job.output_info, job.dest
    place = dest.file_name if dest else None
    if info is not None:
        other = info.vertex_multimodal_dataset_name or info.bigquery_output_dataset
        place = info.gcs_output_directory or info.bigquery_output_table
        if other and not place:
            return NoResults(
                f"{job.name} is {job.state}, and its output is {other}; tables and "
                "directories are read here, datasets are not",
                job,
            )
    where = f" in {place}" if place else ""
    return NoResults(f"{job.name} is {job.state} and left no rows{where}: {why}", job)

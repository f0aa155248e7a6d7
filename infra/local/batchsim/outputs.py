"""Writes a job's answers to their destination, with the faults in force."""

import random
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from batchsim import importing, storage, tables
from batchsim.faults import Faults
from batchsim.files import Files
from batchsim.inputs import Work
from batchsim.jobs import Api, Job, JobFailed
from batchsim.listing import subject_of
from batchsim.rows import Rows, scratch
from batchsim.settings import Settings
from batchsim.storage import Buckets
from batchsim.tables import Tables
from batchsim.wire import timestamp

Json = dict[str, Any]

#: Vertex names the directory after a moment some two seconds before `createTime`.
DIRECTORY_LEAD = timedelta(seconds=1.886)

#: Members of an answer that don't identify its row.
_NO_KEYS = frozenset(
    {
        "status",
        "processed_time",
        "request",
        "response",
        "instance",
        "predictions",
        "error",
        "body",
        "id",
    }
)


@dataclass(slots=True)
class Outputs:
    """Writes the answers of a job, and sets `job.output` to their place."""

    settings: Settings
    buckets: Buckets
    tables: Tables
    files: Files
    faults: Faults

    def check(self, job: Job) -> None:
        """JobFailed if the destination can't be written to. Called at the import."""
        if job.api is Api.DEVELOPER:
            return
        config = job.body["outputConfig"]
        if prefix := (config.get("gcsDestination") or {}).get("outputUriPrefix"):
            self.buckets.check(storage.split(prefix)[0])
        else:
            self.tables.place(config["bigqueryDestination"]["outputUri"], "")

    def write(self, job: Job, work: Work, answers: Rows) -> None:
        """Writes `answers`, in the input's order, to the job's destination."""
        if job.api is Api.DEVELOPER:
            self._developer(job, answers)
            return
        config = job.body["outputConfig"]
        if prefix := (config.get("gcsDestination") or {}).get("outputUriPrefix"):
            self._objects(job, prefix, answers)
        else:
            self._table(job, work, answers)

    def _objects(self, job: Job, prefix: str, answers: Rows) -> None:
        stamp = timestamp(job.created - DIRECTORY_LEAD)
        directory = f"{prefix.rstrip('/')}/prediction-model-{stamp}"
        job.output = {"gcsOutputDirectory": directory}
        self._refuse(job, f"{directory}/predictions.jsonl")
        lines = list(self._arranged(job, answers, shuffled=True))
        shards = 1
        if rule := self.faults.strike(subject_of(job), "output_sharded"):
            shards = int(rule.params["shards"])
        for shard in range(shards):
            name = "predictions.jsonl"
            if shards > 1:
                name = f"predictions-{shard:05}-of-{shards:05}.jsonl"
            part = lines[shard::shards]
            last = shard == shards - 1
            with scratch() as content:
                self._fill(job, content, answers, part, tearable=last)
                self.buckets.put(f"{directory}/{name}", content)

    def _table(self, job: Job, work: Work, answers: Rows) -> None:
        uri = job.body["outputConfig"]["bigqueryDestination"]["outputUri"]
        stamp = job.created.strftime("%Y_%m_%dT%H_%M_%S_%fZ")
        place = self.tables.place(uri, stamp)
        job.output = {
            "bigqueryOutputDataset": f"bq://{place[0]}.{place[1]}",
            "bigqueryOutputTable": place[2],
        }
        self._refuse(job, uri)
        source = work.columns
        if source is None:
            parsed = map(msgspec.json.decode, work.rows)
            numbers = work.numbers
            source = tables.columns_of(
                importing.as_numbers(row, numbers) for row in parsed
            )
        columns = tables.output_columns(source, work.format.payload)
        if work.format.payload == "content":
            columns = [("instance", "JSON"), ("predictions", "JSON")]
            columns.append(("status", "STRING"))
        known = dict(columns)
        # Google's client reads the file's mode, which `scratch` doesn't have.
        with tempfile.TemporaryFile("r+b") as content:
            for line in self._arranged(job, answers, shuffled=True):
                row = msgspec.json.decode(_bytes(line, answers))
                for name, kind in columns:
                    if kind == "STRING" and isinstance(row.get(name), dict):
                        row[name] = msgspec.json.encode(row[name]).decode()
                row = {name: row[name] for name in row if name in known}
                content.write(msgspec.json.encode(row) + b"\n")
            content.seek(0)
            self.tables.write(place, columns, content)

    def _developer(self, job: Job, answers: Rows) -> None:
        if job.inlined:
            chosen = self._arranged(job, answers, shuffled=False)
            items = [msgspec.Raw(_bytes(line, answers)) for line in chosen]
            job.output = {"inlinedResponses": {"inlinedResponses": items}}
            return
        id = f"batch-{job.id}"
        job.output = {"responsesFile": f"files/{id}"}
        self._refuse(job, f"files/{id}")
        content = scratch()
        lines = list(self._arranged(job, answers, shuffled=True))
        self._fill(job, content, answers, lines, tearable=True)
        self.files.generate(id, content, job.display_name)

    def _refuse(self, job: Job, uri: str) -> None:
        if self.faults.strike(subject_of(job), "export_failed"):
            number = job.parent.partition("/")[2].partition("/")[0]
            raise JobFailed(
                7,
                f"service-{number}@gcp-sa-aiplatform.iam.gserviceaccount.com does not "
                f"have storage.objects.create access to {uri}.",
            )

    def _fill(
        self,
        job: Job,
        content: Any,
        answers: Rows,
        lines: Iterable[int | bytes],
        tearable: bool,
    ) -> None:
        last = b""
        for line in lines:
            last = _bytes(line, answers) + b"\n"
            content.write(last)
        torn = tearable and self.faults.strike(subject_of(job), "output_torn")
        if torn and last:
            content.seek(-(len(last) // 2), 1)
            content.truncate()
        content.seek(0)

    def _arranged(
        self, job: Job, answers: Rows, shuffled: bool
    ) -> Iterator[int | bytes]:
        """The answers to write: by number, or as bytes if a fault changed them."""
        subject = subject_of(job)
        chance = random.Random(f"{self.settings.seed}/{job.display_name}")
        order = list(range(len(answers)))
        if self.faults.strike(subject, "output_in_order"):
            shuffled = False
        elif self.faults.strike(subject, "output_shuffled"):
            shuffled = True
        if shuffled:
            chance.shuffle(order)
            if len(order) > 1 and order == sorted(order):
                # Else two rows are in order half of the time, and tests may rely on it.
                order.reverse()
        if rule := self.faults.strike(subject, "rows_missing"):
            del order[: int(rule.params["rows"])]
        if rule := self.faults.strike(subject, "rows_doubled"):
            order += order[: int(rule.params["rows"])]
        keyless: set[int] = set()
        if rule := self.faults.strike(subject, "rows_without_key"):
            keyless = set(order[: int(rule.params["rows"])])
        for number in order:
            yield _keyless(answers[number]) if number in keyless else number
        if order and (rule := self.faults.strike(subject, "rows_foreign")):
            for stranger in range(int(rule.params["rows"])):
                yield _foreign(answers[order[0]], stranger)


def _bytes(line: int | bytes, answers: Rows) -> bytes:
    return line if isinstance(line, bytes) else answers[line]


def _keyless(line: bytes) -> bytes:
    row = msgspec.json.decode(line)
    kept = {name: row[name] for name in row if name in _NO_KEYS}
    if isinstance(kept.get("request"), dict):
        kept["request"].pop("labels", None)
    return msgspec.json.encode(kept)


def _foreign(line: bytes, number: int) -> bytes:
    row = msgspec.json.decode(line)
    stranger = f"foreign-{number}"
    for name in row:
        if name == "metadata":
            row[name] = {"key": stranger}
        elif name not in _NO_KEYS:
            row[name] = stranger
    if "request" in row:
        content = {"role": "user", "parts": [{"text": stranger}]}
        row["request"] = {"contents": [content]}
    return msgspec.json.encode(row)

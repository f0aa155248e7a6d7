"""Vertex AI: reads the staged object itself, and filters lists by labels."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from batchdrop.backends import PAGE, UNDER_WAY, ListPage, batch_of, chosen, marks
from batchdrop.batches import BatchJob, OutputInfo
from batchdrop.batches.operations import Batches
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Batch
from batchdrop.quoting import masked


@masked
@dataclass(frozen=True, slots=True)
class VertexBackend:
    """Reads the staged object itself; knows labels, and filters a list by them."""

    batches: Batches
    deployment: str

    def is_staged(self, job: Job) -> bool:
        return True

    def stage(self, job: Job) -> None:
        pass

    def withdraw(self, job: Job, epochs: Iterable[int]) -> None:
        pass

    def create(self, job: Job) -> Batch:
        spec, staging = chosen(job)
        answer = self.batches.create(
            model=spec.model,
            src=staging.uri,
            config={
                "destination": spec.destination,
                "display_name": spec.display_name,
                "labels": spec.labels,
                "as_is": True,  # checked when it was staged
            },
        )
        return self.read(job, answer)

    def search(self, job: Job) -> list[Batch]:
        query = " AND ".join(
            f'labels.{name}="{text}"' for name, text in marks(job).items()
        )
        found = self.batches.list(filter=query, page_size=PAGE)
        return [
            batch
            for batch in (self.read(job, answer) for answer in found)
            if batch.epoch is not None
        ]

    @property
    def has_a_list(self) -> bool:
        return True

    def get(self, job: Job) -> Batch:
        assert job.batch is not None
        return self.read(job, self.batches.get(name=job.batch.name))

    def read(self, job: Job, answer: BatchJob) -> Batch:
        source = str(answer.src) if answer.src else None
        epoch = None
        if source is not None and job.staging is not None:
            folder = job.staging.uri.rsplit("/", 2)[0]
            match = re.fullmatch(rf"{re.escape(folder)}/(\d+)/requests\.jsonl", source)
            if match:
                epoch = int(match[1])
            elif source == job.staging.uri:  # a table, which is not staged
                epoch = job.staging.epoch
        return batch_of(answer, source, epoch)

    def answers(self, job: Job, write: Callable[[bytes], None]) -> None:
        batch = job.batch
        assert batch is not None
        dataset, _, table = (batch.output_table or "").rpartition(".")
        # With its output it needs no request: it may be deleted at the API by now.
        ended = BatchJob(
            name=batch.name,
            state=batch.state,
            output_info=OutputInfo(
                bigquery_output_dataset=dataset, bigquery_output_table=table
            ),
        )
        for row in self.batches.results(ended, output_timeout=0):
            write(msgspec.json.encode(_as_json(row.raw)) + b"\n")

    def active(self, model: str) -> int:
        query = " OR ".join(f'state="{state}"' for state in UNDER_WAY)
        return sum(
            (answer.model or "").rpartition("/")[2] == model.rpartition("/")[2]
            for answer in self.batches.list(filter=query, page_size=PAGE)
        )

    def ours(
        self, since: datetime, until: datetime | None = None
    ) -> Iterator[tuple[str, BatchJob]]:
        for found, _ in self._pages(since, until, None):
            yield from found

    def pages(self, since: datetime, token: str | None) -> Iterator[ListPage]:
        return self._pages(since, None, token)

    def _pages(
        self, since: datetime, until: datetime | None, token: str | None
    ) -> Iterator[ListPage]:
        query = (
            "labels.batchdrop_job:* "
            f'AND labels.batchdrop_deployment="{self.deployment}" '
            f'AND create_time>="{since:%Y-%m-%dT%H:%M:%S.%fZ}"'
        )
        if until is not None:
            query += f' AND create_time<"{until:%Y-%m-%dT%H:%M:%S.%fZ}"'
        pager = self.batches.list(filter=query, page_size=PAGE, page_token=token)
        while True:
            found = [
                ((answer.labels or {}).get("batchdrop_job", ""), answer)
                for answer in pager.page
            ]
            yield found, pager.config["page_token"]
            if not pager.has_next_page():
                return
            pager.next_page()

    def cancel(self, name: str) -> None:
        self.batches.cancel(name=name)

    def delete(self, name: str) -> None:
        self.batches.delete(name=name)


def _as_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A table's row as a line of JSONL has it: BigQuery gives JSON columns as text."""
    line: dict[str, Any] = {}
    for name, value in row.items():
        if name in _JSON and isinstance(value, str) and value[:1] in ("{", "["):
            value = msgspec.Raw(value.encode())
        if value is not None:
            line[name] = value
    return line


#: Columns with JSON, of all kinds of requests.
_JSON = ("request", "response", "instance", "predictions", "prediction", "metadata")

"""The Developer API: reads files of its own File API, and has no labels."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import IO, cast

import msgspec

from batchdrop.backends import PAGE, ListPage, batch_of, chosen, marks
from batchdrop.batches import BatchJob, ClientError, is_terminal
from batchdrop.batches.file_client import Files
from batchdrop.batches.operations import Batches
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import EMBEDDING, Batch, derived_id
from batchdrop.quoting import masked
from batchdrop.storage import Storage

SECOND = timedelta(seconds=1)


@masked
@dataclass(frozen=True, slots=True)
class DeveloperBackend:
    """
    Reads files of its own File API, and has no labels: the marks end the display
    name, and finding them takes a walk through the whole list.
    """

    batches: Batches
    files: Files
    storage: Storage
    deployment: str

    def is_staged(self, job: Job) -> bool:
        _, staging = chosen(job)
        with _absent_is_fine():
            file = self.files.get(name=self._file(job, staging.epoch))
            return file.state != "FAILED"
        return False

    def stage(self, job: Job) -> None:
        _, staging = chosen(job)
        name = self._file(job, staging.epoch)
        with self.storage.open(staging.uri) as rows:
            self.files.upload(file=rows, config={"name": name})

    def withdraw(self, job: Job, epochs: Iterable[int]) -> None:
        for epoch in epochs:
            with _absent_is_fine():
                self.files.delete(name=self._file(job, epoch))

    def create(self, job: Job) -> Batch:
        spec, staging = chosen(job)
        make = self.batches.create
        if spec.kind == EMBEDDING:
            make = self.batches.create_embeddings
        answer = make(
            model=spec.model,
            src=self._file(job, staging.epoch),
            config={"display_name": f"{spec.display_name} {_tail(job)}"},
        )
        return self.read(job, answer)

    def search(self, job: Job) -> list[Batch]:
        tail = _tail(job)
        return [
            batch
            for answer in self.batches.list(page_size=PAGE)
            if (answer.display_name or "").endswith(tail)
            # The list omits fields: ask for each batch that may be ours.
            for batch in [self.read(job, self.batches.get(name=answer.name))]
            if batch.epoch is not None
        ]

    @property
    def has_a_list(self) -> bool:
        return False  # it lags, and has a hundred jobs at the most

    def get(self, job: Job) -> Batch:
        assert job.batch is not None
        return self.read(job, self.batches.get(name=job.batch.name))

    def read(self, job: Job, answer: BatchJob) -> Batch:
        source = answer.src.file_name if answer.src else None
        match = re.fullmatch(rf"{self._file(job, 0)[:-1]}(\d+)", source or "")
        batch = batch_of(answer, source, int(match[1]) if match else None)
        if job.spec is None or not batch.has_answers:
            return batch
        # A collector brings them there.
        home = f"{job.spec.destination}{batch.name.rpartition('/')[2]}"
        return replace(batch, output_directory=home)

    def answers(self, job: Job, write: Callable[[bytes], None]) -> None:
        assert job.batch is not None
        if job.batch.responses_file is not None:
            self.files.download(
                file=job.batch.responses_file,
                destination=cast("IO[bytes]", _Target(write)),
            )
            return
        for row in self.batches.results(job.batch.name, output_timeout=0):
            write(msgspec.json.encode(row.raw) + b"\n")

    def active(self, model: str) -> int:
        return sum(
            not is_terminal(answer.state)
            for answer in self.batches.list(page_size=PAGE)
            if (answer.model or "").endswith(f"/{model}")
        )

    def ours(
        self, since: datetime, until: datetime | None = None
    ) -> Iterator[tuple[str, BatchJob]]:
        pattern = rf".* batchdrop_deployment={self.deployment} batchdrop_job=(\w+)"
        for answer in self.batches.list(page_size=PAGE):
            match = re.fullmatch(pattern, answer.display_name or "", re.DOTALL)
            made = answer.create_time
            if match and (made is None or since <= made < (until or made + SECOND)):
                yield match[1], self.batches.get(name=answer.name)

    def pages(self, since: datetime, token: str | None) -> Iterator[ListPage]:
        raise NotImplementedError("its list leaves things out: see `has_a_list`")

    def cancel(self, name: str) -> None:
        self.batches.cancel(name=name)

    def delete(self, name: str) -> None:
        self.batches.delete(name=name)

    def _file(self, job: Job, epoch: int) -> str:
        """
        A name of the File API: at most 40 of a-z, 0-9 and dashes. Two deployments on
        one inbox have jobs of the same id, and files of their own.
        """
        return f"files/bd-{derived_id(self.deployment, job.id)}-{epoch}"


@dataclass(frozen=True, slots=True)
class _Target:
    """What a download needs of a stream."""

    write: Callable[[bytes], None]


@contextmanager
def _absent_is_fine() -> Iterator[None]:
    """The File API answers 403 or 404 to the name of a file that doesn't exist."""
    try:
        yield
    except ClientError as exc:
        if exc.code not in (403, 404):
            raise


def _tail(job: Job) -> str:
    """The end of a display name, in place of labels."""
    return " ".join(f"{name}={text}" for name, text in sorted(marks(job).items()))

"""Reads the rows of an ended job from where they are, and writes them to a bucket."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import replace

from batchdrop.batches.answer_lines import inline_row, row_of, row_of_line, rows_of
from batchdrop.batches.call import Call, Flow, Pause, ask, dated, work
from batchdrop.batches.developer import Developer
from batchdrop.batches.errors import ClientError, NoResults
from batchdrop.batches.files import FileApi, checked
from batchdrop.batches.lines import split
from batchdrop.batches.objects import Objects, below
from batchdrop.batches.outcomes import ResultRow
from batchdrop.batches.types import BatchJob, OutputInfo
from batchdrop.batches.vertex import Vertex
from batchdrop.batches.wait import GROWTH, Patience

#: Seconds between polls for a job's output: the first wait, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0

#: Objects with rows in an output directory. A custom model's have the second kind of
#: name, without an ending; rows that failed are in its errors_stats.
SHARD = re.compile(r"\.jsonl$|/prediction\.(?:results|errors_stats)-\d+-of-\d+$")
#: Objects below a destination that are no answers: the worker's results, `create`'s
#: staged requests.
_NO_ANSWERS = re.compile(r"/staging/|/(?:results|strangers)[^/]*\.jsonl$")


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
        The rows of a job or of an output directory, as an iterator that blocks while it
        reads.

        The job is read again unless it has ended and names its output, which a listed
        job may not.

        Raises:
            NoResults: the job is running, names no output, or its output has no row.
        """
        if isinstance(job, str) and job.startswith("gs://"):
            rows = self._directory(job)
            first = yield from work(lambda: next(rows, None))
            if first is None:
                raise NoResults(f"{job.rstrip('/')}/ has no object with answers")
            return chain((first,), rows)
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
        return map(inline_row, inlined)

    def _directory(self, directory: str) -> Iterator[ResultRow]:
        """
        The rows of every shard. Of identical lines one is kept; lines that differ are
        all kept, even with the same key.

        Shards that the job exported while it ran may be beside the final file. So the
        final file is read first, and the shards add rows whose key it lacks. Rows
        without a key can't be compared, so shards add those only if there is no final
        file.
        """
        home = len(directory.rstrip("/"))
        shards = [
            found
            for found in self.objects.list(directory)
            if SHARD.search(found.uri) and not _NO_ANSWERS.search(found.uri, home)
        ]
        final = [f for f in shards if f.uri.endswith("/predictions.jsonl")]
        others = [f for f in shards if f not in final]
        seen: set[int] = set()
        finished: set[str] = set()
        for shard in final + others:
            lines = split(self.objects.read(shard))
            for number, line in enumerate(lines, 1):
                row = row_of_line(line, shard.uri, number)
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

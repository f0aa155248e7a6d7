"""Where a job's rows come from: objects, a table, a file, or the request itself."""

from dataclasses import dataclass, field

from batchsim import formats, importing
from batchsim.files import Files
from batchsim.formats import Format
from batchsim.jobs import Api, Job, JobFailed, Kind, Status
from batchsim.rows import Rows, scratch
from batchsim.settings import Settings
from batchsim.storage import Buckets
from batchsim.tables import Column, Tables
from batchsim.wire import ApiError


@dataclass(slots=True, eq=False)
class Work:
    """
    The input of a running job.

    `numbers` are the columns whose texts the import turned into numbers. `columns` are
    those of the source table, None for other sources. `unread` has a status for each
    source that could not be read.
    """

    rows: Rows
    format: Format
    numbers: frozenset[str] = frozenset()
    columns: list[Column] | None = None
    unread: list[Status] = field(default_factory=list)


@dataclass(slots=True)
class Inputs:
    """Reads a job's rows. Raises JobFailed for whatever is wrong with them."""

    settings: Settings
    buckets: Buckets
    tables: Tables
    files: Files

    def read(self, job: Job) -> Work:
        if job.api is Api.DEVELOPER:
            return self._developer(job)
        config = job.body["inputConfig"]
        if table := (config.get("bigquerySource") or {}).get("inputUri"):
            return self._table(job, table)
        return self._objects(job, config["gcsSource"]["uris"])

    def _objects(self, job: Job, uris: list[str]) -> Work:
        found, unread = self.buckets.expand(uris)
        limits = self.settings.limits
        content = scratch()
        try:
            read = 0
            for uri in found:
                start = content.tell()
                try:
                    self.buckets.fetch(uri, content)
                except JobFailed as failed:
                    unread.append(failed.status)
                    content.seek(start)
                    content.truncate()
                    continue
                read += 1
                size = content.tell() - start
                if size > limits.vertex_file_bytes:
                    raise importing.failed(
                        f"{uri} has {size} bytes; the limit is "
                        f"{limits.vertex_file_bytes}."
                    )
                content.write(b"\n")
            if not read:
                raise JobFailed(unread[0].code, unread[0].message)
            rows = Rows.of_file(content)
            format = formats.of_vertex_model(job.model)
            numbers = importing.check(rows, format.payload, self._most_rows(format))
        except BaseException:
            content.close()
            raise
        return Work(rows, format, numbers, unread=unread[:20])

    def _table(self, job: Job, uri: str) -> Work:
        format = formats.of_vertex_model(job.model)
        columns = self.tables.columns(uri, format.payload)
        rows = Rows()
        try:
            for line in self.tables.rows(uri, format.payload):
                rows.append(line)
            most = self._most_rows(format)
            if not len(rows):
                raise importing.failed(f"{uri} has no rows.")
            if len(rows) > most:
                raise importing.failed(
                    f"{uri} has {len(rows)} rows; the limit is {most}."
                )
        except BaseException:
            rows.close()
            raise
        return Work(rows, format, columns=columns)

    def _developer(self, job: Job) -> Work:
        format = (
            formats.DEVELOPER_EMBEDDING if job.kind is Kind.EMBED else formats.DEVELOPER
        )
        if job.inline is not None:
            rows, job.inline = job.inline, None
            return Work(rows, format)
        content = scratch()
        name = job.body["inputConfig"]["fileName"]
        try:
            for chunk in self.files.find(name.removeprefix("files/")).chunks():
                content.write(chunk)
            rows = Rows.of_file(content)
            if not len(rows):
                raise JobFailed(3, f"{name} has no rows.")
            first = importing.parse(rows[0], 1)
            if job.kind is Kind.GENERATE and "request" not in first and "body" in first:
                format = formats.DEVELOPER_OPENAI
            for number, line in enumerate(rows, 1):
                if format.payload not in importing.parse(line, number):
                    why = f"{name}: row {number} has no `{format.payload}`."
                    raise JobFailed(3, why)
        except ApiError as exc:
            content.close()
            raise JobFailed(5, exc.message) from None
        except BaseException:
            content.close()
            raise
        return Work(rows, format)

    def _most_rows(self, format: Format) -> int:
        limits = self.settings.limits
        if format is formats.TEXT_EMBEDDING:
            return limits.text_embedding_rows
        if format is formats.GEMINI_EMBEDDING:
            return limits.gemini_embedding_rows
        return limits.vertex_rows

"""`client.batches` and `client.aio.batches`: both run the same flows."""

import builtins
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from msgspec.structs import asdict, replace

from batchdrop.batches import config as given
from batchdrop.batches.call import Call, Flow
from batchdrop.batches.config import (
    CallConfig,
    CreateBatchJobConfig,
    ListBatchJobsConfig,
)
from batchdrop.batches.core import Core
from batchdrop.batches.create import Creating
from batchdrop.batches.embeddings import embeddings_source
from batchdrop.batches.outcomes import ResultRow
from batchdrop.batches.pager import AsyncPager, Page, Pager
from batchdrop.batches.results import Results
from batchdrop.batches.types import BatchJob, BatchJobSource, DeleteResourceJob
from batchdrop.batches.wait import OUTPUT_TIMEOUT, waiting

#: A job, or its name.
Named = str | BatchJob | None

_Create = CreateBatchJobConfig | Mapping[str, Any] | None
_Listing = ListBatchJobsConfig | Mapping[str, Any] | None
_Config = CallConfig | Mapping[str, Any] | None

#: How many rows a thread reads before the async face yields them.
_BUNCH = 200


class _Plans:
    """Makes the flow or the call of each operation; the two faces run it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._dialect = core.dialect
        self._creating = Creating(
            core.dialect, core.objects, core.options.retry_options
        )
        self._results = Results(
            core.dialect, core.objects, lambda call: core.transport().stream(call)
        )

    def _create(self, model: str, src: Any, config: _Create) -> Flow[BatchJob]:
        return self._creating.create(
            model, given.source(src), given.create_config(config), _stamp()
        )

    def _embed(self, model: str, src: Any, config: _Create) -> Flow[BatchJob]:
        return self._creating.create_embeddings(
            model, embeddings_source(src), given.create_config(config), _stamp()
        )

    def _get(self, name: Named, job: Named, config: _Config) -> Call[BatchJob]:
        options = given.call_config(config).http_options if config else None
        return self._dialect.get(_name(name, job), options)

    def _cancel(self, name: Named, job: Named, config: _Config) -> Call[None]:
        options = given.call_config(config).http_options if config else None
        return self._dialect.cancel(_name(name, job), options)

    def _delete(
        self, name: Named, job: Named, config: _Config
    ) -> Call[DeleteResourceJob]:
        options = given.call_config(config).http_options if config else None
        return self._dialect.delete(_name(name, job), options)

    def _wait(
        self,
        job: str | BatchJob,
        timeout: float | None,
        on_progress: Callable[[BatchJob], Any] | None,
        interval: float,
        max_interval: float,
        output_timeout: float,
    ) -> Flow[BatchJob]:
        ended = yield from waiting(
            partial(self._dialect.get, _name(job, None)),
            job if isinstance(job, BatchJob) else None,
            timeout=timeout,
            on_progress=on_progress,
            interval=interval,
            max_interval=max_interval,
            output_timeout=output_timeout,
        )
        if ended.collect_to is not None and ended.dest is not None:
            ended = yield from self._results.collect(ended, None, output_timeout)
        return ended


class Batches(_Plans):
    """
    Creates, reads, cancels and deletes batch jobs, and reads their answers.

    Every call raises BatchesError if the API answers with an error or not at all, and
    ValueError if the call can't be made.
    """

    def create(
        self,
        *,
        model: str,
        src: str | Sequence[Any] | Mapping[str, Any] | BatchJobSource,
        config: _Create = None,
    ) -> BatchJob:
        """
        Creates a job, which starts at once.

            job = client.batches.create(
                model="gemini-3.8-flash",
                src="gs://b/requests.jsonl",
                config={
                    "destination": "gs://b/results/",
                    "display_name": "Translation Batch",
                    "generation_config": {"temperature": 0.2},
                },
            )

        Args:
            model: "gemini-3.8-flash", "anthropic/claude-x", "models/..", or a full
                resource name.
            src: where the requests are:
                "gs://b/in.jsonl" (wildcards allowed), or a list of these;
                "bq://project.dataset.table" (Vertex AI);
                "projects/P/locations/L/datasets/D" (Vertex AI);
                "files/abc" (Developer API);
                a list of requests: InlinedRequests or dicts such as
                {"contents": "hi", "config": {..}, "metadata": {"key": "1"}};
                or a BatchJobSource, or a dict of its members.
            config: a CreateBatchJobConfig, or a dict of its members in snake_case or
                camelCase, with the destination as "destination" or "dest".

        Beyond what the APIs do by themselves:

        * Inline requests on Vertex AI are written as one JSONL to `config.staging`, or
          to "staging/" under the destination, and submitted from there.
        * A gs:// source on the Developer API is streamed through the File API. A gs://
          destination there is filled by `wait()` or `collect(job)`, as the API can't
          write to it: keep the job that this call returns.
        * If the API doesn't take the shape of a gs:// source's first line, such as
          {"contents": [..]} alone, each line is checked, given a key, and copied in a
          shape that it takes. The copy is under `config.staging`, "staging/" under the
          destination, or "batchdrop-staging/" in the source's bucket. With
          `config.as_is` the source is submitted unread.
        * `config.generation_config` is merged into every request, whose own values win;
          for a gs:// source that makes such a copy.
        * `results` returns keys, metadata and other columns as you gave them.
        * With `config.idempotency_token`, each attempt first searches all pages for a
          job with this token (the label batchdrop_token on Vertex AI, the end of the
          display name on the Developer API), and returns it if there is one. An API
          may list a job some seconds late; within those, two callers with the same
          token may both create.

        Raises:
            ClientError: refused; no job was created.
            TransportError, ServerError: the job may exist, unless `sent` is False. The
                call is not repeated after these, as a repeated create is a second paid
                job, unless it has an idempotency_token.
            ValueError: the API has no such source, destination or option, or a checked
                request can't be sent. The text says where and what to write. Nothing
                was written.
        """
        return self._core.transport().run(self._create(model, src, config))

    def create_embeddings(
        self,
        *,
        model: str,
        src: str | Sequence[Any] | Mapping[str, Any] | BatchJobSource,
        config: _Create = None,
    ) -> BatchJob:
        """
        Creates a job that embeds contents.

            job = client.batches.create_embeddings(
                model="gemini-embedding-2",
                src={
                    "inlined_requests": {
                        "contents": ["one", "two"],
                        "config": {"output_dimensionality": 768},
                    }
                },
            )

        Args:
            src: contents as above; a list of contents, or of
                {"content": .., "config": {..}, "metadata": {"key": ..}}; or the address
                of ready requests: "files/..", "gs://..", "bq://..".
            config: as for `create`, without generation_config. On Vertex AI contents
                are staged like inline requests, in the shape of the model's family:
                gemini-embedding-*, or the older text models, which take text,
                task_type and title.

        Raises:
            as `create`.
        """
        return self._core.transport().run(self._embed(model, src, config))

    def get(
        self, *, name: Named = None, batch_job: Named = None, config: _Config = None
    ) -> BatchJob:
        """
        Reads a job.

            job = client.batches.get(name=job.name)

        Args:
            name: a full resource name, which is read in its own project and location;
                an id alone (digits on Vertex AI); or a job. `batch_job` is an alias.
                "/batchJobs/" in a name is read as "/batchPredictionJobs/".
            config: {"http_options": ..} for this call.

        Raises:
            ClientError: 404 if there is no such job in that project and location.
        """
        return self._core.transport().send(self._get(name, batch_job, config))

    def cancel(
        self, *, name: Named = None, batch_job: Named = None, config: _Config = None
    ) -> None:
        """
        Asks the API to stop a job. Vertex AI does so when it can, and keeps finished
        rows, which are paid; the Developer API stops at once. `get` shows the state.

            client.batches.cancel(name=job.name)

        Raises:
            ClientError: 400 if the job has ended.
        """
        self._core.transport().send(self._cancel(name, batch_job, config))

    def delete(
        self, *, name: Named = None, batch_job: Named = None, config: _Config = None
    ) -> DeleteResourceJob:
        """
        Deletes a job that has ended. Its answers in a bucket or table stay.

            client.batches.delete(name=job.name)

        Returns:
            name, done and error of the operation; all None on the Developer API.
        """
        return self._core.transport().send(self._delete(name, batch_job, config))

    def list(
        self,
        *,
        config: _Listing = None,
        page_size: int | None = None,
        page_token: str | None = None,
        filter: str | None = None,
    ) -> Pager[BatchJob]:
        """
        All jobs, newest first; each page is read when the iteration reaches it.

            for job in client.batches.list(config={"page_size": 10}): ...

        Args:
            config: a ListBatchJobsConfig or a dict; you can also pass its members as
                arguments. `filter` is Vertex AI's alone, such as
                'state="JOB_STATE_RUNNING" AND labels.team=a'.

        Jobs that the Developer API lists have no inline answers, and may have old
        counts: `get` a job before you read it.
        """
        asked = given.list_config(
            config, page_size=page_size, page_token=page_token, filter=filter
        )

        def fetch(token: str) -> Page[BatchJob]:
            return self._core.transport().send(
                self._dialect.list(replace(asked, page_token=token))
            )

        first = self._core.transport().send(self._dialect.list(asked))
        return Pager("batch_jobs", first, fetch, _shown(asked))

    def wait(
        self,
        job: str | BatchJob,
        *,
        timeout: float | None = None,
        on_progress: Callable[[BatchJob], Any] | None = None,
        interval: float = 0.5,
        max_interval: float = 60.0,
        output_timeout: float = OUTPUT_TIMEOUT,
    ) -> BatchJob:
        """
        Polls a job until it is in a terminal state, and returns it.

            job = client.batches.wait(job, timeout=3600, on_progress=print)

        Args:
            timeout: seconds; None waits as long as the job takes, which may be days.
            on_progress: called with the job after each poll.
            interval, max_interval: seconds between polls; each wait is half as long
                again as the one before.
            output_timeout: a job may succeed some time before it names its output. This
                is how long, in seconds after the job's end, `wait` polls for the name.

        On the Developer API, `wait` then fills the gs:// destination given to `create`.

        Raises:
            WaitTimeout: the time is up; it has the job as last read, which still runs.
            NoResults: the job has succeeded, but doesn't name its output.
            BatchesError: a poll was refused, or ten in a row failed.
        """
        return self._core.transport().run(
            self._wait(
                job, timeout, on_progress, interval, max_interval, output_timeout
            )
        )

    def results(
        self, job: str | BatchJob, *, output_timeout: float = OUTPUT_TIMEOUT
    ) -> Iterator[ResultRow]:
        """
        Streams the rows of a job that has ended, from wherever they are.

            for row in client.batches.results(job):
                print(row.key, row.outcome, row.text)

        `job` may also be an output directory, gs://.., such as a listed job's or an
        announcement's: then no job is asked for, and none needs to exist any more.

        It reads every shard of a Cloud Storage directory (a line that was written twice
        comes once), a BigQuery table, the Developer API's responses file, or the job
        itself. Rows don't come in the order of the requests: join them by `row.key`.

        Args:
            output_timeout: as for `wait`.

        Raises:
            NoResults: the job is running, or ended without rows; or the directory has
                none.
            MissingExtra: batchdrop[storage] or batchdrop[bigquery] is needed.
        """
        return self._core.transport().run(self._results.locate(job, output_timeout))

    def collect(
        self,
        job: str | BatchJob,
        *,
        destination: str | None = None,
        output_timeout: float = OUTPUT_TIMEOUT,
    ) -> BatchJob:
        """
        Writes the answers of a Developer API job that has ended to its gs://
        destination, as DESTINATION/ID/predictions.jsonl. A second call changes nothing.
        On Vertex AI, which writes them itself, it only returns the job.

            job = client.batches.collect(job)
            job.output_info.gcs_output_directory

        Args:
            job: as `create` returned it; or a name, with a `destination`.
            output_timeout: as for `wait`.

        Raises:
            NoResults: the job is running, or ended without rows.
            ValueError: no destination is known.
        """
        return self._core.transport().run(
            self._results.collect(job, destination, output_timeout)
        )


class AsyncBatches(_Plans):
    """
    Batches for asyncio: the same operations, awaited.

        jobs = await asyncio.gather(*(client.aio.batches.get(name=n) for n in names))

    The clients of Cloud Storage and BigQuery block, so they run in threads.
    """

    async def create(
        self,
        *,
        model: str,
        src: str | Sequence[Any] | Mapping[str, Any] | BatchJobSource,
        config: _Create = None,
    ) -> BatchJob:
        """See Batches.create."""
        return await self._core.async_transport().run(self._create(model, src, config))

    async def create_embeddings(
        self,
        *,
        model: str,
        src: str | Sequence[Any] | Mapping[str, Any] | BatchJobSource,
        config: _Create = None,
    ) -> BatchJob:
        """See Batches.create_embeddings."""
        return await self._core.async_transport().run(self._embed(model, src, config))

    async def get(
        self, *, name: Named = None, batch_job: Named = None, config: _Config = None
    ) -> BatchJob:
        """See Batches.get."""
        call = self._get(name, batch_job, config)
        return await self._core.async_transport().send(call)

    async def cancel(
        self, *, name: Named = None, batch_job: Named = None, config: _Config = None
    ) -> None:
        """See Batches.cancel."""
        call = self._cancel(name, batch_job, config)
        await self._core.async_transport().send(call)

    async def delete(
        self, *, name: Named = None, batch_job: Named = None, config: _Config = None
    ) -> DeleteResourceJob:
        """See Batches.delete."""
        call = self._delete(name, batch_job, config)
        return await self._core.async_transport().send(call)

    async def list(
        self,
        *,
        config: _Listing = None,
        page_size: int | None = None,
        page_token: str | None = None,
        filter: str | None = None,
    ) -> AsyncPager[BatchJob]:
        """
        See Batches.list.

            async for job in await client.aio.batches.list(): ...
        """
        asked = given.list_config(
            config, page_size=page_size, page_token=page_token, filter=filter
        )

        async def fetch(token: str) -> Page[BatchJob]:
            call = self._dialect.list(replace(asked, page_token=token))
            return await self._core.async_transport().send(call)

        first = await self._core.async_transport().send(self._dialect.list(asked))
        return AsyncPager("batch_jobs", first, fetch, _shown(asked))

    async def wait(
        self,
        job: str | BatchJob,
        *,
        timeout: float | None = None,
        on_progress: Callable[[BatchJob], Any] | None = None,
        interval: float = 0.5,
        max_interval: float = 60.0,
        output_timeout: float = OUTPUT_TIMEOUT,
    ) -> BatchJob:
        """See Batches.wait; an awaitable that `on_progress` returns is awaited."""
        return await self._core.async_transport().run(
            self._wait(
                job, timeout, on_progress, interval, max_interval, output_timeout
            )
        )

    async def results(
        self, job: str | BatchJob, *, output_timeout: float = OUTPUT_TIMEOUT
    ) -> AsyncIterator[ResultRow]:
        """
        See Batches.results. Rows are read in a thread, 200 at a time.

            async for row in client.aio.batches.results(job): ...
        """
        import asyncio  # here, as importing the client must not load it

        flow = self._results.locate(job, output_timeout)
        rows = await self._core.async_transport().run(flow)
        while bunch := await asyncio.to_thread(_some, rows):
            for row in bunch:
                yield row

    async def collect(
        self,
        job: str | BatchJob,
        *,
        destination: str | None = None,
        output_timeout: float = OUTPUT_TIMEOUT,
    ) -> BatchJob:
        """See Batches.collect."""
        flow = self._results.collect(job, destination, output_timeout)
        return await self._core.async_transport().run(flow)


def _some(rows: Iterator[ResultRow]) -> builtins.list[ResultRow]:
    return [*islice(rows, _BUNCH)]


def _name(name: Named, job: Named) -> str:
    chosen = name if job is None else job
    if chosen is None or (name is not None and job is not None):
        raise ValueError("pass one of name and batch_job")
    # The job may also be the official SDK's.
    return chosen if isinstance(chosen, str) else chosen.name


def _stamp() -> str:
    # Local time, as in the official SDK: people read the names that it ends.
    return f"{datetime.now():%Y%m%d%H%M%S}_{os.urandom(3).hex()[:5]}"  # noqa: DTZ005


def _shown(config: ListBatchJobsConfig) -> dict[str, Any]:
    return {k: v for k, v in asdict(config).items() if k != "http_options"}

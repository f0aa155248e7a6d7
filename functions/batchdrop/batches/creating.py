"""
What `create` does beside one POST: requests put where the service can read them, a
job's config put into every request, a token looked for before anything is made twice.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import replace

from batchdrop.batches import embeddings, inline, only
from batchdrop.batches.call import Call, Flow, Pause, ask, work
from batchdrop.batches.config import CreateBatchJobConfig, ListBatchJobsConfig
from batchdrop.batches.developer import Developer
from batchdrop.batches.errors import BatchesError
from batchdrop.batches.files import JSONL, FileApi, upload
from batchdrop.batches.lines import Merge, merged_lines, split
from batchdrop.batches.objects import Found, Objects, below
from batchdrop.batches.retrying import pause_before_repeating
from batchdrop.batches.types import (
    BatchJob,
    BatchJobDestination,
    BatchJobSource,
    HttpOptions,
    HttpRetryOptions,
)
from batchdrop.batches.vertex import Vertex, default_destination, model_name

#: The label that carries an idempotency token on Vertex.
TOKEN_LABEL = "batchdrop_token"

_ONCE = HttpRetryOptions(attempts=1)

#: Makes the call that creates, once its source is known.
_Create = Callable[[BatchJobSource, CreateBatchJobConfig], Call[BatchJob]]


@dataclass(frozen=True, slots=True)
class Creating:
    """
    Jobs of one dialect, made.

    Attributes:
        retry: the client's retry options, if it was given any.
    """

    dialect: Vertex | Developer
    objects: Objects
    retry: HttpRetryOptions | None = None

    def create(
        self, model: str, src: BatchJobSource, config: CreateBatchJobConfig, stamp: str
    ) -> Flow[BatchJob]:
        """See `Batches.create`."""
        vertex = isinstance(self.dialect, Vertex)
        _check_generation_config(model, src, config, vertex)

        def call(s: BatchJobSource, c: CreateBatchJobConfig) -> Call[BatchJob]:
            return self.dialect.create(model, s, c, stamp)

        lines = None
        if src.inlined_requests is not None and isinstance(self.dialect, Vertex):
            lines = _vertex_lines(model, src.inlined_requests, config.generation_config)
        elif src.inlined_requests is not None and config.generation_config:
            src = BatchJobSource(
                inlined_requests=_merged(src.inlined_requests, config.generation_config)
            )
        return self._create(src, config, stamp, call, lines)

    def create_embeddings(
        self,
        model: str,
        src: embeddings.Source,
        config: CreateBatchJobConfig,
        stamp: str,
    ) -> Flow[BatchJob]:
        """See `Batches.create_embeddings`."""
        if config.generation_config is not None:
            raise ValueError(
                "config.generation_config is for generating; an embedding has a config "
                "of its own: src={'inlined_requests': {'contents': .., 'config': ..}}"
            )
        if isinstance(self.dialect, Vertex):
            vertex = self.dialect
            given = src.source()
            lines = embeddings.vertex_lines(model, src.items) if src.items else None
            return self._create(
                given,
                config,
                stamp,
                lambda s, c: vertex.create(model, s, c, stamp),
                lines,
            )
        developer = self.dialect
        wire = src.source(tuple(map(embeddings.developer_request, src.items or ())))
        return self._create(
            wire,
            config,
            stamp,
            lambda s, c: developer.create_embeddings(model, s, c),
            None,
        )

    def _create(
        self,
        src: BatchJobSource,
        config: CreateBatchJobConfig,
        stamp: str,
        call: _Create,
        lines: Iterable[bytes] | None,
    ) -> Flow[BatchJob]:
        given = config
        token = config.idempotency_token
        if token is not None:
            found = yield from self._look(token, config.http_options)
            if found is not None:
                return _with_what_was_asked(found, given)
            config = self._marked(config, token)
        if isinstance(self.dialect, Vertex):
            src, config = yield from self._at_vertex(src, config, stamp, call, lines)
        else:
            src, config = yield from self._at_developer(src, config, call)
        job = yield from self._send(call(src, config), token)
        return _with_what_was_asked(job, given)

    # Where the service can read it.

    def _at_vertex(
        self,
        src: BatchJobSource,
        config: CreateBatchJobConfig,
        stamp: str,
        call: _Create,
        lines: Iterable[bytes] | None,
    ) -> Flow[tuple[BatchJobSource, CreateBatchJobConfig]]:
        if lines is None and not (config.generation_config and src.gcs_uri):
            return src, config
        home = _staging(src, config, stamp)
        dest = config.dest or default_destination(src, stamp)
        config = replace(
            config,
            dest=dest
            or BatchJobDestination(format="jsonl", gcs_uri=below(home, "dest")),
        )
        staged: list[tuple[str, Iterable[bytes]]]
        if lines is not None:
            staged = [(below(home, "requests.jsonl"), lines)]
        else:
            found = yield from self._find(src)
            merge = config.generation_config or {}
            staged = [
                (below(home, f"{number:04}.jsonl"), self._merged(one, merge))
                for number, one in enumerate(found)
            ]
        src = BatchJobSource(format="jsonl", gcs_uri=tuple(uri for uri, _ in staged))
        call(src, config)  # what is wrong with the rest shows before a byte is written
        for uri, pieces in staged:
            yield from work(partial(self.objects.write, uri, pieces))
        return src, config

    def _at_developer(
        self, src: BatchJobSource, config: CreateBatchJobConfig, call: _Create
    ) -> Flow[tuple[BatchJobSource, CreateBatchJobConfig]]:
        if config.dest is not None and config.dest.gcs_uri is not None:
            config = replace(config, dest=None)  # ours to fill, not the service's
        if src.gcs_uri is None:
            return src, config
        assert isinstance(self.dialect, Developer)
        call(BatchJobSource(file_name="files/to-come"), config)
        found = yield from self._find(src)
        merge = config.generation_config

        def pieces() -> Iterator[bytes]:
            if merge is None and len(found) == 1:
                return self.objects.read(found[0])
            return chain.from_iterable(self._merged(f, merge or {}) for f in found)

        if merge is None and len(found) == 1:
            size = yield from work(lambda: self.objects.size(found[0]))
        else:
            # The size is announced before the bytes: they are read twice, and
            # never held.
            size = yield from work(lambda: sum(map(len, pieces())))
        about = {
            "display_name": config.display_name or found[0].uri.rpartition("/")[2],
            "mime_type": JSONL,
        }
        file = yield from upload(
            FileApi(self.dialect), pieces(), size, about, self.retry
        )
        return BatchJobSource(file_name=file.name), config

    def _find(self, src: BatchJobSource) -> Flow[list[Found]]:
        uris = src.gcs_uri or ()
        return (
            yield from work(
                lambda: list(chain.from_iterable(map(self.objects.find, uris)))
            )
        )

    def _merged(self, found: Found, config: Mapping[str, Any]) -> Iterator[bytes]:
        return merged_lines(split(self.objects.read(found)), config, found.uri)

    # Never twice.

    def _send(self, call: Call[BatchJob], token: str | None) -> Flow[BatchJob]:
        if token is None:
            return (yield from ask(call))
        own = call.options.retry_options if call.options else None
        retry = own or self.retry or HttpRetryOptions()
        options = replace(call.options or HttpOptions(), retry_options=_ONCE)
        # Repeatable here, and only here: each repetition is preceded by a look.
        once = _changed(call, options)
        attempt = 1
        while True:
            try:
                return (yield from ask(once))
            except BatchesError as exc:
                pause = pause_before_repeating(
                    attempt, exc, once, retry, random.random()
                )
                if pause is None:
                    raise
            yield Pause(pause)
            found = yield from self._look(token, call.options)
            if found is not None:
                return found
            attempt += 1

    def _marked(self, config: CreateBatchJobConfig, token: str) -> CreateBatchJobConfig:
        if isinstance(self.dialect, Vertex):
            labels = {**(config.labels or {}), TOKEN_LABEL: token}
            return replace(config, labels=labels)
        name = f"{config.display_name} {token}" if config.display_name else token
        return replace(config, display_name=name)

    def _look(self, token: str, options: HttpOptions | None) -> Flow[BatchJob | None]:
        """The oldest job with this token, on any page, or None."""
        vertex = isinstance(self.dialect, Vertex)
        config = ListBatchJobsConfig(
            page_size=100,
            filter=f"labels.{TOKEN_LABEL}={token}" if vertex else None,
            http_options=options,
        )
        found: list[BatchJob] = []
        while True:
            jobs, page_token = yield from ask(self.dialect.list(config))
            found += (job for job in jobs if _has_token(job, token))
            if page_token is None:
                break
            config = replace(config, page_token=page_token)
        return min(found, key=_age, default=None)


def _age(job: BatchJob) -> tuple[bool, Any]:
    return job.create_time is None, job.create_time


def _has_token(job: BatchJob, token: str) -> bool:
    if job.labels is not None:
        return job.labels.get(TOKEN_LABEL) == token
    name = job.display_name or ""
    return name == token or name.endswith(f" {token}")


def _changed(call: Call[BatchJob], options: HttpOptions) -> Call[BatchJob]:
    return Call(
        call.method,
        call.url,
        call.read,
        body=call.body,
        repeatable=True,
        options=options,
    )


def _with_what_was_asked(job: BatchJob, config: CreateBatchJobConfig) -> BatchJob:
    """The job, with the two things that no service keeps."""
    to = config.dest.gcs_uri if config.dest and job.dest is None else None
    if to is None and config.generation_config is None:
        return job
    return replace(job, generation_config=config.generation_config, collect_to=to)


def _staging(src: BatchJobSource, config: CreateBatchJobConfig, stamp: str) -> str:
    if config.staging is not None:
        return below(config.staging, f"batchdrop-{stamp}")
    dest = config.dest or default_destination(src, stamp)
    if dest is None or dest.gcs_uri is None:
        raise ValueError(
            "the requests must lie in a bucket before Vertex AI can read them: give "
            "config.staging, a gs:// prefix to write them to, or a gs:// destination"
        )
    return below(dest.gcs_uri, f"staging/{stamp}")


def _check_generation_config(
    model: str, src: BatchJobSource, config: CreateBatchJobConfig, vertex: bool
) -> None:
    if config.generation_config is None:
        return
    beside, generation = inline.split_config(config.generation_config)
    only.check({**beside, "generationConfig": generation}, vertex=vertex)
    if "publishers/" in (name := model_name(model)) and "/google/" not in name:
        raise ValueError(
            f"config.generation_config is Gemini's; {model!r} takes its parameters in "
            "each request"
        )
    if src.bigquery_uri or src.vertex_dataset_name:
        raise ValueError(
            f"config.generation_config with {str(src)!r}: neither service has a config "
            "for a whole job, so it would have to be written into every row, and a "
            "table of yours is not rewritten; put it into the `request` column"
        )
    if src.file_name:
        raise ValueError(
            f"config.generation_config with {src.file_name!r}: an uploaded file can't "
            "be read back to put it into every line; do that before uploading, or give "
            "the gs:// address of the file"
        )


# Inline requests.


def _merged(requests: Iterable[Any], config: Mapping[str, Any]) -> tuple[Any, ...]:
    merge = Merge(config)
    made = []
    for given in requests:
        request, metadata = inline.request(given)
        made.append({"request": merge.value(request), "metadata": metadata})
    return tuple(made)


def _vertex_lines(
    model: str, requests: Iterable[Any], config: Mapping[str, Any] | None
) -> list[bytes]:
    """
    Inline requests as a JSONL for Vertex: beside `request`, `key` is echoed in the
    answers; it is the metadata's key, or request-1, request-2, ...
    """
    merge = Merge(config or {})
    lines = []
    for number, given in enumerate(requests, 1):
        request, metadata = inline.request(given)
        only.check(request, vertex=True)
        own = request.pop("model", None)
        if own is not None and model_name(own) != model_name(model):
            raise ValueError(
                f"inline request {number}: model {own!r} is not the job's {model!r}; "
                "on Vertex AI a job has one model: make two jobs"
            )
        # Vertex imports the file like a table and refuses empty objects.
        if not request.get("generationConfig"):
            request.pop("generationConfig", None)
        line: dict[str, Any] = {
            "key": str((metadata or {}).get("key", f"request-{number}")),
            "request": merge.value(request),
        }
        if metadata:
            line["metadata"] = metadata
        lines.append(msgspec.json.encode(line) + b"\n")
    return lines

"""
What `create` does around its one POST: stages requests where the API can read them,
merges the job's config into each, and searches for a token before it creates again.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from batchdrop.batches import backend_only, embeddings, inline
from batchdrop.batches.call import Call, Flow, Pause, ask, work
from batchdrop.batches.config import CreateBatchJobConfig, ListBatchJobsConfig
from batchdrop.batches.developer import Developer
from batchdrop.batches.errors import BatchesError
from batchdrop.batches.files import JSONL, FileApi, upload
from batchdrop.batches.objects import Found, Objects, below
from batchdrop.batches.pager import Walk
from batchdrop.batches.retries import pause_before_repeating
from batchdrop.batches.types import (
    BatchJob,
    BatchJobDestination,
    BatchJobSource,
    HttpOptions,
    HttpRetryOptions,
)
from batchdrop.batches.vertex import Vertex, default_destination, model_name
from batchdrop.stored import split_uri

if TYPE_CHECKING:
    from batchdrop.batches.staging import Source, Wire

    _MakeWire = Callable[[], Wire]

#: The label that carries an idempotency token on Vertex.
TOKEN_LABEL = "batchdrop_token"

_ONCE = HttpRetryOptions(attempts=1)

#: Makes the call that creates, once its source is known.
_Create = Callable[[BatchJobSource, CreateBatchJobConfig], Call[BatchJob]]


@dataclass(frozen=True, slots=True)
class Creating:
    """
    Makes jobs at one of the two APIs.

    Attributes:
        retry: the client's retry options; None if the caller passed none.
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
            lines = _vertex_lines(model, src.inlined_requests)
        elif src.inlined_requests is not None and config.generation_config:
            src = BatchJobSource(
                inlined_requests=_merged(src.inlined_requests, config.generation_config)
            )
        return self._create(model, src, config, stamp, call, lines)

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
        lines = None
        if isinstance(self.dialect, Vertex):
            vertex = self.dialect
            given = src.source()
            if src.items:
                lines = embeddings.vertex_lines(model, src.items)

            def call(s: BatchJobSource, c: CreateBatchJobConfig) -> Call[BatchJob]:
                return vertex.create(model, s, c, stamp)

        else:
            developer = self.dialect
            given = src.source(
                tuple(map(embeddings.developer_request, src.items or ()))
            )

            def call(s: BatchJobSource, c: CreateBatchJobConfig) -> Call[BatchJob]:
                return developer.create_embeddings(model, s, c)

        return self._create(model, given, config, stamp, call, lines, embeds=True)

    def _create(
        self,
        model: str,
        src: BatchJobSource,
        config: CreateBatchJobConfig,
        stamp: str,
        call: _Create,
        lines: list[bytes] | None,
        *,
        embeds: bool = False,
    ) -> Flow[BatchJob]:
        """
        Args:
            lines: inline requests to be staged in a bucket, one a line.
        """
        given = config
        wire = partial(
            _wire,
            vertex=isinstance(self.dialect, Vertex),
            model=model,
            config=config.generation_config,
            embeds=embeds,
        )
        token = config.idempotency_token
        if token is not None:
            found = yield from self._look(token, config.http_options)
            if found is not None:
                return _with_what_was_asked(found, given)
            config = self._marked(config, token)
        if isinstance(self.dialect, Vertex):
            src, config = yield from self._at_vertex(
                src, config, stamp, call, wire, lines
            )
        else:
            src, config = yield from self._at_developer(src, config, call, wire)
        job = yield from self._send(call(src, config), token)
        return _with_what_was_asked(job, given)

    # Staging.

    def _at_vertex(
        self,
        src: BatchJobSource,
        config: CreateBatchJobConfig,
        stamp: str,
        call: _Create,
        wire: "_MakeWire",
        lines: list[bytes] | None,
    ) -> Flow[tuple[BatchJobSource, CreateBatchJobConfig]]:
        if lines is None and not (yield from self._changes(src, config, wire)):
            return src, config
        home = _staging(src, config, stamp)
        dest = config.dest or default_destination(src, stamp)
        config = replace(
            config,
            dest=dest
            or BatchJobDestination(format="jsonl", gcs_uri=below(home, "dest")),
        )
        if lines is not None:
            sources = [_inline_source(lines)]
            names = ["requests.jsonl"]
        else:
            found = yield from self._find(src)
            sources = list(map(self._source, found))
            names = [f"{number:04}.jsonl" for number in range(len(found))]
        uris = tuple(below(home, name) for name in names)
        src = BatchJobSource(format="jsonl", gcs_uri=uris)
        # Raise for any bad option or line before a byte is written.
        call(src, config)
        yield from work(lambda: wire().sizes(sources))
        for uri, copy in zip(uris, wire().copies(sources), strict=True):
            yield from work(partial(self.objects.write, uri, copy))
        return src, config

    def _changes(
        self, src: BatchJobSource, config: CreateBatchJobConfig, wire: "_MakeWire"
    ) -> Flow[bool]:
        """
        Whether a bucket's lines must be rewritten, judged by the first line at each
        address. An object that we can't read is submitted as it is: the API reads with
        permissions of its own.
        """
        uris = src.gcs_uri
        if uris is None or src.format not in (None, "jsonl"):
            return False
        if config.generation_config is not None or config.as_is:
            return not config.as_is
        assert isinstance(self.dialect, Vertex)
        if self.dialect.project is None:
            return False  # Cloud Storage doesn't accept the API key

        def look() -> bool:
            try:
                return not all(wire().takes(self.objects.peek(uri)) for uri in uris)
            except BatchesError:
                return False

        return (yield from work(look))

    def _at_developer(
        self,
        src: BatchJobSource,
        config: CreateBatchJobConfig,
        call: _Create,
        wire: "_MakeWire",
    ) -> Flow[tuple[BatchJobSource, CreateBatchJobConfig]]:
        if config.dest is not None and config.dest.gcs_uri is not None:
            config = replace(config, dest=None)  # we fill it; the API can't
        if src.gcs_uri is None:
            return src, config
        assert isinstance(self.dialect, Developer)
        call(BatchJobSource(file_name="files/to-come"), config)
        found = yield from self._find(src)
        first, *others = found
        pieces: Iterable[bytes]
        if (
            others
            or config.generation_config is not None
            or not (config.as_is or (yield from self._takes(first, wire)))
        ):
            # The size is sent before the bytes, so they are read twice rather than
            # held in memory.
            sources = list(map(self._source, found))
            size = sum((yield from work(lambda: wire().sizes(sources))))
            pieces = chain.from_iterable(wire().copies(sources))
        else:
            size = yield from work(lambda: self.objects.size(first))
            pieces = self.objects.read(first)
        about = {
            "display_name": config.display_name or first.uri.rpartition("/")[2],
            "mime_type": JSONL,
        }
        file = yield from upload(FileApi(self.dialect), pieces, size, about, self.retry)
        return BatchJobSource(file_name=file.name), config

    def _takes(self, found: Found, wire: "_MakeWire") -> Flow[bool]:
        return (yield from work(lambda: wire().takes(self.objects.peek(found.uri))))

    def _find(self, src: BatchJobSource) -> Flow[list[Found]]:
        uris = src.gcs_uri or ()
        return (
            yield from work(
                lambda: list(chain.from_iterable(map(self.objects.find, uris)))
            )
        )

    def _source(self, found: Found) -> "Source":
        from batchdrop.batches.staging import Source

        return Source(
            read=partial(self.objects.read, found),
            place=lambda number: f"{found.uri}, line {number}",
        )

    # Creating once.

    def _send(self, call: Call[BatchJob], token: str | None) -> Flow[BatchJob]:
        if token is None:
            return (yield from ask(call))
        own = call.options.retry_options if call.options else None
        retry = own or self.retry or HttpRetryOptions()
        options = replace(call.options or HttpOptions(), retry_options=_ONCE)
        # Only here is a create repeatable: a search precedes each repetition.
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
        way = Walk()
        while True:
            page = yield from ask(self.dialect.list(config))
            way.check(page)
            jobs, page_token = page
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
    """The job with the two members of its config that neither API keeps."""
    to = config.dest.gcs_uri if config.dest and job.dest is None else None
    if to is None and config.generation_config is None:
        return job
    return replace(job, generation_config=config.generation_config, collect_to=to)


def _wire(**asked: Any) -> "Wire":
    from batchdrop.batches.staging import Wire

    return Wire(**asked)


def _inline_source(lines: list[bytes]) -> "Source":
    from batchdrop.batches.staging import Source

    return Source(read=lambda: lines, place=lambda number: f"inline request {number}")


def _staging(src: BatchJobSource, config: CreateBatchJobConfig, stamp: str) -> str:
    """
    The folder of this job's copies: under `config.staging`, else under the destination,
    else in the bucket of the source.
    """
    if config.staging is not None:
        return below(config.staging, f"batchdrop-{stamp}")
    dest = config.dest or default_destination(src, stamp)
    if (dest is None or dest.gcs_uri is None) and src.gcs_uri:
        bucket, _ = split_uri(src.gcs_uri[0])
        return f"gs://{bucket}/batchdrop-staging/{stamp}"
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
    backend_only.check({**beside, "generationConfig": generation}, vertex=vertex)
    if "publishers/" in (name := model_name(model)) and "/google/" not in name:
        raise ValueError(
            f"config.generation_config is Gemini's; {model!r} takes its parameters in "
            "each request"
        )
    if src.bigquery_uri or src.vertex_dataset_name:
        raise ValueError(
            f"config.generation_config with {str(src)!r}: neither API has a config "
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
    from batchdrop.batches.staging import merged

    made = []
    for given in requests:
        request, metadata = inline.request(given)
        request = merged(request, config, vertex=False)
        made.append({"request": request, "metadata": metadata})
    return tuple(made)


def _vertex_lines(model: str, requests: Iterable[Any]) -> list[bytes]:
    """
    Inline requests as lines: beside `request`, `key` is the metadata's key, or
    request-1, request-2, ..., and `metadata` is what the caller gave.
    """
    lines = []
    for number, given in enumerate(requests, 1):
        request, metadata = inline.request(given)
        backend_only.check(request, vertex=True)
        own = request.pop("model", None)
        if own is not None and model_name(own) != model_name(model):
            raise ValueError(
                f"inline request {number}: model {own!r} is not the job's {model!r}; "
                "on Vertex AI a job has one model: make two jobs"
            )
        lines.append(inline.line(request, metadata, number))
    return lines

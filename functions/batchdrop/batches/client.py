"""The client: a thin driver of two dialects."""

import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from batchdrop.batches import config as given
from batchdrop.batches.config import ListBatchJobsConfig
from batchdrop.batches.credentials import ApiKey, GoogleCredentials, Signer
from batchdrop.batches.types import BatchJob, DeleteResourceJob, HttpOptions
from batchdrop.batches.vertex import Vertex

if TYPE_CHECKING:
    from batchdrop.batches.transport import Transport


class Client:
    """
    Batch jobs of Vertex AI.

        >>> client = Client(vertexai=True, project="p", location="us-central1")

    Args:
        vertexai: True for Vertex AI.
        project, location: whose jobs.
        api_key: in place of credentials.
        credentials: google-auth credentials; the application default ones if None.
        http_options: an HttpOptions or a dict of its members.
    """

    def __init__(
        self,
        *,
        vertexai: bool | None = None,
        project: str | None = None,
        location: str | None = None,
        api_key: str | None = None,
        credentials: Any = None,
        http_options: HttpOptions | Mapping[str, Any] | None = None,
    ) -> None:
        options = given.http_options(http_options) or HttpOptions()
        project = project or os.environ.get("GOOGLE_CLOUD_PROJECT")
        location = location or os.environ.get("GOOGLE_CLOUD_LOCATION")
        self._options = options
        self._signer: Signer = (
            ApiKey(api_key) if api_key else GoogleCredentials(credentials)
        )
        dialect = Vertex(
            project=project,
            location=location,
            base_url=options.base_url,
            api_version=options.api_version or "v1beta1",
        )
        self._lock = threading.Lock()
        self._opened: Transport | None = None
        self.batches = Batches(self, dialect)

    def _transport(self) -> "Transport":
        if self._opened is None:
            with self._lock:
                if self._opened is None:
                    # httpx costs a tenth of a second to import, so it is imported
                    # when there is something to send.
                    from batchdrop.batches.transport import Transport

                    self._opened = Transport(self._options, self._signer)
        return self._opened

    def close(self) -> None:
        """Closes the connections; the client opens new ones if it is used again."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened:
            opened.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Pager:
    """A walk through all jobs, page after page, as far as it is iterated."""

    def __init__(self, batches: "Batches", config: ListBatchJobsConfig) -> None:
        self._batches = batches
        self._config = config
        self.page: Sequence[BatchJob] = ()
        self._fetch()

    def _fetch(self) -> None:
        self.page, self._next = self._batches._page(self._config)

    def has_next_page(self) -> bool:
        return self._next is not None

    def next_page(self) -> Sequence[BatchJob]:
        if self._next is None:
            raise IndexError("No more pages to fetch.")
        self._config = given.list_config(self._config, page_token=self._next)
        self._fetch()
        return self.page

    def __iter__(self) -> Iterator[BatchJob]:
        yield from self.page
        while self.has_next_page():
            yield from self.next_page()


class Batches:
    """Create, read, list, cancel and delete batch jobs."""

    def __init__(self, client: Client, dialect: Vertex) -> None:
        self._client = client
        self._dialect = dialect

    def create(self, *, model: str, src: Any, config: Any = None) -> BatchJob:
        """Creates a job; it starts right away."""
        stamp = f"{datetime.now():%Y%m%d%H%M%S}_{secrets.token_hex(3)[:5]}"  # noqa: DTZ005
        call = self._dialect.create(
            model, given.source(src), given.create_config(config), stamp
        )
        return self._client._transport().send(call)

    def get(self, *, name: str, config: Any = None) -> BatchJob:
        """The job as it is now."""
        options = given.call_config(config).http_options
        return self._client._transport().send(self._dialect.get(name, options))

    def cancel(self, *, name: str, config: Any = None) -> None:
        """Asks a job to stop."""
        options = given.call_config(config).http_options
        self._client._transport().send(self._dialect.cancel(name, options))

    def delete(self, *, name: str, config: Any = None) -> DeleteResourceJob:
        """Deletes a job that has ended."""
        options = given.call_config(config).http_options
        return self._client._transport().send(self._dialect.delete(name, options))

    def list(self, *, config: Any = None) -> Pager:
        """All jobs, page after page."""
        return Pager(self, given.list_config(config))

    def _page(
        self, config: ListBatchJobsConfig
    ) -> tuple[Sequence[BatchJob], str | None]:
        return self._client._transport().send(self._dialect.list(config))

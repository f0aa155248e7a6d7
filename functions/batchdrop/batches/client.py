"""The client: opens what is needed when it is needed, and closes what it opened."""

import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from batchdrop.batches import config as given
from batchdrop.batches.credentials import default_project
from batchdrop.batches.developer import Developer
from batchdrop.batches.file_client import AsyncFiles, Files
from batchdrop.batches.objects import Objects
from batchdrop.batches.operations import AsyncBatches, Batches
from batchdrop.batches.settings import resolve
from batchdrop.batches.types import HttpOptions
from batchdrop.batches.vertex import Vertex

if TYPE_CHECKING:
    from batchdrop.batches.transport import AsyncTransport, Transport

__all__ = ["AsyncBatches", "AsyncClient", "Batches", "Client"]


class Core:
    """What both faces share: settings, connections, the way to Cloud Storage."""

    def __init__(
        self,
        *,
        vertexai: bool | None,
        project: str | None,
        location: str | None,
        api_key: str | None,
        credentials: Any,
        http_options: HttpOptions | Mapping[str, Any] | None,
    ) -> None:
        settings = resolve(
            vertexai=vertexai,
            project=project,
            location=location,
            api_key=api_key,
            credentials=credentials,
            options=given.http_options(http_options) or HttpOptions(),
            env=os.environ,
            default_project=default_project,
        )
        self.dialect = settings.dialect
        self.options = settings.options
        self._signer = settings.signer
        project = self.dialect.project if isinstance(self.dialect, Vertex) else None
        self.objects = Objects(settings.credentials, project)
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._async_transport: AsyncTransport | None = None
        self._closed = False

    def transport(self) -> "Transport":
        """Sends; made at first use, as httpx takes a tenth of a second to import."""
        if self._transport is None:
            with self._lock:
                self._refuse_if_closed()
                if self._transport is None:
                    from batchdrop.batches.transport import Transport

                    self._transport = Transport(self.options, self._signer)
        return self._transport

    def async_transport(self) -> "AsyncTransport":
        """Sends on the running loop; made at first use."""
        if self._async_transport is None:
            with self._lock:
                self._refuse_if_closed()
                if self._async_transport is None:
                    from batchdrop.batches.transport import AsyncTransport

                    self._async_transport = AsyncTransport(self.options, self._signer)
        return self._async_transport

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this client is closed; make a new one")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self.objects.close()

    async def aclose(self) -> None:
        with self._lock:
            transport, self._async_transport = self._async_transport, None
        if transport is not None:
            await transport.close()
        self.objects.close()


class Client:
    """
    Batch jobs of Vertex AI or of the Gemini Developer API.

        from batchdrop import Client

        with Client(vertexai=True, project="p", location="us-central1") as client:
            job = client.batches.create(
                model="gemini-3.8-flash",
                src="gs://b/requests.jsonl",
                config={"destination": "gs://b/results/", "display_name": "nightly"},
            )
            job = client.batches.wait(job, on_progress=lambda j: print(j.state))
            for row in client.batches.results(job):
                print(row.key, row.text or row.error or row.blocked)

    A client may be shared between threads. It opens connections when the first call
    needs them, and closes them, and what it opened of Cloud Storage and BigQuery, at
    the end of the `with` block or by `close()`. `client.aio` is the same for asyncio.

    Args:
        vertexai: True for Vertex AI, False for the Developer API. None: what
            GOOGLE_GENAI_USE_ENTERPRISE or GOOGLE_GENAI_USE_VERTEXAI says ("true" or
            "1"), else the Developer API.
        enterprise: google-genai's newer name for `vertexai`; the same thing.
        project, location: Vertex AI only; else GOOGLE_CLOUD_PROJECT and
            GOOGLE_CLOUD_LOCATION, else the default credentials' project and "global".
        api_key: else GOOGLE_API_KEY or GEMINI_API_KEY. On Vertex AI, in place of
            credentials and a project ("express mode").
        credentials: google-auth credentials for Vertex AI, Cloud Storage and BigQuery;
            None: the application default ones. AnonymousCredentials sign nothing, which
            is what emulators want.
        http_options: an HttpOptions or a dict of its members, for every request.

    Raises:
        ValueError: contradicting arguments, no API key, or no project to be found.
        NotSignedIn: no project was given, and there are no default credentials whose
            project could be used.

    Attributes:
        batches: see Batches.
        files: the Developer API's files; see Files.
        aio: the asyncio face, with `batches` and `files`.
    """

    def __init__(
        self,
        *,
        enterprise: bool | None = None,
        vertexai: bool | None = None,
        project: str | None = None,
        location: str | None = None,
        api_key: str | None = None,
        credentials: Any = None,
        http_options: HttpOptions | Mapping[str, Any] | None = None,
    ) -> None:
        if None not in (enterprise, vertexai) and enterprise != vertexai:
            raise ValueError(
                f"{enterprise=} and {vertexai=} contradict each other: pass one of them"
            )
        self._core = Core(
            vertexai=vertexai if enterprise is None else enterprise,
            project=project,
            location=location,
            api_key=api_key,
            credentials=credentials,
            http_options=http_options,
        )
        self.batches = Batches(self._core)
        self.files = Files(self._core)
        self.aio = AsyncClient(self._core)

    @property
    def vertexai(self) -> bool:
        """True if this client speaks to Vertex AI."""
        return isinstance(self._core.dialect, Vertex)

    def close(self) -> None:
        """Closes the sync face; a call after it is a RuntimeError."""
        self._core.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        match self._core.dialect:
            case Vertex(project=project, location=location):
                return f"Client(vertexai=True, {project=}, {location=})"
            case Developer():
                return "Client(vertexai=False)"


class AsyncClient:
    """
    The asyncio face of a client; made by it, as `client.aio`.

        async with Client(api_key="...").aio as client:
            job = await client.batches.get(name="batches/abc")
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.batches = AsyncBatches(core)
        self.files = AsyncFiles(core)

    async def aclose(self) -> None:
        """Closes the connections of the running loop; later calls open new ones."""
        await self._core.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

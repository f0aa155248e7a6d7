"""The client: a sync and an asyncio face over one `Core`."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from batchdrop.batches.core import Core
from batchdrop.batches.developer import Developer
from batchdrop.batches.file_client import AsyncFiles, Files
from batchdrop.batches.operations import AsyncBatches, Batches
from batchdrop.batches.types import HttpOptions
from batchdrop.batches.vertex import Vertex

__all__ = ["AsyncBatches", "AsyncClient", "Batches", "Client"]


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

    Threads may share a client. It opens connections at the first call. The end of the
    `with` block, or `close()`, closes them and the clients of Cloud Storage and
    BigQuery. `client.aio` is the same for asyncio.

    Requests go through httpx: each is one INFO line of the logger "httpx", and the
    event hooks of an `httpx_client` or in `client_args` are called.

    Args:
        vertexai: True for Vertex AI, False for the Developer API. None: Vertex AI if
            GOOGLE_GENAI_USE_ENTERPRISE or GOOGLE_GENAI_USE_VERTEXAI is "true" or "1",
            else the Developer API.
        enterprise: google-genai's newer name for `vertexai`.
        project, location: Vertex AI only. None: GOOGLE_CLOUD_PROJECT and
            GOOGLE_CLOUD_LOCATION, else the default credentials' project and "global".
        api_key: None: GOOGLE_API_KEY or GEMINI_API_KEY. On Vertex AI, in place of
            credentials and a project ("express mode"). Sent in a header, never in an
            address.
        credentials: google-auth credentials for Vertex AI, Cloud Storage and BigQuery;
            None: the application default ones. Pass AnonymousCredentials for emulators.
        http_options: an HttpOptions, or a dict of its members, for every request.

    Raises:
        ValueError: the arguments contradict each other, or there is no API key or no
            project.
        NotSignedIn: no project was given, and no default credentials were found to
            take one from.

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
        """True if this client uses Vertex AI."""
        return isinstance(self._core.dialect, Vertex)

    def close(self) -> None:
        """Closes the sync face; later calls raise RuntimeError."""
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
    The asyncio face of a client: `client.aio`.

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

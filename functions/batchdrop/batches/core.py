"""What both faces of a client share: settings, connections, storage clients."""

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchdrop.batches import config as given
from batchdrop.batches.credentials import default_project
from batchdrop.batches.objects import Objects
from batchdrop.batches.settings import resolve
from batchdrop.batches.types import HttpOptions
from batchdrop.batches.vertex import Vertex

if TYPE_CHECKING:
    from batchdrop.batches.transport import AsyncTransport, Transport


class Core:
    """Opens each connection at first use, and closes the ones that it opened."""

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
        """
        The blocking transport, made at first use: httpx takes a tenth of a second to
        import.

        Raises:
            RuntimeError: the client is closed.
        """
        if self._transport is None:
            with self._lock:
                self._refuse_if_closed()
                if self._transport is None:
                    from batchdrop.batches.transport import Transport

                    self._transport = Transport(self.options, self._signer)
        return self._transport

    def async_transport(self) -> "AsyncTransport":
        """The asyncio transport, made at first use; RuntimeError as above."""
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
        """Closes the blocking transport and the storage clients; no call follows."""
        with self._lock:
            self._closed = True
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self.objects.close()

    async def aclose(self) -> None:
        """Closes the asyncio transport and the storage clients; calls may follow."""
        with self._lock:
            transport, self._async_transport = self._async_transport, None
        if transport is not None:
            await transport.close()
        self.objects.close()

"""`client.files` and `client.aio.files`: the Developer API's files."""

import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from batchdrop.batches.call import Flow
from batchdrop.batches.config import fields
from batchdrop.batches.developer import Developer
from batchdrop.batches.files import (
    File,
    FileApi,
    UploadFileConfig,
    checked,
    local,
    upload,
)
from batchdrop.batches.pager import AsyncPager, Page, Pager

if TYPE_CHECKING:
    from batchdrop.batches.client import Core

_Source = str | os.PathLike[str] | IO[bytes]
_Config = UploadFileConfig | Mapping[str, Any] | None


class _Plans:
    def __init__(self, core: "Core") -> None:
        self._core = core

    @property
    def _api(self) -> FileApi:
        if not isinstance(self._core.dialect, Developer):
            raise ValueError(
                "files are the Gemini Developer API's; Vertex AI reads gs:// objects"
            )
        return FileApi(self._core.dialect)

    def _upload(self, file: _Source, config: _Config) -> Flow[File]:
        if not isinstance(config, UploadFileConfig):
            config = UploadFileConfig(
                **fields(UploadFileConfig, config or {}, "config")
            )
        pieces, size, about = local(
            file,
            mime_type=config.mime_type,
            display_name=config.display_name,
            name=config.name,
        )
        retry = self._core.options.retry_options
        return upload(self._api, pieces, size, about, retry)


def _file_name(file: str | File) -> str:
    return file.name if isinstance(file, File) else file


class Files(_Plans):
    """
    Files of the Gemini Developer API, kept there for 48 hours, 2 GB each.

        file = client.files.upload(file="requests.jsonl")
        job = client.batches.create(model="gemini-3.8-flash", src=file.name)
    """

    def upload(self, *, file: _Source, config: _Config = None) -> File:
        """
        Uploads a file in chunks of 8 MiB; a chunk without a clear answer is resumed.

        Args:
            file: a path, or a binary stream that can be sought.
            config: an UploadFileConfig or a dict of its members.

        Raises:
            TransportError: the upload was not confirmed.
        """
        return self._core.transport().run(self._upload(file, config))

    def get(self, *, name: str) -> File:
        """A file's description; answers files' metadata can't be read (400)."""
        return self._core.transport().send(self._api.get(name))

    def delete(self, *, name: str) -> None:
        """Removes a file."""
        self._core.transport().send(self._api.delete(name))

    def list(self, *, page_size: int | None = None) -> Pager[File]:
        """All files; the service gives 10 a page unless asked for up to 100."""
        api, send = self._api, self._core.transport().send

        def fetch(token: str | None) -> Page[File]:
            return send(api.list(page_size, token))

        return Pager("files", fetch(None), fetch, {"page_size": page_size})

    def download(self, *, file: str | File) -> bytes:
        """The bytes of a generated file, such as a job's answers, in memory."""
        call = self._api.download(_file_name(file))
        return b"".join(checked(self._core.transport().stream(call)))


class AsyncFiles(_Plans):
    """Files for asyncio: the same operations, to be awaited."""

    async def upload(self, *, file: _Source, config: _Config = None) -> File:
        """See Files.upload; the file is read in a thread."""
        return await self._core.async_transport().run(self._upload(file, config))

    async def get(self, *, name: str) -> File:
        """See Files.get."""
        return await self._core.async_transport().send(self._api.get(name))

    async def delete(self, *, name: str) -> None:
        """See Files.delete."""
        await self._core.async_transport().send(self._api.delete(name))

    async def list(self, *, page_size: int | None = None) -> AsyncPager[File]:
        """See Files.list."""
        api, send = self._api, self._core.async_transport().send

        async def fetch(token: str | None) -> Page[File]:
            return await send(api.list(page_size, token))

        return AsyncPager("files", await fetch(None), fetch, {"page_size": page_size})

    async def download(self, *, file: str | File) -> bytes:
        """See Files.download."""
        call = self._api.download(_file_name(file))
        return await self._core.async_transport().send(call)

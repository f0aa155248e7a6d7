"""`client.files` and `client.aio.files`: the Developer API's files."""

import builtins
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import IO, Any, overload

from msgspec.structs import replace

from batchdrop.batches import config as given
from batchdrop.batches.call import Flow, ask, work
from batchdrop.batches.config import CallConfig, fields
from batchdrop.batches.core import Core
from batchdrop.batches.credentials import GoogleCredentials
from batchdrop.batches.developer import Developer
from batchdrop.batches.files import (
    File,
    FileApi,
    ListFilesConfig,
    RegisterFilesResponse,
    UploadFileConfig,
    checked,
    local,
    upload,
)
from batchdrop.batches.official import is_file
from batchdrop.batches.pager import AsyncPager, Page, Pager
from batchdrop.batches.types import HttpOptions

_Source = str | os.PathLike[str] | IO[bytes]
_Target = str | os.PathLike[str] | IO[bytes]
_Upload = UploadFileConfig | Mapping[str, Any] | None
_Listing = ListFilesConfig | Mapping[str, Any] | None
_Config = CallConfig | Mapping[str, Any] | None


class _Plans:
    def __init__(self, core: Core) -> None:
        self._core = core

    @property
    def _api(self) -> FileApi:
        if not isinstance(self._core.dialect, Developer):
            raise ValueError(
                "files are the Gemini Developer API's; Vertex AI reads gs:// objects"
            )
        return FileApi(self._core.dialect)

    def _upload(self, file: _Source, config: _Upload) -> Flow[File]:
        values = fields(UploadFileConfig, config or {}, "config")
        options = given.http_options(values.pop("http_options", None))
        api = self._api
        pieces, size, about = local(file, **values)
        path = None if hasattr(file, "read") else os.fspath(file)
        retry = self._core.options.retry_options
        return upload(api, pieces, size, about, retry, options=options, path=path)

    def _register(
        self, auth: Any, uris: Iterable[str], config: Any
    ) -> Flow[RegisterFilesResponse]:
        if not hasattr(auth, "refresh"):
            raise ValueError(
                "auth is google-auth credentials of whoever may read the objects, "
                f"not {type(auth).__name__}"
            )
        options = _options(config)
        uris = [uris] if isinstance(uris, str) else list(uris)
        api = self._api
        signed = yield from work(GoogleCredentials(auth).headers)
        return (yield from ask(api.register(uris, signed, options)))


def _options(config: Any) -> HttpOptions | None:
    return given.call_config(config).http_options


def _listing(config: _Listing, page_size: int | None) -> ListFilesConfig:
    values = fields(ListFilesConfig, config or {}, "config")
    values["http_options"] = given.http_options(values.get("http_options"))
    if page_size is not None:
        values["page_size"] = page_size
    return ListFilesConfig(**values)


def _name(file: Any) -> str:
    """
    The name or address of a file, from itself or from an object that has one, such as
    the official SDK's File, Video and GeneratedVideo.
    """
    if is_file(file):
        file = file.name
    elif video := getattr(file, "video", None):
        file = video.uri
    elif not isinstance(file, str):
        file = getattr(file, "uri", None)
    if not isinstance(file, str):
        raise ValueError("a file is given by its name, files/.., or as a File")
    return file


def _downloadable(file: Any) -> str:
    if is_file(file) and file.download_uri is None and file.source != "GENERATED":
        raise ValueError(
            f"{file.name} can't be downloaded: only generated files can, which have a "
            "download_uri"
        )
    return _name(file)


def _kept(pieces: Iterable[bytes], target: Any) -> None:
    """Writes a download to a stream, or to a file that appears once it is complete."""
    if hasattr(target, "write"):
        for piece in pieces:
            target.write(piece)
        return
    path = os.fspath(target)
    part = f"{path}.part"
    try:
        with open(part, "wb") as file:
            for piece in pieces:
                file.write(piece)
        os.replace(part, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(part)
        raise


class Files(_Plans):
    """
    Files of the Gemini Developer API, which keeps them for 48 hours; at most 2 GB each.

        file = client.files.upload(file="requests.jsonl")
        job = client.batches.create(model="gemini-3.8-flash", src=file)

    `config` has the options of one call, as a dict, our own type or the official
    SDK's; each has `http_options`.
    """

    def upload(self, *, file: _Source, config: _Upload = None) -> File:
        """
        Uploads a file in chunks of 8 MiB, and resumes after an unclear answer.

        Args:
            file: a path, or a binary stream that can be sought.
            config: an UploadFileConfig or a dict of its members.

        Raises:
            TransportError: the upload was not confirmed.
        """
        return self._core.transport().run(self._upload(file, config))

    def get(self, *, name: str | File, config: _Config = None) -> File:
        """A file's description. The API refuses it (400) for files of answers."""
        call = self._api.get(_name(name), _options(config))
        return self._core.transport().send(call)

    def delete(self, *, name: str | File, config: _Config = None) -> None:
        """Removes a file."""
        call = self._api.delete(_name(name), _options(config))
        self._core.transport().send(call)

    def list(
        self, *, config: _Listing = None, page_size: int | None = None
    ) -> Pager[File]:
        """All files. A page has 10 by default, 100 at most."""
        api, send = self._api, self._core.transport().send
        asked = _listing(config, page_size)

        def fetch(token: str | None) -> Page[File]:
            return send(api.list(replace(asked, page_token=token)))

        shown = {"page_size": asked.page_size}
        return Pager("files", send(api.list(asked)), fetch, shown)

    @overload
    def download(
        self, *, file: str | File, destination: None = None, config: _Config = None
    ) -> bytes: ...
    @overload
    def download(
        self, *, file: str | File, destination: _Target, config: _Config = None
    ) -> None: ...
    def download(
        self,
        *,
        file: str | File,
        destination: _Target | None = None,
        config: _Config = None,
    ) -> bytes | None:
        """
        The bytes of a generated file, such as a job's answers.

        Args:
            file: its name, its address, or a File.
            destination: a path or a binary stream to write them to, piece by piece;
                None returns them, from memory.

        Raises:
            ValueError: the File was uploaded; only generated ones can be downloaded.
        """
        call = self._api.download(_downloadable(file), _options(config))
        pieces = checked(self._core.transport().stream(call))
        if destination is None:
            return b"".join(pieces)
        _kept(pieces, destination)
        return None

    def register_files(
        self,
        *,
        auth: Any,
        uris: builtins.list[str],
        config: _Config = None,
    ) -> RegisterFilesResponse:
        """
        Registers objects of Cloud Storage as files; they stay where they are.

            made = client.files.register_files(auth=credentials, uris=["gs://b/a.pdf"])
            made.files[0].uri

        Args:
            auth: google-auth credentials of whoever may read the objects.
            uris: gs:// addresses.
        """
        return self._core.transport().run(self._register(auth, uris, config))


class AsyncFiles(_Plans):
    """Files for asyncio: the same operations, to be awaited."""

    async def upload(self, *, file: _Source, config: _Upload = None) -> File:
        """See Files.upload; the file is read in a thread."""
        return await self._core.async_transport().run(self._upload(file, config))

    async def get(self, *, name: str | File, config: _Config = None) -> File:
        """See Files.get."""
        call = self._api.get(_name(name), _options(config))
        return await self._core.async_transport().send(call)

    async def delete(self, *, name: str | File, config: _Config = None) -> None:
        """See Files.delete."""
        call = self._api.delete(_name(name), _options(config))
        await self._core.async_transport().send(call)

    async def list(
        self, *, config: _Listing = None, page_size: int | None = None
    ) -> AsyncPager[File]:
        """See Files.list."""
        api, send = self._api, self._core.async_transport().send
        asked = _listing(config, page_size)

        async def fetch(token: str | None) -> Page[File]:
            return await send(api.list(replace(asked, page_token=token)))

        shown = {"page_size": asked.page_size}
        return AsyncPager("files", await send(api.list(asked)), fetch, shown)

    @overload
    async def download(
        self, *, file: str | File, destination: None = None, config: _Config = None
    ) -> bytes: ...
    @overload
    async def download(
        self, *, file: str | File, destination: _Target, config: _Config = None
    ) -> None: ...
    async def download(
        self,
        *,
        file: str | File,
        destination: _Target | None = None,
        config: _Config = None,
    ) -> bytes | None:
        """See Files.download. The bytes are held in memory, and written in a thread."""
        call = self._api.download(_downloadable(file), _options(config))
        transport = self._core.async_transport()
        content = await transport.send(call)
        if destination is None:
            return content
        await transport.run(work(lambda: _kept((content,), destination)))
        return None

    async def register_files(
        self,
        *,
        auth: Any,
        uris: builtins.list[str],
        config: _Config = None,
    ) -> RegisterFilesResponse:
        """See Files.register_files."""
        flow = self._register(auth, uris, config)
        return await self._core.async_transport().run(flow)

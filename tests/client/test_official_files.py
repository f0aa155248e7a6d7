"""
Files, as the official SDK's calls, types and configs have them: what both clients send
is the same.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.genai import types

from batchdrop import Client
from batchdrop.batches import BatchesError, File
from tests.client.credential import Token
from tests.client.official import DEVELOPER, VERTEX, Speakers, content_of, ours, theirs
from tests.client.recorder import FILE, Answer, FileKeeper, Recorder, Request

OPTIONS = types.HttpOptions(timeout=2500, headers={"x-mine": "1"}, api_version="v9")
GENERATED: dict[str, Any] = {
    "name": "files/f-1",
    "download_uri": "https://h/v1/files/f-1:download",
}
UPLOAD = ("protocol", "command", "file-name", "header-content-length")


def _content_of(request: Request) -> dict[str, Any]:
    """With an upload's headers; for a chunk only those that both clients send."""
    chunk = "upload_id" in request.query
    headers = {
        name: request.headers.get(f"x-goog-upload-{name}")
        for name in (
            ("command", "offset") if chunk else (*UPLOAD, "header-content-type")
        )
    }
    if chunk:
        return {"path": request.path, "body": request.body, **headers}
    return content_of(request) | headers


@pytest.fixture(scope="module")
def speakers() -> Iterator[Speakers]:
    with FileKeeper() as server:
        speakers = Speakers(server)
        yield speakers
        speakers.close()


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "get": ("get", {"name": "files/f"}),
    "get by id": ("get", {"name": "f"}),
    "get by address": ("get", {"name": "https://h/v1beta/files/f"}),
    "get with options": (
        "get",
        {"name": "files/f", "config": types.GetFileConfig(http_options=OPTIONS)},
    ),
    "delete with options": (
        "delete",
        {"name": "files/f", "config": types.DeleteFileConfig(http_options=OPTIONS)},
    ),
    "list": ("list", {}),
    "list some": ("list", {"config": {"page_size": 5, "pageToken": "t"}}),
    "list with options": (
        "list",
        {
            "config": types.ListFilesConfig(
                page_size=5, page_token="t", http_options=OPTIONS
            )
        },
    ),
    "download": ("download", {"file": "files/f"}),
    "download by address": (
        "download",
        {"file": "https://h/v1beta/files/f:download?alt=media"},
    ),
    "download a file": ("download", {"file": types.File(**GENERATED)}),
    "download a video": (
        "download",
        {"file": types.Video(uri="https://h/v1beta/files/f:download?alt=media")},
    ),
    "download a generated video": (
        "download",
        {
            "file": types.GeneratedVideo(
                video=types.Video(uri="https://h/v1beta/files/f:download?alt=media")
            )
        },
    ),
    "download with options": (
        "download",
        {"file": "files/f", "config": types.DownloadFileConfig(http_options=OPTIONS)},
    ),
    "register": ("register_files", {"auth": Token(), "uris": ["gs://b/a"]}),
    "register for a payer": (
        "register_files",
        {"auth": Token("payer"), "uris": ["gs://b/a", "gs://b/c"]},
    ),
    "register with options": (
        "register_files",
        {
            "auth": Token(),
            "uris": ["gs://b/a"],
            "config": types.RegisterFilesConfig(http_options=OPTIONS),
        },
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_call_of_files_sends_the_same(
    speakers: Speakers, call: tuple[str, dict[str, Any]]
) -> None:
    method, kwargs = call

    def use(client: Any) -> None:
        getattr(client.files, method)(**kwargs)

    async def use_async(client: Any) -> None:
        await getattr(client.files, method)(**kwargs)

    expected = speakers.wire(theirs, use, DEVELOPER)
    assert len(expected) == 1
    for way in (use, use_async):
        sent = speakers.wire(ours, way, DEVELOPER)
        assert [_content_of(r) for r in sent] == [_content_of(r) for r in expected]


@pytest.mark.parametrize(
    "config",
    [
        {"mime_type": "text/plain"},
        {"mimeType": "text/plain", "name": "n", "displayName": "d"},
        types.UploadFileConfig(
            mime_type="text/plain", display_name="d", name="files/n"
        ),
        types.UploadFileConfig(
            mime_type="text/plain",
            http_options=types.HttpOptions(timeout=2500, api_version="v9"),
        ),
    ],
    ids=["a dict", "camelCase", "an object", "options"],
)
@pytest.mark.parametrize("source", ["path", "stream"])
def test_an_upload_sends_the_same(
    speakers: Speakers, config: Any, source: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")

    def use(client: Any) -> None:
        file = path if source == "path" else io.BytesIO(b"abc")
        client.files.upload(file=file, config=config)

    expected = speakers.wire(theirs, use, DEVELOPER)
    sent = speakers.wire(ours, use, DEVELOPER)

    assert [_content_of(r) for r in sent] == [_content_of(r) for r in expected]
    assert len(sent) == 2


def test_options_of_an_upload_apply_to_all_of_its_requests(speakers: Speakers) -> None:
    def use(client: Client) -> None:
        client.files.upload(file=io.BytesIO(b"abc"), config={"http_options": OPTIONS})

    start, chunk = speakers.wire(ours, use, DEVELOPER)

    assert start.path == "/upload/v9/files"
    for request in (start, chunk):
        assert request.headers["x-mine"] == "1"
        assert request.headers["x-server-timeout"] == "3"


def test_a_file_name_that_a_header_cannot_hold_is_not_sent(
    speakers: Speakers, tmp_path: Path
) -> None:
    path = tmp_path / "größe.jsonl"
    path.write_bytes(b"abc")

    start, _ = speakers.wire(ours, lambda c: c.files.upload(file=path), DEVELOPER)

    assert "x-goog-upload-file-name" not in start.headers


def test_registered_files_come_back(speakers: Speakers) -> None:
    made: list[Any] = []

    def use(client: Client) -> None:
        made.append(client.files.register_files(auth=Token(), uris=["gs://b/a"]))

    speakers.wire(ours, use, DEVELOPER)

    (file,) = made[0].files
    assert (file.name, file.uri) == (FILE["name"], FILE["uri"])


REFUSED: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    (DEVELOPER, "get", {"name": "files/F"}),
    (DEVELOPER, "register_files", {"auth": "token", "uris": ["gs://b/a"]}),
    (DEVELOPER, "download", {"file": types.File(name="files/f")}),
    (DEVELOPER, "get", {"name": "files/f", "config": {"page_size": 1}}),
    (DEVELOPER, "list", {"config": {"filter": "a"}}),
    *(
        (VERTEX, method, kwargs)
        for method, kwargs in (
            ("get", {"name": "files/f"}),
            ("delete", {"name": "files/f"}),
            ("list", {}),
            ("download", {"file": "files/f"}),
            ("register_files", {"auth": Token(), "uris": ["gs://b/a"]}),
            ("upload", {"file": io.BytesIO(b""), "config": {"mime_type": "a/b"}}),
        )
    ),
]


@pytest.mark.parametrize(("arguments", "method", "kwargs"), REFUSED)
def test_an_invalid_call_of_files_is_refused(
    speakers: Speakers, arguments: dict[str, Any], method: str, kwargs: dict[str, Any]
) -> None:
    def use(client: Any) -> None:
        with pytest.raises(ValueError, match=r"."):
            getattr(client.files, method)(**kwargs)

    assert speakers.wire(ours, use, arguments) == []


# Downloads.


def test_a_download_goes_to_a_path_or_a_stream(tmp_path: Path) -> None:
    path, stream = tmp_path / "out.jsonl", io.BytesIO()
    with (
        Recorder(Answer(body=b"abc\n")) as server,
        ours(server.url, DEVELOPER) as client,
    ):
        for destination in (path, stream):
            client.files.download(
                file=File(name="files/f", source="GENERATED"), destination=destination
            )

    assert path.read_bytes() == stream.getvalue() == b"abc\n"


def test_a_download_that_fails_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"before")
    error = Answer(body={"error": {"code": 503, "message": "later"}})
    with (
        Recorder(error) as server,
        ours(server.url, DEVELOPER) as client,
        pytest.raises(BatchesError),
    ):
        client.files.download(file="files/f", destination=path)

    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]
    assert path.read_bytes() == b"before"

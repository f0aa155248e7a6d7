"""The File API's answers and errors, exactly as the API writes them."""

import base64
import hashlib
import re
from datetime import datetime, timedelta

import httpx
import pytest

from tests.batchsim.drive import Developer, http, row

CHUNK = 8 * 1024 * 1024


def begin(developer: Developer, size: int, **file: object) -> str:
    """Starts an upload; returns its address."""
    answer = http.post(
        f"{developer.sim.url}/upload/v1beta/files",
        headers={
            "x-goog-api-key": "k",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(size),
            "x-goog-upload-header-content-type": "application/jsonl",
        },
        json={"file": file},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-goog-upload-status"] == "active"
    return str(answer.headers["x-goog-upload-url"])


def send(
    url: str, content: bytes, offset: int, command: str = "upload"
) -> httpx.Response:
    headers = {
        "x-goog-upload-command": command,
        "x-goog-upload-offset": str(offset),
    }
    return http.post(url, headers=headers, content=content)


def test_a_file_is_uploaded_in_chunks_without_a_key(developer: Developer) -> None:
    content = b"x" * (CHUNK + 5)
    url = begin(developer, len(content), display_name="big")

    first = send(url, content[:CHUNK], 0)
    last = send(url, content[CHUNK:], CHUNK, "upload, finalize")

    assert "upload_id=" in url
    assert first.headers["x-goog-upload-status"] == "active"
    assert last.headers["x-goog-upload-status"] == "final"
    file = last.json()["file"]
    assert re.fullmatch(r"files/[a-z0-9]{12}", file["name"])
    assert file["displayName"] == "big"
    assert file["sizeBytes"] == str(len(content))
    assert file["mimeType"] == "application/jsonl"
    assert (file["state"], file["source"]) == ("ACTIVE", "UPLOADED")
    assert file["uri"].endswith("/v1beta/" + file["name"])
    assert "downloadUri" not in file


META = b'{"file": {"display_name": "small", "name": "files/mine"}}'


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize(
    "asked",
    [
        {"params": {"uploadType": "multipart"}},
        {"headers": {"x-goog-upload-protocol": "multipart"}},
    ],
)
def test_a_file_is_uploaded_with_its_metadata_in_one_request(
    developer: Developer, end: bytes, asked: dict[str, dict[str, str]]
) -> None:
    content = b'{"a": 1}\n\r\n{"b": 2}\n'
    lines = [b"--edge", b"Content-Type: application/json", b"", META]
    lines += [b"--edge", b"Content-Type: application/jsonl", b"", content, b"--edge--"]

    answer = http.post(
        f"{developer.sim.url}/upload/v1beta/files",
        params={"key": "k", **asked.get("params", {})},
        headers={
            "content-type": 'multipart/related; boundary="edge"',
            **asked.get("headers", {}),
        },
        content=end.join(lines) + end,
    )

    assert answer.status_code == 200, answer.text
    file = answer.json()["file"]
    assert (file["name"], file["displayName"]) == ("files/mine", "small")
    assert file["mimeType"] == "application/jsonl"
    assert base64.b64decode(file["sha256Hash"]).decode() == (
        hashlib.sha256(content).hexdigest()
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"params": {"uploadType": "media"}},
        {"headers": {"x-goog-upload-protocol": "raw"}},
    ],
)
def test_a_file_is_uploaded_as_the_body_alone(
    developer: Developer, asked: dict[str, dict[str, str]]
) -> None:
    answer = http.post(
        f"{developer.sim.url}/upload/v1beta/files",
        params={"key": "k", **asked.get("params", {})},
        headers={"content-type": "text/plain", **asked.get("headers", {})},
        content=b"abc",
    )

    assert answer.status_code == 200, answer.text
    name = answer.json()["file"]["name"]
    file = developer.request("GET", name).json()
    assert (file["sizeBytes"], file["mimeType"]) == ("3", "text/plain")


@pytest.mark.parametrize(
    ("content_type", "body", "named"),
    [
        ("multipart/related", b"", "boundary"),
        ("multipart/related; boundary=e", b"--e\n\n{}\n--e--", "two parts"),
        ("multipart/related; boundary=e", b"--e\n\n{\n--e\n\nx\n--e--", "JSON"),
        ("multipart/related; boundary=e", b"--e\n{}\n--e\n\nx\n--e--", "blank line"),
    ],
)
def test_an_invalid_multipart_upload_is_refused(
    developer: Developer, content_type: str, body: bytes, named: str
) -> None:
    answer = http.post(
        f"{developer.sim.url}/upload/v1beta/files?uploadType=multipart&key=k",
        headers={"content-type": content_type},
        content=body,
    )

    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


def test_the_hash_is_base64_of_the_hexadecimal_text(developer: Developer) -> None:
    url = begin(developer, 3)

    file = send(url, b"abc", 0, "upload, finalize").json()["file"]

    text = base64.b64decode(file["sha256Hash"]).decode()
    assert text == hashlib.sha256(b"abc").hexdigest()


def test_a_chunk_at_the_wrong_offset_is_refused_and_query_returns_the_right_one(
    developer: Developer,
) -> None:
    url = begin(developer, 6)
    send(url, b"abc", 0)

    wrong = send(url, b"def", 4, "upload, finalize")
    query = send(url, b"", 0, "query")
    right = send(url, b"def", 3, "upload, finalize")

    assert wrong.status_code == 400
    assert query.headers["x-goog-upload-size-received"] == "3"
    assert right.json()["file"]["sizeBytes"] == "6"


def test_an_upload_that_ends_short_is_refused(developer: Developer) -> None:
    url = begin(developer, 6)

    answer = send(url, b"abc", 0, "upload, finalize")

    assert answer.status_code == 400
    assert "announced with 6 bytes" in answer.json()["error"]["message"]


def test_an_unknown_upload_is_not_found(developer: Developer) -> None:
    url = begin(developer, 3)
    send(url, b"abc", 0, "upload, finalize")

    assert send(url, b"abc", 0).status_code == 404


def test_a_name_may_be_chosen_once(developer: Developer) -> None:
    url = begin(developer, 1, name="files/my-own")
    file = send(url, b"a", 0, "upload, finalize").json()["file"]

    again = http.post(
        f"{developer.sim.url}/upload/v1beta/files",
        headers={
            "x-goog-api-key": "k",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
        },
        json={"file": {"name": "files/my-own"}},
    )

    assert file["name"] == "files/my-own"
    assert again.status_code == 409


@pytest.mark.parametrize(
    "name", ["a" * 41, "-a", "a-", "Upper", "under_score", "batch-" + "a" * 36]
)
def test_long_names_and_names_with_other_characters_are_refused(
    developer: Developer, name: str
) -> None:
    for method in ("GET", "DELETE"):
        answer = developer.request(method, f"files/{name}")

        assert answer.status_code == 400
        assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_a_result_file_can_be_downloaded_but_has_no_metadata(
    developer: Developer,
) -> None:
    name = developer.create(
        {"inputConfig": {"fileName": developer.upload([row(key="k")])}}
    )["name"]
    developer.sim.clock.advance(60)
    result = developer.get(name)["response"]["responsesFile"]
    headers = {"x-goog-api-key": "k"}

    one = http.get(
        f"{developer.sim.url}/v1beta/{result}:download?alt=media", headers=headers
    )
    other = http.get(
        f"{developer.sim.url}/download/v1beta/{result}:download?alt=media",
        headers=headers,
    )

    assert '"key":"k"' in one.text
    assert one.content == other.content
    assert developer.request("GET", result).status_code == 400
    assert developer.request("DELETE", result).status_code == 400


def test_an_uploaded_file_can_not_be_downloaded(developer: Developer) -> None:
    name = developer.upload([row()])

    answer = developer.request("GET", f"{name}:download?alt=media")

    assert answer.status_code == 400
    assert "only generated files" in answer.json()["error"]["message"]


def test_a_file_is_gone_after_48_hours_on_the_clock(developer: Developer) -> None:
    name = developer.upload([row()])
    file = developer.request("GET", name).json()

    created, expires = (
        datetime.fromisoformat(file[member])
        for member in ("createTime", "expirationTime")
    )
    developer.sim.clock.advance(hours=47.9)
    before = developer.request("GET", name)
    developer.sim.clock.advance(hours=0.1)
    after = developer.request("GET", name)

    assert expires - created == timedelta(hours=48)
    assert before.status_code == 200
    assert after.status_code == 403
    assert developer.request("GET", "files").json() == {}


def test_files_are_listed_ten_a_page_and_can_be_deleted(developer: Developer) -> None:
    names = [developer.upload([row()]) for _ in range(12)]

    first = developer.request("GET", "files").json()
    query = {"pageToken": first["nextPageToken"]}
    second = developer.request("GET", "files", params=query).json()
    deleted = developer.request("DELETE", names[0])

    listed = [file["name"] for file in first["files"] + second["files"]]
    assert listed == names[::-1]
    assert len(first["files"]) == 10
    assert (deleted.status_code, deleted.json()) == (200, {})
    assert developer.request("GET", names[0]).status_code == 403


def test_a_file_over_the_limit_is_refused_before_it_is_sent(
    developer: Developer,
) -> None:
    answer = http.post(
        f"{developer.sim.url}/upload/v1beta/files",
        headers={
            "x-goog-api-key": "k",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(2 * 1024**3 + 1),
        },
        json={},
    )

    assert answer.status_code == 400
    assert "2147483648" in answer.json()["error"]["message"]


def test_storage_is_limited_as_a_whole(developer: Developer) -> None:
    developer.sim.settings.limits.storage_bytes = 10
    begin(developer, 10)
    url = begin(developer, 8)
    send(url, b"12345678", 0, "upload, finalize")

    answer = http.post(
        f"{developer.sim.url}/upload/v1beta/files",
        headers={
            "x-goog-api-key": "k",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": "3",
        },
        json={},
    )

    assert answer.status_code == 429
    assert "8 bytes are stored" in answer.json()["error"]["message"]

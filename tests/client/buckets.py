"""Buckets of the storage emulator, for tests that look at what was written."""

import json
import uuid
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage


class Bucket:
    """A fresh bucket. Names are those within it, `uri` makes gs:// addresses."""

    def __init__(self) -> None:
        self._client = storage.Client(project="p", credentials=AnonymousCredentials())
        self._bucket = self._client.create_bucket(f"b-{uuid.uuid4().hex[:12]}")

    @property
    def name(self) -> str:
        return str(self._bucket.name)

    def uri(self, name: str) -> str:
        return f"gs://{self._bucket.name}/{name}"

    def put(self, name: str, content: bytes, encoding: str | None = None) -> str:
        blob = self._bucket.blob(name)
        blob.content_encoding = encoding
        blob.upload_from_string(content)
        return self.uri(name)

    def read(self, name: str) -> bytes:
        blob = self._bucket.blob(name.removeprefix(self.uri("")))
        return bytes(blob.download_as_bytes())

    def rows(self, name: str) -> list[Any]:
        return [json.loads(line) for line in self.read(name).splitlines()]

    def names(self) -> list[str]:
        return sorted(blob.name for blob in self._bucket.list_blobs())

    def close(self) -> None:
        self._client.close()

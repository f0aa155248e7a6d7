"""Uploads in one request: the metadata and the file as two parts of its body."""

import email
import re
from typing import Any

from batchsim.wire import invalid, parse_object


def parse(content_type: str, body: bytes) -> tuple[dict[str, Any], str, bytes]:
    """
    Metadata, MIME type and content of a `multipart/related` body.

    The first part is the JSON that begins a resumable upload, the second the file.
    Lines may end in LF alone, as Google's older Python client sends them. ApiError 400
    for anything else.
    """
    header = email.message_from_string(f"Content-Type: {content_type}")
    boundary = header.get_boundary()
    if boundary is None:
        raise invalid("Content-Type: name the boundary of the multipart upload.")
    edge = rb"(?:^|\r?\n)--%b(?:--)?[ \t]*(?:\r?\n|$)" % re.escape(boundary.encode())
    parts = re.split(edge, body)[1:-1]
    if len(parts) != 2:
        raise invalid(
            f"A multipart upload has two parts, metadata and file; this one has "
            f"{len(parts)}."
        )
    metadata, file = parts
    _, content = _split(metadata)
    kind, media = _split(file)
    return parse_object(content), kind, media


def _split(part: bytes) -> tuple[str, bytes]:
    """The MIME type that a part's headers name, "" if none, and its content."""
    end = re.search(rb"(?:^|\r?\n)\r?\n", part)
    if end is None:
        raise invalid(
            "A part of a multipart upload must begin with headers or a blank line."
        )
    headers = email.message_from_bytes(part[: end.start()])
    return headers.get("content-type", ""), part[end.end() :]

"""
Announcements pass the schema that their topic has; what isn't one doesn't. Pub/Sub's
emulator knows no protocol buffers, so their own parser stands in for Pub/Sub.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
)
from grpc_tools import protoc

from batchdrop.announcements.message import Announcement
from tests.infra import announcements
from tests.infra.terraform import INFRA

EXAMPLES = list(announcements.examples())


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Any]:
    """Reads a body as the schema's message, strictly."""
    out: Path = tmp_path_factory.mktemp("proto") / "descriptors"
    arguments = ["protoc", f"-I{INFRA}", f"--descriptor_set_out={out}"]
    assert protoc.main([*arguments, "announcement.proto"]) == 0
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(files.file[0])
    message = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("Announcement")
    )
    return lambda body: json_format.Parse(body, message())


def kind(announcement: Announcement) -> str:
    return announcement.type.split(".")[3]


@pytest.mark.parametrize("announcement", EXAMPLES, ids=kind)
def test_an_announcement_of_every_kind_is_taken(
    read: Callable[[bytes], Any], announcement: Announcement
) -> None:
    message = read(announcement.body)

    assert message.job_id == announcement.job_id
    assert message.source.name == "a/b c.jsonl"


def test_the_schema_has_no_field_that_announcements_lack(
    read: Callable[[bytes], Any],
) -> None:
    fields = {field.name for field in read(b"{}").DESCRIPTOR.fields}

    assert fields == set(json.loads(EXAMPLES[0].body))


@pytest.mark.parametrize(
    "wrong", [{"surprise": "!"}, {"rows": "three"}, {"error": {"code": 9}}]
)
def test_a_body_that_is_no_announcement_is_turned_away(
    read: Callable[[bytes], Any], wrong: dict[str, Any]
) -> None:
    body = json.loads(EXAMPLES[0].body) | wrong

    with pytest.raises(json_format.ParseError):
        read(json.dumps(body).encode())

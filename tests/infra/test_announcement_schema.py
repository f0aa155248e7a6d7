"""
Announcements match the topic's schema, and other messages don't. Pub/Sub's emulator
has no protocol buffers, so their own parser stands in for Pub/Sub.
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    json_format,
    message_factory,
)
from google.protobuf.descriptor import FieldDescriptor
from grpc_tools import protoc

from batchdrop.announcements.message import Announcement
from batchdrop.subscribe import (
    BODY,
    Cost,
    Failure,
    Health,
    JobEvent,
    Parts,
    Problem,
    Results,
    Rows,
    Source,
    Stats,
    Usage,
)
from tests.infra import announcements
from tests.infra.terraform import INFRA

#: What a body consists of.
STRUCTS = (Cost, Failure, Health, Parts, Problem, Results, Rows, Source, Stats, Usage)
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
    """The kind in a type: `ended` of `dev.batchdrop.job.ended.v1`."""
    return announcement.type.split(".")[3]


@pytest.mark.parametrize("announcement", EXAMPLES, ids=kind)
def test_an_announcement_of_every_kind_matches_the_topics_schema(
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


def form(type: Any) -> str:
    """What a field of this type is in protocol buffers."""
    given = [each for each in get_args(type) if each not in (NoneType, ...)]
    if get_origin(type) in (UnionType, Union):
        return form(given[0])
    if get_origin(type) is dict:
        return f"map {form(given[0])} {form(given[1])}"
    if get_origin(type) is tuple:
        return f"repeated {form(given[0])}"
    if issubclass(type, msgspec.Struct):
        return str(type.__name__)
    return {int: "int64", str: "string", datetime: "string"}[type]


def declared(field: FieldDescriptor) -> str:
    """The same of a field in the schema."""
    inner = field.message_type
    if inner and inner.GetOptions().map_entry:
        return f"map {declared(inner.fields[0])} {declared(inner.fields[1])}"
    kinds = {FieldDescriptor.TYPE_INT64: "int64", FieldDescriptor.TYPE_STRING: "string"}
    kind = inner.name if inner else kinds[field.type]
    return f"repeated {kind}" if field.is_repeated else kind


def test_the_schema_is_that_of_the_event(read: Callable[[bytes], Any]) -> None:
    announced = read(b"{}").DESCRIPTOR
    of_body = {name: get_type_hints(JobEvent)[name] for name in BODY}
    structs = {"Announcement": of_body} | {
        each.__name__: get_type_hints(each) for each in STRUCTS
    }
    messages = [announced, *announced.nested_types]

    found = {
        message.name: {field.name: declared(field) for field in message.fields}
        for message in messages
        if not message.GetOptions().map_entry
    }

    assert found == {
        name: {field: form(type) for field, type in hints.items()}
        for name, hints in structs.items()
    }


@pytest.mark.parametrize(
    "wrong", [{"surprise": "!"}, {"rows": "three"}, {"error": {"code": 9}}]
)
def test_a_body_that_is_no_announcement_is_rejected(
    read: Callable[[bytes], Any], wrong: dict[str, Any]
) -> None:
    body = json.loads(EXAMPLES[0].body) | wrong

    with pytest.raises(json_format.ParseError):
        read(json.dumps(body).encode())

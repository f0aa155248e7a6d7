"""
A stand-in for the Google providers that knows their schema and nothing else.

Terraform calls a provider over gRPC (plugin protocol 6). The variable
TF_REATTACH_PROVIDERS makes it use a provider that already runs. This one answers from
the schema alone, so `validate`, `plan` and `test` need no registry, no download, no
credentials and no entry in a lock file. It does not make the checks that Google's
provider has in code, such as which arguments exclude each other.
"""

import contextlib
import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import msgspec

#: How Terraform writes "known after apply" (its msgpack extension 0).
UNKNOWN = msgspec.msgpack.Ext(0, b"\x00")

#: The answers of data sources.
PROJECT_NUMBER = 123456789012
DATA = {
    "google_project": {"number": str(PROJECT_NUMBER)},
    "google_storage_project_service_account": {
        "member": f"serviceAccount:service-{PROJECT_NUMBER}"
        "@gs-project-accounts.iam.gserviceaccount.com"
    },
}

_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}


@contextlib.contextmanager
def serving(schema: Path) -> Iterator[dict[str, str]]:
    """
    Serves each provider of a schema file, and yields the environment for Terraform.

    Args:
        schema: gzipped JSON, in the shape of `terraform providers schema -json`.
    """
    schemas = json.loads(gzip.decompress(schema.read_bytes()))["provider_schemas"]
    reattach = {}
    with contextlib.ExitStack() as stack:
        # A socket's path has at most about 100 characters: keep the folder's short.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tf-"))
        for address, provider in schemas.items():
            socket = f"{folder}/{address.rpartition('/')[2]}"
            server = grpc.server(futures.ThreadPoolExecutor(4))
            server.add_generic_rpc_handlers((_Service(Provider(provider)),))
            server.add_insecure_port(f"unix:{socket}")
            server.start()
            stack.callback(server.stop, 0)
            reattach[address] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": socket},
            }
        yield {
            "TF_REATTACH_PROVIDERS": json.dumps(reattach),
            "TF_CLI_CONFIG_FILE": os.devnull,
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            # A third of its time would be spent on freeing what a short run can keep.
            "GOGC": "400",
        }


class Provider:
    """The provider's side of the protocol: bytes in, bytes out."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._resources = schema["resource_schemas"]
        self._data_sources = schema["data_source_schemas"]
        self._project = "unset"
        self._schema = _provider_schema(schema)

    def answer(self, method: str, request: bytes) -> bytes:
        """The response to a call. An empty one means success, for all other calls."""
        match method:
            case "GetProviderSchema":
                return self._schema
            case "ConfigureProvider":
                project = _value(_fields(request)[2][0])["project"]
                self._project = project if isinstance(project, str) else self._project
            case "ValidateResourceConfig":
                block, config = self._resource(request, 2)
                return b"".join(_bytes(1, found) for found in _misfits(block, config))
            case "PlanResourceChange":
                block, proposed = self._resource(request, 3)
                planned = self._planned(_type_name(request), block, proposed)
                return _bytes(1, _dynamic(planned)) + _number(5, 1)
            case "ApplyResourceChange":
                block, planned = self._resource(request, 3)
                return _bytes(1, _dynamic(_applied(block, planned))) + _number(4, 1)
            case "ReadDataSource":
                name = _type_name(request)
                block = self._data_sources[name]["block"]
                asked = _value(_fields(request)[2][0])
                found = _filled(block, asked, _example) | DATA.get(name, {})
                return _bytes(1, _dynamic(found))
            case "ReadResource":
                return _bytes(1, _fields(request)[2][0])
            case "UpgradeResourceState":
                state = _fields(_fields(request)[3][0])[1][0]
                return _bytes(1, _bytes(2, state))
        return b""

    def _resource(self, request: bytes, number: int) -> tuple[dict[str, Any], Any]:
        """The resource's schema, and the value in the request's field `number`."""
        block = self._resources[_type_name(request)]["block"]
        return block, _value(_fields(request)[number][0])

    def _planned(self, name: str, block: dict[str, Any], proposed: Any) -> Any:
        """The value with what is computed as UNKNOWN; None, a deletion, stays None."""
        if proposed is None:
            return None
        planned = _filled(block, proposed, lambda *_: UNKNOWN)
        if name == "google_service_account":
            # Google's provider knows these before it creates the account.
            account = f"{planned['account_id']}@{self._project}.iam.gserviceaccount.com"
            planned |= {"email": account, "member": f"serviceAccount:{account}"}
        return planned


class _Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Routes the plugin protocol's calls to a provider, as undecoded bytes."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def service(self, call: Any) -> Any:
        """The handler of a call; None if the call is to another service."""
        service, _, method = call.method.strip("/").partition("/")
        if service != "tfplugin6.Provider":
            return None  # Terraform also calls services of go-plugin
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _: self._provider.answer(method, request),
            request_deserializer=bytes,
            response_serializer=bytes,
        )


# --- values, as the schema shapes them --------------------------------------------


def _filled(block: dict[str, Any], value: Any, fill: Any) -> Any:
    """A block's value, with everything that the provider computes filled in."""
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, attribute in block["attributes"].items():
        if filled.get(name) is None and attribute.get("computed"):
            filled[name] = fill(name, attribute["type"])
    for name, nested in block.get("block_types", {}).items():
        if isinstance(inner := filled.get(name), list):
            filled[name] = [_filled(nested["block"], each, fill) for each in inner]
        else:
            filled[name] = _filled(nested["block"], inner, fill)
    return filled


def _applied(block: dict[str, Any], value: Any) -> Any:
    """The planned value, with an example for each unknown."""
    if value is None:
        return None
    known = {key: None if each == UNKNOWN else each for key, each in value.items()}
    for name, nested in block.get("block_types", {}).items():
        if isinstance(inner := known.get(name), list):
            known[name] = [_applied(nested["block"], each) for each in inner]
    return _filled(block, known, _example)


def _example(name: str, type: Any) -> Any:
    """A value of the type, for what the real provider would compute."""
    match type:
        case "string":
            return f"computed-{name}"
        case "number":
            return PROJECT_NUMBER
        case "bool":
            return False
        case ["map", _]:
            return {}
    return []


def _misfits(block: dict[str, Any], value: Any, path: Any = ()) -> Iterator[bytes]:
    """Diagnostics for values that the documentation does not list."""
    if not isinstance(value, dict):
        return
    for name, attribute in block["attributes"].items():
        found, allowed = value.get(name), attribute.get("enum")
        if allowed and isinstance(found, str) and found and found not in allowed:
            yield _diagnostic(f"{name} is {found!r}, not one of {allowed}", path, name)
    for name, nested in block.get("block_types", {}).items():
        inner = value.get(name)
        for index, each in enumerate(inner if isinstance(inner, list) else []):
            # Members of a set have no address.
            ordered = nested["nesting_mode"] == "list"
            deeper = (*path, name, index) if ordered else path
            yield from _misfits(nested["block"], each, deeper)


# --- messages ---------------------------------------------------------------------


def _provider_schema(schema: dict[str, Any]) -> bytes:
    """The response to GetProviderSchema: all resources and data sources."""
    message = _bytes(1, _schema(schema["provider"]))
    for name, resource in schema["resource_schemas"].items():
        entry = _bytes(1, name.encode()) + _bytes(2, _schema(resource))
        message += _bytes(2, entry)
    for name, source in schema["data_source_schemas"].items():
        entry = _bytes(1, name.encode()) + _bytes(2, _schema(source))
        message += _bytes(3, entry)
    return message + _bytes(6, _number(2, 1))  # "planning may destroy"


def _schema(schema: dict[str, Any]) -> bytes:
    """A Schema message: version and block."""
    return _number(1, schema.get("version", 0)) + _bytes(2, _block(schema["block"]))


def _block(block: dict[str, Any]) -> bytes:
    """A Schema.Block message: its attributes and nested blocks."""
    message = b""
    for name, attribute in sorted(block["attributes"].items()):
        message += _bytes(
            2,
            _bytes(1, name.encode())
            + _bytes(2, json.dumps(attribute["type"]).encode())
            + _number(4, attribute.get("required", 0))
            + _number(5, attribute.get("optional", 0))
            + _number(6, attribute.get("computed", 0)),
        )
    for name, nested in sorted(block.get("block_types", {}).items()):
        message += _bytes(
            3,
            _bytes(1, name.encode())
            + _bytes(2, _block(nested["block"]))
            + _number(3, _NESTING[nested["nesting_mode"]])
            + _number(4, nested.get("min_items", 0))
            + _number(5, nested.get("max_items", 0)),
        )
    return message


def _diagnostic(summary: str, path: Any, name: str) -> bytes:
    """A Diagnostic message: an error at the attribute `name` below `path`."""
    steps = b""
    for step in (*path, name):
        # A step is an attribute's name or an index of a list, which may be 0.
        index = isinstance(step, int)
        sent = _varint(3 << 3) + _varint(step) if index else _bytes(1, step.encode())
        steps += _bytes(1, sent)
    return _number(1, 1) + _bytes(2, summary.encode()) + _bytes(4, steps)


def _type_name(request: bytes) -> str:
    """The resource's type: the first field of every request about one."""
    name: bytes = _fields(request)[1][0]
    return name.decode()


def _dynamic(value: Any) -> bytes:
    """A DynamicValue message that holds the value as MessagePack."""
    return _bytes(1, msgspec.msgpack.encode(value))


def _value(message: bytes) -> Any:
    """The value of a DynamicValue, from MessagePack or JSON; may hold UNKNOWN."""
    fields = _fields(message)
    if 1 in fields:
        return msgspec.msgpack.decode(fields[1][0], ext_hook=lambda *_: UNKNOWN)
    return json.loads(fields[2][0])


# --- the part of protobuf's wire format that is needed --------------------------------


def _varint(number: int) -> bytes:
    """A number of at least 0, seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _bytes(field: int, data: bytes) -> bytes:
    """A field of bytes, text or a nested message."""
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _number(field: int, number: int) -> bytes:
    """A field with a number or a flag; nothing for 0, the default."""
    return _varint(field << 3) + _varint(int(number)) if number else b""


def _fields(message: bytes) -> dict[int, list[Any]]:
    """The fields by number of a message that holds only numbers and bytes."""
    fields: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        """The number that begins at `at`; moves `at` behind it."""
        nonlocal at
        number = shift = 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while at < len(message):
        field, kind = divmod(varint(), 8)
        if kind == 0:
            found: Any = varint()
        elif kind == 2:
            size = varint()
            found, at = message[at : at + size], at + size
        else:
            raise ValueError(f"unexpected wire type {kind}")
        fields.setdefault(field, []).append(found)
    return fields

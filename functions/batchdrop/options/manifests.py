"""Manifests: `NAME.job.json` sets options of one job, as {model, src, config}."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

import msgspec
from msgspec import Raw

from batchdrop.batches import inline
from batchdrop.errors import BadChoice
from batchdrop.jobs.codes import ErrorCode
from batchdrop.options import readers
from batchdrop.options.configuration import INCONVERTIBLE, exact_json
from batchdrop.options.table import By, options, unknown
from batchdrop.preflight.lines import broken_at
from batchdrop.quoting import unquoted

#: Bytes of a manifest, which may have requests in it. Its text is held several times
#: while it is read: four of 20 MB at once took 726 MiB, and a function has 512.
MAX_SIZE = 10 * 1000**2
#: Values in a manifest, at any depth, and levels of nesting. A decoded value takes
#: about 100 bytes of memory: {"src":[{},{},...]} of 20 MB took 929 MB.
MAX_VALUES = 500_000
MAX_DEPTH = 100

_members = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
#: What a decoder raises for malformed JSON.
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

#: In a path, in place of an unknown name: a user's text never stands in an error.
UNKNOWN = "?"

#: The members of the official SDK's InlinedRequest.
_INLINED = frozenset({"contents", "config", "metadata", "model"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """
    What a manifest sets for one job. At most one of `objects`, `table`, `dataset` and
    `requests` is set; with none of them it is for the file beside it.
    """

    model: str | None = None
    objects: tuple[str, ...] = ()  #: gs:// addresses
    table: str | None = None  #: bq://project.dataset.table
    dataset: str | None = None  #: projects/P/locations/L/datasets/D
    requests: tuple[bytes, ...] = ()  #: as they were written; see `lines`
    #: By the names of the options; an option that it leaves alone is absent.
    choices: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """
        Reads a manifest.

        Raises:
            BadChoice: `bad_manifest`, with the path in it and what to write instead.
        """
        if len(data) > MAX_SIZE:
            _bad(
                "",
                f"it has {len(data):,} bytes, and may have {MAX_SIZE:,}; write the "
                "requests into a file of their own, and its name with .job.json here",
            )
        if not data.strip():
            _bad("", 'it is empty; write {"model": ..., "src": ..., "config": {...}}')
        if (broken := broken_at(data)) is not None:
            _bad("", f"byte {broken + 1} is not UTF-8; save it as UTF-8")
        data = data.removeprefix(b"\xef\xbb\xbf")
        _hold_to_bounds(data)
        members = _object(data, "")
        for name in members:
            if name not in ("model", "src", "config"):
                _bad(UNKNOWN, unknown(name, ("model", "src", "config")))
        model = None
        if "model" in members:
            with_path = _value(members["model"], "model")
            model = _read(readers.text, with_path, "model")
        source = _source(members["src"]) if "src" in members else {}
        choices = _config(members["config"]) if "config" in members else {}
        return cls(model=model, choices=choices, **source)

    @property
    def has_source(self) -> bool:
        """Whether it names its rows, and so is a job by itself."""
        return bool(self.objects or self.table or self.dataset or self.requests)

    def lines(self, kind: str = "generation") -> Iterator[bytes]:
        """
        Yields the manifest's own requests as lines of a file, without line feeds. A
        request in the shape of the official SDK's InlinedRequest becomes a line with
        its metadata's `key`, or `request-N`. All others, and all numbers, stay as they
        were written.

        Args:
            kind: "generation" or "embedding".

        Raises:
            BadChoice: `bad_manifest`, for a request that can't be read as either.
        """
        converted = self._is_inlined(kind)
        for number, request in enumerate(self.requests):
            path = f"src[{number}]"
            its = _object(request, path)
            if converted or (_may_be_inlined(its) and _is_inlined(its, kind)):
                _refuse_in_config(its, path)
                convert = _embedding if kind == "embedding" else _generation
                yield convert(its, request, number, path)
            else:
                yield request

    def _is_inlined(self, kind: str) -> bool:
        """Whether all can have the official SDK's shape, and one of them must."""
        found = False
        for number, request in enumerate(self.requests):
            its = _object(request, f"src[{number}]")
            if not _may_be_inlined(its):
                return False
            found = found or _is_inlined(its, kind)
        return found


# -- reading -----------------------------------------------------------------------

_TEXT = re.compile(rb'"[^"]*"?')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _hold_to_bounds(data: bytes) -> None:
    """
    Counts a manifest's values and levels without decoding it, several times faster and
    in a few times its size of memory. Malformed JSON may pass; the decoder refuses it.
    """
    # Without escaped quotes, every second quote ends a text.
    plain = data.replace(rb"\\", b"").replace(rb"\"", b"")
    # A text is a value or a name. Counted first, as cutting each one out takes time.
    values = plain.count(b'"') // 4
    if values <= MAX_VALUES:
        plain = _TEXT.sub(b"", plain)
        values = plain.count(b",") + plain.count(b"[") + plain.count(b"{")
    if values > MAX_VALUES:
        _bad(
            "",
            f"it has more than {MAX_VALUES:,} values; write the requests into a file "
            "of their own, and its name with .job.json here",
        )
    brackets = plain.translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if b"[]" in brackets:
        _bad("", f"it is nested deeper than {MAX_DEPTH} levels; write it flatter")


def _bad(path: str, what: str) -> NoReturn:
    where = f"{path[:200]}: " if path else ""
    raise BadChoice(ErrorCode.BAD_MANIFEST, f"{where}{what}")


def _object(raw: bytes | Raw, path: str) -> dict[str, Raw]:
    """The members of an object, without those that are null."""
    try:
        members = _members.decode(raw)
    except msgspec.ValidationError:
        _bad(path, f'got {_kind(raw)}; write an object, {{"...": ...}}')
    except _MALFORMED as exc:
        _bad(path, f"no JSON: {exc}")
    return {name: each for name, each in members.items() if bytes(each) != b"null"}


def _list(raw: bytes | Raw, path: str) -> list[Raw]:
    try:
        return _items.decode(raw)
    except _MALFORMED as exc:
        _bad(path, f"no JSON: {exc}")


def _value(raw: bytes | Raw, path: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except _MALFORMED as exc:
        _bad(path, f"no JSON: {exc}")


def _kind(raw: bytes | Raw) -> str:
    first = bytes(raw).lstrip()[:1]
    return {b"[": "a list", b'"': "a text", b"{": "an object"}.get(first, "a value")


def _read(reading: Callable[[Any], Any], value: Any, path: str) -> Any:
    try:
        return reading(value)
    except ValueError as exc:
        _bad(path, str(exc))


def _one_line(raw: bytes | Raw) -> bytes:
    # JSON escapes line feeds within a text, so that these stand between values.
    return re.sub(rb"[\r\n]", b" ", bytes(raw)).strip()


# -- src ---------------------------------------------------------------------------

_SOURCES = (
    'write "gs://bucket/object.jsonl" or a list of these, '
    '"bq://project.dataset.table", "projects/P/locations/L/datasets/D", a list of '
    "requests, or leave it out for the file beside the manifest"
)


def _source(raw: Raw) -> dict[str, Any]:
    if _kind(raw) == "a text":
        text = _value(raw, "src")
        if text.startswith("bq://"):
            return {"table": _read(readers.bq_table, text, "src")}
        if readers.is_vertex_dataset(text):
            return {"dataset": text}
        if not text.startswith("gs://"):
            _bad("src", f"got {readers.shape(text)}; {_SOURCES}")
        return {"objects": (_read(readers.gs_object, text, "src"),)}
    if _kind(raw) != "a list":
        _bad("src", f"got {_kind(raw)}; {_SOURCES}")
    items = _list(raw, "src")
    if not items:
        _bad("src", f"got an empty list; {_SOURCES}")
    kinds = [_kind(item) for item in items]
    for number, kind in enumerate(kinds):
        path = f"src[{number}]"
        if kind not in ("a text", "an object"):
            _bad(path, f"got {kind}; write a request, or a gs:// address")
        if kind != kinds[0]:
            _bad(path, f"got {kind}, and src[0] is {kinds[0]}; write all of one kind")
    if kinds[0] == "an object":
        return {"requests": tuple(map(_one_line, items))}
    addresses: dict[str, None] = {}
    for number, item in enumerate(items):
        path = f"src[{number}]"
        address = _read(readers.gs_object, _value(item, path), path)
        if address in addresses:
            first = list(addresses).index(address)
            _bad(path, f"src[{first}] has it too; its rows would be paid twice")
        addresses[address] = None
    return {"objects": tuple(addresses)}


# -- config ------------------------------------------------------------------------

#: The options that a manifest may set; `model` stands beside config.
_OPTIONS = {o.name: o for o in options(By.MANIFEST) if o.name != "model"}
#: Members of config. The official SDK's word for a destination is `dest`.
CONFIG = (*_OPTIONS, "dest")

_DEPLOYER = "a file can't choose it: it is for the deployer, in the environment"
_ROUTE = f"{_DEPLOYER} or a route"
_CREDENTIALS = "a file can't name credentials, or who acts for it"
_ADDRESS = "a file can't name addresses of services"
#: Members that are refused by name, and why. The later reasons count.
_REFUSED = {
    **{o.name: _DEPLOYER for o in options(By.ENVIRONMENT) if By.MANIFEST not in o.by},
    **{o.name: _ROUTE for o in options(By.ROUTE) if By.MANIFEST not in o.by},
    **dict.fromkeys(("staging", "priority", "idempotency_token"), _DEPLOYER),
    **dict.fromkeys(
        (
            *("credentials", "api_key", "access_token", "token", "service_account"),
            *("encryption_spec", "encryption_key", "kms_key_name", "impersonate"),
        ),
        _CREDENTIALS,
    ),
    **dict.fromkeys(
        (
            *(
                "api_url",
                "base_url",
                "api_endpoint",
                "endpoint",
                "proxy",
                "api_version",
            ),
            *("http_options", "webhook_config", "webhook", "callback_url"),
        ),
        _ADDRESS,
    ),
    "model": 'write it beside config: {"model": ..., "config": {...}}',
    "src": 'write it beside config: {"src": ..., "config": {...}}',
}


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: f"_{m[0].lower()}", name)


def _config(raw: Raw) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in _object(raw, "config").items():
        path, name = f"config.{key}", _snake(key)
        if name in _REFUSED:
            _bad(path, _REFUSED[name])
        if name not in CONFIG:
            _bad(f"config.{UNKNOWN}", unknown(name, CONFIG))
        field = "destination" if name == "dest" else name
        if field in found:
            _bad(path, f"{field} is given twice, in two spellings; leave one out")
        if field == "generation_config":
            found[field] = _generation_config(value, path)
        elif field == "destination":
            found[field] = _destination(value, path)
        else:
            found[field] = _read(
                _OPTIONS[field].type.of_value, _value(value, path), path
            )
    return found


def _generation_config(raw: Raw, path: str) -> str | None:
    """As it was written; None for one without members."""
    try:
        return readers.a_config(bytes(raw).decode())
    except ValueError as exc:
        _bad(path, str(exc))


def _destination(raw: Raw, path: str) -> str:
    if _kind(raw) == "an object":
        members = _object(raw, path)
        texts = {}
        for key, value in members.items():
            name = _snake(key)
            if name == "format":
                continue
            if name not in ("gcs_uri", "bigquery_uri"):
                _bad(f"{path}.{UNKNOWN}", unknown(name, ("gcs_uri", "bigquery_uri")))
            texts[f"{path}.{key}"] = (name, value)
        if len(texts) != 1:
            _bad(path, "write one of gcs_uri and bigquery_uri")
        [(path, (name, raw))] = texts.items()
        scheme = {"gcs_uri": "gs://", "bigquery_uri": "bq://"}[name]
        text = _read(readers.text, _value(raw, path), path)
        if not text.startswith(scheme):
            _bad(path, f"got {readers.shape(text)}; write {scheme}...")
    text = _read(readers.text, _value(raw, path), path)
    return str(_read(readers.destination, text, path))


# -- requests in the official SDK's shape ------------------------------------------


def _may_be_inlined(members: Mapping[str, Raw]) -> bool:
    return "contents" in members and _INLINED.issuperset(members)


def _is_inlined(members: Mapping[str, Raw], kind: str) -> bool:
    """Whether it can't be a row of a file as it stands."""
    if "config" in members or "metadata" in members:
        return True
    if kind == "embedding":
        return False
    contents = members["contents"]
    if _kind(contents) != "a list":
        return True
    return any(
        _kind(item) != "an object" or "parts" not in _object(item, "contents")
        for item in _list(contents, "contents")
    )


def _refuse_in_config(members: Mapping[str, Raw], path: str) -> None:
    """Refuses what the official SDK would use, and we would silently leave out."""
    if "config" not in members or _kind(members["config"]) != "an object":
        return
    for key in _object(members["config"], f"{path}.config"):
        if (why := _REFUSED.get(_snake(key))) in (_CREDENTIALS, _ADDRESS):
            _bad(f"{path}.config.{key}", str(why))


def _generation(
    members: Mapping[str, Raw], request: bytes, number: int, path: str
) -> bytes:
    try:
        made, metadata = inline.request(exact_json(request))
        if not made.get("generationConfig"):
            made.pop("generationConfig", None)  # the import refuses empty objects
        line: dict[str, Any] = {"key": _key(metadata, number, f"{path}.metadata")}
        if metadata and metadata.keys() - {"key"}:
            line["metadata"] = members["metadata"]
        return msgspec.json.encode({**line, "request": made})
    except INCONVERTIBLE as exc:
        why = unquoted(str(exc)) if isinstance(exc, ValueError) else "it can't be read"
        _bad(path, f"{why}; write it as a row of a JSONL file")


def _embedding(
    members: Mapping[str, Raw], request: bytes, number: int, path: str
) -> bytes:
    config = _object(members["config"], f"{path}.config") if "config" in members else {}
    metadata = _value(members["metadata"], path) if "metadata" in members else None
    line: dict[str, Any] = {"key": _key(metadata, number, f"{path}.metadata")}
    line |= {name: members[name] for name in ("model", "contents") if name in members}
    for name, value in config.items():
        if name in line:
            _bad(f"{path}.config.{name}", "stands beside config too; leave one out")
        line[name] = value
    return msgspec.json.encode(line)


def _key(metadata: Any, number: int, path: str) -> str:
    if metadata is None:
        return f"request-{number + 1}"
    if not isinstance(metadata, dict):
        _bad(path, 'write an object, {"key": "..."}')
    key = metadata.get("key", f"request-{number + 1}")
    if not isinstance(key, str) or not key:
        _bad(f"{path}.key", 'write a text, "key": "..."')
    return key

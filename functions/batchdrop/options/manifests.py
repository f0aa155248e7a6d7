"""Manifests: `NAME.job.json` sets options of one job, as {model, src, config}."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

import msgspec
from msgspec import Raw

from batchdrop.batches import inline
from batchdrop.options import readers
from batchdrop.options.configuration import INCONVERTIBLE, exact_json
from batchdrop.options.manifest_json import (
    MAX_SIZE,
    bad,
    hold_to_bounds,
    items_of,
    kind_of,
    members_of,
    one_line,
    read,
    value_of,
)
from batchdrop.options.table import By, options, unknown
from batchdrop.preflight.lines import broken_at
from batchdrop.preflight.members import of_request
from batchdrop.quoting import unquoted

#: In a path, in place of an unknown name: a user's text never stands in an error.
UNKNOWN = "?"

#: A row has one of these, and no manifest has any.
_ROW = frozenset({"contents", "request", "messages", "custom_id", "body", "content"})
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
            bad(
                "",
                f"it has {len(data):,} bytes, and may have {MAX_SIZE:,}; write the "
                "requests into a file of their own, and its name with .job.json here",
            )
        if not data.strip():
            bad("", 'it is empty; write {"model": ..., "src": ..., "config": {...}}')
        if (broken := broken_at(data)) is not None:
            bad("", f"byte {broken + 1} is not UTF-8; save it as UTF-8")
        data = data.removeprefix(b"\xef\xbb\xbf")
        hold_to_bounds(data)
        members = members_of(data, "")
        for name in members:
            if name not in ("model", "src", "config"):
                _misplaced(name, members)
        model = None
        if "model" in members:
            with_path = value_of(members["model"], "model")
            model = read(readers.text, with_path, "model")
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
            its = members_of(request, path)
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
            its = members_of(request, f"src[{number}]")
            if not _may_be_inlined(its):
                return False
            found = found or _is_inlined(its, kind)
        return found


# -- src ---------------------------------------------------------------------------

_SOURCES = (
    'write "gs://bucket/object.jsonl" or a list of these, '
    '"bq://project.dataset.table", "projects/P/locations/L/datasets/D", a list of '
    "requests, or leave it out for the file beside the manifest"
)


def _source(raw: Raw) -> dict[str, Any]:
    if kind_of(raw) == "a text":
        text = value_of(raw, "src")
        if text.startswith("bq://"):
            return {"table": read(readers.bq_table, text, "src")}
        if readers.is_vertex_dataset(text):
            return {"dataset": text}
        if not text.startswith("gs://"):
            bad("src", f"got {readers.shape(text)}; {_SOURCES}")
        return {"objects": (read(readers.gs_object, text, "src"),)}
    if kind_of(raw) != "a list":
        bad("src", f"got {kind_of(raw)}; {_SOURCES}")
    items = items_of(raw, "src")
    if not items:
        bad("src", f"got an empty list; {_SOURCES}")
    kinds = [kind_of(item) for item in items]
    for number, kind in enumerate(kinds):
        path = f"src[{number}]"
        if kind not in ("a text", "an object"):
            bad(path, f"got {kind}; write a request, or a gs:// address")
        if kind != kinds[0]:
            bad(path, f"got {kind}, and src[0] is {kinds[0]}; write all of one kind")
    if kinds[0] == "an object":
        return {"requests": tuple(map(one_line, items))}
    addresses: dict[str, None] = {}
    for number, item in enumerate(items):
        path = f"src[{number}]"
        address = read(readers.gs_object, value_of(item, path), path)
        if address in addresses:
            first = list(addresses).index(address)
            bad(path, f"src[{first}] has it too; its rows would be paid twice")
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


def _misplaced(name: str, members: Collection[str]) -> NoReturn:
    """Refuses a member that a manifest doesn't have; those of an API may be named."""
    if not _ROW.isdisjoint(members):
        bad(
            "",
            "it is a row, and no manifest; drop rows in a file of their own, "
            'NAME.jsonl, or list them: {"src": [...]}',
        )
    if _snake(name) in CONFIG:
        bad(name, f'write it inside of config: {{"config": {{"{name}": ...}}}}')
    if _configures_answers(_snake(name)):
        config = f'{{"config": {{"generation_config": {{"{name}": ...}}}}}}'
        bad(name, f"write it as {config}")
    bad(UNKNOWN, unknown(name, ("model", "src", "config")))


def _configures_answers(name: str) -> bool:
    """Whether a generation configuration has such a member."""
    request = of_request("vertex.GenerateContentRequest")
    config = request.member("generationConfig")
    return request.has(name) or (config is not None and config.has(name))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: f"_{m[0].lower()}", name)


def _config(raw: Raw) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in members_of(raw, "config").items():
        path, name = f"config.{key}", _snake(key)
        if name in _REFUSED:
            bad(path, _REFUSED[name])
        if name not in CONFIG:
            if _configures_answers(name):
                bad(path, f'write it as {{"generation_config": {{"{key}": ...}}}}')
            bad(f"config.{UNKNOWN}", unknown(name, CONFIG))
        field = "destination" if name == "dest" else name
        if field in found:
            bad(path, f"{field} is given twice, in two spellings; leave one out")
        if field == "generation_config":
            found[field] = _generation_config(value, path)
        elif field == "destination":
            found[field] = _destination(value, path)
        else:
            found[field] = read(
                _OPTIONS[field].type.of_value, value_of(value, path), path
            )
    return found


def _generation_config(raw: Raw, path: str) -> str | None:
    """As it was written; None for one without members."""
    try:
        return readers.a_config(bytes(raw).decode())
    except ValueError as exc:
        bad(path, str(exc))


def _destination(raw: Raw, path: str) -> str:
    if kind_of(raw) == "an object":
        members = members_of(raw, path)
        texts = {}
        for key, value in members.items():
            name = _snake(key)
            if name == "format":
                continue
            if name not in ("gcs_uri", "bigquery_uri"):
                bad(f"{path}.{UNKNOWN}", unknown(name, ("gcs_uri", "bigquery_uri")))
            texts[f"{path}.{key}"] = (name, value)
        if len(texts) != 1:
            bad(path, "write one of gcs_uri and bigquery_uri")
        [(path, (name, raw))] = texts.items()
        scheme = {"gcs_uri": "gs://", "bigquery_uri": "bq://"}[name]
        text = read(readers.text, value_of(raw, path), path)
        if not text.startswith(scheme):
            bad(path, f"got {readers.shape(text)}; write {scheme}...")
    text = read(readers.text, value_of(raw, path), path)
    return str(read(readers.destination, text, path))


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
    if kind_of(contents) != "a list":
        return True
    return any(
        kind_of(item) != "an object" or "parts" not in members_of(item, "contents")
        for item in items_of(contents, "contents")
    )


def _refuse_in_config(members: Mapping[str, Raw], path: str) -> None:
    """Refuses what the official SDK would use, and we would silently leave out."""
    if "config" not in members or kind_of(members["config"]) != "an object":
        return
    for key in members_of(members["config"], f"{path}.config"):
        if (why := _REFUSED.get(_snake(key))) in (_CREDENTIALS, _ADDRESS):
            bad(f"{path}.config.{key}", str(why))


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
        bad(path, f"{why}; write it as a row of a JSONL file")


def _embedding(
    members: Mapping[str, Raw], request: bytes, number: int, path: str
) -> bytes:
    config = (
        members_of(members["config"], f"{path}.config") if "config" in members else {}
    )
    metadata = value_of(members["metadata"], path) if "metadata" in members else None
    line: dict[str, Any] = {"key": _key(metadata, number, f"{path}.metadata")}
    line |= {name: members[name] for name in ("model", "contents") if name in members}
    for name, value in config.items():
        if name in line:
            bad(f"{path}.config.{name}", "stands beside config too; leave one out")
        line[name] = value
    return msgspec.json.encode(line)


def _key(metadata: Any, number: int, path: str) -> str:
    if metadata is None:
        return f"request-{number + 1}"
    if not isinstance(metadata, dict):
        bad(path, 'write an object, {"key": "..."}')
    key = metadata.get("key", f"request-{number + 1}")
    if not isinstance(key, str) or not key:
        bad(f"{path}.key", 'write a text, "key": "..."')
    return key

"""
Embedding requests: one shape for callers, three on the wire.

    Developer API         {"content": {"parts": [..]}, "taskType": .., ..}
    Vertex, gemini-*      {"key": .., "request": {"content", "embed_content_config"}}
    Vertex, older models  {"content": "text", "task_type": .., "title": ..}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from batchdrop.batches import backend_only, inline
from batchdrop.batches.config import fields, snake, source
from batchdrop.batches.official import is_file, is_model, opened, without_sdk_only
from batchdrop.batches.types import BatchJobSource


class Item(Struct, frozen=True, kw_only=True):
    """One content to embed, its config, and the metadata that comes back."""

    content: dict[str, Any]
    config: Mapping[str, Any] = {}
    metadata: dict[str, Any] | None = None


class Source(Struct, frozen=True, kw_only=True):
    """Contents, or where they are: exactly one of the two."""

    items: tuple[Item, ...] | None = None
    given: BatchJobSource | None = None

    def source(self, requests: tuple[Any, ...] | None = None) -> BatchJobSource:
        """As a job's source; `requests` are the contents as the wire has them."""
        if self.given is not None:
            return self.given
        return BatchJobSource(inlined_requests=requests)


class _Batch(Struct):
    contents: Any = None
    config: Any = None


class _One(Struct):
    contents: Any = None
    content: Any = None
    config: Any = None
    metadata: Any = None
    key: Any = None


def embeddings_source(given: Any) -> Source:
    """
    A source from what a caller gave.

        {"inlined_requests": {"contents": [..], "config": {..}}}     as the official SDK
        ["a", "b"]                                                   contents
        [{"content": "a", "config": {..}, "metadata": {"key": "1"}}] contents with keys
        {"file_name": "files/x"}, "files/x", "gs://..", "bq://.."    where they are

    Raises:
        ValueError: anything else.
    """
    if is_file(given):
        return Source(given=source(given))
    if is_model(given):
        given = opened(given)
    if isinstance(given, Mapping):
        values = fields(BatchJobSource, given, "src")
        requests = values.pop("inlined_requests", None)
        if requests is None or any(v is not None for v in values.values()):
            return Source(given=source(given))
        given = requests
    if isinstance(given, BatchJobSource) and given.inlined_requests is not None:
        given = list(given.inlined_requests)
    if is_model(given):
        given = opened(given)
    if isinstance(given, Mapping):
        batch = fields(_Batch, given, "src.inlined_requests")
        contents = inline.plain(batch.get("contents"))
        listed = contents if isinstance(contents, list) else [contents]
        config = _config(batch.get("config"))
        return Source(
            items=tuple(Item(content=_content(c), config=config) for c in listed)
        )
    if isinstance(given, Sequence) and not isinstance(given, str):
        if not given:
            raise ValueError("src is an empty list: there is nothing to embed")
        if all(isinstance(g, str) and g.startswith("gs://") for g in given):
            return Source(given=source(given))
        return Source(items=tuple(_item(one) for one in given))
    return Source(given=source(given))


def _content(given: Any) -> dict[str, Any]:
    if given is None:
        raise ValueError("src.inlined_requests needs contents: a string or a list")
    return inline.content(given)


def _item(given: Any) -> Item:
    one = inline.plain(given)
    if not isinstance(one, Mapping) or not ({"content", "contents"} & one.keys()):
        return Item(content=_content(one))
    values = fields(_One, one, "an embedding request")
    metadata, key = values.get("metadata"), values.get("key")
    if key is not None:
        metadata = {**(metadata or {}), "key": key}
    return Item(
        content=_content(values.get("content", values.get("contents"))),
        config=_config(values.get("config")),
        metadata=metadata,
    )


def _config(given: Any) -> dict[str, Any]:
    config = inline.plain(opened(given) and without_sdk_only(opened(given)))
    return dict(config or {})


def developer_request(item: Item) -> dict[str, Any]:
    """One of the Developer API's requests."""
    request = {
        "content": item.content,
        **{inline.camel(name): value for name, value in item.config.items()},
    }
    backend_only.check_embedding(request)
    return {"request": request} | (
        {} if item.metadata is None else {"metadata": item.metadata}
    )


def vertex_lines(model: str, items: Sequence[Item]) -> list[bytes]:
    """
    Lines for Vertex AI, in the shape of the model's family. Preflight then rewrites an
    older model's lines as that model takes them.

    Raises:
        ValueError: an older model given anything but text.
    """
    # Imported here: most users of the client never need preflight.
    from batchdrop.preflight import embeds_text

    request = _older_request if embeds_text(model) else _gemini_request
    return [
        inline.line(request(item, number, model), item.metadata, number)
        for number, item in enumerate(items, 1)
    ]


def _gemini_request(item: Item, number: int, model: str) -> dict[str, Any]:
    content = {name: each for name, each in item.content.items() if name != "role"}
    config = {snake(name): value for name, value in item.config.items()}
    return {"content": content} | ({"embed_content_config": config} if config else {})


def _older_request(item: Item, number: int, model: str) -> dict[str, Any]:
    parts = item.content.get("parts") or []
    if not all(part.keys() == {"text"} for part in parts):
        raise ValueError(
            f"embedding request {number}: {model!r} embeds text alone; give a string"
        )
    config = {snake(name): value for name, value in item.config.items()}
    if unknown := config.keys() - {"task_type", "title"}:
        raise ValueError(
            f"embedding request {number}: {model!r} takes task_type and title, "
            f"not {', '.join(sorted(unknown))}"
        )
    return {"content": "".join(part["text"] for part in parts)} | config

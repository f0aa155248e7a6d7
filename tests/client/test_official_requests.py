"""
Requests and their configs, in every form that the official SDK's types allow: for each
member at each depth both clients send the same, or both refuse it. The cases are made
from the SDK's own definitions, so that what a new version has is compared, too.
"""

import copy
import enum
import json
import re
import warnings
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal

import httpx
import pydantic
import pytest
from google import genai
from google.genai import types
from google.genai._transformers import pil_to_blob

from batchdrop import Client
from batchdrop.batches import BatchesError, File, InlinedRequest
from tests.client.buckets import Bucket
from tests.client.official import DEVELOPER, VERTEX
from tests.client.official_examples import DATA, camel, members
from tests.client.recorder import Answer, Recorder
from tests.often import mostly

JOB = {"name": "batches/a"}
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


class Listener:
    """One client of each make, and what they send, without a socket."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._bodies: list[Any] = []
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        options: Any = {"httpx_client": http}
        self.theirs = genai.Client(**arguments, http_options=options)
        self.ours = Client(**arguments, http_options=options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self._bodies.append(json.loads(request.content))
        return httpx.Response(200, json=JOB)

    def sent(self, client: Any, method: str, **kwargs: Any) -> Any:
        """The body, or None if the call was refused."""
        self._bodies.clear()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                getattr(client.batches, method)(**copy.deepcopy(kwargs))
        except BatchesError:
            raise
        except (ValueError, AttributeError):
            # A pydantic.ValidationError is a ValueError; theirs trips over some values.
            return None
        (body,) = self._bodies
        return body


@pytest.fixture(scope="module")
def developer() -> Listener:
    return Listener(DEVELOPER)


@pytest.fixture(scope="module")
def vertex() -> Listener:
    return Listener(VERTEX)


def _request(**config: Any) -> dict[str, Any]:
    return {"model": "m", "src": [{"contents": "x", **config}]}


PLACES: dict[
    str, tuple[type[pydantic.BaseModel], str, Callable[[Any], dict[str, Any]]]
] = {
    "config": (
        types.GenerateContentConfig,
        "create",
        lambda value: _request(config=value),
    ),
    "tool": (
        types.Tool,
        "create",
        lambda value: _request(config={"tools": [value]}),
    ),
    "part": (types.Part, "create", lambda value: _request(contents=value)),
    "content": (types.Content, "create", lambda value: _request(contents=[value])),
    "file": (types.File, "create", lambda value: _request(contents=["a", value])),
    "request": (
        types.InlinedRequest,
        "create",
        lambda value: {"model": "m", "src": [value]},
    ),
    "config of an embedding": (
        types.EmbedContentConfig,
        "create_embeddings",
        lambda value: {
            "model": "m",
            "src": {"inlined_requests": {"contents": "a", "config": value}},
        },
    ),
}


def _compared(path: str, place: str) -> bool:
    if path.endswith("additional_properties"):
        return False  # a schema, of which the example is none
    if re.search(r"(^|contents\.|system_instruction\.)video_metadata", path):
        return False  # a part of nothing else; theirs takes it for an uploaded file
    # Theirs sends a request without contents, which the API refuses.
    return not (place == "request" and not path.startswith("contents"))


def _snake(value: Any) -> Any:
    """With all names but those of the caller's data in snake_case."""
    if isinstance(value, dict):
        if value == DATA:
            return value
        return {
            _HUMP.sub(lambda hump: "_" + hump[0].lower(), name): _snake(member)
            for name, member in value.items()
        }
    return [_snake(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("form", mostly("snake_case", also=["camelCase", "object"]))
@pytest.mark.parametrize("place", PLACES)
def test_each_member_is_sent_in_the_same_way_or_refused_by_both(
    developer: Listener, place: str, form: str
) -> None:
    kind, method, wrapped = PLACES[place]
    differing = {}
    compared = 0
    for path, example in members(kind):
        if not _compared(path, place):
            continue
        value: Any = example
        if form == "camelCase":
            value = camel(kind, example)
        elif form == "object":
            value = kind.model_validate(copy.deepcopy(example))
        expected = developer.sent(developer.theirs, method, **wrapped(value))
        sent = developer.sent(developer.ours, method, **wrapped(value))
        if form == "camelCase":  # what is nested is left as it was written
            expected, sent = _snake(expected), _snake(sent)
        compared += 1
        if sent != expected:
            differing[path] = (expected, sent)

    assert differing == {}
    assert compared > 6


@pytest.mark.parametrize("kind", [types.GenerateContentConfig, types.Part, types.Tool])
def test_members_that_vertex_lacks_are_refused_as_by_the_official_one(
    vertex: Listener, kind: type[pydantic.BaseModel]
) -> None:
    # The official one has no inline jobs there, but generates from the same types.
    differing = {}
    refused = 0
    for path, example in members(kind):
        contents: Any = example if kind is types.Part else "x"
        config: Any = {
            types.GenerateContentConfig: example,
            types.Tool: {"tools": [example]},
        }.get(kind, {})
        # These are matters of generating one answer, not of the request.
        if path.startswith(("automatic_", "should_return")) or not _compared(path, ""):
            continue
        theirs = ours = ""
        try:
            vertex.theirs.models.generate_content(
                model="m",
                contents=copy.deepcopy(contents),
                config=copy.deepcopy(config),
            )
        except ValueError as exc:
            theirs = str(exc)
        try:
            vertex.ours.batches.create(
                model="m", src=[{"contents": contents, "config": config}]
            )
        except ValueError as exc:
            ours = str(exc)
        expected = "only supported in Gemini Developer API mode" in theirs
        refused += expected
        if ("Gemini Developer API's alone" in ours) is not expected:
            differing[path] = (theirs, ours)

    assert differing == {}
    assert refused


def test_the_other_apis_members_are_refused_in_a_jobs_config_too(
    developer: Listener, vertex: Listener
) -> None:
    config = {"image_config": {"personGeneration": "ALLOW_ALL"}}
    with pytest.raises(ValueError, match="personGeneration is Vertex AI's alone"):
        developer.ours.batches.create(
            model="m", src="gs://b/in.jsonl", config={"generation_config": config}
        )
    with pytest.raises(ValueError, match="store is the Gemini Developer API's alone"):
        vertex.ours.batches.create(
            model="m",
            src="gs://b/in.jsonl",
            config={"generation_config": {"store": True}},
        )


def test_the_other_apis_members_are_refused_in_a_ready_request(
    developer: Listener,
) -> None:
    request = {
        "contents": [{"parts": [{"text": "a"}]}],
        "safetySettings": [{"category": "c", "method": "SEVERITY"}],
    }

    with pytest.raises(ValueError, match=r"safetySettings\.method is Vertex AI's"):
        developer.ours.batches.create(model="m", src=[{"request": request}])


# Parts.


def test_an_uploaded_file_is_a_part(developer: Listener) -> None:
    official = types.File(name="files/f", uri="https://x/f", mime_type="text/plain")
    own = File(name="files/f", uri="https://x/f", mime_type="text/plain")
    expected = developer.sent(developer.theirs, "create", **_request(contents=official))

    assert expected["batch"]["inputConfig"]["requests"]["requests"]
    for contents in (official, own, [official], [own]):
        sent = developer.sent(developer.ours, "create", **_request(contents=contents))
        assert sent == expected


def test_a_file_without_an_address_is_refused_as_a_part(developer: Listener) -> None:
    for file in (File(name="files/f"), types.File(name="files/f", uri="u")):
        with pytest.raises(ValueError, match="a uri and a mime_type"):
            developer.ours.batches.create(model="m", src=[{"contents": ["a", file]}])


class Image:
    """What both clients need of a Pillow image; Pillow itself isn't installed here."""

    def __init__(self, form: str | None = None, name: str = "", mode: str = "RGB"):
        self.format, self.filename, self.mode = form, name, mode

    def save(self, file: IO[bytes], form: str, **options: str) -> None:
        file.write(f"{form} {options}".encode())


@pytest.mark.parametrize(
    "image",
    [Image(), Image("JPEG", "a.jpg"), Image("JPEG"), Image("JPEG", "a.jpg", "P")],
    ids=["made", "of a JPEG file", "a JPEG without a file", "a JPEG of a palette"],
)
def test_a_pillow_image_is_a_part(
    developer: Listener, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "__module__", "PIL.Image")
    part = types.Part(inline_data=pil_to_blob(image))

    expected = developer.sent(developer.theirs, "create", **_request(contents=part))
    sent = developer.sent(developer.ours, "create", **_request(contents=image))

    assert expected is not None
    assert sent == expected


def test_a_value_that_json_cannot_hold_is_refused(developer: Listener) -> None:
    for contents in (object(), ["a", {1, 2}], {"parts": [{"text": print}]}):
        with pytest.raises(ValueError, match=r"can't be sent as JSON|a part is"):
            developer.ours.batches.create(model="m", src=[{"contents": contents}])


# Schemas.


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Named(pydantic.BaseModel):
    """Something."""

    name: str
    other: int | None = None
    colour: Colour
    word: Literal["only"] = "only"
    below: list["Leaf"] = []


class Leaf(pydantic.BaseModel):
    a_b: float


SCHEMAS: dict[str, Any] = {
    "a model": Named,
    "int": int,
    "str": str,
    "bool": bool,
    "None": type(None),
    "a list": list[int],
    "a list of models": list[Named],
    "Optional": Named | None,
    "a union": int | str,
    "a union of models": list[Named | Leaf],
    "an enum": Colour,
    "a literal": Literal["a", "b"],
    "a map": dict[str, int],
    "a tuple": tuple[int, str],
    "nothing": {},
    "a Schema": types.Schema(type=types.Type.STRING, nullable=True, min_length=1),
    "an empty Schema": types.Schema(),
    "nested Schemas": types.Schema(
        type=types.Type.OBJECT,
        properties={
            "a_b": types.Schema(type=types.Type.STRING),
            "c": types.Schema(type=types.Type.NULL),
        },
    ),
    "an object": Leaf(a_b=1),
    "a string": "string",
    "null": {"type": "null"},
    "two types": {"type": ["string", "null"]},
    "capitals": {"any_of": [{"type": "STRING"}, {"type": "NULL"}]},
    "a union with null": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "numbers in an enum": {"type": "string", "enum": [1]},
    "a constant number": {"type": "integer", "const": 1},
    "a constant": {"type": "string", "const": "x"},
    "a null in a default": {"type": "object", "default": {"a": None}},
    "no default": {"type": "string", "default": None},
    "no type": {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
    "an order of its own": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "propertyOrdering": ["b", "a"],
    },
    "names like words": {
        "type": "object",
        "properties": {"default": {"type": "string"}, "anyOf": {"type": "string"}},
    },
    "more properties": {"type": "object", "additionalProperties": True},
    "no more properties": {"type": "object", "additionalProperties": False},
    **{
        word: {"type": "object", word: value}
        for word, value in {
            "oneOf": [],
            "allOf": [],
            "not": {},
            "exclusiveMinimum": 1,
            "patternProperties": {},
            "prefixItems": [],
            "examples": [],
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "uniqueItems": True,
            "multipleOf": 2,
            "minProperties": 1,
            "example": {"a": None},
        }.items()
    },
}


@pytest.mark.parametrize("given", SCHEMAS.values(), ids=SCHEMAS.keys())
def test_a_schema_is_sent_in_the_same_way_or_refused_by_both(
    developer: Listener, given: Any
) -> None:
    call = _request(config={"response_schema": given})

    expected = developer.sent(developer.theirs, "create", **call)
    sent = developer.sent(developer.ours, "create", **call)

    assert sent == expected


def test_an_unsupported_schema_word_is_an_error_that_names_the_json_schema(
    developer: Listener,
) -> None:
    with pytest.raises(ValueError, match=r"'oneOf'.*response_json_schema"):
        developer.ours.batches.create(
            **_request(config={"response_schema": {"oneOf": []}})
        )


def test_a_json_schema_keeps_its_nulls_and_its_keywords(developer: Listener) -> None:
    json_schema = {"type": ["string", "null"], "default": None, "x": {"y": [None]}}
    tool = {
        "function_declarations": [{"name": "f", "parameters_json_schema": json_schema}]
    }
    call = _request(config={"response_json_schema": json_schema, "tools": [tool]})

    expected = developer.sent(developer.theirs, "create", **call)
    sent = developer.sent(developer.ours, "create", **call)

    assert sent == expected
    (request,) = sent["batch"]["inputConfig"]["requests"]["requests"]
    assert request["request"]["generationConfig"]["responseJsonSchema"] == json_schema


# What only the SDK reads.

SECRET = types.HttpOptions(
    headers={"authorization": "s3cret"}, extra_body={"k": "s3cret"}
)
SDK_ONLY: dict[str, Any] = {
    "http_options": SECRET,
    "automatic_function_calling": {"maximum_remote_calls": 987654},
    "should_return_http_response": True,
}
CONFIGS: dict[str, Any] = {
    "snake_case": SDK_ONLY,
    "camelCase": {
        "httpOptions": {"headers": {"authorization": "s3cret"}},
        "automaticFunctionCalling": {"maximumRemoteCalls": 987654},
        "shouldReturnHttpResponse": True,
    },
    "object": types.GenerateContentConfig(**SDK_ONLY),
}
EMBEDDING_CONFIGS: dict[str, Any] = {
    "snake_case": {"http_options": SECRET},
    "camelCase": {"httpOptions": {"headers": {"authorization": "s3cret"}}},
    "object": types.EmbedContentConfig(http_options=SECRET),
}


def _calls(form: str, address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    config, embedding = CONFIGS[form], EMBEDDING_CONFIGS[form]
    contents = [{"role": "user", "parts": [{"text": "a"}]}]
    yield "create", {"src": [{"contents": "a", "config": config}]}
    yield "create", {"src": [InlinedRequest(contents="a", config=config)]}
    yield (
        "create",
        {"src": [{"contents": "a"}], "config": {"generation_config": config}},
    )
    yield "create", {"src": address, "config": {"generation_config": config}}
    if isinstance(config, dict):
        yield "create", {"src": [{"request": {"contents": contents, **config}}]}
        ready = {"contents": contents, "generationConfig": config}
        yield "create", {"src": [{"request": ready}]}
    yield (
        "create_embeddings",
        {"src": {"inlined_requests": {"contents": ["a"], "config": embedding}}},
    )
    yield "create_embeddings", {"src": [{"content": "a", "config": embedding}]}


@pytest.mark.parametrize("form", CONFIGS)
@pytest.mark.parametrize("arguments", [DEVELOPER, VERTEX], ids=["developer", "vertex"])
def test_members_that_only_the_sdk_reads_are_never_sent(
    arguments: dict[str, Any], form: str, bucket: Bucket
) -> None:
    line = b'{"request": {"contents": [{"parts": [{"text": "a"}]}]}}\n'
    address = bucket.put("in.jsonl", line)
    start = {"x-goog-upload-url": "https://h/upload", "x-goog-upload-status": "final"}
    answer = Answer(body={**JOB, "file": {"name": "files/f"}}, headers=start)
    with Recorder(answer) as server:
        client = Client(**arguments, http_options={"base_url": server.url})
        jobs = []
        for method, call in _calls(form, address):
            config = {**call.pop("config", {}), "display_name": "n"}
            if arguments is VERTEX:
                config |= {"dest": bucket.uri("out"), "staging": bucket.uri("work")}
            model = "gemini-embedding-001" if "embed" in method else "gemini-x"
            jobs.append(
                getattr(client.batches, method)(model=model, config=config, **call)
            )
        client.close()

    written = [bucket.read(name) for name in bucket.names()]
    everything = b"".join([*(r.body for r in server.requests), *written])
    assert len(jobs) == (6 if form == "object" else 8)
    for word in (b"s3cret", b"987654", b"ttpOptions", b"ttp_options", b"utomatic"):
        assert word not in everything
    assert not any("s3cret" in repr(job) for job in jobs)

"""A generation configuration means the same to the client and to the worker."""

import inspect
import json
import re
from typing import Any

import msgspec
import pytest

from batchdrop.batches.staging import merged
from batchdrop.options.configuration import wire_config
from batchdrop.options.manifests import Manifest
from batchdrop.options.resolve import choose
from batchdrop.options.routes import Routes
from batchdrop.options.settings import Settings
from batchdrop.preflight import Rules
from batchdrop.preflight.names import BESIDE_CONTENTS, camel_case
from tests.preflight.reading import GOOD, good, staged
from tests.rules.test_settings import ENOUGH

#: As in the documentation of the official SDK.
EXAMPLE = {
    "system_instruction": "Be brief",
    "safety_settings": [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
    ],
    "temperature": 0.9,
}
MERGED = {
    "systemInstruction": {"parts": [{"text": "Be brief"}], "role": "user"},
    "safetySettings": EXAMPLE["safety_settings"],
    "generationConfig": {"temperature": 0.9},
}
ROUTE = """
[[route]]
match = "**"
[route.generation_config]
system_instruction = "Be brief"
temperature = 0.9
[[route.generation_config.safety_settings]]
category = "HARM_CATEGORY_HARASSMENT"
threshold = "BLOCK_NONE"
"""


def sent(
    config: str | None, request: dict[str, Any] = GOOD, backend: str = "vertex"
) -> dict[str, Any]:
    """The request that the worker stages."""
    merge = config.encode() if config else None
    (line,) = staged(request, generation_config=merge, backend=backend)
    return dict(line["request"])


def wire(config: object, rules: Rules = Rules()) -> str | None:  # noqa: B008 - frozen
    return wire_config(json.dumps(config), rules)


@pytest.mark.parametrize("where", ["environment", "route", "manifest", "metadata"])
def test_the_documentations_example_means_the_same_wherever_it_is_written(
    where: str,
) -> None:
    text = json.dumps(EXAMPLE)
    env = {"BATCHDROP_GENERATION_CONFIG": text} if where == "environment" else {}
    manifest = msgspec.json.encode({"config": {"generationConfig": EXAMPLE}})

    found = choose(
        Settings.from_env(ENOUGH | env),
        Routes.parse(ROUTE.encode(), "r") if where == "route" else Routes.none(),
        "a/x.jsonl",
        metadata={"batchdrop-generation-config": text} if where == "metadata" else {},
        manifest=Manifest.parse(manifest) if where == "manifest" else None,
    )

    assert sent(found.spec.generation_config) == {**GOOD, **MERGED}


@pytest.mark.parametrize(
    ("backend", "config"),
    [
        ("vertex", EXAMPLE),
        ("developer", EXAMPLE),
        ("vertex", {"systemInstruction": {"parts": ["a", "b"]}, "topK": 3}),
        ("vertex", {"tools": [{"google_search": {"exclude_domains": ["a.b"]}}]}),
        ("vertex", {"tool_config": {"function_calling_config": {"mode": "ANY"}}}),
        ("vertex", {"labels": {"my_team": "x"}, "max_output_tokens": 5}),
        ("vertex", {"thinking_config": {"thinking_budget": 0}}),
        ("developer", {"cached_content": "1", "service_tier": "flex", "topP": 1}),
    ],
)
@pytest.mark.parametrize(
    "own",
    [
        {},
        {"generationConfig": {"topK": 9}, "labels": {"a": "b"}},
        {"systemInstruction": {"parts": [{"text": "Be loud"}]}},
    ],
    ids=lambda own: next(iter(own), "none"),
)
def test_the_client_and_the_worker_put_the_same_into_a_request(
    backend: str, config: dict[str, Any], own: dict[str, Any]
) -> None:
    rules = Rules(backend=backend)

    client = merged(good(**own), config, vertex=backend == "vertex")
    worker = sent(wire_config(json.dumps(config), rules), good(**own), backend)

    # What the official SDK leaves in snake_case on the wire, the client does too.
    assert worker == camel_case(client)


def test_the_members_beside_the_contents_are_those_of_the_official_sdk() -> None:
    from google.genai import models

    found = set()
    for name in ("mldev", "vertex"):
        source = inspect.getsource(getattr(models, f"_GenerateContentConfig_to_{name}"))
        found |= set(re.findall(r"parent_object,\s*\['(\w+)'\]", source))

    assert found == BESIDE_CONTENTS


def test_numbers_keep_all_their_digits() -> None:
    digits = "123456789012345678901234567890"

    config = wire_config(f'{{"seed": {digits}, "top_p": 0.50}}', Rules())

    assert config == f'{{"seed":{digits},"topP":0.50}}'


def test_names_with_two_spellings_are_in_camel_case_and_the_users_own_stay() -> None:
    config = wire(
        {
            "response_schema": {
                "type": "object",
                "properties": {"top_p": {"type": "string", "max_length": "3"}},
                "property_ordering": ["top_p"],
            },
            "labels": {"top_p": "x"},
        }
    )

    assert config is not None
    assert json.loads(config) == {
        "responseSchema": {
            "type": "OBJECT",
            "properties": {"top_p": {"type": "STRING", "maxLength": "3"}},
            "propertyOrdering": ["top_p"],
        },
        "labels": {"top_p": "x"},
    }


@pytest.mark.parametrize(
    "text",
    [
        '{"labels": ' + "[" * 8000 + "]" * 8000 + "}",
        '{"labels": ' * 1500 + "1" + "}" * 1500,
    ],
)
def test_a_configuration_that_nests_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="nests too deeply to be read"):
        wire_config(text, Rules())


def test_null_members_are_left_out() -> None:
    assert wire({"top_k": None, "system_instruction": None}) is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"top_p": 1, "topP": 0}, "topP is given twice, in two spellings"),
        ({"http_options": {"headers": {}}}, "http_options is the official SDK's own"),
        ({"system_instruction": 5}, "a part is a string or a dict"),
        ({"tools": "search"}, "tools is a list, not str; write it as the API has it"),
        ({"safetySettings": 5}, "it can't be read; write it as the API has it"),
        ({"thinkingConfig": {}}, "thinkingConfig"),
        ([], "it isn't a JSON object"),
    ],
)
def test_a_configuration_that_every_line_would_fail_with_is_refused(
    config: object, expected: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        wire(config)


#: Vertex AI's import takes no nulls.
DEVELOPER = Rules(backend="developer")


def test_names_and_nulls_in_the_callers_own_data_stay() -> None:
    data = {"mime_type": None, "inner": [{"top_k": None}]}
    json_schema = {
        "type": "object",
        "default": data,
        "$defs": {"file_data": {"any_of_mine": 1}},
        "properties": {"top_k": {"$ref": "#/$defs/file_data"}},
    }
    declaration = {"name": "f", "parameters_json_schema": json_schema}
    config = {
        "response_json_schema": json_schema,
        "tools": [{"function_declarations": [declaration]}],
    }

    made = sent(wire(config, DEVELOPER), backend="developer")

    assert made["generationConfig"]["responseJsonSchema"] == json_schema
    (tool,) = made["tools"]
    assert tool["functionDeclarations"][0]["parametersJsonSchema"] == json_schema


def test_a_default_of_a_schema_stays_and_a_property_of_that_name_is_a_schema() -> None:
    schema = {
        "type": "object",
        "default": {"mime_type": None},
        "properties": {"default": {"type": "string", "max_length": 3}},
    }

    config = wire({"response_schema": schema}, DEVELOPER)
    made = sent(config, backend="developer")["generationConfig"]

    assert made["responseSchema"]["default"] == {"mime_type": None}
    assert made["responseSchema"]["properties"]["default"] == {
        "type": "STRING",
        "maxLength": 3,
    }

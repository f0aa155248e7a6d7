"""
Writes the lists of members that requests are held against: `make members`.

It takes them from what is published, in the versions below, and writes
`functions/batchdrop/preflight/members.json`:

| for | from |
|---|---|
| Vertex AI | the discovery documents of aiplatform v1 and v1beta1, which google-api-python-client holds |
| the Developer API | the discovery document of generativelanguage v1beta, which no package holds: `https://generativelanguage.googleapis.com/$discovery/rest?version=v1beta`, saved to a file; also as OpenAPI. Without one, the lists of before stay |
| both | what google-genai's converters send besides |
| Claude | the TypedDicts of anthropic, in a new version and in the last that knows `temperature` |
| open models | the TypedDicts of openai, and what the servers of open models take besides |

In the file, what a value may be is one of these, or several with ` | ` between them:
`any`, `string`, `number`, `integer`, `boolean`, `one of A B`, `@NAME` (an object), `map X` (an
object whose names are the user's own), and `list X`.
"""  # noqa: E501 - a table

import argparse
import json
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[1] / "functions/batchdrop/preflight/members.json"

DISCOVERY = "google-api-python-client==2.202.0"
SDK = "google-genai==3.6.1"
CLAUDE = ("anthropic==2.14.0", "anthropic==0.125.0")
OPENAI = "openai==3.57.0"

#: Roots of requests, by discovery's names.
_ROOTS = ("GenerateContentRequest", "EmbedContentRequest")

# Of several TypedDicts that are one object here, two give the name.
_FORMAT = "ResponseFormatJSONObjectOrResponseFormatJSONSchema"
_THINKING = "ThinkingConfigAdaptiveParamOrThinkingConfigBetweenToolsParam"

#: What is taken besides, and where that is known from.
ADDED: dict[str, dict[str, str]] = {
    # A member of the Developer API, which files for Vertex have with null, since the
    # import takes no tool without members (googleapis/python-genai issue 2123).
    "vertex.GoogleSearch": {"timeRangeFilter": "map any"},
    # On Vertex the version stands in the body (Vertex AI docs), and betas do.
    "claude.Request": {
        "anthropic_version": "string",
        "anthropic_beta": "string | list string",
        "stream": "boolean",
        # What a beta has besides (anthropic.types.beta, and its release notes).
        **dict.fromkeys(
            (
                *("billing_policy", "compaction", "context_management", "fallbacks"),
                *("fallback_credit_token", "mcp_servers", "output_format", "thread"),
            ),
            "any",
        ),
    },
    "claude.OutputConfigParam": {"task_budget": "any"},
    # Sampling parameters and extras of the OpenAI-compatible servers that open models
    # run on (vLLM's and SGLang's docs), and of their makers' own APIs.
    "open.Request": {
        **dict.fromkeys(
            (
                *("top_k", "min_tokens", "truncate_prompt_tokens", "priority"),
                *("thinking_budget", "thinking_token_budget", "random_seed"),
            ),
            "integer",
        ),
        **dict.fromkeys(("min_p", "repetition_penalty", "length_penalty"), "number"),
        **dict.fromkeys(
            (
                *("use_beam_search", "ignore_eos", "skip_special_tokens", "stream"),
                *("spaces_between_special_tokens", "include_stop_str_in_output"),
                *("add_generation_prompt", "continue_final_message", "echo"),
                *("add_special_tokens", "include_reasoning", "separate_reasoning"),
                *("return_tokens_as_token_ids", "return_token_ids", "safe_prompt"),
                *("enable_thinking", "no_stop_trim"),
            ),
            "boolean",
        ),
        **dict.fromkeys(
            (
                *("chat_template", "guided_regex", "guided_grammar", "regex", "ebnf"),
                *("guided_decoding_backend", "guided_whitespace_pattern"),
                *("request_id", "cache_salt"),
            ),
            "string",
        ),
        **dict.fromkeys(
            (
                *("chat_template_kwargs", "structured_outputs", "thinking"),
                *("mm_processor_kwargs", "media_io_kwargs", "vllm_xargs"),
            ),
            "map any",
        ),
        **dict.fromkeys(
            (
                *("stop_token_ids", "bad_words", "guided_choice", "documents"),
                *("allowed_token_ids", "logits_processors"),
            ),
            "list any",
        ),
        **dict.fromkeys(("guided_json", "prompt_logprobs", "extra_body"), "any"),
    },
    # What an answer has is sent back in a conversation: DeepSeek's and others'
    # thoughts, and what no API reads. A beginning of an answer is marked as one.
    "open.Message": {
        **dict.fromkeys(("reasoning_content", "reasoning"), "string"),
        **dict.fromkeys(("prefix", "partial"), "boolean"),
        "annotations": "list any",
    },
    f"open.{_FORMAT}": dict.fromkeys(
        ("schema", "structures", "triggers", "format"), "any"
    ),
}

#: What google-genai's types have, and it sends as it is.
_SDK_HAS = {
    "vertex.VideoMetadata": ("contentLayers",),
    "developer.VideoMetadata": ("contentLayers",),
    "developer.AudioTranscriptionConfig": ("sourceText",),
    "vertex.AuthConfig": ("apiKey",),
    "vertex.GoogleMaps": ("authConfig",),
    "vertex.PartMediaResolution": ("numTokens",),
    "developer.V1mainMediaResolution": ("numTokens",),
    "developer.FunctionResponsePart": (
        *("fileData", "mediaResolution", "videoMetadata", "documentMetadata"),
        *("spreadsheetMetadata", "audioMetadata"),
    ),
}
ADDED |= {name: dict.fromkeys(members, "any") for name, members in _SDK_HAS.items()}

#: Choices that google-genai's types have besides.
CHOICES = {
    ("vertex.GenerationConfigThinkingConfig", "thinkingLevel"): "XHIGH",
    ("developer.ThinkingConfig", "thinkingLevel"): "XHIGH",
    ("developer.ToolCall", "toolType"): "MEDIA_PROCESSING",
    ("developer.ToolResponse", "toolType"): "MEDIA_PROCESSING",
    # Of vLLM's server.
    (f"open.{_FORMAT}", "type"): "structural_tag",
    # Of Claude's beta.
    (f"claude.{_THINKING}", "display"): "updates",
}

#: Where the lists are looser than what was published.
LOOSENED = {
    # Each release brings tools, which other models on Vertex had before.
    "claude.Request": {"tools": "list map any"},
    "open.Request": {
        **{"tools": "list map any", "tool_choice": "any", "stop": "any"},
        "logit_bias": "map number",
    },
    # Servers take other media than OpenAI's; and calls as they were streamed.
    "open.Message": {"content": "string | list map any", "tool_calls": "list map any"},
}

Objects = dict[str, dict[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--developer", type=Path, help="the Developer API's document")
    chosen = parser.parse_args()
    before = json.loads(OUT.read_text()) if OUT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        objects, sources = _google(Path(folder), chosen.developer, before)
        objects |= _types(Path(folder), "claude", CLAUDE)
        objects |= _types(Path(folder), "open", (OPENAI,))
    sources |= {"claude": " and ".join(CLAUDE), "open": OPENAI}
    for name, members in (*ADDED.items(), *LOOSENED.items()):
        objects[name] = {**objects[name], **members}
    for (name, member), choice in CHOICES.items():
        if choice not in objects[name][member].split():
            objects[name][member] += f" {choice}"
    OUT.write_text(_written(sources, objects))


def _written(sources: Mapping[str, str], objects: Objects) -> str:
    """JSON with an object a line, so that a diff shows what came and went."""
    head = {
        "made": f"{datetime.now(UTC):%Y-%m-%d}, by `make members`",
        "sources": dict(sorted(sources.items())),
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "objects": {\n'
    lines = (
        f"  {json.dumps(name)}: {json.dumps(dict(sorted(objects[name].items())))}"
        for name in sorted(objects)
    )
    return text + ",\n".join(lines) + "\n }\n}\n"


# -- Google's ----------------------------------------------------------------------


def _google(
    folder: Path, developer: Path | None, before: dict[str, Any]
) -> tuple[Objects, dict[str, str]]:
    objects: Objects = {}
    sources = {"sdk": SDK}
    documents = _wheel(folder, DISCOVERY)
    # What v1beta1 has besides is taken too: which of them reads rows isn't told.
    for version in ("v1beta1", "v1"):
        path = f"googleapiclient/discovery_cache/documents/aiplatform.{version}.json"
        document = json.loads(documents.read(path))
        prefix = f"GoogleCloudAiplatform{version.capitalize()}"
        for name, members in _discovered(document["schemas"], prefix).items():
            of = objects.setdefault(f"vertex.{name}", {})
            for member, value in members.items():
                of[member] = _either(of.get(member), value)
        sources[f"vertex {version}"] = f"{DISCOVERY}, revision {document['revision']}"
    if developer is None:
        kept = before["objects"].items()
        objects |= {n: of for n, of in kept if n.startswith("developer.")}
        sources["developer"] = before["sources"]["developer"]
    else:
        document = json.loads(developer.read_text())
        schemas = document.get("schemas") or document["components"]["schemas"]
        for name, members in _discovered(schemas, "").items():
            objects[f"developer.{name}"] = members
        told = document.get("revision") or "of 2026-08-22, as OpenAPI"
        sources["developer"] = f"generativelanguage v1beta, {told}"
    _sent_by_sdk(_wheel(folder, SDK), objects)
    return objects, sources


def _discovered(schemas: dict[str, Any], prefix: str) -> Objects:
    """All objects that a request may hold."""
    found: Objects = {}
    waiting = [prefix + root for root in _ROOTS]
    while waiting:
        name = waiting.pop()
        if _short(name, prefix) in found:
            continue
        members = found[_short(name, prefix)] = {}
        for member, schema in schemas[name].get("properties", {}).items():
            members[member] = _value(schema, prefix, waiting)
    return found


def _short(name: str, prefix: str) -> str:
    short = name.removeprefix(prefix)
    if prefix and short not in ("Tool", "ToolConfig"):
        # Vertex's `ToolGoogleSearch` is the others' `GoogleSearch`.
        return short.removeprefix("Tool")
    return short


def _value(schema: dict[str, Any], prefix: str, waiting: list[str]) -> str:
    """What a member may be, by its schema; objects in it are waiting then."""
    refs = [schema, *schema.get("allOf", ())]
    if ref := next((one["$ref"] for one in refs if "$ref" in one), None):
        name = ref.rpartition("/")[2]
        waiting.append(name)
        return f"@{_short(name, prefix)}"
    if "enum" in schema:
        return f"one of {' '.join(schema['enum'])}"
    form = schema.get("format", "")
    match schema.get("type"):
        case "array":
            one = _value(schema["items"], prefix, waiting)
            # Where protobuf wants several, one is taken without its list.
            return f"{one} | list {one}"
        case "object":
            inner = schema.get("additionalProperties")
            one = _value(inner, prefix, waiting) if isinstance(inner, dict) else "any"
            return f"map {'any' if ' | ' in one else one}"
        case "string" if form == "google-duration":
            return "string | map any"  # "1.5s", or {"seconds": 1} (Vertex AI docs)
        case "string" if "int" in form:
            return "integer"
        case "string" | "number" | "integer" | "boolean" as kind:
            return str(kind)
    return "any"


def _either(one: str | None, other: str) -> str:
    if one is None or one == other:
        return other
    if one.startswith("one of ") and other.startswith("one of "):
        names = dict.fromkeys((*one.split()[2:], *other.split()[2:]))
        return f"one of {' '.join(names)}"
    return "any"


def _sent_by_sdk(wheel: zipfile.ZipFile, objects: Objects) -> None:
    """Adds the members that the SDK sends to a backend and its list doesn't have."""
    source = wheel.read("google/genai/models.py").decode()
    function = re.compile(
        r"^def _(\w+)_to_(mldev|vertex)\(.*?(?=^def |\Z)", re.DOTALL | re.MULTILINE
    )
    for match in function.finditer(source):
        backend = {"mldev": "developer", "vertex": "vertex"}[match[2]]
        sent = re.findall(r"setv\(\s*(\w+),\s*\['(\w+)'\]", match[0])
        for place, member in sent:
            of = {"GenerateContentConfig": "GenerationConfig"}.get(match[1], match[1])
            if place == "parent_object":
                if of != "GenerationConfig":
                    continue
                of = "GenerateContentRequest"
            if (members := objects.get(f"{backend}.{of}")) is not None:
                members.setdefault(member, "any")


# -- other publishers' -------------------------------------------------------------


def _types(folder: Path, family: str, packages: tuple[str, ...]) -> Objects:
    """Of TypedDicts; the first of the packages counts most."""
    roots = {
        "claude": ["anthropic.types.message_create_params:MessageCreateParamsBase"],
        "open": [
            "openai.types.chat.completion_create_params:CompletionCreateParamsBase",
            "openai.types.embedding_create_params:EmbeddingCreateParams",
        ],
    }[family]
    objects: Objects = {}
    for package in packages:
        found = _read(folder, package, roots)
        names = {found["roots"][root]: "Request" for root in roots}
        first = found["objects"][found["roots"][roots[0]]]
        names[first["messages"].rpartition("@")[2]] = "Message"
        for name, members in found["objects"].items():
            of = objects.setdefault(f"{family}.{names.get(name, name)}", {})
            for member, value in members.items():
                for given, name in names.items():
                    value = re.sub(rf"@{given}\b", f"@{name}", value)
                of[member] = _wider(of.get(member), value)
    _unite(objects, family)
    return _reached(objects, family)


def _unite(objects: Objects, family: str) -> None:
    """Makes one object of several that a value may be: a value has one list."""
    for members in list(objects.values()):
        for member, value in members.items():
            first, *others = dict.fromkeys(re.findall(r"@(\w+)", value)) or [""]
            for other in others:
                into = objects[f"{family}.{first}"]
                for name, inner in objects[f"{family}.{other}"].items():
                    into[name] = _wider(into.get(name), inner)
                value = re.sub(rf"@{other}\b", f"@{first}", value)
            members[member] = " | ".join(dict.fromkeys(value.split(" | ")))


def _wider(one: str | None, other: str) -> str:
    if one is None or one == other:
        return other
    if one.startswith("one of ") and other.startswith("one of "):
        return _either(one, other)
    return " | ".join(dict.fromkeys((*one.split(" | "), *other.split(" | "))))


def _reached(objects: Objects, family: str) -> Objects:
    """Without what only loosened members hold."""
    for name, members in LOOSENED.items():
        if name in objects:
            objects[name] |= members
    found: Objects = {}
    waiting = [f"{family}.Request"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = objects[name]
            for value in objects[name].values():
                waiting += [f"{family}.{one}" for one in re.findall(r"@(\w+)", value)]
    return found


def _read(folder: Path, package: str, roots: list[str]) -> dict[str, Any]:
    place = folder / package
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    _run(python, "-m", "pip", "install", "-q", package)
    script = str(Path(__file__).with_name("typed_dicts.py"))
    told: dict[str, Any] = json.loads(_run(python, script, *roots))
    return told


def _wheel(folder: Path, package: str) -> zipfile.ZipFile:
    place = folder / package
    command = (sys.executable, "-m", "pip", "download", "-q", "--no-deps")
    _run(*command, "--dest", str(place), package)
    return zipfile.ZipFile(next(place.glob("*.whl")))


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    main()

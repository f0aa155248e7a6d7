"""
The JSON Schemas of announcements, made from `subscribe.JobEvent`: its types, and the
`#:` comments of its fields.

    python -m tests.schemas            prints their names
    python -m tests.schemas --write    writes them into the package
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from batchdrop import subscribe
from batchdrop.jobs.codes import Outcome
from batchdrop.subscribe import BODY, JobEvent

FOLDER = Path(__file__).parents[1] / "functions/batchdrop/schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
JOB = "dev.batchdrop.job.v1"

#: What each outcome means, for people.
MEANING = {
    "succeeded": "The API finished the batch. Rows may have failed: see `stats`.",
    "partially_succeeded": "The API finished a part of the batch.",
    "failed": "The batch failed. Some rows may have answers.",
    "cancelled": "The batch was cancelled, and some rows may have answers; or, if the "
    "phase is `rejected`, the job was cancelled before anything was paid.",
    "expired": "The batch ran out of time. Some rows may have answers.",
    "rejected": "No batch was made and nothing was paid; `error` says why.",
    "lost": "The API has answered 404 to the batch's name for too long.",
    "stalled": "The job makes no progress and needs a person; `health` says why.",
}
REJECTED = {"phase": {"const": "rejected"}, "error": {"type": "object"}}
#: What else holds of the bodies of an outcome.
HOLDS: dict[str, dict[str, Any]] = {
    str(outcome): {
        "properties": {"phase": {"const": "ended"}, "state": {"const": outcome.state}},
    }
    for outcome in Outcome
    if outcome.counted is outcome
}
HOLDS["cancelled"] = {
    "oneOf": [
        HOLDS["cancelled"],
        {"properties": REJECTED | {"state": {"type": "null"}}},
    ]
}
HOLDS["rejected"] = {"properties": REJECTED}
HOLDS["lost"] = {
    "properties": {
        "phase": {"const": "ended"},
        "error": {"type": "object", "properties": {"code": {"const": "lost"}}},
    }
}
HOLDS["stalled"] = {"properties": {"health": {"type": "object"}}}
#: Both are null in the bodies of a job whose answers are not collected.
READY = "dev.batchdrop.results.ready.v1"
COLLECTED = {
    "phase": {"const": "ended"},
    "outcome": {"type": "string"},
    "results": {"type": "object"},
    "usage": {"type": "object"},
}


def schemas() -> dict[str, str]:
    """The files, by their names."""
    made = {JOB: _job()}
    made[READY] = {
        "description": "Every line of the file has its result, as `rows` counts them.",
        "$ref": f"urn:batchdrop:schema:{JOB}",
        "properties": COLLECTED,
    }
    made |= {
        f"dev.batchdrop.job.{word}.v1": {
            "description": text,
            "$ref": f"urn:batchdrop:schema:{JOB}",
            **HOLDS[word],
        }
        for word, text in MEANING.items()
    }
    return {
        f"{name}.json": json.dumps(
            {
                "$schema": DRAFT,
                "$id": f"urn:batchdrop:schema:{name}",
                "title": name,
                **schema,
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
        for name, schema in made.items()
    }


def _job() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([JobEvent], ref_template="{name}")
    body = _resolved(components, "JobEvent")
    return body | {
        "title": "What every announcement of a job has",
        "description": "Fields are only ever added to v1: skip those that you don't "
        "know. What isn't known is null.",
        "required": list(BODY),
        "properties": {name: body["properties"][name] for name in BODY},
    }


def _resolved(components: dict[str, Any], name: str) -> dict[str, Any]:
    """
    A struct's schema without references, with the comments of its fields. Each field is
    required: what isn't known is written as null.
    """
    texts = comments(getattr(subscribe, name))

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return _resolved(components, node["$ref"])
        return {key: inlined(each) for key, each in node.items() if key != "default"}

    properties = {
        field: inlined(schema) | ({"description": texts[field]} if texts[field] else {})
        for field, schema in components[name]["properties"].items()
    }
    return {
        "type": "object",
        "description": inspect.getdoc(getattr(subscribe, name)),
        "required": list(properties),
        "properties": properties,
    }


def comments(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The `#:` comment of each field, above it or beside it; empty if there is none."""
    found = dict.fromkeys(struct.__struct_fields__, "")
    above: list[str] = []
    for line in _lines(struct):
        code, mark, text = line.strip().partition("#:")
        if mark and not code:
            above.append(text.strip())
            continue
        if (name := re.match(r"(\w+): ", code)) and name[1] in found:
            found[name[1]] = " ".join(above) or text.strip()
        above = []
    return found


def _lines(struct: type) -> Iterator[str]:
    for each in reversed(struct.__mro__):
        if each.__module__ == subscribe.__name__:
            yield from inspect.getsource(each).splitlines()


def write(folder: Path = FOLDER) -> None:
    """Replaces the schemas in a folder."""
    for old in folder.glob("*.json"):
        old.unlink()
    for name, text in schemas().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write()
    else:
        print("\n".join(schemas()))

#!/usr/bin/env python3
"""
Makes google-VERSION.json.gz again: the schema of what infra/*.tf uses.

The providers' own schemas can be had only from the providers, which Terraform's
registry gives out. The same knowledge is in the bindings that CDK Terrain generates
from them and publishes as Python packages: each generated module says of every field
whether it is required, optional or computed, and how it nests. This reads those
modules and writes what `terraform providers schema -json` would.

    python3 infra/tests/schema/make_schema.py          # after using a new resource type
"""

import gzip
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
INFRA = HERE.parents[1]

#: The version of the provider, and that of the packages which were made from it.
PROVIDER, PACKAGE = "8.7.0", "21.1.0"
OUT = HERE / f"google-{PROVIDER}.json.gz"

#: Where each provider comes from, and what is taken from it.
PACKAGES = {
    "google": "cdktn-provider-google",
    "google-beta": "cdktn-provider-google-beta",
}
FROM_BETA = {"google_project_service_identity"}

CLASS = re.compile(r"^class (\w+) extends \w+\.(\w+) \{$(.*?)^\}$", re.M | re.S)
TYPE_NAME = re.compile(r'tfResourceType = "([\w-]+)"')
FIELD = re.compile(
    r"^    // (\w+) - computed: (\w+), optional: (\w+), required: (\w+)$", re.M
)
NESTED = re.compile(
    r"^    _\w+ = new (\w+?)(OutputReference|List|Map)"
    r'\(this, "\w+"(?:, (true|false))?\)',
    re.M,
)
TO_HCL = re.compile(
    r"^function (\w+)ToHclTerraform\(struct\) \{$(.*?)^\}$", re.M | re.S
)
HCL_ENTRY = re.compile(
    r"^\s+(\w+): \{\n\s+value: .*?\n\s+isBlock: (true|false),"
    r'\n\s+type: "(\w+)",\n\s+storageClassType: "(\w+)",',
    re.M,
)
INTERFACE = re.compile(r"^export interface (\w+)[^{]*\{$(.*?)^\}$", re.M | re.S)
ENUM = re.compile(
    r'/\*\*((?:(?!\*/).)*?)Possible values: \[("[^\]]*)\]'
    r"((?:(?!\*/).)*?)\{@link \S+#(\w+) ",
    re.S,
)

#: What a generated getter, or a field's storage class, says of a type.
GETTERS: dict[str, Any] = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
    "getAnyMapAttribute": ["map", "dynamic"],
}
STORED: dict[str, Any] = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "stringList": "string",
    "numberList": "number",
    "booleanList": "bool",
    "stringMap": "string",
    "numberMap": "number",
    "booleanMap": "bool",
    "anyMap": "dynamic",
    "stringListList": ["list", "string"],
    "any": "dynamic",
    "anyList": "dynamic",
}
PLAIN = {"String": "string", "Number": "number", "Boolean": "bool", "Any": "dynamic"}


def main() -> None:
    """Writes the file, or says which type it couldn't find."""
    used = types_used()
    schemas = {}
    for provider, package in PACKAGES.items():
        wanted = used & FROM_BETA if provider == "google-beta" else used - FROM_BETA
        found = provider_schema(modules(package), wanted)
        if missing := wanted - types_in(found):
            sys.exit(f"{package} {PACKAGE} has no {', '.join(sorted(missing))}")
        schemas[f"registry.terraform.io/hashicorp/{provider}"] = found
    document = {"format_version": "1.0", "provider_schemas": schemas}
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    OUT.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{OUT}: {len(used)} types, {OUT.stat().st_size:,} bytes")


def types_used() -> set[str]:
    """The resource and data source types in infra/*.tf; the latter as `data.TYPE`."""
    text = "".join(path.read_text() for path in INFRA.glob("*.tf"))
    blocks = re.findall(r'^(resource|data) "(\w+)"', text, re.M)
    return {f"data.{name}" if kind == "data" else name for kind, name in blocks}


def types_in(schema: dict[str, Any]) -> set[str]:
    """The same, of a provider's schema."""
    sources = {f"data.{name}" for name in schema["data_source_schemas"]}
    return sources | set(schema["resource_schemas"])


def modules(package: str) -> Iterator[tuple[str, str]]:
    """The generated modules of a package: their JavaScript and their declarations."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = f"{package}=={PACKAGE}"
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*download, "--dest", folder, requirement], check=True)
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        inner = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        parts: dict[str, list[tuple[str, str]]] = {}
        with tarfile.open(fileobj=wheel.open(inner), mode="r|gz") as archive:
            for member in archive:
                path = Path(member.name).parts
                if path[1] == "lib" and path[-1].endswith((".js", ".d.ts")):
                    file = archive.extractfile(member)
                    assert file is not None
                    parts.setdefault(path[2], []).append(
                        (path[-1], file.read().decode())
                    )
    for files in parts.values():
        # A big module has its structs in files of their own, which index.js qualifies.
        files.sort(key=lambda each: each[0] == "index.js")
        script = "\n".join(text for name, text in files if name.endswith(".js"))
        types = "\n".join(text for name, text in files if name.endswith(".d.ts"))
        yield re.sub(r"\b(?:index_\w+|structs\w*)\.(?=\w)", "", script), types


def provider_schema(
    generated: Iterator[tuple[str, str]], wanted: set[str]
) -> dict[str, Any]:
    """A provider's schema, with the wanted types alone."""
    schema: dict[str, Any] = {"resource_schemas": {}, "data_source_schemas": {}}
    names = {name.removeprefix("data.") for name in wanted} | set(PACKAGES)
    for script, types in generated:
        if names.isdisjoint(TYPE_NAME.findall(script)):
            continue
        for _, base, body in CLASS.findall(script):
            named = TYPE_NAME.search(body)
            if named is None:
                continue
            module = Module(script, types)
            if base == "TerraformProvider":
                schema["provider"] = module.top(body)
                schema["provider"]["block"]["attributes"].pop("alias", None)
            elif base == "TerraformResource" and named[1] in wanted:
                schema["resource_schemas"][named[1]] = module.top(body)
            elif base == "TerraformDataSource" and f"data.{named[1]}" in wanted:
                schema["data_source_schemas"][named[1]] = module.top(body)
    return schema


class Module:
    """One generated module: its classes, their fields, the values these may have."""

    def __init__(self, script: str, types: str) -> None:
        self.classes = {name: body for name, _, body in CLASS.findall(script)}
        self.entries = {name: entries(body) for name, body in TO_HCL.findall(script)}
        self.enums = {
            name: {field: json.loads(f"[{values}]") for _, values, _, field in found}
            for name, body in INTERFACE.findall(types)
            if (found := ENUM.findall(body))
        }

    def top(self, body: str) -> dict[str, Any]:
        """The schema of the type whose class has this body."""
        name = next(key for key, value in self.classes.items() if value == body)
        own = entries(body[body.find("synthesizeHclAttributes") :])
        return {"version": 0, "block": self.block(name, own)}

    def block(self, name: str, own: dict[str, tuple[bool, str, str]]) -> dict[str, Any]:
        """The attributes and the nested blocks of a class."""
        body = self.classes[name]
        enums = self.enums.get(name.removesuffix("OutputReference"), {})
        enums = enums | self.enums.get(f"{name}Config", {})
        attributes: dict[str, Any] = {}
        blocks: dict[str, Any] = {}
        marks = list(FIELD.finditer(body))
        for mark, after in zip(marks, [*marks[1:], None], strict=False):
            field, *said = mark.groups()
            computed, optional, required = (each == "true" for each in said)
            flags = {"required": required, "optional": optional, "computed": computed}
            flags = {key: True for key, value in flags.items() if value}
            text = body[mark.end() : after.start() if after else len(body)]
            is_block, kind, stored = own.get(field, (False, "", ""))
            if nested := NESTED.search(text):
                inner_own = self.entries.get(nested[1][0].lower() + nested[1][1:], {})
                inner = self.block(f"{nested[1]}OutputReference", inner_own)
                is_set = nested[3] == "true" or kind == "set"
                if not is_block:
                    outer = "map" if nested[2] == "Map" else "set" if is_set else "list"
                    attributes[field] = {"type": [outer, as_type(inner)]} | flags
                elif kind == "struct" or field == "timeouts":
                    blocks[field] = {"nesting_mode": "single", "block": inner}
                else:
                    blocks[field] = {
                        "nesting_mode": "set" if is_set else "list",
                        "block": inner,
                        **({"min_items": 1} if required else {}),
                        **({"max_items": 1} if nested[2] == "OutputReference" else {}),
                    }
                continue
            type = simple_type(kind, stored, text)
            attributes[field] = {"type": type} | flags
            if type == "string" and field in enums and (required or optional):
                attributes[field]["enum"] = enums[field]
        return {"attributes": attributes, **({"block_types": blocks} if blocks else {})}


def entries(body: str) -> dict[str, tuple[bool, str, str]]:
    """For each field that can be set: whether it is a block, and words on its type."""
    return {
        field: (is_block == "true", kind, stored)
        for field, is_block, kind, stored in HCL_ENTRY.findall(body)
    }


def simple_type(kind: str, stored: str, text: str) -> Any:
    """The type of a field without a class of its own, in Terraform's own notation."""
    if kind and stored in STORED:
        element = STORED[stored]
        return element if kind == "simple" else [kind, element]
    if of := re.search(r"new cdktn\.(String|Number|Boolean|Any)(Map|MapList)\(", text):
        element = ["map", PLAIN[of[1]]]
        return element if of[2] == "Map" else ["list", element]
    getter = re.search(r"this\.(get\w+Attribute)\(", text)
    found = GETTERS.get(getter[1], "dynamic") if getter else "dynamic"
    if isinstance(found, list) and "Fn.tolist" in text:
        return ["set", found[1]]
    return found


def as_type(block: dict[str, Any]) -> Any:
    """A block that can only be read, as the type of an attribute."""
    fields = {name: each["type"] for name, each in block["attributes"].items()}
    for name, nested in block.get("block_types", {}).items():
        mode = nested["nesting_mode"].replace("single", "list")
        fields[name] = [mode, as_type(nested["block"])]
    return ["object", fields]


if __name__ == "__main__":
    main()

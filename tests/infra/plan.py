"""A plan, as `terraform show -json` has it, made easy to ask."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource as it will be; what isn't known before the apply is left out."""

    address: str
    type: str
    key: str | None
    values: dict[str, Any]

    def block(self, name: str) -> dict[str, Any]:
        """A nested block that is there at most once; empty when it isn't."""
        found = self.values.get(name) or [{}]
        return dict(found[0])


class Plan:
    """What Terraform would make, and how it is written down."""

    def __init__(self, plan: dict[str, Any], folder: Path = Path()) -> None:
        """
        Args:
            folder: where Terraform ran.
        """
        self._folder = folder
        root = plan["planned_values"]["root_module"]
        self.resources = [
            Resource(
                address=each["address"],
                type=each["type"],
                key=each.get("index"),
                values=each["values"],
            )
            for each in root["resources"]
        ]
        self.outputs = {
            name: each.get("value")
            for name, each in plan["planned_values"].get("outputs", {}).items()
        }
        self.variables = {
            name: each.get("value") for name, each in plan["variables"].items()
        }
        self._written = {
            each["address"]: each["expressions"]
            for each in plan["configuration"]["root_module"]["resources"]
        }

    @property
    def name(self) -> str:
        """The deployment's name."""
        return str(self.variables["name"])

    @property
    def project(self) -> str:
        return str(self.variables["project_id"])

    def file(self, path: str) -> bytes:
        """What a file holds that the plan names."""
        return (self._folder / path).read_bytes()

    def of(self, type: str) -> list[Resource]:
        """All resources of a type."""
        return [each for each in self.resources if each.type == type]

    def at(self, address: str) -> Resource:
        """
        The resource with this address.

        Raises:
            KeyError: there is none.
        """
        for each in self.resources:
            if each.address == address:
                return each
        raise KeyError(address)

    def references(self, resource: Resource, *path: str) -> set[str]:
        """What an argument was written with: addresses of other things."""
        written: Any = self._written[re.sub(r"\[.*\]$", "", resource.address)]
        for step in path:
            written = written[0] if isinstance(written, list) else written
            written = written.get(step, {})
        return set(written.get("references", ()))

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """Each text of each resource: address, the argument's name, the text."""
        for each in self.resources:
            for name, text in _texts(each.values, ""):
                yield each.address, name, text


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, name)

"""A plan as `terraform show -json` prints it, with methods to query it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One planned resource, without values that are known only after the apply."""

    address: str
    type: str
    key: str | None
    values: dict[str, Any]

    def block(self, name: str) -> dict[str, Any]:
        """A nested block that occurs at most once; {} if absent."""
        found = self.values.get(name) or [{}]
        return dict(found[0])


class Plan:
    """What Terraform would create, and the expressions that it comes from."""

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
        #: What became of each check: "pass", or "fail" and the like.
        self.checks = [each["status"] for each in plan.get("checks", ())]
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
        """The content of a file that the plan names."""
        return (self._folder / path).read_bytes()

    def of(self, type: str) -> list[Resource]:
        """All resources of a type."""
        return [each for each in self.resources if each.type == type]

    def at(self, address: str) -> Resource:
        """
        The resource with this address.

        Raises:
            KeyError: no resource has it.
        """
        for each in self.resources:
            if each.address == address:
                return each
        raise KeyError(address)

    def references(self, resource: Resource, *path: str) -> set[str]:
        """The addresses that the expression of an argument refers to."""
        written: Any = self._written[re.sub(r"\[.*\]$", "", resource.address)]
        for step in path:
            written = written[0] if isinstance(written, list) else written
            written = written.get(step, {})
        return set(written.get("references", ()))

    def texts(self) -> Iterator[tuple[str, str, str]]:
        """Each string of each resource: address, name of the argument, string."""
        for each in self.resources:
            for name, text in _texts(each.values, ""):
                yield each.address, name, text


def _texts(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Each string inside a value, with the nearest argument's name."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, name)

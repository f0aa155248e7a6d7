"""functions/requirements.txt is what pyproject.toml asks for, pinned."""

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.rules.test_pythons import deployed, supported

ROOT = Path(__file__).parents[2]
#: Where the pins must hold: the oldest Python we support, and the one we deploy on.
PYTHONS = (supported()[0], deployed())


def test_the_pins_are_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "functions/requirements.txt").read_text()

    assert stale(project, text) == [], "run `make requirements`"


def test_the_pins_name_no_package_index_and_no_place_on_somebodys_machine() -> None:
    text = (ROOT / "functions/requirements.txt").read_text()

    assert not re.search(r"https?:|file:|^-|/(home|root|Users|opt|tmp)/", text, re.M)


def test_a_dependency_that_is_not_pinned_is_stale() -> None:
    assert stale(a_project(httpx=">=0.28"), "anyio==4.0\n") == ["httpx is missing"]


def test_a_pin_outside_its_range_is_stale() -> None:
    assert stale(a_project(httpx=">=0.28,<1"), "httpx==1.0\n") == [
        "httpx==1.0 is not within <1,>=0.28"
    ]


def test_the_worker_extra_counts_and_what_it_takes_from_other_extras() -> None:
    project = {
        "name": "Thing",
        "dependencies": [],
        "optional-dependencies": {
            "worker": ["flask>=3", "thing[storage]"],
            "storage": ["gcs>=3"],
            "dev": ["pytest>=8"],
        },
    }

    assert stale(project, "") == ["flask is missing", "gcs is missing"]


def test_a_range_in_place_of_a_pin_is_stale() -> None:
    assert stale(a_project(), "anyio>=4\nflask==3.*\nidna\n") == [
        "anyio>=4 is not a pin",
        "flask==3.* is not a pin",
        "idna is not a pin",
    ]


def test_a_pin_for_other_pythons_alone_is_stale() -> None:
    pins = "httpx==0.28.1 ; python_full_version < '3.12'\n"

    assert stale(a_project(httpx=">=0.28"), pins) == ["httpx is missing on Python 3.13"]


def test_one_pin_for_each_python_is_fine() -> None:
    pins = (
        "httpx==0.28.1 ; python_full_version < '3.12'\n"
        "httpx==0.28.2 ; python_full_version >= '3.12'\n"
    )

    assert stale(a_project(httpx=">=0.28"), pins) == []


def a_project(**dependencies: str) -> dict[str, Any]:
    return {
        "name": "thing",
        "dependencies": [name + range for name, range in dependencies.items()],
        "optional-dependencies": {"worker": []},
    }


def stale(project: dict[str, Any], text: str) -> list[str]:
    """What is wrong with the pins, given pyproject's `project` table; nothing: []."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    pins = [Requirement(line) for line in lines if line]
    wrong = [
        f"{pin} is not a pin"
        for pin in pins
        if not re.fullmatch(r"==[^*,]+", str(pin.specifier))
    ]
    for asked in wanted(project, "worker"):
        found = [pin for pin in pins if same(pin.name, asked.name)]
        if not found:
            wrong.append(f"{asked.name} is missing")
            continue
        for python in PYTHONS:
            env = {"python_version": python, "python_full_version": f"{python}.0"}
            if not any(pin.marker is None or pin.marker.evaluate(env) for pin in found):
                wrong.append(f"{asked.name} is missing on Python {python}")
        wrong += [
            f"{pin.name}{pin.specifier} is not within {asked.specifier}"
            for pin in found
            for pinned in pin.specifier
            if not asked.specifier.contains(pinned.version.rstrip(".*"))
        ]
    return wrong


def wanted(project: dict[str, Any], *extras: str) -> list[Requirement]:
    """The base dependencies and those of the extras, which may name each other."""
    texts = list(project["dependencies"])
    for extra in extras:
        texts += project["optional-dependencies"][extra]
    found = []
    for requirement in map(Requirement, texts):
        if same(requirement.name, project["name"]):
            nested = {**project, "dependencies": []}
            found += wanted(nested, *sorted(requirement.extras))
        else:
            found.append(requirement)
    return found


def same(one: str, other: str) -> bool:
    return canonicalize_name(one) == canonicalize_name(other)

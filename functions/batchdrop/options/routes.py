"""Routes: what a deployer chooses for files by their names, read from a TOML file."""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from batchdrop.errors import BadSetting
from batchdrop.jobs.values import MAX_NAME, Location, brief
from batchdrop.options import readers
from batchdrop.options.configuration import wire_config
from batchdrop.options.globs import Pattern
from batchdrop.options.settings import PREFIX, Settings
from batchdrop.preflight import Rules
from batchdrop.preflight.retirements import retirement

#: Bytes of an object with routes. Decoded, 20 MB of TOML took 513 MB.
MAX_SIZE = 500_000
#: So many of the things that are wrong with routes are told.
MAX_ERRORS = 50


class BadRoutes(BadSetting):
    """Routes that can't be used; `errors` has one line for each thing to mend."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = tuple(errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is chosen for the files whose names match."""

    number: int  #: counted from 1, in the order of the file
    match: tuple[str, ...]
    name: str = ""
    #: By the names of the fields of `records.Spec`; what isn't there isn't chosen here.
    choices: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, name: str) -> bool:
        """Whether the route is for an object."""
        return any(Pattern.parse(each).matches(name) for each in self.match)

    @property
    def table(self) -> str:
        """What to call it where its file is read."""
        patterns = ", ".join(f'"{each}"' for each in self.match)
        return f"[[route]] {self.number} ({patterns})"

    def __str__(self) -> str:
        # It stands in each job's document, once for all that is chosen here.
        patterns = brief(", ".join(self.match), MAX_NAME)
        return f"route {self.name or f'{self.number} ({patterns})'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Routes in their order; the first that matches counts."""

    file: str
    routes: tuple[Route, ...]

    @classmethod
    def none(cls) -> Self:
        """Where a deployment has none."""
        return cls(file="", routes=())

    @classmethod
    def parse(cls, text: bytes, file: str) -> Self:
        """
        Reads routes.

        Args:
            file: what to call the file in errors.

        Raises:
            BadRoutes: with all that is wrong in it.
        """
        if len(text) > MAX_SIZE:
            raise BadRoutes([f"{file}: it has more than {MAX_SIZE:,} bytes"])
        try:
            tables = tomllib.loads(text.decode("utf-8-sig"))
        except (ValueError, RecursionError) as exc:
            raise BadRoutes([f"{file}: no TOML: {exc}"]) from exc
        errors = [
            f"{file}: {key}: unknown; a file of routes has only [[route]]"
            for key in tables
            if key != "route"
        ]
        given = tables.get("route", [])
        if not isinstance(given, list):
            errors.append(f"{file}: [route]: write it with two brackets, [[route]]")
            given = []
        routes = []
        for number, table in enumerate(given, 1):
            if isinstance(table, dict):
                route, wrong = _route(number, table)
                routes.append(route)
                errors += (f"{file}: {route.table}: {each}" for each in wrong)
            else:
                errors.append(f"{file}: route: write each as a table, [[route]]")
        errors += _twice(file, routes)
        if len(errors) > MAX_ERRORS:
            errors[MAX_ERRORS:] = [f"{file}: {len(errors) - MAX_ERRORS:,} more"]
        if errors:
            raise BadRoutes(errors)
        return cls(file=file, routes=tuple(routes))

    def route_of(self, name: str) -> Route | None:
        """The first route that is for an object."""
        return next((route for route in self.routes if route.matches(name)), None)

    def warnings(self, settings: Settings) -> Iterator[str]:
        """Yields what will be wrong one day, or is: models that a backend retires."""
        said = [("MODEL", settings.model), *(("MODELS", m) for m in settings.models)]
        for name, model in said:
            if found := retirement(model, settings.backend):
                yield f"{PREFIX}{name}: {found}"
        for route in self.routes:
            model = route.choices.get("model", settings.model)
            backend = route.choices.get("backend", settings.backend)
            if {"model", "backend"}.isdisjoint(route.choices):
                continue  # it has the deployment's
            if found := retirement(model, backend):
                yield f"{self.file}: {route.table}: model: {found}"

    def check(self, settings: Settings) -> None:
        """
        Compares them with the deployment that they are for.

        Raises:
            BadRoutes: with all that can't be.
        """
        errors = [
            f"{self.file}: {route.table}: {wrong}"
            for route in self.routes
            for wrong in _at_odds(route, settings)
        ]
        if errors:
            raise BadRoutes(errors)


# -- tables ------------------------------------------------------------------------


def _route(number: int, table: Mapping[str, Any]) -> tuple[Route, list[str]]:
    """A route, and what is wrong with it."""
    errors: list[str] = []
    match: tuple[str, ...] = ()
    name = ""
    choices: dict[str, Any] = {}
    if "match" not in table:
        errors.append('match is missing; write match = "folder/**"')
    for key, given in table.items():
        try:
            if key == "match":
                match = tuple(given) if isinstance(given, list) else (given,)
                _check_match(match)
            elif key == "name":
                name = readers.display_name(given)
            elif key in KEYS:
                choices[key] = KEYS[key](given)
            else:
                known = ", ".join(("match", "name", *KEYS))
                errors.append(f"{key}: unknown; a route can have: {known}")
        except ValueError as exc:
            errors.append(f"{key}: {exc}")
    match = tuple(map(str, match))
    return Route(number=number, match=match, name=name, choices=choices), errors


def _check_match(patterns: tuple[Any, ...]) -> None:
    if not patterns:
        raise ValueError('it is empty; write match = "folder/**"')
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ValueError(
                f"it is {readers.short(pattern)}; write a pattern, or a list of "
                "patterns"
            )
        Pattern.parse(pattern)


def _location(given: object) -> str:
    if not isinstance(given, str) or not re.fullmatch(r"[a-z0-9-]+", given):
        raise ValueError(f"it is {readers.short(given)}; write a region, or global")
    return given


def _model(given: object) -> str:
    text = readers.text(given)
    try:
        readers.model(text, "vertex")
    except ValueError:
        readers.model(text, "developer")
    return text


def _destination(given: object) -> str:
    return readers.gs_prefix(readers.text(given))


def _config(given: object) -> str | None:
    if not isinstance(given, dict):
        raise ValueError(
            f"it is {readers.short(given)}; write a table, [route.generation_config]"
        )
    if wrong := next(_no_json(given, ""), None):
        raise ValueError(wrong)
    return json.dumps(given, ensure_ascii=False) if given else None


def _no_json(value: Any, path: str) -> Iterator[str]:
    """What TOML has and JSON hasn't."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _no_json(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _no_json(item, f"{path}[{number}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is {value}; JSON has no such number"
    elif not isinstance(value, (str, int)):
        yield f"{path} is a {type(value).__name__}, which JSON hasn't; write a text"


def _seconds(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise ValueError(
            f"it is {readers.short(given)}; write a number of seconds, or 0 for never"
        )
    return readers.seconds_or_never(given)


def _stalled(given: object) -> dict[str, float]:
    if isinstance(given, str):
        raise ValueError(
            f"it is {readers.short(given)}; write a number of seconds, or a table, "
            "[route.stalled_after]"
        )
    return readers.stalled_after(given)


#: How each key is read. The keys are fields of `records.Spec`.
KEYS: dict[str, Callable[[object], Any]] = {
    "kind": readers.kind,
    "backend": readers.choice("vertex", "developer"),
    "location": _location,
    "model": _model,
    "destination": _destination,
    "generation_config": _config,
    "labels": readers.label_table,
    "on_invalid": readers.on_invalid,
    "max_invalid": readers.limit,
    "fix": readers.switch,
    "unknown": readers.unknown,
    "max_active": readers.limit,
    "max_rows": readers.limit,
    "max_bytes": readers.limit,
    "part_rows": readers.limit,
    "part_bytes": readers.limit,
    "manifest": readers.choice("optional", "required"),
    "cancel_after": _seconds,
    "delete_after": _seconds,
    "stalled_after": _stalled,
}


def _twice(file: str, routes: list[Route]) -> Iterator[str]:
    """Routes that can't be told apart, or that no file can come to."""
    by_name: dict[str, Route] = {}
    by_pattern: dict[str, Route] = {}
    for route in routes:
        if route.name and (other := by_name.get(route.name)):
            yield f"{file}: {route.table}: name: {other.table} has it; write another"
        by_name.setdefault(route.name, route)
        for pattern in route.match:
            if other := by_pattern.get(pattern):
                yield (
                    f'{file}: {route.table}: match: {other.table} has "{pattern}" '
                    "too, and the first counts; leave one out"
                )
            by_pattern.setdefault(pattern, route)


def _at_odds(route: Route, settings: Settings) -> Iterator[str]:
    """What is wrong with a route in a deployment, key by key."""
    chosen = route.choices
    backend = chosen.get("backend", settings.backend)
    if chosen.get("backend") == "developer" and not settings.api_key:
        yield 'backend: "developer" needs GEMINI_API_KEY to be set, from a secret'
    if (destination := chosen.get("destination")) is not None:
        bucket = Location.parse(destination).bucket
        for name, own in (("INBOX", settings.inbox), ("WORK", settings.work.bucket)):
            if bucket == own:
                yield (
                    f"destination: {destination} lies in the bucket of "
                    f"BATCHDROP_{name}; use another one"
                )
    delete_after = chosen.get("delete_after")
    if delete_after is not None and delete_after >= settings.ledger_ttl:
        yield (
            f"delete_after: {delete_after:.15g} must be below BATCHDROP_LEDGER_TTL "
            f"({settings.ledger_ttl:.15g}); what the ledger has forgotten is never "
            "deleted"
        )
    model = chosen.get("model", settings.model)
    if not model:
        return  # a deployment always has one; who checks a file alone may not know it
    try:
        model = readers.model(model, backend)
    except ValueError as exc:
        if {"model", "backend"}.intersection(chosen):
            yield f"model: {exc} (the backend is {backend})"
        return
    unknown = chosen.get("unknown", settings.unknown)
    rules = Rules(backend=backend, model=model, unknown=unknown)
    family = rules.family
    kind = "embedding" if family.embeds else "generation"
    if chosen.get("kind", kind) != kind:
        yield (
            f'kind: it is "{chosen["kind"]}", but {model} is for {kind}; write '
            f'"{kind}", or another model'
        )
    config = chosen.get("generation_config")
    if config and not family.config:
        yield (
            f"generation_config: {model} takes none; write the parameters into each "
            "request"
        )
    elif config:
        try:
            wire_config(config, rules, private=False)
        except ValueError as exc:
            yield f"generation_config: {exc}"
    for key, most in (("part_rows", family.rows), ("part_bytes", family.bytes)):
        if most is not None and (chosen.get(key) or 0) > most:
            yield f"{key}: it is {chosen[key]}; {family.name} takes at most {most}"


def endpoints(settings: Settings, routes: Routes) -> frozenset[tuple[str, str]]:
    """The backends and locations that a deployment's jobs may go to."""
    chosen = [route.choices for route in routes.routes]
    return frozenset(
        (one.get("backend", settings.backend), one.get("location", settings.location))
        for one in [{}, *chosen]
    )

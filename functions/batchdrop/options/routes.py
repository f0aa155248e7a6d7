"""Routes: a TOML file in which a deployer chooses options for files by their names."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from batchdrop.errors import BadSetting
from batchdrop.jobs.codes import Backend
from batchdrop.jobs.values import MAX_NAME, Location, brief
from batchdrop.options import readers
from batchdrop.options.configuration import wire_config
from batchdrop.options.globs import Pattern
from batchdrop.options.settings import Settings
from batchdrop.options.table import PREFIX, By, options, unknown
from batchdrop.preflight import Rules
from batchdrop.preflight.retirements import retirement

#: Bytes of an object with routes. Decoded, 20 MB of TOML took 513 MB.
MAX_SIZE = 500_000
#: Errors of a file that are listed; of more, their number is.
MAX_ERRORS = 50

#: The options that a route may set.
_OPTIONS = {option.name: option for option in options(By.ROUTE)}
_KEYS = ("match", "name", *_OPTIONS)


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
    #: By the names of the options; an option that the route leaves alone is absent.
    choices: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, name: str) -> bool:
        """Whether the route is for an object of this name."""
        return any(Pattern.parse(each).matches(name) for each in self.match)

    @property
    def table(self) -> str:
        """What errors in the file of routes call it."""
        patterns = ", ".join(f'"{each}"' for each in self.match)
        return f"[[route]] {self.number} ({patterns})"

    @property
    def key(self) -> str:
        """What its sum of a day is kept under: no other route has the same."""
        return brief(self.name or ", ".join(self.match), MAX_NAME)

    def __str__(self) -> str:
        # Written into each job's document, as the origin of what the route sets.
        patterns = brief(", ".join(self.match), MAX_NAME)
        return f"route {self.name or f'{self.number} ({patterns})'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Routes in the order of their file; the first that matches counts."""

    file: str
    routes: tuple[Route, ...]

    @classmethod
    def none(cls) -> Self:
        """Of a deployment without routes."""
        return cls(file="", routes=())

    @classmethod
    def parse(cls, text: bytes, file: str) -> Self:
        """
        Reads routes.

        Args:
            text: TOML, in UTF-8.
            file: what errors call the file.

        Raises:
            BadRoutes: with one line for each error.
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
        """The first route that matches an object's name."""
        return next((route for route in self.routes if route.matches(name)), None)

    def warnings(self, settings: Settings) -> Iterator[str]:
        """Yields the models of a deployment and its routes that a backend retires."""
        models = [("MODEL", settings.model), *(("MODELS", m) for m in settings.models)]
        for name, model in models:
            if found := retirement(model, settings.backend):
                yield f"{PREFIX}{name}: {found}"
        for route in self.routes:
            model = route.choices.get("model", settings.model)
            backend = route.choices.get("backend", settings.backend)
            if {"model", "backend"}.isdisjoint(route.choices):
                continue  # the deployment's, which has its warning above
            if found := retirement(model, backend):
                yield f"{self.file}: {route.table}: model: {found}"

    def check(self, settings: Settings) -> None:
        """
        Checks that a deployment can have these routes.

        Raises:
            BadRoutes: with one line for each option that it can't have.
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
    """A route, and its errors."""
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
            elif key in _OPTIONS:
                choices[key] = _OPTIONS[key].type.of_value(given)
            else:
                errors.append(f"{key}: {unknown(key, _KEYS)}")
        except ValueError as exc:
            errors.append(f"{key}: {readers.quoted(exc)}")
    match = tuple(map(str, match))
    return Route(number=number, match=match, name=name, choices=choices), errors


def _check_match(patterns: tuple[Any, ...]) -> None:
    if not patterns:
        raise ValueError('got an empty list; write match = "folder/**"')
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise readers.Unreadable(pattern, "a pattern, or a list of patterns")
        Pattern.parse(pattern)


def _twice(file: str, routes: list[Route]) -> Iterator[str]:
    """Yields routes with the name, or a pattern, of an earlier one."""
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
    """Yields what a deployment can't have of a route, key by key."""
    chosen = route.choices
    backend = chosen.get("backend", settings.backend)
    if chosen.get("backend") == Backend.DEVELOPER and not settings.api_key:
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
        return  # `batchdrop routes check` runs without a deployment, too
    try:
        model = readers.model(model, backend)
    except ValueError as exc:
        if {"model", "backend"}.intersection(chosen):
            yield f"model: {exc} (the backend is {backend})"
        return
    rules = Rules(
        backend=backend, model=model, unknown=chosen.get("unknown", settings.unknown)
    )
    family = rules.family
    kind = "embedding" if family.embeds else "generation"
    if chosen.get("kind", kind) != kind:
        yield (
            f'kind: got "{chosen["kind"]}", but {model} is for {kind}; write '
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
            yield f"{key}: got {chosen[key]}; {family.name} takes at most {most}"


def endpoints(settings: Settings, routes: Routes) -> frozenset[tuple[str, str]]:
    """Each pair of backend and location that a deployment's jobs may go to."""
    chosen = [route.choices for route in routes.routes]
    return frozenset(
        (one.get("backend", settings.backend), one.get("location", settings.location))
        for one in [{}, *chosen]
    )

"""
Resolves a job's options: for each, the strongest source that sets it, if the
deployment allows that choice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, NoReturn

from batchdrop.errors import BadChoice
from batchdrop.jobs.codes import Backend, ErrorCode
from batchdrop.jobs.values import MAX_NAME, Location, Spec
from batchdrop.options import readers
from batchdrop.options.configuration import wire_config
from batchdrop.options.manifests import Manifest
from batchdrop.options.names import is_manifest, manifest_name
from batchdrop.options.routes import Route, Routes
from batchdrop.options.settings import Settings
from batchdrop.options.table import (
    ENVIRONMENT,
    METADATA,
    OPTIONS,
    PREFIX,
    By,
    options,
    unknown,
)
from batchdrop.preflight import Rules
from batchdrop.stored import split_uri

#: As a label would be written: refused, since it would silently do nothing.
_MISSPELLED = "batchdrop_"

_JOBS = frozenset(each.name for each in fields(Spec))
#: The options of a job that have a variable.
_VARIABLES = tuple(option for option in options(ENVIRONMENT) if option.name in _JOBS)
#: The options that an object's metadata may set, by their keys without METADATA.
KEYS = {option.key: option for option in options(By.METADATA)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """
    What a job is to be. In `spec`, `destination` is the prefix as it was chosen,
    without the job's own folder, and `labels` are without batchdrop's own.
    """

    spec: Spec
    origin: dict[str, str]  #: by the fields of `spec`: who chose each
    sources: tuple[Location, ...]  #: prefixes that rows and media may come from
    route: Route | None


class _Layer(NamedTuple):
    """The choices of one who may set options. The weaker layers come first."""

    choices: Mapping[str, Any]
    origins: Mapping[str, str]
    code: str  #: the error code of a choice that isn't possible


def choose(
    settings: Settings,
    routes: Routes,
    name: str,
    *,
    metadata: Mapping[str, str],
    manifest: Manifest | None,
) -> Chosen:
    """
    Chooses each option of an object's job. Strongest first: its metadata, its manifest,
    the first route that matches its name, the environment. Labels are merged; of any
    other option a stronger choice replaces the weaker ones as a whole.

    Raises:
        BadChoice: `bad_metadata` or `bad_manifest`, by who made the choice;
            `not_allowed`, if the deployment's lists don't have it; `not_possible`, if
            the deployer's choices don't go together with the file's.
    """
    route = routes.route_of(name)
    layers = [_environment(settings, name)]
    if route is not None:
        layers.append(_layer(route.choices, str(route), ErrorCode.NOT_POSSIBLE))
    if manifest is not None:
        file = name if is_manifest(name) else manifest_name(name)
        layers.append(_of_manifest(manifest, file))
    layers.append(_of_metadata(metadata))
    return _Choosing(settings, route, manifest, layers).chosen()


@dataclass(slots=True)
class _Choosing:
    settings: Settings
    route: Route | None
    manifest: Manifest | None
    layers: list[_Layer]
    values: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    #: The number of the layer that chose each field.
    depth: dict[str, int] = field(default_factory=dict)

    def chosen(self) -> Chosen:
        for depth, layer in enumerate(self.layers):
            for name, value in layer.choices.items():
                if name != "labels":
                    self.values[name] = value
                    self.origin[name] = layer.origins[name]
                    self.depth[name] = depth
        self._labels()
        self._max_cost()
        self._ceiling()
        self._route()
        self._model()
        self._kind()
        self._generation_config()
        self._destination()
        sources = (
            Location(bucket=self.settings.inbox, prefix=""),
            *self.settings.sources,
        )
        if self.manifest is not None:
            self._source(self.manifest, sources)
        return Chosen(
            spec=Spec(**self.values),
            origin={each.name: self.origin[each.name] for each in fields(Spec)},
            sources=sources,
            route=self.route,
        )

    # -- what is allowed ----------------------------------------------------------

    def _refuse(self, what: str, rule: str) -> NoReturn:
        raise BadChoice(ErrorCode.NOT_ALLOWED, f"{what} is not allowed; {PREFIX}{rule}")

    def _by_route(self, name: str) -> list[Any]:
        """The route's own choice, which its files are allowed to repeat."""
        choices = self.route.choices if self.route else {}
        return [choices[name]] if name in choices else []

    def _model(self) -> None:
        backend, given = self.values["backend"], self.values["model"]
        what = f"the model ({self.origin['model']})"
        listed = {
            _model_or_none(model, backend)
            for model in (
                self.settings.model,
                *self.settings.models,
                *self._by_route("model"),
            )
        }
        model = _model_or_none(given, backend)
        if model is None and given == self.settings.model:
            return  # the deployer's own choice, sent as it is
        if model is None or model not in listed:
            self._refuse(what, "MODEL and BATCHDROP_MODELS list those that are")
        self.values["model"] = model

    def _destination(self) -> None:
        given = self.values["destination"]
        what = f"the destination ({self.origin['destination']})"
        if given.startswith("bq://"):
            if self.values["backend"] != Backend.VERTEX:
                self._impossible("destination", f"{what} is only for Vertex AI")
            self._in_datasets(what, readers.bq_dataset(given))
            return
        place = Location.parse(given)
        listed = [
            self.settings.output,
            *self.settings.destinations,
            *map(Location.parse, self._by_route("destination")),
        ]
        inside = any(each.holds(place.bucket, place.prefix) for each in listed)
        # A deployment may have WORK beside, or below, OUTPUT in one bucket.
        ours = self.settings.work.holds(place.bucket, place.prefix)
        chosen = self.depth["destination"] > 0
        if place.bucket == self.settings.inbox or (chosen and ours):
            self._refuse(what, "INBOX and BATCHDROP_WORK are no places for results")
        if not inside:
            self._refuse(
                what, "OUTPUT and BATCHDROP_DESTINATIONS list the prefixes that are"
            )

    def _source(self, manifest: Manifest, places: tuple[Location, ...]) -> None:
        file = self.origin_of_manifest
        for number, address in enumerate(manifest.objects):
            at, name = split_uri(address)
            if not any(place.holds(at, name) for place in places):
                self._refuse(
                    f"src[{number}] ({file})",
                    "INBOX and BATCHDROP_SOURCES list the prefixes that are",
                )
        table = manifest.table or manifest.dataset
        if table is None:
            return
        self.values["source"], self.origin["source"] = table, file
        what = f"src ({file})"
        if self.values["backend"] != Backend.VERTEX:
            raise BadChoice(ErrorCode.NOT_POSSIBLE, f"{what} is only for Vertex AI")
        dataset = readers.bq_dataset(table) if manifest.table else table
        self._in_datasets(what, dataset)
        if self.values["generation_config"] is not None:
            raise BadChoice(
                ErrorCode.NOT_POSSIBLE,
                f"the generation configuration ({self.origin['generation_config']}) "
                "can't be put into the table or dataset of src, whose rows are sent as "
                "they are: write it into them, and an empty one, {}, into the manifest",
            )

    def _in_datasets(self, what: str, dataset: str) -> None:
        if dataset not in self.settings.datasets:
            self._refuse(what, "DATASETS lists the datasets that are")

    @property
    def origin_of_manifest(self) -> str:
        return next(
            layer.origins["src"] for layer in self.layers if "src" in layer.origins
        )

    # -- what goes together -------------------------------------------------------

    def _impossible(self, name: str, what: str) -> NoReturn:
        raise BadChoice(self.layers[self.depth[name]].code, what)

    def _labels(self) -> None:
        labels: dict[str, str] = {}
        origins: dict[str, str] = {}
        for layer in self.layers:
            for name, value in layer.choices.get("labels", {}).items():
                labels[name] = value
                origins[name] = layer.origins["labels"]
        if len(labels) > readers.MAX_LABELS:
            raise BadChoice(
                ErrorCode.NOT_POSSIBLE,
                f"{len(labels)} labels, of {', '.join(sorted(set(origins.values())))}; "
                f"a job can have {readers.MAX_LABELS}",
            )
        self.values["labels"] = labels
        self.origin["labels"] = "default"
        if labels:
            each = (f"{name}: {origin}" for name, origin in origins.items())
            self.origin["labels"] = ", ".join(each)

    def _max_cost(self) -> None:
        """
        A file may lower the ceiling of the deployment, or of its route, and not raise
        or remove it.
        """
        given, origin = self.values["max_cost"], self.origin["max_cost"]
        for layer in self.layers:
            if layer.code == ErrorCode.NOT_POSSIBLE and "max_cost" in layer.choices:
                most, who = layer.choices["max_cost"], layer.origins["max_cost"]
        if most is not None and (given is None or given > most):
            raise BadChoice(
                ErrorCode.NOT_ALLOWED,
                f"max_cost ({origin}) may not be more than {most:.15g} ({who}); write "
                "that or less, or leave it out",
            )

    def _ceiling(self) -> None:
        """A route's own ceiling counts its own jobs; that of all jobs holds besides."""
        own = self._by_route("max_cost_per_day")
        self.values["ceiling"] = self.route.key if self.route and any(own) else ""
        self.origin["ceiling"] = self.origin["max_cost_per_day"]

    def _route(self) -> None:
        self.values["route"] = self.route.key if self.route else ""
        self.origin["route"] = str(self.route) if self.route else "no route"

    def _kind(self) -> None:
        model = self.values["model"]
        kind = "embedding" if self._rules().family.embeds else "generation"
        if "kind" not in self.values:
            self.values["kind"] = kind
            self.origin["kind"] = "the model"
        elif self.values["kind"] != kind:
            self._impossible(
                "kind",
                f'the kind "{self.values["kind"]}" ({self.origin["kind"]}) is not that '
                f'of {model} ({self.origin["model"]}); write "{kind}", or leave it out',
            )

    def _generation_config(self) -> None:
        """
        Leaves a weaker layer's configuration out if a stronger one chose a model that
        takes none; refuses one that comes with such a model. A configuration that no
        line could be sent with is refused here, before a line is blamed for it.
        """
        config, rules = self.values["generation_config"], self._rules()
        if config is None:
            return
        origin = self.origin["generation_config"]
        if rules.family.config:
            try:
                self.values["generation_config"] = wire_config(config, rules)
            except ValueError as exc:
                self._impossible(
                    "generation_config",
                    f"the generation configuration ({origin}) can't be sent: {exc}",
                )
            return
        model = self.values["model"]
        if self.depth["generation_config"] >= self.depth["model"]:
            self._impossible(
                "generation_config",
                f"a generation configuration ({origin}) is for Gemini; {model} takes "
                "none: write the parameters into each request",
            )
        self.values["generation_config"] = None
        self.origin["generation_config"] = f"{origin}, but {model} takes none"

    def _rules(self) -> Rules:
        return Rules(
            backend=self.values["backend"],
            model=self.values["model"],
            unknown=self.values["unknown"],
        )


def _model_or_none(text: str, backend: str) -> str | None:
    try:
        return readers.model(text, backend)
    except ValueError:
        return None


# -- the layers --------------------------------------------------------------------


def _layer(choices: Mapping[str, Any], origin: str, code: str) -> _Layer:
    return _Layer(choices, dict.fromkeys(choices, origin), code)


def _environment(settings: Settings, name: str) -> _Layer:
    choices: dict[str, Any] = {
        "display_name": name[-MAX_NAME:],
        "manifest": "optional",
        "source": None,
    }
    origins = {
        "display_name": "the object's name",
        "manifest": "default",
        "source": "the object",
    }
    for option in _VARIABLES:
        value = getattr(settings, option.setting)
        choices[option.name] = str(value) if isinstance(value, Location) else value
        by_default = value == option.default
        origins[option.name] = "default" if by_default else option.variable
    return _Layer(choices, origins, ErrorCode.NOT_POSSIBLE)


def _of_manifest(manifest: Manifest, file: str) -> _Layer:
    origin = f"manifest {file}"
    choices = dict(manifest.choices)
    if manifest.model is not None:
        choices["model"] = manifest.model
    layer = _layer(choices, origin, ErrorCode.BAD_MANIFEST)
    return layer._replace(origins={**layer.origins, "src": origin})


def _of_metadata(metadata: Mapping[str, str]) -> _Layer:
    choices: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, text in metadata.items():
        if not key.lower().startswith((METADATA, _MISSPELLED)):
            continue
        short = key.lower().removeprefix(METADATA)
        name = short.replace("-", "_")
        if short not in KEYS:
            _bad(
                f"a key that begins with {METADATA}",
                unknown(f"{METADATA}{short}", [f"{METADATA}{each}" for each in KEYS]),
            )
        if name in choices:
            _bad(key, "given twice, in two spellings; leave one out")
        try:
            choices[name] = KEYS[short].type.of_text(text)
        except ValueError as exc:
            _bad(key, str(exc))
        origins[name] = f"metadata {METADATA}{short}"
    return _Layer(choices, origins, ErrorCode.BAD_METADATA)


def _bad(key: str, what: str) -> NoReturn:
    raise BadChoice(ErrorCode.BAD_METADATA, f"{key[:200]}: {what}")


# -- for people --------------------------------------------------------------------


class Row(NamedTuple):
    """One option of a job, its value as text, and who chose it."""

    name: str
    value: str
    origin: str


def explain(chosen: Chosen) -> Iterator[Row]:
    """Yields a row for each field of a job's `Spec`, and one for its sources."""
    for name in (*(o.name for o in OPTIONS if o.name in _JOBS), "source"):
        value = getattr(chosen.spec, name)
        yield Row(name, _shown(value), chosen.origin[name])
    places = ", ".join(map(str, chosen.sources))
    yield Row("sources", places, f"{PREFIX}INBOX, {PREFIX}SOURCES")


def _shown(value: Any) -> str:
    if value in (None, {}, ()):
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_shown(given)}" for name, given in value.items())
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:.15g}" if isinstance(value, float) else str(value)

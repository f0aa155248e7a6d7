"""`batchdrop routes ...`: routes checked, and what is chosen for a file explained."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchdrop.cli.options import Pair
from batchdrop.errors import BadChoice, BadSetting

if TYPE_CHECKING:
    from batchdrop.options.resolve import Chosen, Row
    from batchdrop.options.routes import Routes
    from batchdrop.options.settings import Settings

#: What stands for a required setting where there is no deployment.
_STAND_INS = {
    "PROJECT": "not-set",
    "LOCATION": "not-set",
    "MODEL": "not-set",
    "INBOX": "batchdrop-not-set-inbox",
    "WORK": "gs://batchdrop-not-set-work",
    "OUTPUT": "gs://batchdrop-not-set-output",
    "TOPIC": "not-set",
}


@click.group()
def routes() -> None:
    """
    What a deployment chooses for files by their names, and what a file chooses.

    What the environment's BATCHDROP_* variables say is taken into account; none of
    them has to be set.
    """


@routes.command()
@click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def check(file: Path) -> None:
    """
    Tell all that is wrong with a FILE of routes, one thing a line.

    It ends with 1 if there is anything wrong. A model that is, or will be, retired is
    only warned of.
    """
    settings, _ = _settings(os.environ)
    read = _read(file, settings, errors_to_stderr=False)
    count = len(read.routes)
    click.echo(f"{file}: {count} route{'' if count == 1 else 's'}, and all of it good")
    for warning in read.warnings(settings):
        click.echo(f"warning: {warning}")


@routes.command()
@click.argument("name", metavar="OBJECT")
@click.option(
    "--file",
    metavar="ROUTES",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of routes; else that of BATCHDROP_ROUTES, if it lies on this machine.",
)
@click.option(
    "--manifest",
    "manifest_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The manifest that is dropped with it.",
)
@click.option(
    "--metadata",
    multiple=True,
    type=Pair(),
    help="Of the object, such as batchdrop-model=gemini-4-argon. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def explain(
    name: str,
    file: Path | None,
    manifest_file: Path | None,
    metadata: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """
    Tell what would be chosen for an OBJECT of this name, and who says so.

    It ends with 1 if its choice would be refused.
    """
    from batchdrop.options.manifests import Manifest, is_manifest
    from batchdrop.options.resolve import choose, explain
    from batchdrop.options.routes import Routes
    from batchdrop.preflight.retirements import retirement
    from batchdrop.worker.run import SUFFIXES

    settings, missing = _settings(os.environ)
    if file is None and settings.routes is not None:
        if settings.routes.startswith("gs://"):
            raise click.UsageError(
                f"BATCHDROP_ROUTES is {settings.routes}: fetch it, and give --file"
            )
        file = Path(settings.routes)
    if not name.endswith(SUFFIXES):
        raise click.ClickException(
            f"{name} is ignored: its name doesn't end in {' or '.join(SUFFIXES)}"
        )
    try:
        manifest = Manifest.parse(manifest_file.read_bytes()) if manifest_file else None
        if manifest and manifest.has_source and not is_manifest(name):
            raise click.BadParameter(
                f"{manifest_file} has a src, and is a job by itself: it says nothing "
                f"of {name}, which is another",
                param_hint="--manifest",
            )
        chosen = choose(
            settings,
            _read(file, settings) if file else Routes.none(),
            name,
            metadata=dict(metadata),
            manifest=manifest,
        )
    except BadChoice as exc:
        # Only the deployment's lists could say otherwise.
        lacking = missing if exc.code == "not_allowed" else frozenset[str]()
        hint = f" ({_not_set(lacking)})" if lacking else ""
        raise click.ClickException(f"{exc.code}: {exc}{hint}") from exc
    except OSError as exc:
        raise click.ClickException(str(exc)) from exc
    unknown = _unknown(chosen, missing)
    retired = retirement(chosen.spec.model, chosen.spec.backend)
    if as_json:
        import msgspec

        told = {
            "object": name,
            "route": str(chosen.route) if chosen.route else None,
            "spec": msgspec.to_builtins(chosen.spec)
            | dict.fromkeys(unknown.keys() - {"sources"}),
            "spec_from": chosen.origin,
            "sources": None
            if "sources" in unknown
            else [str(place) for place in chosen.sources],
            "not_set": sorted(set(unknown.values())),
            "warnings": [str(retired)] if retired else [],
        }
        click.echo(msgspec.json.encode(told).decode())
        return
    _table(
        row._replace(value=f"{unknown[row.name]} is not set")
        if row.name in unknown
        else row
        for row in explain(chosen)
    )
    if retired:
        click.echo(f"warning: {retired}", err=True)


def _settings(env: Mapping[str, str]) -> "tuple[Settings, frozenset[str]]":
    """The deployment's settings, and the required ones that nobody has set."""
    from batchdrop.options.settings import PREFIX, Settings

    missing = frozenset(
        name for name in _STAND_INS if not env.get(PREFIX + name, "").strip()
    )
    filled = dict(env) | {PREFIX + name: _STAND_INS[name] for name in missing}
    # Whoever looks at routes needs no key, and mostly has none.
    filled.setdefault("GEMINI_API_KEY", "not-set")
    try:
        settings = Settings.from_env(filled)
    except BadSetting as exc:
        raise click.ClickException(str(exc)) from exc
    if "MODEL" in missing:
        settings = replace(settings, model="")
    return settings, missing


def _read(
    file: Path, settings: "Settings", *, errors_to_stderr: bool = True
) -> "Routes":
    from batchdrop.options.routes import BadRoutes, Routes

    try:
        read = Routes.parse(file.read_bytes(), str(file))
        read.check(settings)
    except BadRoutes as exc:
        for error in exc.errors:
            click.echo(error, err=errors_to_stderr)
        raise click.exceptions.Exit(1) from exc
    except OSError as exc:
        raise click.ClickException(str(exc)) from exc
    return read


def _not_set(missing: frozenset[str]) -> str:
    names = [f"BATCHDROP_{name}" for name in _STAND_INS if name in missing]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not set"


def _unknown(chosen: "Chosen", missing: frozenset[str]) -> dict[str, str]:
    """What isn't known without the deployment, with the setting that says it."""
    settings = {f"BATCHDROP_{name}" for name in missing}
    unknown = {
        name: origin for name, origin in chosen.origin.items() if origin in settings
    }
    if "model" in unknown and chosen.origin["kind"] == "the model":
        unknown["kind"] = unknown["model"]
    if "INBOX" in missing:
        unknown["sources"] = "BATCHDROP_INBOX"
    return unknown


def _table(rows: "Iterable[Row]") -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("what", "value", "from", box=box.SIMPLE)
    for row in rows:
        table.add_row(row.name, Text(row.value), Text(row.origin))
    # Where no terminal sets a width, a line is as long as it is.
    Console(width=None if sys.stdout.isatty() else 250).print(table)

"""`batchdrop routes ...`: checks routes, and explains what is chosen for a file."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchdrop.cli.deployment import deployment_option
from batchdrop.cli.options import Pair
from batchdrop.cli.output import json_option, print_json, print_table
from batchdrop.errors import BadChoice, BadSetting
from batchdrop.rows import agreed, counted
from batchdrop.views.text import shown

if TYPE_CHECKING:
    from batchdrop.options.routes import Routes
    from batchdrop.options.settings import Settings

#: Values for the required settings, with which routes can be checked before there is a
#: deployment. No route can name these buckets.
_PLACEHOLDERS = {
    "BATCHDROP_PROJECT": "not-set",
    "BATCHDROP_LOCATION": "not-set",
    "BATCHDROP_MODEL": "not-set",
    "BATCHDROP_INBOX": "batchdrop-not-set-inbox",
    "BATCHDROP_WORK": "gs://batchdrop-not-set-work",
    "BATCHDROP_OUTPUT": "gs://batchdrop-not-set-output",
    "BATCHDROP_TOPIC": "not-set",
    "BATCHDROP_WORK_TOPIC": "not-set",
}

_env_file = click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The deployment's settings, NAME=VALUE lines. Default: --deployment's.",
)


@click.group()
def routes() -> None:
    """Check routes, or explain what is chosen for a file."""


@routes.command()
@click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@_env_file
@deployment_option
@json_option("Print the errors and warnings as JSON.")
def check(file: Path, env_file: Path | None, as_json: bool) -> None:
    """
    List what is wrong with a FILE of routes, one error per line.

    Settings of the deployment are taken into account; none is required. The exit status
    is 1 if anything is wrong. A retired model only causes a warning.

    \b
    Example:
      batchdrop routes check routes.toml
    """
    from batchdrop.options.routes import BadRoutes

    env = _environment(env_file)
    missing = _missing(env)
    settings = _settings(env | {name: _PLACEHOLDERS[name] for name in missing})
    if "BATCHDROP_MODEL" in missing:
        settings = replace(settings, model="")
    try:
        read = _read(file, settings)
    except BadRoutes as exc:
        if as_json:
            print_json({"routes": None, "errors": list(exc.errors), "warnings": []})
        else:
            click.echo("\n".join(map(shown, exc.errors)))
        raise click.exceptions.Exit(1) from exc
    count, warnings = len(read.routes), list(read.warnings(settings))
    if as_json:
        print_json({"routes": count, "errors": [], "warnings": warnings})
        return
    click.echo(f"{file}: {counted(count, 'route')}, no errors")
    for warning in warnings:
        click.echo(f"warning: {warning}")


@routes.command()
@click.argument("name", metavar="OBJECT")
@_env_file
@deployment_option
@click.option(
    "--file",
    metavar="ROUTES",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of routes. Default: BATCHDROP_ROUTES, if it is on this machine.",
)
@click.option(
    "--manifest",
    "manifest_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The manifest that is dropped with the object.",
)
@click.option(
    "--metadata",
    multiple=True,
    type=Pair(),
    help="Of the object, such as batchdrop-model=gemini-4-argon. May be repeated.",
)
@json_option()
def explain(
    name: str,
    env_file: Path | None,
    file: Path | None,
    manifest_file: Path | None,
    metadata: tuple[tuple[str, str], ...],
    as_json: bool,
) -> None:
    """
    Show what a deployment chooses for an OBJECT, and why.

    OBJECT is a name, or a gs:// address in the inbox. The exit status is 1 if the
    choice would be rejected.

    \b
    Example:
      batchdrop routes explain nightly/reviews.jsonl --file routes.toml
    """
    from batchdrop.options.manifests import Manifest
    from batchdrop.options.names import is_manifest, why_ignored
    from batchdrop.options.resolve import KEYS, choose, explain
    from batchdrop.options.routes import BadRoutes, Routes
    from batchdrop.options.table import METADATA
    from batchdrop.preflight.retirements import retirement
    from batchdrop.stored import split_uri

    env = _environment(env_file)
    if missing := _missing(env):
        verb = agreed(len(missing), "is", "are")
        where = f" in {env_file}" if env_file else ""
        raise click.ClickException(
            f"{', '.join(missing)} {verb} not set{where}; set what the deployment has, "
            "or give a file of its settings with --env-file"
        )
    settings = _settings(env)
    if file is None and settings.routes is not None:
        if settings.routes.startswith("gs://"):
            raise click.UsageError(
                f"BATCHDROP_ROUTES is {settings.routes}: fetch it, and give --file"
            )
        file = Path(settings.routes)
    if name.startswith("gs://"):
        bucket, name = split_uri(name)
        if bucket != settings.inbox:
            raise click.ClickException(
                f"gs://{bucket} is not the inbox, which is gs://{settings.inbox}"
            )
    if why := why_ignored(name):
        raise click.ClickException(f"{name} is ignored: {why}")
    for key, _ in metadata:
        if (option := key.lower().replace("_", "-")) in KEYS:
            click.echo(
                f"warning: {key} is metadata of your own, and chooses nothing; write "
                f"{METADATA}{option}",
                err=True,
            )
    try:
        manifest = Manifest.parse(manifest_file.read_bytes()) if manifest_file else None
        if manifest and manifest.has_source and not is_manifest(name):
            raise click.BadParameter(
                f"{manifest_file} has a src, and is a job by itself: it chooses "
                f"nothing for {name}",
                param_hint="--manifest",
            )
        chosen = choose(
            settings,
            _read(file, settings) if file else Routes.none(),
            name,
            metadata=dict(metadata),
            manifest=manifest,
        )
    except BadRoutes as exc:
        for error in exc.errors:
            click.echo(shown(error), err=True)
        raise click.exceptions.Exit(1) from exc
    except BadChoice as exc:
        raise click.ClickException(f"{exc.code}: {exc}") from exc
    except OSError as exc:
        raise click.ClickException(str(exc)) from exc
    retired = retirement(chosen.spec.model, chosen.spec.backend)
    if as_json:
        import msgspec

        print_json(
            {
                "object": name,
                "route": str(chosen.route) if chosen.route else None,
                "spec": msgspec.to_builtins(chosen.spec),
                "spec_from": chosen.origin,
                "sources": list(map(str, chosen.sources)),
                "warnings": [str(retired)] if retired else [],
            }
        )
        return
    print_table(("what", "value", "from"), explain(chosen))
    if retired:
        click.echo(f"warning: {retired}", err=True)


def _environment(file: Path | None) -> dict[str, str]:
    """
    The variables of a file, or those that are set.

    The file's lines are NAME=VALUE, quoted as in a shell; `export` may come first.

    Raises:
        click.BadParameter: a line of the file is something else.
    """
    if file is None:
        return dict(os.environ)
    env = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
            if words[:1] == ["export"]:
                del words[0]
            for word in words:
                name, equals, value = word.partition("=")
                if not (name and equals):
                    raise ValueError("write NAME=VALUE, with quotes around spaces")
                env[name] = value
        except ValueError as exc:
            raise click.BadParameter(
                f"{file}: line {number}: {exc}", param_hint="--env-file"
            ) from exc
    return env


def _missing(env: Mapping[str, str]) -> list[str]:
    """The required settings that have no value."""
    return [name for name in _PLACEHOLDERS if not env.get(name, "").strip()]


def _settings(env: Mapping[str, str]) -> "Settings":
    """
    Reads the settings of a deployment.

    Raises:
        click.ClickException: a setting is wrong or unknown.
    """
    from batchdrop.options.settings import Settings

    try:
        # No request is sent: whoever looks at routes needs no key.
        return Settings.from_env({"GEMINI_API_KEY": "not-set"} | dict(env))
    except BadSetting as exc:
        raise click.ClickException(str(exc)) from exc


def _read(file: Path, settings: "Settings") -> "Routes":
    """
    Reads a file of routes.

    Raises:
        BadRoutes: with each error in it.
        click.ClickException: it can't be read.
    """
    from batchdrop.options.routes import Routes

    try:
        read = Routes.parse(file.read_bytes(), str(file))
        read.check(settings)
    except OSError as exc:
        raise click.ClickException(str(exc)) from exc
    return read

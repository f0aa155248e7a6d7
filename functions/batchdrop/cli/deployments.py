"""`batchdrop deployments ...`: the deployments that this machine knows, a file each."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from batchdrop.cli.output import json_option, print_json, print_table
from batchdrop.views.text import shown

#: The local stack's, which has a file while it runs.
LOCAL = "local"
#: With these Google's clients reach something else than Google.
EMULATORS = (
    "FIRESTORE_EMULATOR_HOST",
    "PUBSUB_EMULATOR_HOST",
    "STORAGE_EMULATOR_HOST",
)
#: Variables beside BATCHDROP_* that a file may have.
BESIDE = (*EMULATORS, "GOOGLE_CLOUD_PROJECT", "NO_PROXY", "no_proxy")


class NoDeployment(click.ClickException):
    """There is no such deployment; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A deployment as its file has it: no secret is in there."""

    name: str
    #: Its BATCHDROP_* variables, and some of BESIDE.
    env: dict[str, str] = field(default_factory=dict)
    source: str = ""  #: where the variables are from, for people
    #: The deployment is there while another process has locked this file (`flock`).
    lock: str | None = None

    @property
    def is_there(self) -> bool:
        if self.lock is None:
            return True
        import fcntl

        try:
            with Path(self.lock).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def directory() -> Path:
    """Where the files are: below the user's directory for configuration."""
    return Path(click.get_app_dir("batchdrop")) / "deployments"


def read(name: str) -> Deployment:
    """
    Reads a deployment's file.

    Raises:
        NoDeployment: there is none of this name, or the local stack is not running.
    """
    found = None
    try:
        data = json.loads(_file(name).read_bytes())
        found = Deployment(**data | {"env": variables_of(data["env"])})
    except FileNotFoundError:
        pass
    except (OSError, LookupError, TypeError, ValueError) as exc:
        raise NoDeployment(f"{_file(name)} can't be read: {shown(str(exc))}") from exc
    if found and found.is_there:
        return found
    if name == LOCAL:
        raise NoDeployment(
            "the local stack is not running; start it with `batchdrop local up`, or "
            "name another deployment with --deployment"
        )
    known = ", ".join(each.name for each in every())
    raise NoDeployment(
        f"there is no deployment {name}"
        + (f"; there are {known}" if known else "")
        + f"; add it with `batchdrop deployments add {name} --from-terraform DIR`"
    )


def write(deployment: Deployment) -> Path:
    """
    Writes a deployment's file, all at once, over an older one. Variables that are
    neither settings nor in BESIDE, such as keys, are left out.
    """
    from batchdrop.options.settings import variables

    known = {*variables(), *BESIDE}
    env = {key: text for key, text in deployment.env.items() if key in known}
    data = asdict(deployment) | {"env": env}
    return _replace(_file(deployment.name), json.dumps(data, indent=2))


def remove(name: str) -> None:
    """Deletes a deployment's file, if there is one."""
    _file(name).unlink(missing_ok=True)


def every() -> Iterator[Deployment]:
    """The deployments that are there, by name. Files that can't be read are skipped."""
    for file in sorted(directory().glob("*.json")):
        try:
            yield read(file.stem)
        except click.ClickException:
            continue


def in_use() -> str | None:
    """The name of the deployment that `use` chose, if it chose one."""
    try:
        return _in_use().read_text().strip() or None
    except OSError:
        return None


def find(name: str | None, env: Mapping[str, str]) -> Deployment | None:
    """
    The deployment that a command works on: the one that is named; else the one that the
    environment describes; else the one in use; else the local stack, if it runs.

    Returns:
        None if the environment describes it, or nothing does.

    Raises:
        NoDeployment: the one that is named, or in use, isn't there.
    """
    if name is not None:
        return read(name)
    if is_described(env):
        return None
    if used := in_use():
        return read(used)
    try:
        return read(LOCAL)
    except NoDeployment:
        return None


def is_described(env: Mapping[str, str]) -> bool:
    """Whether the environment says where a deployment is."""
    places = ("PROJECT", "DATABASE", "INBOX", "WORK", "OUTPUT", "TOPIC", "WORK_TOPIC")
    return any(env.get(f"BATCHDROP_{place}", "").strip() for place in places)


@contextmanager
def _kept() -> Iterator[None]:
    """
    Files are written or deleted inside.

    Raises:
        click.ClickException: one of them can't be.
    """
    try:
        yield
    except OSError as exc:
        raise click.ClickException(f"{exc.filename}: {exc.strerror}") from exc


def _file(name: str) -> Path:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
        raise NoDeployment(
            f"{shown(name)} can't be a deployment's name; write up to 63 of a-z, 0-9, "
            "- and _"
        )
    return directory() / f"{name}.json"


def _in_use() -> Path:
    return directory().parent / "deployment-in-use"


def _replace(file: Path, content: str) -> Path:
    """Writes a file so that a reader finds all of the old or all of the new content."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".new-{os.getpid()}")
    new.write_text(content + "\n")
    return new.replace(file)


@click.group()
def deployments() -> None:
    """
    Name deployments, and choose the one to work on.

    Each is a file in the configuration directory, without secrets. A command works on
    the one that --deployment names; else on the one that BATCHDROP_* variables in the
    environment describe; else on the one in use; else on the local stack, if it runs.

    \b
    Example:
      batchdrop deployments add prod --from-terraform infra/
    """


@deployments.command()
@click.argument("name")
@click.option(
    "--from-terraform",
    "terraform",
    metavar="DIR|FILE",
    help="The folder where Terraform made it; or what `terraform output -json` printed "
    "there, `-` for standard input.",
)
@click.option(
    "--from-env",
    is_flag=True,
    help="The BATCHDROP_* variables of the environment.",
)
@click.option("--replace", is_flag=True, help="Replace the one that has this name.")
@json_option("Print the deployment as JSON.")
def add(
    name: str, terraform: str | None, from_env: bool, replace: bool, as_json: bool
) -> None:
    """
    Remember a deployment under a NAME. The first one is in use from then on.

    \b
    Example:
      terraform -chdir=infra output -json > prod.json
      batchdrop deployments add prod --from-terraform prod.json
    """
    from batchdrop.cli.terraform import settings_of
    from batchdrop.errors import BadSetting
    from batchdrop.options.settings import Settings

    if (terraform is None) != from_env:
        raise click.UsageError("give either --from-terraform DIR|FILE or --from-env")
    if name == LOCAL:
        raise click.UsageError(
            "`local` is the local stack's, which adds it while it runs"
        )
    if _file(name).exists() and not replace:
        raise click.ClickException(f"there is a deployment {name}; give --replace")
    if terraform is None:
        env, source = dict(os.environ), "the environment"
    else:
        env, source = settings_of(terraform), f"Terraform, {terraform}"
    try:
        Settings.from_env({"GEMINI_API_KEY": "not-set"} | env)
    except BadSetting as exc:
        raise click.ClickException(shown(str(exc))) from exc
    if "@" in env.get("BATCHDROP_API_URL", ""):
        raise click.ClickException("BATCHDROP_API_URL: a file may hold no password")
    with _kept():
        file = write(Deployment(name=name, env=env, source=source))
        if in_use() is None:
            _replace(_in_use(), name)
    if as_json:
        print_json(_members(read(name)))
    else:
        how = (
            "" if in_use() == name else f"; `batchdrop deployments use {name}` uses it"
        )
        click.echo(f"{name} is in {file}{how or ', and in use'}")


@deployments.command("list")
@json_option("Print one JSON object per line.")
def list_(as_json: bool) -> None:
    """
    List the deployments that this machine knows.

    \b
    Example:
      batchdrop deployments list
    """
    found = [_members(one) for one in every()]
    if as_json:
        for one in found:
            print_json(one)
        return
    if not found:
        click.echo("no deployment is known; `batchdrop deployments add` adds one")
        return
    columns = ("name", "in_use", "project", "database", "inbox", "from")
    print_table(columns, ([_cell(one[column]) for column in columns] for one in found))
    if is_described(os.environ):
        click.echo(
            "BATCHDROP_* variables in the environment come before the one in use"
        )


@deployments.command("use")
@click.argument("name")
@json_option("Print the deployment as JSON.")
def use(name: str, as_json: bool) -> None:
    """
    Work on the deployment NAME where nothing else is said.

    \b
    Example:
      batchdrop deployments use prod
    """
    with _kept():
        _replace(_in_use(), (chosen := read(name)).name)
    if as_json:
        print_json(_members(chosen))
    else:
        click.echo(f"{name} is in use")
    if is_described(os.environ):
        click.echo(
            "but BATCHDROP_* variables in the environment come before it: unset them",
            err=True,
        )


@deployments.command("remove")
@click.argument("name")
@json_option("Print the deployment that it was as JSON.")
def remove_(name: str, as_json: bool) -> None:
    """
    Forget the deployment NAME on this machine. Nothing in the cloud changes.

    \b
    Example:
      batchdrop deployments remove old
    """
    members = _members(read(name))
    with _kept():
        remove(name)
        if in_use() == name:
            _in_use().unlink(missing_ok=True)
    if as_json:
        print_json(members)
    else:
        click.echo(f"{name} is forgotten")


def _members(one: Deployment) -> dict[str, object]:
    """A deployment as `--json` prints it."""
    return {
        "name": one.name,
        "in_use": one.name == _used(),
        "project": one.env.get("BATCHDROP_PROJECT"),
        "database": one.env.get("BATCHDROP_DATABASE", "(default)"),
        "inbox": one.env.get("BATCHDROP_INBOX"),
        "from": one.source,
    }


def _used() -> str | None:
    """The name of the deployment that commands work on where nothing else is said."""
    try:
        found = find(None, {})
    except NoDeployment:
        return None
    return found.name if found else None


def _cell(value: object) -> str:
    return "yes" if value is True else str(value or "")


def variables_of(value: object) -> dict[str, str]:
    """A map of texts as it was read from JSON; TypeError if this is something else."""
    if not isinstance(value, dict) or not all(type(v) is str for v in value.values()):
        raise TypeError("there is no map of variables")
    return value

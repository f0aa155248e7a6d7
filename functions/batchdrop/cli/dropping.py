"""Files to be dropped: resolves their options, checks them, and uploads them."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING

import click

from batchdrop.cli.file_check import CanNotCheck, Report, report_of
from batchdrop.errors import BadChoice, Misconfigured
from batchdrop.jobs.values import MAX_OBJECT_NAME
from batchdrop.options.manifests import Manifest
from batchdrop.options.names import is_manifest, manifest_name, why_ignored
from batchdrop.options.resolve import choose
from batchdrop.views.text import shown

if TYPE_CHECKING:
    from batchdrop.jobs.values import Drop, Spec

#: How many row errors are printed of a file.
MOST_ERRORS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A local file, and the object that it is to become."""

    path: Path
    name: str  #: in the inbox
    metadata: Mapping[str, str]

    @classmethod
    def all_of(
        cls, files: tuple[Path, ...], to: str, metadata: Mapping[str, str]
    ) -> "list[Candidate]":
        """
        The files, manifests first: a file that waits for its manifest is read at once.

        Args:
            to: a folder of the inbox; empty for none.

        Raises:
            click.UsageError: a name is ignored or can't be an object's, two files have
                the same one, or the folder is an address.
        """
        if to.startswith("gs://"):
            raise click.UsageError(
                f"--to {to}: write the folder alone, such as nightly/"
            )
        folder = f"{to.strip('/')}/" if to.strip("/") else ""
        found: dict[str, Candidate] = {}
        for path in sorted(files, key=lambda path: not is_manifest(path.name)):
            name = f"{folder}{path.name}"
            if why := why_ignored(name) or _why_no_name(name):
                raise click.UsageError(shown(f"{path}: {why}"))
            if name in found:
                raise click.UsageError(
                    f"{found[name].path} and {path} would both become {name}; drop "
                    "them one by one, with --to"
                )
            of_file = {} if is_manifest(name) else metadata
            found[name] = cls(path=path, name=name, metadata=of_file)
        return list(found.values())

    def manifest(self, beside: "list[Candidate]") -> Manifest | None:
        """
        The manifest for this file among those that are dropped with it, or this one.

        Raises:
            BadChoice: it can't be read.
        """
        wanted = self.name if is_manifest(self.name) else manifest_name(self.name)
        for one in beside:
            if one.name == wanted:
                return Manifest.parse(one.path.read_bytes())
        return None


def _why_no_name(name: str) -> str | None:
    """Why Cloud Storage has no object of this name; None if it may have one."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "the name is no UTF-8, as those of objects are; give the file another"
    if "\n" in name or "\r" in name:
        return "the name of an object has no line breaks; give the file another"
    if size > MAX_OBJECT_NAME:
        most = f"{MAX_OBJECT_NAME:,}"
        return f"the name of an object has at most {most} bytes, not {size:,}"
    return None


def checked(
    wiring: ModuleType, one: Candidate, beside: "list[Candidate]"
) -> tuple[Report | None, "Spec | None"]:
    """
    Holds a file against the rules of the job that it would become.

    Returns:
        What was found, and what is chosen; None for a manifest.

    Raises:
        click.ClickException: the deployment would reject its choices, or the file can't
            be read.
    """
    from batchdrop.preflight.estimate import Estimator
    from batchdrop.worker.choices import rules_of

    try:
        manifest = one.manifest(beside)
        if is_manifest(one.name):
            return None, None
        chosen = choose(
            wiring.settings(),
            wiring.routes(),
            one.name,
            metadata=one.metadata,
            manifest=manifest,
        )
        spec = chosen.spec
        rules = rules_of(spec, chosen.sources)
        report = report_of(
            str(one.path),
            rules,
            Estimator(
                rules.family,
                answer_tokens=spec.answer_tokens,
                thinking_tokens=spec.thinking_tokens,
            ),
            location=spec.location,
            prices=wiring.prices(),
            today=datetime.now(UTC).date(),
            most=MOST_ERRORS,
        )
    except BadChoice as exc:
        raise click.ClickException(f"{one.path}: {exc.code}: {exc}") from exc
    except (CanNotCheck, OSError) as exc:
        raise click.ClickException(str(exc)) from exc
    return report, spec


def is_refused(report: Report, spec: "Spec") -> bool:
    """Whether the job would be rejected: lines that are to be left out reject none."""
    return not report.is_good and not (report.good_rows and spec.on_invalid == "skip")


def replaced(wiring: ModuleType, one: Candidate, *, overwrite: bool) -> int:
    """
    The generation of the object that a file is to replace; 0 if there is none.

    Raises:
        click.ClickException: there is one, and it may not be overwritten.
        Unavailable: Cloud Storage gives no answer.
    """
    bucket = wiring.settings().inbox
    try:
        there: Drop | None = wiring.storage().find(bucket, one.name)
    except Misconfigured:
        there = None  # who may only create objects can't look
    if there is None:
        return 0
    if not overwrite:
        raise click.ClickException(
            f"gs://{bucket}/{shown(one.name)} is there already, job {there.job_id}: "
            "drop the file with another --to, or with --overwrite, which makes and "
            "pays another job; nothing was uploaded"
        )
    return there.generation


def uploaded(
    wiring: ModuleType, one: Candidate, replaces: int, *, is_shown: bool
) -> "Drop":
    """
    Uploads a file to the inbox, and shows how far that is.

    Args:
        replaces: the generation of the object that it replaces; 0 for none.

    Raises:
        click.ClickException: another object is there by now.
        Unavailable, Misconfigured: Cloud Storage does not take it.
    """
    from batchdrop.storage import Differs

    storage, uri = wiring.storage(), f"gs://{wiring.settings().inbox}/{one.name}"
    size = one.path.stat().st_size
    try:
        with one.path.open("rb") as file, _bar(one, size, is_shown) as advance:
            drop: Drop = storage.upload(
                uri,
                _Read(file, advance),
                size,
                metadata=one.metadata,
                replaces=replaces,
            )
    except Differs as exc:
        raise click.ClickException(shown(f"{exc}; it was not uploaded")) from exc
    return drop


class _Read:
    """A file that says how many bytes of it were read so far, at each read."""

    def __init__(self, file: IO[bytes], tell: Callable[[int], None]) -> None:
        self._file = file
        self._tell = tell

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._tell(self._file.tell())
        return data

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, *place: int) -> int:
        return self._file.seek(*place)


@contextmanager
def _bar(one: Candidate, size: int, is_shown: bool) -> Iterator[Callable[[int], None]]:
    """Bytes and bytes per second: a bar on a terminal, and one line at the end."""
    begin = time.monotonic()
    if is_shown and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TransferSpeedColumn,
        )

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
        console = Console(stderr=True)
        with Progress(
            TextColumn("uploading"), *columns, console=console, transient=True
        ) as progress:
            task = progress.add_task("uploading", total=size)
            yield lambda at: progress.update(task, completed=at)
    else:
        yield lambda _: None
    if is_shown:
        took = max(time.monotonic() - begin, 0.001)
        speed = f"{_size(size)}, {_size(size / took)}/s"
        line = f"uploaded {one.path.name} as {one.name}: {speed}"
        click.echo(shown(line), err=True)


def _size(bytes: float) -> str:
    """Such as `12.3 MB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if bytes < 1000 or unit == "GB":
            break
        bytes /= 1000
    return f"{bytes:,.0f} {unit}" if unit == "bytes" else f"{bytes:,.1f} {unit}"

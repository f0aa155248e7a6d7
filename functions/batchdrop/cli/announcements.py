"""`batchdrop announcements ...`: what was announced, and what to announce again."""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from batchdrop.cli.deployment import deployment, deployment_option, job_id
from batchdrop.cli.options import moment
from batchdrop.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from batchdrop.announcements.message import Announcement
    from batchdrop.ledger import Ledger

_EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


@click.group()
def announcements() -> None:
    """List announcements, or send them again."""


def _selection(command: Callable[..., None]) -> Callable[..., None]:
    """The options that select announcements."""
    for option in (
        deployment_option,
        json_option("Print one JSON object per line."),
        click.option("--until", type=moment, metavar="TIME", help="Made before then."),
        click.option(
            "--since",
            type=moment,
            metavar="TIME",
            help="Made then or later: 2026-03-01T12:00Z, or 90m, 12h, 7d ago.",
        ),
        click.option(
            "--type",
            "types",
            multiple=True,
            metavar="TYPE",
            help="Such as failed, or dev.batchdrop.job.failed.v1. May be repeated.",
        ),
        click.option(
            "--job",
            metavar="JOB",
            help="Of one job: its id, the beginning of one, the dropped object, "
            "gs://inbox/name, or latest.",
        ),
    ):
        command = option(command)
    return command


@announcements.command("list")
@_selection
def list_(
    job: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """
    List announcements, oldest first. Default: those of the last day.

    \b
    Example:
      batchdrop announcements list --since 7d --type failed
    """
    if not (job or since):
        since = datetime.now(UTC) - timedelta(days=1)
    with deployment() as wiring:
        ledger = wiring.ledger()
        job = job and _known(wiring, job)
        found = _find(ledger, job, types, since, until)
        if as_json:
            for one in found:
                print_json(_members(one))
        else:
            print_table(
                ("made", "type", "job", "object", "sent", "id"), map(_cells, found)
            )


@announcements.command()
@_selection
@click.option(
    "--new",
    "anew",
    is_flag=True,
    help="Give each a new event id, so that subscribers that deduplicate handle it "
    "again.",
)
def replay(
    job: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    anew: bool,
) -> None:
    """
    Announce again, with the same ids and the same bytes.

    With --new the ids are new ones. Select by --job, --type or --since, or several of
    them. The announcements are put into the outbox, and the next calls of poll send
    them. Those that were set aside are tried again; those that wait in the outbox
    already are left alone. With --new, so are those that --new itself has made.

    \b
    Example:
      batchdrop announcements replay --since 12h --type failed
    """
    if not (job or types or since):
        raise click.UsageError("say which: by --job, --type or --since")
    with deployment(writes=True) as wiring:
        selected = _selected(types)
        if job:
            sent = wiring.worker().commands.replay(
                _known(wiring, job),
                getpass.getuser(),
                among=lambda one: _is_among(one, selected, since, until),
                anew=anew,
            )
        else:
            ledger = wiring.ledger()
            put = ledger.replay_as_new if anew else ledger.replay
            sent = [
                put(one, datetime.now(UTC))
                for one in list(_find(ledger, None, types, since, until))
                if not (one.is_waiting or (anew and one.replay_of))
            ]
    if as_json:
        for one in sent:
            print_json(_members(one))
    else:
        click.echo(f"{len(sent)} in the outbox; the next calls of poll send them")


def _known(wiring: ModuleType, job: str) -> str:
    """
    The id of a job that there is.

    Raises:
        LookupError: there is no such job.
    """
    id = job_id(wiring, job)
    if wiring.ledger().get(id) is None:
        raise LookupError(f"there is no job {id}")
    return id


def _find(
    ledger: "Ledger",
    job: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
) -> "list[Announcement]":
    selected = _selected(types)
    if job is None:
        since, until = since or _EVER[0], until or _EVER[1]
        return list(ledger.announcements_between(since, until, selected))
    return [
        one
        for one in ledger.announcements_of(job)
        if _is_among(one, selected, since, until)
    ]


def _selected(types: tuple[str, ...]) -> list[str]:
    """The types that are named, by a word or in full; all of them if none is."""
    from batchdrop.announcements.message import TYPES, word_of

    words = {word_of(type): type for type in TYPES}
    selected = [words.get(type, type) for type in types] or list(TYPES)
    for type in selected:
        if type not in TYPES:
            raise click.BadParameter(
                f"{type!r} is none of {', '.join(words)}", param_hint="--type"
            )
    return selected


def _is_among(
    one: "Announcement",
    types: list[str],
    since: datetime | None,
    until: datetime | None,
) -> bool:
    return one.type in types and (since or _EVER[0]) <= one.created_at < (
        until or _EVER[1]
    )


def _members(one: "Announcement") -> dict[str, Any]:
    """An announcement as `--json` prints it."""
    import msgspec

    return {
        "id": one.id,
        "job_id": one.job_id,
        "seq": one.seq,
        "type": one.type,
        "created_at": one.created_at,
        "published_at": one.published_at,
        "set_aside_at": one.set_aside_at,
        "reason": one.reason,
        "attempts": one.attempts,
        "attributes": one.attributes,
        "body": msgspec.Raw(one.body),
    }


def _cells(one: "Announcement") -> tuple[str, ...]:
    """An announcement as a row of the table."""
    sent = f"{one.published_at:%Y-%m-%d %H:%M:%S}" if one.published_at else "not yet"
    if one.set_aside_at:
        sent = f"set aside: {one.reason}"
    return (
        f"{one.created_at:%Y-%m-%d %H:%M:%S}",
        one.word,
        one.job_id,
        one.attributes["object"],
        sent,
        one.id,
    )

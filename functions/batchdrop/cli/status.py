"""`batchdrop status`: the state of a deployment, what is wrong, and what to do."""

import click

from batchdrop.cli.deployment import deployment, deployment_option
from batchdrop.cli.output import json_option, print_json, print_table
from batchdrop.views.limits import Limit
from batchdrop.views.status import Line, Status, read, span
from batchdrop.views.text import shown


@click.command()
@deployment_option
@json_option("Print the status as one JSON object.")
def status(as_json: bool) -> None:
    """
    Show how the deployment is, what is wrong and what to do.

    That is: the last tick of poll, the queues with what waits in them and why, what is
    to be announced, and what the day (UTC) has used of its limits and ceilings.

    \b
    Example:
      batchdrop status --deployment prod
    """
    with deployment() as wiring:
        found = read(wiring)
    if as_json:
        from dataclasses import asdict

        members = asdict(found)
        del members["ticks"]["age"]  # follows from the others
        del members["more_queues"]  # none is left out
        for each in members["wrong"]:
            del each["path"], each["link"]  # of pages
        print_json(members)
    else:
        _show(found)


def _show(found: Status) -> None:
    click.echo(
        f"{found.deployment} in {found.project}, ledger {found.database}, at "
        f"{found.at:%Y-%m-%d %H:%M:%S} UTC"
    )
    click.echo(f"last tick: {_tick(found)}")
    if found.queues:
        print_table(
            ("queue", "open", "waiting", "since", "why"), map(_cells, found.queues)
        )
    else:
        click.echo("no job is open or waits in a queue")
    click.echo(f"jobs that are in no queue yet: {found.unsent:,}")
    click.echo(f"jobs with answers to collect: {found.collecting:,}")
    dead = found.dead_letters
    click.echo(
        f"announcements to send: {found.outbox.waiting:,}, set aside: "
        f"{found.outbox.set_aside:,}, dead letters: "
        + (f"{dead.count:,}" if dead.count is not None else f"{dead.why_unknown}")
    )
    for each in found.limits:
        click.echo(f"{found.day}, {shown(each.what)}: {_used(each)}")
    for wrong in found.wrong:
        click.echo(click.style(f"! {shown(wrong.message)}", fg="red", bold=True))
        click.echo(f"  {shown(wrong.do)}")
    if not found.wrong:
        click.echo("nothing is wrong")


def _tick(found: Status) -> str:
    if found.ticks.age is None:
        return "none yet"
    now = ", and one is running" if found.ticks.running else ""
    return f"{span(found.ticks.age)} ago{now}"


def _cells(line: Line) -> tuple[str, ...]:
    since = f"{line.since:%Y-%m-%d %H:%M}" if line.since else ""
    return (line.queue, f"{line.open:,}", f"{line.waiting:,}", since, _why(line))


def _why(line: Line) -> str:
    if line.paused_until:
        return f"the API has no quota left until {line.paused_until:%H:%M:%S} UTC"
    return line.waiting_for.message if line.waiting_for else ""


def _used(limit: Limit) -> str:
    return limit.words if limit.limit is not None else f"{limit.words}, without a limit"

"""A line for a person about each thing that happens to a job of a running stack."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from google.cloud.pubsub_v1.subscriber.message import Message
from google.pubsub_v1.types import Subscription

from batchdrop.subscribe import BadAnnouncement, JobEvent, parse
from batchdrop_local import eventarc
from batchdrop_local.stack import Stack

#: In the order in which a line names them.
OUTCOMES = (
    *("ok", "truncated", "failed", "blocked"),
    *("malformed", "empty", "unclear", "missing", "refused"),
)
#: Lines of a function's log that are said, by their `event`, with what is said.
LOGGED = {
    "drop.claimed": "found, job {job}",
    "drop.ignored": "ignored: {reason}",
    "job.submitted": "sent, a batch is made",
}


class Follower:
    """
    Says what happens, one line each; all else is in the logs alone.

    `log_line` takes the lines of all logs; `listening` the announcements meanwhile.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._names: dict[str, str] = {}  #: of the dropped objects, by job

    def log_line(self, part: str, line: str) -> None:
        """A line of a part's log; what is no line of a function says nothing."""
        try:
            entry = json.loads(line) if line.startswith("{") else None
        except ValueError:
            return
        if not isinstance(entry, dict):
            return
        event, job = str(entry.get("event")), str(entry.get("job"))
        if event == "drop.claimed":
            self._names[job] = _name(str(entry.get("object")))
        subject = self._names.get(job) or _name(str(entry.get("object")))
        if said := LOGGED.get(event):
            if subject:
                self._line(subject, said.format_map(entry))
        elif entry.get("severity") in ("ERROR", "CRITICAL"):
            reason = f": {entry['reason']}" if entry.get("reason") else ""
            self._line(subject or part, f"{entry.get('message')}{reason}")

    @contextmanager
    def listening(self, stack: Stack) -> Iterator[None]:
        """Hear the announcements of a stack."""
        name = f"projects/{stack.project}/subscriptions/for-people"
        with eventarc.subscriber(stack.addresses["pubsub"]) as client:
            client.create_subscription(Subscription(name=name, topic=stack.topic))
            pull = client.subscribe(name, self._heard)
            try:
                yield
            finally:
                pull.cancel()
                pull.result()

    def _heard(self, message: Message) -> None:
        message.ack()
        try:
            event = parse(message)
        except BadAnnouncement as exc:
            self._line("announcements", str(exc))
            return
        self._line(event.source.name, announced(event))

    def _line(self, subject: str, said: str) -> None:
        self._say(f"{datetime.now().astimezone():%H:%M} {subject}: {said}")


def announced(event: JobEvent) -> str:
    """What an announcement says, such as `2 parts, 300 of 300 ok, gs://...`."""
    if event.event == "rejected" and event.error:
        return f"rejected: {event.error.message}"
    if event.event == "stalled" and event.health:
        return f"needs a look: {event.health.code}: {event.health.message}"
    if event.event != "results":
        error = f": {event.error.message}" if event.error else ""
        return f"{event.outcome or event.event}{error}"
    parts = f"{event.parts.total:,} parts, " if event.parts else ""
    counts = {name: getattr(event.rows, name) or 0 for name in OUTCOMES}
    ok = f"{counts.pop('ok'):,} of {event.rows.total:,} ok"
    others = "".join(f", {n:,} {name}" for name, n in counts.items() if n)
    uri = event.results.uri if event.results else None
    return f"{parts}{ok}{others}{f', {uri}' if uri else ''}"


def _name(drop: str) -> str:
    """The object's name in `gs://bucket/name#generation`."""
    return drop.partition("://")[2].partition("/")[2].rpartition("#")[0]

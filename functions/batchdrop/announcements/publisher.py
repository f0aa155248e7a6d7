"""Publishes to Pub/Sub: announcements, and wake-ups of collectors."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Refused, Unavailable
from batchdrop.jobs.wakeup import body

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient

#: Seconds that one publish may take. Then the announcement stays in the outbox.
PUBLISH_TIMEOUT = 10.0


class Publisher:
    """Publishes announcements to the topic, in order per job."""

    def __init__(self, connect: Callable[[], "PublisherClient"], topic: str) -> None:
        """
        Args:
            connect: returns the client; first called when there is something to
                publish. The client's message ordering must be on.
            topic: full name, `projects/P/topics/T`.
        """
        self._connect = connect
        self._topic = topic

    def __call__(self, announcement: Announcement) -> None:
        """
        Publishes once and waits for the answer. The outbox retries.

        Raises:
            Refused: Pub/Sub rejected the message: it is too large, or does not match
                the topic's schema.
            Unavailable: Pub/Sub has not confirmed the message. It may be published.
        """
        from google.api_core import exceptions
        from google.cloud.pubsub_v1.publisher.exceptions import MessageTooLargeError

        about = f"announcement {announcement.id} of job {announcement.job_id}"
        client = self._connect()
        try:
            client.publish(
                self._topic,
                announcement.body,
                ordering_key=announcement.job_id,
                # With any retry, the client retries for ever on an ordering key,
                # whatever the timeout (python-pubsub, publisher/client.py).
                retry=None,
                timeout=PUBLISH_TIMEOUT,
                **announcement.attributes,
            ).result(timeout=PUBLISH_TIMEOUT + 1)
        except (MessageTooLargeError, TypeError, ValueError) as exc:
            raise Refused(f"{about}: {exc!r}") from exc
        except exceptions.InvalidArgument as exc:
            self._resume(client, announcement)
            raise Refused(f"{about}: {exc.message}") from exc
        except Exception as exc:
            self._resume(client, announcement)
            raise Unavailable(f"{about}: {exc!r}") from exc

    def _resume(self, client: "PublisherClient", announcement: Announcement) -> None:
        # After a failure, the client holds back later messages with the same ordering
        # key. After a timeout it does not, and resuming raises RuntimeError.
        with suppress(RuntimeError):
            client.resume_publish(self._topic, announcement.job_id)


class WakeUps:
    """Publishes messages that name a job whose answers are to be collected."""

    def __init__(self, connect: Callable[[], "PublisherClient"], topic: str) -> None:
        """
        Args:
            connect: returns the client; called when there is something to publish.
            topic: full name, `projects/P/topics/T`.
        """
        self._connect = connect
        self._topic = topic

    def __call__(self, job_id: str) -> None:
        """
        Publishes once and waits for the answer. A lost message costs time alone.

        Raises:
            Unavailable: Pub/Sub has not confirmed the message. It may be published.
        """
        try:
            self._connect().publish(
                self._topic, body(job_id), retry=None, timeout=PUBLISH_TIMEOUT
            ).result(timeout=PUBLISH_TIMEOUT + 1)
        except Exception as exc:
            raise Unavailable(f"wake-up for job {job_id}: {exc!r}") from exc

"""Publishes announcements to the Pub/Sub topic."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from batchdrop.announcements.message import Announcement
from batchdrop.errors import Refused, Unavailable

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient

#: Seconds that one publish may take. Then the announcement stays in the outbox.
PUBLISH_TIMEOUT = 10.0


class Publisher:
    """Sends announcements to the topic, in order per job."""

    def __init__(self, connect: Callable[[], "PublisherClient"], topic: str) -> None:
        """
        Args:
            connect: makes the client when there is something to send; its message
                ordering must be on.
            topic: full name, `projects/P/topics/T`.
        """
        self._connect = connect
        self._topic = topic

    def __call__(self, announcement: Announcement) -> None:
        """
        Sends once and waits for the answer. The outbox is what tries again.

        Raises:
            Refused: Pub/Sub has read it and won't take it: too large, not what the
                topic's schema says.
            Unavailable: Pub/Sub has not confirmed it. It may have been sent.
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
                # With any retry at all, the client tries for ever on an ordering key
                # (python-pubsub, publisher/client.py), whatever the time-out says.
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
        # The client holds back all that follows a failure on the same key. Where the
        # failure is that nothing has come back yet, it doesn't, and says so.
        with suppress(RuntimeError):
            client.resume_publish(self._topic, announcement.job_id)

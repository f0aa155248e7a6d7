"""
Eventarc's stand-in: notices of a bucket and messages of a topic become CloudEvents,
which are POSTed to a function.
"""

import base64
import json
import string
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import grpc
import httpx
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.subscriber.message import Message
from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from google.pubsub_v1.types import RetryPolicy, Subscription

from batchdrop_local.cloud_run import new_trace

# As long as an event-driven function may run on Cloud Run.
_TIMEOUT = 540
_NO_PROXY = [("grpc.enable_http_proxy", 0)]


def subscriber(address: str) -> SubscriberClient:
    """A client of the Pub/Sub emulator at HOST:PORT, whatever the environment has."""
    channel = grpc.insecure_channel(address, _NO_PROXY)
    return SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))


def publisher(address: str) -> PublisherClient:
    """The same for publishing."""
    channel = grpc.insecure_channel(address, _NO_PROXY)
    return PublisherClient(transport=PublisherGrpcTransport(channel=channel))


@dataclass(frozen=True, slots=True)
class Event:
    """A CloudEvent in HTTP's binary mode."""

    headers: dict[str, str]
    body: bytes

    @property
    def about(self) -> str:
        """The event as a line of a log names it."""
        subject = self.headers.get("ce-subject")
        source = self.headers["ce-source"]
        return f"{source}/{subject}" if subject else source


#: What becomes of a message of a subscription; None: nothing is delivered.
AsEvent = Callable[[Message], Event | None]


def object_finalized(message: Message) -> Event | None:
    """
    The event that Eventarc makes of a Cloud Storage notification in Pub/Sub (Cloud
    Storage docs, "Pub/Sub notifications"; Eventarc docs, "Cloud Storage direct
    events"). None for any notification but of a new object.
    """
    if message.attributes["eventType"] != "OBJECT_FINALIZE":
        return None
    headers = cloud_event_headers(message.attributes, message.message_id)
    return Event(headers, message.data)


def cloud_event_headers(
    attributes: Mapping[str, str], message_id: str
) -> dict[str, str]:
    """The headers of that event: its data is `StorageObjectData`."""
    bucket = attributes["bucketId"]
    return {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-id": message_id,
        "ce-time": attributes["eventTime"],
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "ce-subject": _header_value(f"objects/{attributes['objectId']}"),
        "ce-bucket": bucket,
    }


def _header_value(text: str) -> str:
    # CloudEvents' HTTP binding: percent-encoded UTF-8 but for printable ASCII, from
    # which space, the double quote and the percent sign are taken out.
    return quote(text, safe=string.punctuation.replace('"', "").replace("%", ""))


def message_published(topic: str, subscription: str) -> AsEvent:
    """
    The events that Eventarc makes of a topic's messages: their data is
    `MessagePublishedData` (google.events.cloud.pubsub.v1), in both spellings of its
    members, as Eventarc sends them.
    """

    def event(message: Message) -> Event:
        time = message.publish_time.isoformat().replace("+00:00", "Z")
        headers = {
            "content-type": "application/json",
            "ce-specversion": "1.0",
            "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
            "ce-id": message.message_id,
            "ce-time": time,
            "ce-source": f"//pubsub.googleapis.com/{topic}",
        }
        inner: dict[str, Any] = {
            "data": base64.b64encode(message.data).decode(),
            "messageId": message.message_id,
            "message_id": message.message_id,
            "publishTime": time,
            "publish_time": time,
        }
        if message.attributes:
            inner["attributes"] = dict(message.attributes)
        data = {"message": inner, "subscription": subscription}
        return Event(headers, json.dumps(data).encode())

    return event


class Eventarc:
    """
    Delivers the messages of a topic to `target`, as events, in no order.

    With `retries` each comes again until the answer is 2xx, after a back-off that grows
    from half a second to ten (Eventarc's own goes from ten seconds to ten minutes).
    Without, each comes once, whatever the answer.

    Args:
        as_event: makes the event of a message.
        parallel: deliveries under way at a time; others wait.
        log: takes a line about each delivery that failed.
    """

    def __init__(
        self,
        client: SubscriberClient,
        *,
        topic: str,
        subscription: str,
        as_event: AsEvent,
        target: str,
        retries: bool = True,
        parallel: int = 32,
        log: Callable[[str], None],
    ) -> None:
        self._client = client
        self._topic = topic
        self._subscription = subscription
        self._as_event = as_event
        self._target = target
        self._retries = retries
        self._parallel = parallel
        self._log = log

    def __enter__(self) -> Self:
        self._client.create_subscription(
            Subscription(
                name=self._subscription,
                topic=self._topic,
                ack_deadline_seconds=60,
                retry_policy=RetryPolicy(
                    minimum_backoff=timedelta(seconds=0.5),
                    maximum_backoff=timedelta(seconds=10),
                ),
            )
        )
        self._http = httpx.Client(
            timeout=httpx.Timeout(_TIMEOUT, connect=5),
            limits=httpx.Limits(max_connections=self._parallel),
            trust_env=False,
        )
        self._threads = ThreadPoolExecutor(self._parallel, "eventarc")
        self._pull = self._client.subscribe(
            self._subscription, self._deliver, scheduler=ThreadScheduler(self._threads)
        )
        return self

    def stop(self) -> None:
        """Begin no more deliveries."""
        self._pull.cancel()
        self._pull.result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._threads.shutdown(cancel_futures=True)
        self._http.close()

    def _deliver(self, message: Message) -> None:
        event = self._as_event(message)
        if event is None:
            message.ack()
            return
        try:
            response = self._http.post(
                self._target, content=event.body, headers=event.headers | new_trace()
            )
        except httpx.TransportError as exc:
            outcome = f"no answer ({exc!r})"
        else:
            if response.is_success:
                message.ack()
                return
            outcome = f"answer {response.status_code}"
        next_one = "delivered again later" if self._retries else "not delivered again"
        self._log(
            f"{outcome} for {event.about}, event {message.message_id}: {next_one}"
        )
        if self._retries:
            message.nack()
        else:
            message.ack()

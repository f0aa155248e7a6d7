"""Eventarc's stand-in: a bucket's notices become CloudEvents, POSTed to a function."""

import string
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import Self
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
_PARALLEL = 32
_NO_PROXY = [("grpc.enable_http_proxy", 0)]


def subscriber(address: str) -> SubscriberClient:
    """A client of the Pub/Sub emulator at HOST:PORT, whatever the environment has."""
    channel = grpc.insecure_channel(address, _NO_PROXY)
    return SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))


def publisher(address: str) -> PublisherClient:
    """The same for publishing."""
    channel = grpc.insecure_channel(address, _NO_PROXY)
    return PublisherClient(transport=PublisherGrpcTransport(channel=channel))


def cloud_event_headers(
    attributes: Mapping[str, str], message_id: str
) -> dict[str, str]:
    """
    The headers of the CloudEvent, in binary mode, that Eventarc makes of a notice.

    `attributes` are those of a Cloud Storage notification in Pub/Sub (Cloud Storage
    docs, "Pub/Sub notifications"); the event is `StorageObjectData`'s (Eventarc docs,
    "Cloud Storage direct events").
    """
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


class Eventarc:
    """
    Delivers each OBJECT_FINALIZE notice of a topic to `target` until it answers 2xx.

    Any other answer, or none, means again, after a back-off that grows from half a
    second to ten (Eventarc's own goes from ten seconds to ten minutes). Deliveries run
    in parallel and in no order. `log` takes a line about each that failed.
    """

    def __init__(
        self,
        client: SubscriberClient,
        *,
        topic: str,
        subscription: str,
        target: str,
        log: Callable[[str], None],
    ) -> None:
        self._client = client
        self._topic = topic
        self._subscription = subscription
        self._target = target
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
            limits=httpx.Limits(max_connections=_PARALLEL),
            trust_env=False,
        )
        self._threads = ThreadPoolExecutor(_PARALLEL, "eventarc")
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
        if message.attributes["eventType"] != "OBJECT_FINALIZE":
            message.ack()
            return
        headers = cloud_event_headers(message.attributes, message.message_id)
        headers |= new_trace()
        try:
            response = self._http.post(
                self._target, content=message.data, headers=headers
            )
        except httpx.TransportError as exc:
            outcome = f"no answer ({exc!r})"
        else:
            if response.is_success:
                message.ack()
                return
            outcome = f"answer {response.status_code}"
        self._log(
            f"{outcome} for {headers['ce-source']}/{headers['ce-subject']}, "
            f"event {message.message_id}: delivered again later"
        )
        message.nack()

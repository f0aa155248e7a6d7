"""A listener that keeps failing, on topics and subscriptions as production has them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api_core.exceptions import DeadlineExceeded
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.types import PublisherOptions
from google.pubsub_v1.types import PubsubMessage, PushConfig, ReceivedMessage

from batchdrop.announcements.message import Announcement
from batchdrop.announcements.publisher import Publisher
from batchdrop.subscribe import BadAnnouncement, JobEvent, parse
from batchdrop_local import eventarc
from batchdrop_local.topics import Topics
from tests.rules.test_announcements import NOW, ended, of, submitted
from tests.waiting import until
from tests.whole.listener import Request, listening

#: How these tests pull; the streaming way has threads to wait for.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The return_immediately flag is deprecated"
)

INFRA = Path(__file__).parents[2] / "infra"
ANNOUNCEMENT = of(ended("FAILED"))


class Bench:
    """The topics at the emulator, and ways to send and to look."""

    def __init__(self, address: str, project: str) -> None:
        self.topics = Topics(project)
        self.subscriber: SubscriberClient = eventarc.subscriber(address)
        self._client = PublisherClient(
            publisher_options=PublisherOptions(enable_message_ordering=True)
        )
        with eventarc.publisher(address) as publisher:
            self.topics.make(publisher, self.subscriber)
        self.name = f"projects/{project}/subscriptions/failing"

    def publish(self, announcement: Announcement) -> None:
        """Publishes an announcement as the worker does."""
        Publisher(lambda: self._client, self.topics.announcements)(announcement)

    def listen(self, push: PushConfig | None = None) -> None:
        """Subscribes as the stack does, with the fewest attempts and no pauses."""
        request = self.topics.listening(self.name, attempts=5, push=push)
        # Where a subscription keeps the order, the emulator has no dead letters: after
        # the last attempt a message is never delivered again.
        request.enable_message_ordering = False
        # With one, its pauses grow, even from none.
        del request.retry_policy
        self.subscriber.create_subscription(request)

    def pull(self, subscription: str) -> list[ReceivedMessage]:
        """What is there."""
        try:
            answer = self.subscriber.pull(
                subscription=subscription,
                max_messages=10,
                return_immediately=True,
                timeout=1,
                retry=None,
            )
        except DeadlineExceeded:
            return []
        return list(answer.received_messages)

    def dead_letter(self) -> PubsubMessage:
        """The first one, when it comes."""
        return until(lambda: self.pull(self.topics.turned_down))[0].message

    def close(self) -> None:
        self._client.stop()
        self.subscriber.close()


@pytest.fixture
def bench(pubsub_emulator: str, project: str) -> Iterator[Bench]:
    """Topics and subscriptions of this test's own project on the emulator."""
    bench = Bench(pubsub_emulator, project)
    yield bench
    bench.close()


def test_what_a_pulling_listener_turns_down_five_times_is_a_dead_letter(
    bench: Bench,
) -> None:
    bench.listen()
    bench.publish(ANNOUNCEMENT)
    heard: list[JobEvent] = []

    def turn_down() -> list[ReceivedMessage]:
        # The emulator moves a message on only when it is asked for the next.
        for one in bench.pull(bench.name):
            heard.append(parse(one))
            bench.subscriber.modify_ack_deadline(
                subscription=bench.name, ack_ids=[one.ack_id], ack_deadline_seconds=0
            )
        return bench.pull(bench.topics.turned_down) if len(heard) >= 5 else []

    letter = until(turn_down)[0].message

    assert {event.id for event in heard} == {ANNOUNCEMENT.id}
    assert [event.attempt for event in heard] == [1, 2, 3, 4, 5]
    assert letter.data == ANNOUNCEMENT.body
    assert letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    # A person can still read it.
    assert parse(letter).id == ANNOUNCEMENT.id


@pytest.mark.proof
def test_what_a_function_fails_on_five_times_is_a_dead_letter(bench: Bench) -> None:
    heard: list[str] = []

    def fails(request: Request) -> int:
        try:
            heard.append(parse(request.body, request.headers).id)
        except BadAnnouncement as exc:
            heard.append(str(exc))
        return 500

    with listening(fails) as function:
        push = PushConfig(push_endpoint=function.url)
        push.no_wrapper = PushConfig.NoWrapper(write_metadata=True)
        bench.listen(push)
        bench.publish(ANNOUNCEMENT)
        letter = bench.dead_letter()

    assert set(heard) == {ANNOUNCEMENT.id}
    assert len(heard) == 5
    assert letter.data == ANNOUNCEMENT.body


def test_a_function_that_recovers_in_time_leaves_no_dead_letter(bench: Bench) -> None:
    answers = iter([500, 503, 204])
    heard: list[str] = []

    def recovers(request: Request) -> int:
        heard.append(parse(request.body, request.headers).id)
        return next(answers, 204)

    with listening(recovers) as function:
        bench.listen(PushConfig(push_endpoint=function.url))
        bench.publish(ANNOUNCEMENT)
        until(lambda: len(function.requests) == 3)
        # Another job's, which comes through at once: nothing is on its way any more.
        bench.publish(of(submitted().lost(NOW)).anew(2, NOW))
        until(lambda: len(function.requests) == 4)

    assert heard[:3] == [ANNOUNCEMENT.id] * 3
    assert bench.pull(bench.topics.turned_down) == []


def test_the_local_listener_is_set_up_as_in_production(bench: Bench) -> None:
    declared = (INFRA / "messaging.tf").read_text()
    block = declared.partition('"google_pubsub_subscription" "example"')[2]
    block = block.partition("\n}\n")[0]

    def said(pattern: str) -> str:
        found = re.search(pattern, block)
        assert found is not None, pattern
        return found[1]

    with_all = bench.subscriber.get_subscription(subscription=bench.topics.listener)
    letters = with_all.dead_letter_policy
    assert said(r'name += "\$\{var.name\}-(.*)"') == "example"
    assert said(r"enable_message_ordering += (\w+)") == "true"
    assert with_all.enable_message_ordering
    assert int(said(r"ack_deadline_seconds += (\d+)")) == with_all.ack_deadline_seconds
    assert int(said(r"max_delivery_attempts = (\d+)")) == letters.max_delivery_attempts
    assert letters.dead_letter_topic == bench.topics.dead_letters
    assert said(r'minimum_backoff = "(\d+)s"') == str(
        with_all.retry_policy.minimum_backoff.seconds
    )
    assert said(r'maximum_backoff = "(\d+)s"') == str(
        with_all.retry_policy.maximum_backoff.seconds
    )
    assert said(r'message_retention_duration = "\$\{(\d+) \*') == str(
        with_all.message_retention_duration.days
    )
    assert 'name         = "${var.name}-dead-letters"' in declared

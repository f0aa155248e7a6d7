"""Which announcements the outbox publishes, when, and in which order."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.pubsub_v1.services.schema_service import SchemaServiceClient
from google.pubsub_v1.services.schema_service.transports import (
    SchemaServiceGrpcTransport,
)
from google.pubsub_v1.types import (
    Encoding,
    Schema,
    SchemaSettings,
    Subscription,
)
from google.pubsub_v1.types import (
    Topic as TopicRequest,
)

from batchdrop.announcements.publisher import Publisher
from batchdrop.errors import Refused, Unavailable
from batchdrop.worker.outbox import Outbox
from batchdrop.worker.stages import Tick
from batchdrop_local import eventarc
from batchdrop_local.processes import free_port
from tests.worker.office import Office


def test_a_published_announcement_is_not_published_again(office: Office) -> None:
    job = office.rejected(1)

    assert office.drain() == 1
    assert office.drain() == 0
    assert office.topic.ids == office.ids(job)


def test_a_jobs_announcements_are_published_in_order_of_seq(
    office: Office,
) -> None:
    job = office.rejected(1)
    # Three workers: each clock is behind the one before.
    office.pace = timedelta(minutes=-1)
    for _ in range(2):
        job = office.announced(job)

    for _ in range(3):
        office.drain()

    assert office.topic.ids == office.ids(job)
    assert len(office.topic.ids) == 3


def test_a_refused_announcement_holds_back_only_its_own_job(office: Office) -> None:
    poisoned = office.announced(office.rejected(1))
    first, second = office.ids(poisoned)
    office.topic.refuses = {first}
    others = [office.rejected(n) for n in (2, 3)]

    office.drain()

    assert sorted(office.topic.ids) == sorted(
        id for job in others for id in office.ids(job)
    )
    assert second not in office.topic.ids
    assert [type(exc) for exc in office.failures] == [Refused]


def test_an_announcement_refused_ten_times_is_set_aside_and_the_next_is_published(
    office: Office,
) -> None:
    job = office.announced(office.rejected(1))
    first, second = office.ids(job)
    office.topic.refuses = {first}

    for _ in range(9):
        office.drain()
    assert office.held(first)["set_aside_at"] is None
    assert office.health(job) is None
    assert office.topic.ids == []
    office.drain()

    assert office.topic.ids == [second]
    assert office.held(first)["set_aside_at"] == office.clock()
    assert office.held(first)["refusals"] == 10
    assert office.held(first)["reason"] == "not what the schema says"
    health = office.health(job)
    assert health is not None
    assert health.code == "unpublished"
    assert f"batchdrop announcements replay --job {job.id}" in health.message
    asked = office.topic.asked
    office.drain()
    assert office.topic.asked == asked


def test_a_parked_job_stays_parked_when_its_announcements_are_refused(
    office: Office,
) -> None:
    job, now = office.job(1), office.clock()
    office.ledger.advance(job, lambda j: j.park(now))
    office.topic.refuses = set(office.ids(job))

    for _ in range(10):
        office.drain()

    held = office.ledger.get(job.id)
    assert held is not None
    assert [one.code for one in held.troubles] == ["parked", "unpublished"]
    assert held.is_parked
    assert office.ledger.advance(held, lambda j: j.unpark("ada", now)).due == now


def test_an_announcement_that_cannot_be_set_aside_blocks_no_other_job(
    office: Office,
) -> None:
    poisoned = office.rejected(1)
    office.topic.refuses = set(office.ids(poisoned))
    for _ in range(9):
        office.drain()
    # No worker can decode it.
    office.database.document(f"jobs/{poisoned.id}").update({"v": 99})
    other = office.rejected(2)

    office.drain()

    assert office.topic.ids == office.ids(other)
    assert [type(exc) for exc in office.failures] == [Refused, ValueError]


def test_while_pub_sub_is_down_nothing_is_set_aside(office: Office) -> None:
    job = office.rejected(1)
    office.topic.down = True

    for _ in range(12):  # more often than a refusal is tried
        assert office.drain() == 0
    office.topic.down = False
    office.drain()

    assert office.topic.ids == office.ids(job)
    assert office.held(office.ids(job)[0])["attempts"] == 13
    assert office.health(job) is None


def test_after_three_unanswered_attempts_in_a_row_the_tick_stops_publishing(
    office: Office,
) -> None:
    for n in range(8):
        office.rejected(n)
    office.topic.down = True

    office.drain()

    assert office.topic.asked == 3
    assert [type(exc) for exc in office.failures] == [Unavailable] * 3


def test_publishing_stops_at_the_deadline_and_the_next_tick_continues(
    office: Office,
) -> None:
    for n in range(5):
        office.rejected(n)
    office.topic.each = lambda: office.clock.advance(seconds=10)

    sent = office.drain(office.clock() + timedelta(seconds=25))

    assert sent == 3
    assert office.drain() == 2
    assert len(set(office.topic.ids)) == 5


def test_a_page_full_of_refused_announcements_does_not_starve_the_rest(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.ledger.outbox.OUTBOX_PAGE", 3)
    stuck = [office.rejected(n) for n in range(4)]
    office.topic.refuses = {id for job in stuck for id in office.ids(job)}
    office.clock.advance(minutes=1)
    late = office.rejected(9)

    office.drain()

    assert office.topic.ids == office.ids(late)


def test_the_order_of_announcements_holds_across_pages(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchdrop.ledger.outbox.OUTBOX_PAGE", 1)
    # All at the same moment, so that only their ids decide on which page they are.
    office.pace = timedelta(0)
    jobs = [office.announced(office.announced(office.rejected(n))) for n in range(4)]

    for _ in range(3):
        office.drain()

    for job in jobs:
        mine = set(office.ids(job))
        assert [id for id in office.topic.ids if id in mine] == office.ids(job)


def test_an_announcement_whose_mark_was_lost_is_repeated_before_the_next_one(
    office: Office,
) -> None:
    job = office.announced(office.rejected(1))
    first, second = office.ids(job)

    class Died(BaseException):
        pass

    def die() -> None:
        raise Died

    published = office.ledger.mark_published
    office.ledger.mark_published = lambda *_: die()  # type: ignore[method-assign]
    with pytest.raises(Died):
        office.drain()
    office.ledger.mark_published = published  # type: ignore[method-assign]
    office.drain()

    assert office.topic.ids == [first, first, second]
    once, again, _ = office.topic.taken
    assert (once.body, once.attributes) == (again.body, again.attributes)


# -- over Pub/Sub's own emulator ------------------------------------------------


class PubSub:
    """A topic at the emulator, and a subscription with ordering."""

    def __init__(self, address: str, project: str) -> None:
        self._address = address
        self._project = project
        self.topic = f"projects/{project}/topics/announcements"
        self.subscription = f"projects/{project}/subscriptions/look"
        self._subscriber = eventarc.subscriber(address)
        with eventarc.publisher(address) as publisher:
            publisher.create_topic(name=self.topic)
        self._subscriber.create_subscription(
            Subscription(
                name=self.subscription, topic=self.topic, enable_message_ordering=True
            )
        )

    def choosy(self) -> str:
        """A topic whose schema matches no announcement."""
        channel = grpc.insecure_channel(self._address, [("grpc.enable_http_proxy", 0)])
        schemas = SchemaServiceClient(
            transport=SchemaServiceGrpcTransport(channel=channel)
        )
        schema = schemas.create_schema(
            parent=f"projects/{self._project}",
            schema=Schema(type_=Schema.Type.AVRO, definition='"int"'),
            schema_id="numbers",
        )
        schemas.transport.close()
        name = f"projects/{self._project}/topics/choosy"
        settings = SchemaSettings(schema=schema.name, encoding=Encoding.JSON)
        with eventarc.publisher(self._address) as publisher:
            publisher.create_topic(
                request=TopicRequest(name=name, schema_settings=settings)
            )
        return name

    def pull(self, n: int) -> list[pubsub_v1.types.PubsubMessage]:
        """The next n messages, in the order in which they arrive."""
        messages: list[pubsub_v1.types.PubsubMessage] = []
        while len(messages) < n:
            pulled = self._subscriber.pull(
                subscription=self.subscription, max_messages=n, timeout=20
            ).received_messages
            messages += [one.message for one in pulled]
            self._subscriber.acknowledge(
                subscription=self.subscription, ack_ids=[one.ack_id for one in pulled]
            )
        return messages

    def close(self) -> None:
        self._subscriber.close()


@pytest.fixture
def pubsub(pubsub_emulator: str, project: str) -> Iterator[PubSub]:
    pubsub = PubSub(pubsub_emulator, project)
    yield pubsub
    pubsub.close()


@pytest.fixture
def client(pubsub_emulator: str) -> Iterator[pubsub_v1.PublisherClient]:
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    client = pubsub_v1.PublisherClient(publisher_options=options)
    yield client
    client.stop()


def test_the_bytes_of_the_outbox_are_what_subscribers_get_in_order(
    office: Office, pubsub: PubSub, client: pubsub_v1.PublisherClient
) -> None:
    job = office.announced(office.announced(office.rejected(1)))
    stored = [office.held(id) for id in office.ids(job)]
    outbox = Outbox(
        ledger=office.ledger,
        publish=Publisher(lambda: client, pubsub.topic),
        now=office.clock,
    )

    for _ in range(3):
        until = office.clock() + timedelta(minutes=1)
        outbox.drain(Tick(now=office.clock, deadline=until))

    received = pubsub.pull(3)
    assert [(one.data, dict(one.attributes)) for one in received] == [
        (one["body"], one["attributes"]) for one in stored
    ]
    assert {one.ordering_key for one in received} == {job.id}


def test_a_message_that_pub_sub_refuses_does_not_block_its_ordering_key(
    office: Office, pubsub: PubSub, client: pubsub_v1.PublisherClient
) -> None:
    office.rejected(1)
    (announcement,) = office.ledger.unpublished_announcements()
    publish = Publisher(lambda: client, pubsub.choosy())

    for _ in range(2):
        with pytest.raises(Refused, match=announcement.id) as caught:
            publish(announcement)
        # The second is sent as well: the first failure does not hold it back.
        assert isinstance(caught.value.__cause__, exceptions.InvalidArgument)


def test_a_message_that_is_too_large_is_refused_before_it_is_sent(
    office: Office, pubsub: PubSub, client: pubsub_v1.PublisherClient
) -> None:
    office.rejected(1)
    (announcement,) = office.ledger.unpublished_announcements()
    publish = Publisher(lambda: client, pubsub.topic)

    with pytest.raises(Refused, match=announcement.id):
        publish(replace(announcement, body=b" " * 11_000_000))
    publish(announcement)

    (message,) = pubsub.pull(1)
    assert message.data == announcement.body


def test_an_unreachable_pub_sub_times_out_and_does_not_block_the_ordering_key(
    office: Office, pubsub: PubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.rejected(1)
    (announcement,) = office.ledger.unpublished_announcements()
    options = pubsub_v1.types.PublisherOptions(enable_message_ordering=True)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    nowhere = pubsub_v1.PublisherClient(publisher_options=options)
    publish = Publisher(lambda: nowhere, pubsub.topic)

    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            publish(announcement)
        # The second is sent as well: the first failure does not hold it back.
        assert isinstance(caught.value.__cause__, exceptions.ServiceUnavailable)
    nowhere.stop()


def test_a_missing_topic_does_not_count_against_the_announcement(
    office: Office, project: str, client: pubsub_v1.PublisherClient
) -> None:
    office.rejected(1)
    (announcement,) = office.ledger.unpublished_announcements()
    publish = Publisher(lambda: client, f"projects/{project}/topics/elsewhere")

    with pytest.raises(Unavailable, match="NotFound"):
        publish(announcement)

"""The topics, a listener, and what it turned down, as infra/ has them."""

from dataclasses import dataclass
from datetime import timedelta

from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import (
    DeadLetterPolicy,
    ExpirationPolicy,
    PushConfig,
    RetryPolicy,
    Subscription,
)


@dataclass(frozen=True, slots=True)
class Topics:
    """
    The full names, and the requests that make them. The numbers are those of
    infra/messaging.tf, which a test holds against this.

    The emulator takes filters and heeds none, so there is none here.
    """

    project: str

    @property
    def announcements(self) -> str:
        return f"projects/{self.project}/topics/batchdrop-announcements"

    @property
    def work(self) -> str:
        """Which jobs to collect: from `poll` to `collect`."""
        return f"projects/{self.project}/topics/batchdrop-work"

    @property
    def dead_letters(self) -> str:
        return f"projects/{self.project}/topics/batchdrop-dead-letters"

    @property
    def listener(self) -> str:
        return f"projects/{self.project}/subscriptions/batchdrop-example"

    @property
    def turned_down(self) -> str:
        """The subscription that holds the dead letters until somebody looks."""
        return f"projects/{self.project}/subscriptions/batchdrop-dead-letters"

    def make(self, publisher: PublisherClient, subscriber: SubscriberClient) -> None:
        """Makes all five."""
        for topic in (self.announcements, self.work, self.dead_letters):
            publisher.create_topic(name=topic)
        subscriber.create_subscription(self.listening(self.listener))
        subscriber.create_subscription(
            Subscription(
                name=self.turned_down,
                topic=self.dead_letters,
                # 31 in production, which the emulator does not support yet.
                message_retention_duration=timedelta(days=7),
                expiration_policy=ExpirationPolicy(),
            )
        )

    def listening(
        self,
        name: str,
        *,
        attempts: int = 10,
        push: PushConfig | None = None,
    ) -> Subscription:
        """
        A careful listener's subscription.

        Args:
            name: its full name.
            attempts: after this many deliveries a message goes to the dead letters;
                Pub/Sub takes 5 to 100.
            push: where to; None: it is pulled.
        """
        return Subscription(
            name=name,
            topic=self.announcements,
            push_config=push,
            enable_message_ordering=True,  # by job
            ack_deadline_seconds=60,
            message_retention_duration=timedelta(days=7),
            expiration_policy=ExpirationPolicy(),  # never
            retry_policy=RetryPolicy(
                minimum_backoff=timedelta(seconds=10),
                maximum_backoff=timedelta(seconds=600),
            ),
            dead_letter_policy=DeadLetterPolicy(
                dead_letter_topic=self.dead_letters, max_delivery_attempts=attempts
            ),
        )

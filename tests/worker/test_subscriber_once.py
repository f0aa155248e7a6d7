"""A handler deals with each event once, on Google's own Firestore emulator."""

from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event

import pytest
from google.api_core import exceptions
from google.cloud import firestore

from batchdrop.subscribe import Busy, Handled, JobEvent, once, parse
from tests import announcements
from tests.clock import Clock
from tests.rules.test_announcements import ended, of

EVENT = parse(announcements.push(of(ended("FAILED"))))
OTHER = parse(announcements.push(of(ended("SUCCEEDED")).anew(2, EVENT.created_at)))


@dataclass
class Listener:
    """A handler that a test can have fail."""

    handled: list[str] = field(default_factory=list)
    fails: BaseException | None = None

    def __call__(self, event: JobEvent) -> str:
        self.handled.append(event.id)
        if self.fails:
            raise self.fails
        return "done"


@pytest.fixture
def ledger(database: firestore.Client, clock: Clock) -> Handled:
    return Handled("mailer", lambda: database, now=clock)


def test_an_event_that_is_delivered_again_is_not_handled_again(
    ledger: Handled,
) -> None:
    listener = Listener()
    handle = once(ledger)(listener.__call__)

    answers = [handle(EVENT), handle(EVENT), handle(OTHER)]

    assert answers == ["done", None, "done"]
    assert listener.handled == [EVENT.id, OTHER.id]


def test_two_handlers_handle_an_event_each_once(
    database: firestore.Client, clock: Clock
) -> None:
    listener = Listener()

    for name in ("mailer", "counter", "mailer"):
        once(Handled(name, lambda: database, now=clock))(listener.__call__)(EVENT)

    assert len(listener.handled) == 2


def test_a_handler_that_failed_gets_the_event_again_at_once(ledger: Handled) -> None:
    listener = Listener(fails=RuntimeError("the mail server is away"))
    handle = once(ledger)(listener.__call__)
    with pytest.raises(RuntimeError, match="mail server"):
        handle(EVENT)

    listener.fails = None
    handle(EVENT)
    handle(EVENT)

    assert listener.handled == [EVENT.id, EVENT.id]


def test_a_handler_that_was_killed_gets_the_event_again_after_its_lease(
    ledger: Handled, clock: Clock
) -> None:
    listener = Listener()
    handle = once(ledger)(listener.__call__)
    ledger.claim(EVENT.id)  # claimed, and never finished

    clock.advance(minutes=9)
    with pytest.raises(Busy):
        handle(EVENT)
    clock.advance(minutes=2)
    handle(EVENT)

    assert listener.handled == [EVENT.id]


def test_while_an_event_is_handled_another_delivery_of_it_is_not_acknowledged(
    ledger: Handled,
) -> None:
    began, go_on = Event(), Event()

    @once(ledger)
    def slow(event: JobEvent) -> str:
        began.set()
        assert go_on.wait(20)
        return "slow"

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(slow, EVENT)
        assert began.wait(20)
        with pytest.raises(Busy):
            slow(EVENT)
        go_on.set()

    assert first.result() == "slow"
    assert slow(EVENT) is None


def test_of_many_deliveries_at_once_one_is_handled(ledger: Handled) -> None:
    listener = Listener()
    handle = once(ledger)(listener.__call__)

    def deliver(_: int) -> str | None:
        try:
            return handle(EVENT)
        except Busy:
            return None

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(deliver, range(10)))

    assert listener.handled == [EVENT.id]


def test_one_who_took_too_long_does_not_end_another_s_claim(
    ledger: Handled, clock: Clock, database: firestore.Client
) -> None:
    slow = ledger.claim(EVENT.id)
    clock.advance(minutes=11)
    fast = ledger.claim(EVENT.id)
    assert slow is not None
    assert fast is not None

    ledger.done(EVENT.id, slow)
    ledger.release(EVENT.id, slow)

    held = database.document(f"handled/mailer.{EVENT.id}").get()
    assert held.get("by") == fast
    assert held.get("done_at") is None
    assert held.get("until") > clock()


def test_an_answer_that_was_lost_is_no_one_else_s_claim(
    database: firestore.Client, clock: Clock
) -> None:
    class Lossy(Handled):
        """Every create is applied, and answered as if it had been there before."""

        def _document(self, event_id: str) -> object:
            document = super()._document(event_id)
            create = document.create

            def lose(data: dict[str, object]) -> None:
                create(data)
                raise exceptions.AlreadyExists("retried by the client")

            document.create = lose
            return document

    ledger = Lossy("mailer", lambda: database, now=clock)

    assert ledger.claim(EVENT.id) is not None


def test_what_was_handled_is_forgotten_after_a_while(
    ledger: Handled, clock: Clock, database: firestore.Client
) -> None:
    once(ledger)(Listener().__call__)(EVENT)

    (held,) = database.collection("handled").stream()
    assert held.get("expire_at") == clock() + timedelta(days=45)


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "x" * 101])
def test_a_handler_s_name_must_do_for_a_document(name: str) -> None:
    with pytest.raises(ValueError, match="handler is"):
        Handled(name, firestore.Client)


async def coroutine(event: JobEvent) -> None:
    raise AssertionError(event)


def generator(event: JobEvent) -> Iterator[str]:
    yield event.id


async def stream(event: JobEvent) -> AsyncIterator[str]:
    yield event.id


@pytest.mark.parametrize("handler", [coroutine, generator, stream])
def test_a_handler_whose_call_does_nothing_yet_is_refused_at_once(
    handler: Callable[[JobEvent], object],
) -> None:
    with pytest.raises(TypeError, match="give `once` a plain function"):
        once(Handled("mailer", firestore.Client))(handler)


def test_a_claim_given_back_by_a_clock_that_is_ahead_is_free(
    database: firestore.Client, clock: Clock
) -> None:
    ahead = Handled(
        "mailer", lambda: database, now=lambda: clock() + timedelta(minutes=10)
    )
    behind = Handled("mailer", lambda: database, now=clock)
    held = ahead.claim(EVENT.id)
    assert held is not None

    ahead.release(EVENT.id, held)

    assert behind.claim(EVENT.id) is not None

"""What is certain to be in Kafka, and what the producer says while it is not."""

import polars as pl
import pytest
from confluent_kafka import KafkaError, KafkaException

from erp.contract import PRODUCTS
from erp.ingest import delivery
from erp.ingest.checkpoint import Checkpoint
from erp.ingest.delivery import Delivery
from erp.process import Failure


class Outbox:
    """Everything that was handed over is delivered, but for the last `waiting` messages."""

    waiting = failed = delivered = 0

    def __init__(self, clock):
        self._clock = clock

    def send_columns(self, _topic, keys, _values, _give_up):
        self.delivered += len(keys)
        return len(keys)

    def flush(self, seconds):
        self._clock.now += seconds
        return self.waiting

    def abandon(self):
        self.failed, self.waiting = self.waiting, 0
        return self.delivered - self.failed


class Clock:
    """Time that passes only where the producer waits; a signal comes at `signal_at`."""

    def __init__(self):
        self.now, self.signal_at = 0.0, float("inf")

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def wait(self, seconds):
        self.now += 0 if self.requested else seconds

    @property
    def requested(self):
        return self.now >= self.signal_at


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(delivery, "time", clock)
    return clock


@pytest.fixture
def deliver(clock, monkeypatch):
    """A Delivery to brokers that answer as `told` says of a moment: a count, or an error's code."""

    def deliver(told):
        def messages_in(_admin, _topics):
            assert clock.now < 1_000, "nobody waits so long"
            answer = told(clock.now)
            if isinstance(answer, KafkaError):
                clock.now += 0.01
                raise KafkaException(answer)
            return answer

        monkeypatch.setattr(delivery.kafka, "messages_in", messages_in)
        saved = []
        outbox, topics = Outbox(clock), {PRODUCTS: "p"}
        return Delivery(outbox, None, topics, clock, Checkpoint(), saved.append), saved

    return deliver


AWAY = KafkaError(KafkaError._ALL_BROKERS_DOWN)
GONE = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
FORBIDDEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


def test_brokers_that_are_away_at_the_first_count_are_waited_for(deliver, caplog):
    """With a word every ten seconds, and no traceback."""
    made, saved = deliver(lambda now: AWAY if now < 35 else 7)
    assert made.confirm()
    assert 1 == len(saved)
    assert 3 == caplog.text.count("does not count its topics for now")


def test_brokers_that_go_before_the_last_count_are_waited_for_until_a_signal(
    deliver, clock, caplog
):
    """A word every ten seconds; after the signal ten seconds more, and one line."""
    made, saved = deliver(lambda now: AWAY if now else 7)
    clock.now, clock.signal_at = 1.0, 50.0
    with pytest.raises(Failure, match="--resume sends again"):
        made.confirm()
    assert [] == saved
    assert 5 == caplog.text.count("does not count its topics for now")


@pytest.mark.parametrize("refusal", [GONE, FORBIDDEN])
def test_a_topic_that_is_gone_is_no_outage(deliver, clock, refusal):
    """A new one may take a moment to be known; then it is a failure that says what to see to."""
    made, saved = deliver(lambda now: refusal if now else 7)
    clock.now = 1.0
    with pytest.raises(Failure, match="see that they are there and may be described"):
        made.confirm()
    assert [] == saved


def test_a_topic_that_is_unknown_for_a_moment_is_waited_for(deliver):
    """As after its creation, before every broker knows it."""
    made, _ = deliver(lambda now: GONE if 0 < now < 5 else 7)
    assert made.confirm()


@pytest.mark.parametrize(("waiting", "kept"), [(1, 6), (10, 6), (11, 5), (60, 1), (70, 0)])
def test_of_what_brokers_confirmed_before_they_went_nothing_is_forgotten(
    clock, monkeypatch, waiting, kept
):
    """What is saved is the last state that has nothing of what is still under way."""
    monkeypatch.setattr(delivery.kafka, "messages_in", lambda *_: 0)
    outbox, state, saved = Outbox(clock), Checkpoint(), []
    made = Delivery(outbox, None, {PRODUCTS: "p"}, clock, state, saved.append)
    for number in range(7):
        clock.now += delivery.NOTE_EVERY * 1.1
        state.tickets = number
        made.confirm_now_and_then()
        made.send(PRODUCTS, pl.Series(["k"] * 10), pl.Series(["v"] * 10))
    clock.signal_at, outbox.waiting = clock.now, waiting
    assert waiting == made.settle()
    assert [kept] == [each.tickets for each in saved]

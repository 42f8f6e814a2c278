"""What is certain to be in Kafka, and what the producer says while it is not."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from erp.contract import PRODUCTS
from erp.ingest import delivery
from erp.ingest.delivery import Delivery
from erp.process import Failure


class Outbox:
    """Everything that was handed over is delivered."""

    waiting = failed = delivered = 0

    def flush(self, _seconds):
        return 0


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
        made = Delivery(Outbox(), None, {PRODUCTS: "p"}, clock, lambda: saved.append(clock.now))
        return made, saved

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

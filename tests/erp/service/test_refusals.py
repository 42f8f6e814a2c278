"""Sales that get no answer, and what the service does until Kafka has their dead letters."""

import signal
from collections import Counter
from threading import Thread

import pytest

from erp import dead_letters
from erp.contract import DEAD_LETTER, RECOMMENDATIONS
from erp.kafka import ensure_topics
from erp.metrics import Health
from erp.process import Stop
from erp.service import publisher
from erp.service.refusals import Refusals
from tests.waiting import until


class Member:
    """A member of a group, that counts what it is asked to do."""

    def __init__(self):
        self.did = Counter()

    def stay(self, _seconds):
        """As the source's."""
        self.did["stay"] += 1

    def release(self, messages):
        """The same."""
        self.did["release"] += len(messages)


class Message:
    """A message as it came from Kafka."""

    def __init__(self, offset):
        self._offset = offset

    def topic(self):
        """As the client's, and so on."""
        return "sales"

    def partition(self):
        return 0

    def offset(self):
        return self._offset

    def timestamp(self):
        return 1, 1_700_000_000_000

    def key(self):
        return b"s"

    def value(self):
        return b"poison"


class Beats(Health):
    """Health that counts how often the loop went round."""

    beats = 0

    def beat(self):
        """Say that the main loop goes round."""
        self.beats += 1


@pytest.fixture
def health():
    """The health of a stage."""
    return Beats([])


@pytest.fixture
def member():
    """A member of a group."""
    return Member()


@pytest.fixture
def refusals(settings, member, health):
    """Refusals to the test's own topics; the signals are as before afterwards."""
    handlers = [(each, signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM)]
    topics = [settings.topic_prefix + name for name in (DEAD_LETTER, RECOMMENDATIONS)]
    ensure_topics(settings.kafka, topics, 1, 1)
    outbox = dead_letters.outbox(settings.kafka)
    yield Refusals(outbox, *topics, "recommender", member, Stop(), health)
    for number, handler in handlers:
        signal.signal(number, handler)


def test_broker_that_is_away_costs_neither_life_nor_membership(
    refusals, member, health, stack, monkeypatch
):
    """While a dead letter cannot be delivered the loop beats, stays in the group and holds it."""
    monkeypatch.setattr(publisher, "FLUSH_TIMEOUT", 0.1)

    def thaw():
        try:
            until(lambda: member.did["stay"] > 3 and health.beats > 3)
        finally:
            stack.kafka.thaw()

    stack.kafka.freeze()
    thawing = Thread(target=thaw)
    thawing.start()
    try:
        refusals.refuse(Message(0), "not-json", "it is poison")
        refusals.finish()
    finally:
        thawing.join()
    assert member.did["stay"] > 3
    assert health.beats > 3
    assert 1 == member.did["release"]


def test_many_refusals_are_one_line(refusals, read_topic, member, caplog):
    """Each is counted and kept; the log tells of one in a while, whatever the reasons."""
    for offset in range(500):
        refusals.refuse(Message(offset), "not-json", f"poison {chr(65 + offset % 26)}")
    refusals.finish()
    lines = [each for each in caplog.records if each.name == "erp.refusals"]
    assert ["sales[0]@0 refused, not-json: poison A"] == [each.getMessage() for each in lines]
    assert 500 == refusals.count == member.did["release"] == len(read_topic(DEAD_LETTER))

"""The dead letters of a stage, read from their topic."""

from contextlib import closing
from datetime import UTC, datetime

import pytest
from confluent_kafka import TopicPartition

from erp import dead_letters
from erp.dead_letters import DeadLetter, LetterOutbox, Shelf
from erp.kafka import ensure_topics
from erp.process import Failure


def test_who_reads_them_is_told_when_kafka_goes_away(settings, stack, monkeypatch):
    """In a bound, instead of a command that hangs; the next time all are there."""
    topic = settings.topic_prefix + "dead_letter"
    ensure_topics(settings.kafka, [topic], 1, 1)
    outbox = LetterOutbox(settings.kafka)
    now = datetime.now(UTC)
    letter = DeadLetter("sink", "sales", 0, 0, now, "not-json", "no", now, b"007", b"{")
    dead_letters.send_letter(outbox, topic, letter)
    dead_letters.deliver(outbox)

    def shelf():
        return closing(Shelf(settings.kafka, settings.consumer_group_prefix + "x", topic, "sink"))

    monkeypatch.setattr(dead_letters, "SILENCE", 3)
    with shelf() as cut_off:
        ends = cut_off._assign()
        cut_off._consumer.unassign()

        def assign():
            stack.kafka.freeze()
            cut_off._consumer.assign([TopicPartition(topic, 0, 0)])
            return ends

        monkeypatch.setattr(cut_off, "_assign", assign)
        try:
            with pytest.raises(Failure, match="no dead letter is lost"):
                list(cut_off.letters())
        finally:
            stack.kafka.thaw()
    with shelf() as whole:
        assert [letter] == list(whole.letters())


def test_a_limit_that_nobody_tells_leaves_no_value_behind(settings, monkeypatch):
    """While Kafka is away letters wait whole, the next without asking; then the limit counts."""
    topic = settings.topic_prefix + "dead_letter"
    ensure_topics(settings.kafka, [topic], 1, 1)
    outbox = LetterOutbox(settings.kafka)
    monkeypatch.setattr(dead_letters, "QUERY_TIMEOUT", 0.5)
    outbox._options = settings.kafka | {"bootstrap.servers": "127.0.0.1:1"}
    assert outbox.takes(topic, 3_000_000)
    monkeypatch.undo()
    outbox._options = settings.kafka
    assert outbox.takes(topic, 3_000_000)
    monkeypatch.setattr(outbox, "_ask_from", 0)
    assert not outbox.takes(topic, 3_000_000)
    assert outbox.takes(topic, 1_500_000)

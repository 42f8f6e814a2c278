"""Partitions are raised while messages flow."""

import json
import time

from confluent_kafka import TopicPartition

from erp import kafka
from erp.outbox import Outbox
from local_stack.partitions import raise_partitions
from tests.waiting import PATIENCE

SOON = {"topic.metadata.refresh.interval.ms": 200}


def test_running_clients_take_the_new_partitions_and_lose_nothing(settings):
    """Messages before and after are all read once; the group shares six partitions, not three."""
    topic = settings.topic_prefix + "sales"
    kafka.ensure_topics(settings.kafka, [topic], 3, 1)
    outbox = Outbox(settings.kafka, **SOON)
    consumer = kafka.consumer(settings.kafka, f"{settings.consumer_group_prefix}grown", **SOON)
    consumer.subscribe([topic])
    sent, read, used = 0, [], set()
    try:

        def go_on(done):
            """Send and read until something holds."""
            nonlocal sent
            end = time.monotonic() + PATIENCE
            while not done() and time.monotonic() < end:
                batch = [
                    {"key": str(number), "value": json.dumps(number)}
                    for number in range(sent, sent + 20)
                ]
                sent += outbox.send(topic, batch)
                for message in consumer.consume(100, 0.05):
                    assert message.error() is None
                    read.append(int(message.key()))
                    used.add(message.partition())
            assert done()

        go_on(lambda: len(used) == 3)
        assert {topic: 3} == raise_partitions(settings.kafka, [topic, "nosuch"], 6)
        go_on(lambda: len(used) == 6)
        assert {TopicPartition(topic, number) for number in range(6)} == set(consumer.assignment())
        assert 0 == outbox.flush(PATIENCE)
        end = time.monotonic() + PATIENCE
        while len(read) < sent and time.monotonic() < end:
            read += [int(message.key()) for message in consumer.consume(100, 0.2)]
    finally:
        consumer.close()
    assert list(range(sent)) == sorted(read)


def test_partitions_are_never_taken_away(settings):
    """A topic that has as many, or more, is left as it is."""
    topic = settings.topic_prefix + "sales"
    kafka.ensure_topics(settings.kafka, [topic], 3, 1)
    assert {} == raise_partitions(settings.kafka, [topic], 3)
    assert {} == raise_partitions(settings.kafka, [topic], 2)
    admin = kafka.wait_for_kafka(settings.kafka)
    assert 3 == len(admin.list_topics(topic).topics[topic].partitions)

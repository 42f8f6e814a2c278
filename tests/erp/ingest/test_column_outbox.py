"""Columns of messages into Kafka: what arrives, where, and what is refused."""

import polars as pl
import pytest

from erp import kafka
from erp.ingest import column_outbox as outboxes
from erp.ingest.column_outbox import ColumnOutbox, RowOutbox, column_outbox
from erp.outbox import Outbox
from local_stack.stack import free_ports


def stored(settings, topic, count):
    """Messages of a topic: partition, key and value, sorted."""
    reader = kafka.consumer(settings.kafka, f"{settings.consumer_group_prefix}x")
    reader.subscribe([topic])
    found = []
    while len(found) < count:
        found += reader.consume(count - len(found), 1)
    reader.close()
    return sorted((each.partition(), each.key(), each.value()) for each in found)


def test_columns_arrive_as_messages_do_one_by_one(settings):
    """The same bytes in the same partitions as the dicts of the other outbox, slices too."""
    topics = [settings.topic_prefix + name for name in ("columns", "dicts")]
    kafka.ensure_topics(settings.kafka, topics, 3, 1)
    table = pl.DataFrame({"n": range(-5, 500)}).select(
        key=pl.format("ñ{}", "n"), value=pl.format("value {}", "n")
    )
    table = table.slice(5)
    columns, dicts = column_outbox(settings.kafka, max_messages=70), Outbox(settings.kafka)
    assert isinstance(columns, ColumnOutbox)
    assert 500 == columns.send_columns(topics[0], table["key"], table["value"])
    dicts.send(topics[1], table.to_dicts())
    assert 0 == columns.flush(30) == dicts.flush(30)
    assert (500, 0) == (columns.delivered, columns.failed)
    assert stored(settings, topics[1], 500) == stored(settings, topics[0], 500)


@pytest.mark.parametrize("trouble", [AttributeError("no such symbol"), OSError("no such file")])
def test_a_build_that_hides_its_functions_sends_the_same(settings, monkeypatch, trouble):
    """Where ctypes finds no librdkafka the client's own way has to do, with the same account."""

    def hidden(*_):
        raise trouble

    monkeypatch.setattr(outboxes.ctypes, "CDLL", hidden)
    topic = settings.topic_prefix + "rows"
    kafka.ensure_topics(settings.kafka, [topic], 3, 1)
    outbox = column_outbox(settings.kafka, **{"message.max.bytes": 2_000})
    assert isinstance(outbox, RowOutbox)
    keys = pl.Series(["a", "ñ", "c"])
    assert 3 == outbox.send_columns(topic, keys, pl.Series(["1", "2" * 5_000, "é"]))
    assert 0 == outbox.flush(30)
    assert (2, 1) == (outbox.delivered, outbox.failed)
    sent = {(key.decode(), value.decode()) for _, key, value in stored(settings, topic, 2)}
    assert {("a", "1"), ("c", "é")} == sent


@pytest.mark.parametrize(
    ("limits", "most"), [({"max_messages": 70}, 70), ({"max_bytes": 70_000}, 70)], ids=str
)
def test_no_more_waits_than_was_said(limits, most):
    """While Kafka is away the queue is full at so many messages, or bytes; the rest is told."""
    away = {"bootstrap.servers": f"127.0.0.1:{free_ports(1)[0]}"}
    columns = pl.DataFrame({"key": ["k"] * 500, "value": ["v" * 999] * 500})
    for outbox in (column_outbox(away, **limits), RowOutbox(away, **limits)):
        handed = outbox.send_columns(
            "topic", columns["key"], columns["value"], give_up=lambda: True
        )
        assert most * 0.8 < handed <= outbox.waiting <= most  # one may be the client's own word


def test_what_is_too_large_is_refused_and_counted(settings):
    """The others go on."""
    topic = settings.topic_prefix + "large"
    kafka.ensure_topics(settings.kafka, [topic], 1, 1)
    outbox = column_outbox(settings.kafka, **{"message.max.bytes": 2_000})
    outbox.send_columns(topic, pl.Series(["a", "b", "c"]), pl.Series(["1", "2" * 5_000, "3"]))
    assert 0 == outbox.flush(30)
    assert (2, 1) == (outbox.delivered, outbox.failed)


def test_what_waits_can_be_given_up(settings, stack):
    """Brokers that went away: what was delivered before is known, the rest counts as failed."""
    topic = settings.topic_prefix + "given-up"
    kafka.ensure_topics(settings.kafka, [topic], 3, 1)
    outbox = column_outbox(settings.kafka)
    keys = pl.Series([f"{n}" for n in range(100)])
    outbox.send_columns(topic, keys, keys)
    assert 0 == outbox.flush(30)
    stack.kafka.freeze()
    try:
        outbox.send_columns(topic, keys, keys)
        assert 100 == outbox.flush(1)
        assert 100 == outbox.abandon()
    finally:
        stack.kafka.thaw()
    assert (0, 100, 100) == (outbox.waiting, outbox.failed, outbox.delivered)

"""Several copies of the sink, and partitions that move between them."""

import re
from unittest.mock import Mock

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from erp.metrics import Health
from erp.process import Stop
from erp.sink.pipeline import Batch
from erp.sink.store import Outcome, Store
from erp_kafka_to_mongo import Sink
from tests.sink_shop import LINE, SALE, Shop, rows
from tests.waiting import until


@pytest.fixture
def shop(settings, run_script):
    """Topics to send to, and the sink to run."""
    return Shop(settings, run_script)


def test_partitions_that_were_lost_while_reading_was_paused_are_read_again(
    shop, settings, database, monkeypatch
):
    """The client remembers the pause; the sink must not."""
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own handlers
    shop.send("sales", SALE)
    sink = Sink(settings, Stop(), Store(database), Health([]))
    topic = settings.topic_prefix + "sales"
    partitions = [TopicPartition(topic, n, 0) for n in range(shop.PARTITIONS)]
    sink.on_assign(sink.consumer, partitions)
    assert until(sink.read)
    sink.pause(True)
    sink.on_lost(sink.consumer, partitions)
    sink.pause(False)
    sink.on_assign(sink.consumer, partitions)
    assert until(sink.read)
    sink.consumer.close()


def test_a_complaint_of_the_client_is_no_message(settings, database, monkeypatch, caplog):
    """It is logged; neither the count of messages nor --max-messages knows of it."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    sink = Sink(settings, Stop(), Store(database), Health([]))
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    complaint, message = (Mock(**{"error.return_value": error}) for error in (refused, None))
    message.topic.return_value = "sales"
    sink.consumer = Mock(**{"poll.return_value": complaint, "consume.return_value": [message]})
    assert [message] == sink.read()
    assert "Kafka: " in caplog.text


def test_a_message_in_hand_when_its_partition_goes_is_left_to_the_next_copy(
    settings, database, monkeypatch
):
    """The client tells of the loss while it is asked for what came with the message."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    sink = Sink(settings, Stop(), Store(database), Health([]))
    message = Mock(**{"error.return_value": None, "topic.return_value": "sales"})

    def lose(_limit: int, _timeout: float) -> list[Message]:
        sink.on_revoke(sink.consumer, [TopicPartition("sales", 0)])
        return []

    sink.consumer = Mock(**{"poll.return_value": message, "consume.return_value": []})
    assert [message] == sink.read()
    sink.consumer.consume.side_effect = lose
    assert not sink.read()


def test_who_was_silent_asks_the_group_also_with_nothing_in_hand(settings, database, monkeypatch):
    """A message that was on its way while it was frozen may be another copy's by now."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    sink = Sink(settings, Stop(), Store(database), Health([]))
    sink.consumer = Mock()
    sink.on_assign(sink.consumer, [TopicPartition("sales", 0)])
    sink.finish(Batch(ends={("sales", 0): 7}), Outcome())
    sink.consumer.commit.side_effect = KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
    assert not sink.confirm()
    sink.consumer.commit.side_effect = None
    sink.consumer.commit.return_value = []
    assert sink.confirm()
    (place,) = sink.consumer.commit.call_args.kwargs["offsets"]
    assert ("sales", 0, 7) == (place.topic, place.partition, place.offset)


def test_what_kafka_took_is_not_committed_again(settings, database, monkeypatch):
    """To a topic that was made anew meanwhile it would be a place beyond what was read of it."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    sink = Sink(settings, Stop(), Store(database), Health([]))
    sink.consumer = Mock()
    sink.on_assign(sink.consumer, [TopicPartition("sales", 0), TopicPartition("sales", 1)])
    sink.finish(Batch(ends={("sales", 0): 7, ("sales", 1): 5}), Outcome())
    sink.on_commit(None, [TopicPartition("sales", 0, 7), TopicPartition("sales", 1, 4)])
    sink.settle()
    (place,) = sink.consumer.commit.call_args.kwargs["offsets"]
    assert ("sales", 1, 5) == (place.topic, place.partition, place.offset)


def test_an_abandoned_batch_is_no_outage_any_more(settings, database, monkeypatch):
    """What waited for MongoDB is another copy's now; the gauge must not wait for a next message."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    health = Health(["writes"])
    sink = Sink(settings, Stop(), Store(database), health)
    sink.wait(0)
    assert not health.works("writes")
    sink.write(Batch(abandoned=True))
    assert health.works("writes")


def test_copies_share_the_work(shop, run_script, database):
    """Each of two copies stores about half of the lines; when one ends the other takes over."""
    copies = [run_script.start("erp_kafka_to_mongo.py") for _ in range(2)]
    until(lambda: all("reading 12 partitions" in copy.stderr for copy in copies))
    _, items = rows(2000)
    shop.send("sales_items", *items)
    until(lambda: database["sales_items"].count_documents({}) == 6000)
    assert 0 == copies[1].stop()
    read = int(re.search(r"(\d+) messages read", copies[1].stderr.splitlines()[-1])[1])
    assert pytest.approx(3000, rel=0.1) == read
    shop.send("sales_items", *({**item, "sale_id": "later-" + item["sale_id"]} for item in items))
    until(lambda: database["sales_items"].count_documents({}) == 12000)
    assert 0 == copies[0].stop()


def test_nothing_is_read_twice_when_partitions_move(shop, run_script, database):
    """What is in hand when another copy joins is written and committed before they go."""
    copies = [run_script.start("erp_kafka_to_mongo.py", SINK_BATCH_SIZE=10)]
    until(lambda: "reading 24 partitions" in copies[0].stderr)
    copies.append(run_script.start("erp_kafka_to_mongo.py", SINK_BATCH_SIZE=10))
    moved = False
    while not moved:  # so that there is always more to do, also for the copy that joined
        moved = "reading 12 partitions" in copies[1].stderr
        shop.send("sales_items", *({**LINE, "sale_id": f"s{shop.sent + n}"} for n in range(100)))
    until(lambda: database["sales_items"].estimated_document_count() == shop.sent)
    assert [0, 0] == [copy.stop() for copy in copies]
    last = [copy.stderr.splitlines()[-1] for copy in copies]
    told = [re.search(r"(\d+) stored, (\d+) superseded", line) for line in last]
    stored_by = [int(each[1]) for each in told]
    assert all(stored_by)
    assert (shop.sent, [0, 0]) == (sum(stored_by), [int(each[2]) for each in told])


def test_a_named_copy_restarts_without_a_rebalance(shop, run_script, database):
    """The other copy keeps its partitions and goes on; the restarted one has those it had."""
    other, named = (
        run_script.start("erp_kafka_to_mongo.py", CONSUMER_INSTANCE=name) for name in "ab"
    )
    until(lambda: all("reading 12 partitions" in copy.stderr for copy in (other, named)))
    before = other.stderr.count("partitions")
    assert 0 == named.stop()
    again = run_script.start("erp_kafka_to_mongo.py", CONSUMER_INSTANCE="b")
    until(lambda: "reading 12 partitions" in again.stderr)
    shop.send("sales", *rows(60)[0])
    until(lambda: database["sales"].count_documents({}) == 60)
    assert before == other.stderr.count("partitions")


def test_of_two_copies_of_one_name_the_older_ends_and_says_why(shop, run_script, database):
    """Exit code 1 and one line that names the setting; the newer one stores what comes."""
    older = run_script.start("erp_kafka_to_mongo.py", CONSUMER_INSTANCE="a")
    until(lambda: "reading 24 partitions" in older.stderr)
    newer = run_script.start("erp_kafka_to_mongo.py", CONSUMER_INSTANCE="a")
    assert 1 == older.wait()
    assert "another copy has this CONSUMER_INSTANCE" in older.stderr.splitlines()[-1]
    shop.send("sales", SALE)
    until(lambda: database["sales"].count_documents({}) == 1)
    assert 0 == newer.stop()

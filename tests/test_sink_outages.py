"""The sink while the database is away or refuses, and when it is killed itself."""

import threading
import time

import pytest
from confluent_kafka import TopicPartition
from pymongo.errors import AutoReconnect

from erp.metrics import Health
from erp.process import Stop
from erp.sink.store import Store
from erp_kafka_to_mongo import Sink
from tests.service_shop import page
from tests.sink_shop import SALE, Shop, rows, stored
from tests.waiting import PATIENCE, until
from tests.wire_proxy import RefusingProxy


@pytest.fixture
def shop(settings, run_script):
    """Topics to send to, and the sink to run."""
    return Shop(settings, run_script)


@pytest.mark.parametrize(
    "refusal",
    [
        {"code": 10107, "codeName": "NotWritablePrimary"},
        {"code": 13, "codeName": "Unauthorized"},
        {"errmsg": "Unknown error: null"},  # the embedded server's, of a moment
    ],
    ids=["secondary", "no right", "no reason"],
)
def test_a_database_that_takes_no_writes_is_waited_for(
    stack, shop, run_script, database, read_topic, refusal
):
    """At the start for a while, then with one line; in the middle until it takes them again."""
    proxy = RefusingProxy("127.0.0.1", stack.mongo_port)
    proxy.refusal = refusal
    failed = run_script("erp_kafka_to_mongo.py", MONGO_URI=proxy.uri, STARTUP_TIMEOUT_SECONDS=1)
    assert 1 == failed.returncode
    assert "error: MongoDB does not create indexes" in failed.stderr.splitlines()[-1]
    proxy.refusal = None
    sink = run_script.start("erp_kafka_to_mongo.py", MONGO_URI=proxy.uri, SINK_BATCH_SIZE=10)
    sales, _ = rows(100)
    shop.send("sales", *sales[:10])
    until(lambda: database["sales"].count_documents({}) == 10)
    proxy.refusal = refusal
    shop.send("sales", *sales[10:])
    until(lambda: "reading paused" in sink.stderr)
    proxy.refusal = None
    until(lambda: database["sales"].count_documents({}) == 100)
    assert 0 == sink.stop()
    assert [] == read_topic("dead_letter")
    proxy.close()


def test_readyz_and_the_gauge_notice_a_server_that_is_away(stack, run_script):
    """Also with nothing to store it says so, and is ready again afterwards."""
    sink = run_script.start("erp_kafka_to_mongo.py", "--metrics-port", 0)
    until(lambda: "metrics at " in sink.stderr)
    for name, up in (("kafka", "1.0"), ("mongo", "0.0")):
        until(lambda: page(sink, "readyz") == (200, "ok\n"))
        assert "erp_sink_up 1.0" in page(sink, "metrics")[1]
        server = getattr(stack, name)
        server.freeze()
        try:
            until(lambda name=name: page(sink, "readyz") == (503, f"{name}: does not answer\n"))
            assert f"erp_sink_up {up}" in page(sink, "metrics")[1]
        finally:
            server.thaw()
    until(lambda: page(sink, "readyz") == (200, "ok\n"))
    assert 0 == sink.stop()


def test_what_mongodb_will_never_take_ends_it_with_one_line(
    stack, shop, run_script, database, read_topic
):
    """Not a document but the command; nothing is committed, so that the next start has it all."""
    proxy = RefusingProxy("127.0.0.1", stack.mongo_port)
    sink = run_script.start("erp_kafka_to_mongo.py", MONGO_URI=proxy.uri, SINK_BATCH_SIZE=10)
    sales, _ = rows(100)
    shop.send("sales", *sales[:10])
    until(lambda: database["sales"].count_documents({}) == 10)
    proxy.refusal = {"code": 73, "codeName": "InvalidNamespace"}
    shop.send("sales", *sales[10:])
    assert 1 == sink.wait()
    assert sink.stderr.splitlines()[-1].endswith("error: MongoDB: refused by the test")
    assert "Traceback" not in sink.stderr
    proxy.close()
    shop.drain(90)
    assert 100 == database["sales"].count_documents({})
    assert [] == read_topic("dead_letter")


def test_the_database_away_is_waited_for(stack, shop, run_script, database):
    """Frozen in the middle, the sink says so and goes on; nothing is skipped or put aside."""
    sales, items = rows(2000)
    shop.send("sales_items", *items[:3000])
    sink = run_script.start("erp_kafka_to_mongo.py", "--max-messages", 8000, SINK_BATCH_SIZE=500)
    until(lambda: database["sales_items"].count_documents({}) == 3000)
    stack.mongo.freeze()
    try:
        shop.send("sales_items", *items[3000:])
        until(lambda: "reading paused" in sink.stderr)
    finally:
        stack.mongo.thaw()
    shop.send("sales", *sales)
    assert 0 == sink.wait()
    assert {item["_id"] for item in database["sales_items"].find({}, {"_id": 1})} == {
        f"{item['sale_id']}:{item['line_n']}" for item in items
    }
    assert 2000 == database["sales"].count_documents({})


def test_a_signal_ends_it_in_time_while_the_database_is_frozen(stack, shop, run_script, database):
    """A supervisor waits ten seconds; what was in hand is read again at the next start."""
    sales, _ = rows(30)
    sink = run_script.start("erp_kafka_to_mongo.py", SINK_BATCH_SIZE=5)
    shop.send("sales", *sales[:10])
    until(lambda: database["sales"].count_documents({}) == 10)
    stack.mongo.freeze()
    try:
        shop.send("sales", *sales[10:])
        until(lambda: "reading paused" in sink.stderr)
        sink.process.terminate()
        assert 0 == sink.process.wait(10)
    finally:
        stack.mongo.thaw()
    shop.drain(20)
    assert 30 == database["sales"].count_documents({})


def test_a_signal_ends_it_in_time_while_kafka_is_frozen(stack, shop, run_script, database):
    """Also with a batch that is stored and cannot be committed: it is read again, that is all."""
    proxy = RefusingProxy("127.0.0.1", stack.mongo_port)
    sales, _ = rows(30)
    sink = run_script.start("erp_kafka_to_mongo.py", MONGO_URI=proxy.uri)
    shop.send("sales", *sales[:10])
    until(lambda: database["sales"].count_documents({}) == 10)
    proxy.refusal = {"code": 10107, "codeName": "NotWritablePrimary"}
    shop.send("sales", *sales[10:])
    until(lambda: "writing the batch again" in sink.stderr)
    stack.kafka.freeze()
    try:
        proxy.refusal = None
        until(lambda: database["sales"].count_documents({}) > 10)
        time.sleep(1)  # it is committing
        sink.process.terminate()
        assert 0 == sink.process.wait(10)
    finally:
        stack.kafka.thaw()
        proxy.close()
    assert "stopping after the batch in hand" in sink.stderr


def test_killed_in_the_middle_it_goes_on_where_it_committed(shop, run_script, database):
    """kill -9 while lines flow: each is there once."""
    _, items = rows(5000)
    shop.send("sales_items", *items)
    sink = run_script.start("erp_kafka_to_mongo.py", SINK_BATCH_SIZE=200)
    until(lambda: database["sales_items"].count_documents({}) > 1000)
    sink.kill()
    finish = run_script.start("erp_kafka_to_mongo.py")
    until(lambda: database["sales_items"].count_documents({}) == len(items))
    assert 0 == finish.stop()
    assert stored(database, "sales_items") == {
        f"{i['sale_id']}:{i['line_n']}": {"_id": f"{i['sale_id']}:{i['line_n']}", **i}
        for i in items
    }


def test_a_service_that_is_away_at_the_start_is_one_clear_line(run_script):
    """Kafka on a port where nothing listens: exit 1, what to do, no traceback."""
    failed = run_script(
        "erp_kafka_to_mongo.py", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", STARTUP_TIMEOUT_SECONDS=0
    )
    assert 1 == failed.returncode
    assert "Traceback" not in failed.stderr
    assert "make up" in failed.stderr.splitlines()[-1]


def test_enough_messages_end_it_also_after_an_outage(shop, settings, database, monkeypatch):
    """It stays in its group while the last of them wait for the database."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("erp.kafka.longest_silence", lambda _: 1.0)
    store, back_at = Store(database), time.monotonic() + 4

    def apply(writes):
        if time.monotonic() < back_at:
            raise AutoReconnect("away")
        return Store.apply(store, writes)

    monkeypatch.setattr(store, "apply", apply)
    shop.send("sales", SALE)
    sink = Sink(settings, Stop(max_messages=1), store, Health([]))
    loop = threading.Thread(target=sink.run, daemon=True)
    loop.start()
    loop.join(PATIENCE)
    assert not loop.is_alive()
    assert 1 == database["sales"].count_documents({})


def test_a_dead_letter_that_waits_for_kafka_does_not_hold_up_the_loop(
    shop, settings, database, monkeypatch
):
    """The sink is alive and in its group meanwhile, and commits when the letter has arrived."""
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process keeps its own handlers
    sink = Sink(settings, Stop(), Store(database), Health([]))
    arrived = threading.Event()
    monkeypatch.setattr(sink.outbox, "flush", lambda _seconds: 0 * arrived.wait(PATIENCE))
    shop.send("sales", ("1", b"no JSON"))
    topic = settings.topic_prefix + "sales"
    places = [TopicPartition(topic, number) for number in range(shop.PARTITIONS)]
    sink.on_assign(sink.consumer, places)
    until(lambda: sink.turn() or sink.pipeline)
    for _ in range(10):
        sink.turn()
    assert 1 == len(sink.pipeline)
    arrived.set()
    until(lambda: sink.turn() or not sink.pipeline)
    sink.settle()
    assert [1] == [each.offset for each in sink.consumer.committed(places) if each.offset >= 0]
    sink.consumer.close()

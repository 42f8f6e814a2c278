"""The sink against the real broker and the wire MongoDB."""

import json
import re
from datetime import UTC, datetime
from urllib.request import urlopen

import pytest
from bson.codec_options import CodecOptions
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from erp import contract, kafka
from erp.kafka import Outbox
from erp.metrics import Health
from erp.process import Stop
from erp.sink.store import Store
from erp_kafka_to_mongo import Sink
from tests.waiting import until
from tests.wire_proxy import RefusingProxy

SALE = {
    "sale_id": "007",
    "sale_datetime": "2024-03-01T10:00:00Z",
    "customer_id": "c1",
    "payment_type": "card",
    "store_id": "0012",
    "items_count": 2,
    "gross_amount": 10.5,
    "discount_header": 0.5,
    "total_amount": 10.0,
}
LINE = {"sale_id": "007", "line_n": 1, "product_id": "p1", "quantity": 2, "net_amount": 4.5}
TRACE = ("kafka", "stored_at")


class Shop:
    """Sends rows to the test's topics and runs the sink until it has read them all."""

    PARTITIONS = 6

    def __init__(self, settings, run_script):
        topics = [settings.topic_prefix + name for name in contract.TOPICS]
        kafka.ensure_topics(settings.kafka, topics, self.PARTITIONS, 1)
        self.prefix, self.run_script = settings.topic_prefix, run_script
        self.outbox = Outbox(settings.kafka)
        self.unread = self.sent = 0

    def send(self, name, *rows):
        """Rows as they are, or (key, value) as bytes or text."""
        keys = {table.name: table.message_key for table in contract.TABLES}
        messages = [
            row if isinstance(row, tuple) else (row[keys[name]], json.dumps(row)) for row in rows
        ]
        self.outbox.send(self.prefix + name, [{"key": k, "value": v} for k, v in messages])
        assert self.outbox.flush(30) == 0
        self.unread += len(rows)
        self.sent += len(rows)

    def drain(self, count=None, **settings):
        """Run the sink over what was sent since the last time; returns its log."""
        count, self.unread = count or self.unread, 0
        done = self.run_script("erp_kafka_to_mongo.py", "--max-messages", count, **settings)
        assert (0, "") == (done.returncode, done.stdout), done.stderr
        return done.stderr


@pytest.fixture
def shop(settings, run_script):
    """Topics to send to, and the sink to run."""
    return Shop(settings, run_script)


def stored(database, name):
    """The documents of a collection by _id, without where they came from."""
    codec = CodecOptions(tz_aware=True, tzinfo=UTC)
    found = database.get_collection(name, codec_options=codec).find()
    return {d["_id"]: {k: v for k, v in d.items() if k not in TRACE} for d in found}


def rows(count, lines=3):
    """`count` sales of `lines` lines each: (sales, lines)."""
    sales = [{**SALE, "sale_id": f"s{n}", "items_count": lines} for n in range(count)]
    items = [
        {**LINE, "sale_id": sale["sale_id"], "line_n": n, "product_id": f"p{n}"}
        for sale in sales
        for n in range(1, lines + 1)
    ]
    return sales, items


def test_each_record_becomes_the_document_of_its_natural_key(shop, database):
    """Numbers stay numbers, times become dates in UTC, ids stay text, what is empty is absent."""
    shop.send("products", {"product_id": "01", "name": "Té", "unit_price": 1.25, "active": True})
    shop.send("customers", {"customer_id": "c1", "age": 41, "email": None})
    shop.send("sales", SALE)
    shop.send("sales_items", LINE)
    shop.drain()
    moment = datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert {"007": {"_id": "007", **SALE, "sale_datetime": moment}} == stored(database, "sales")
    assert {"007:1": {"_id": "007:1", **LINE}} == stored(database, "sales_items")
    assert {"c1": {"_id": "c1", "customer_id": "c1", "age": 41}} == stored(database, "customers")
    assert stored(database, "products")["01"]["active"] is True


def test_a_document_says_where_its_delivery_came_from(shop, database, settings, read_topic):
    """Topic, partition, offset and time of the message, and when it was stored."""
    shop.send("sales", SALE)
    before = datetime.now(UTC)
    shop.drain()
    (message,) = read_topic("sales")
    kept = database["sales"].find_one()
    assert settings.topic_prefix + "sales" == kept["kafka"]["topic"]
    assert (message.partition(), message.offset()) == (
        kept["kafka"]["partition"],
        kept["kafka"]["offset"],
    )
    assert message.timestamp()[1] == round(kept["kafka"]["timestamp"].timestamp() * 1000)
    assert kept["stored_at"] > before.replace(microsecond=0)


def test_everything_delivered_twice_leaves_the_same_documents(shop, database):
    """At-least-once delivery is harmless."""
    sales, items = rows(200)
    shop.send("sales", *sales)
    shop.send("sales_items", *items)
    shop.drain()
    once = [list(database[name].find().sort("_id")) for name in ("sales", "sales_items")]
    log = shop.drain(shop.sent, CONSUMER_GROUP_PREFIX="from-the-beginning-")
    twice = [list(database[name].find().sort("_id")) for name in ("sales", "sales_items")]
    assert once == twice
    assert "800 superseded" in log
    assert 600 == len(once[1])


def test_the_last_of_many_versions_of_a_key_stays(shop, database):
    """Within a batch and over batches, whatever their size."""
    shop.send("sales", *({**SALE, "total_amount": float(n)} for n in range(50)))
    shop.drain(SINK_BATCH_SIZE=7)
    assert 49.0 == database["sales"].find_one({"_id": "007"})["total_amount"]


def test_a_tombstone_deletes_and_leaves_a_note(shop, database):
    """Of a sale its document; of a sale's lines all of them; what comes after it stays."""
    shop.send("sales", SALE, {**SALE, "sale_id": "other"})
    shop.send("sales_items", LINE, {**LINE, "line_n": 2}, {**LINE, "sale_id": "other"})
    shop.drain()
    shop.send("sales", ("007", None))
    shop.send("sales_items", ("007", None), {**LINE, "line_n": 3})
    shop.drain()
    assert {"other"} == set(stored(database, "sales"))
    assert {"007:3", "other:1"} == set(stored(database, "sales_items"))
    notes = {note["_id"] for note in database[contract.DELETIONS].find()}
    lines = {"sales_items:007", "sales_items:007:1", "sales_items:007:2"}
    assert {"sales:007", *lines} == notes


BAD = {
    "not-json": ("007", b"{not json"),
    "breaks-contract": ("007", b'{"sale_id": "007", "sale_datetime": "yesterday"}'),
    "bad-key": ("008", json.dumps(SALE).encode()),
}


def test_what_cannot_be_stored_goes_to_the_dead_letters_and_blocks_nothing(
    shop, database, read_topic, settings
):
    """Bytes untouched, with where they stood and why; the messages behind them are stored."""
    shop.send("sales", *BAD.values(), SALE)
    shop.drain()
    assert ["007"] == list(stored(database, "sales"))
    letters = {dict(m.headers())["error_class"].decode(): m for m in read_topic("dead_letter")}
    assert {kind: value for kind, (_, value) in BAD.items()} == {
        kind: letter.value() for kind, letter in letters.items()
    }
    headers = {name: value.decode() for name, value in letters["bad-key"].headers()}
    assert settings.topic_prefix + "sales" == headers["source_topic"]
    assert b"008" == letters["bad-key"].key()
    assert {"source_partition", "source_offset", "source_timestamp", "time", "stage"} < set(headers)


def test_each_kind_of_bad_value_is_named(shop, read_topic):
    """A time without an offset, an id that is a number, NaN, 1e400 ... each has its class."""
    good = json.dumps(SALE)
    expected = {
        good.replace("10:00:00Z", "10:00:00"): "breaks-contract",
        good.replace('"007"', "7"): "breaks-contract",
        good.replace('"sale_datetime"', '"when"'): "breaks-contract",
        good.replace("10.5", '"10.5"'): "breaks-contract",
        good.replace("10.5", "1e400"): "breaks-contract",
        good.replace("10.5", "NaN"): "not-json",
        good.replace(": 2,", f": {2**64 - 1},"): "mongodb-OverflowError",
        "[]": "breaks-contract",
        "": "not-json",
        "{": "not-json",
    }
    shop.send("sales", *(("007", value) for value in expected), ("007", b"\xff\xfe"))
    shop.drain()
    letters = {
        m.value(): dict(m.headers())["error_class"].decode() for m in read_topic("dead_letter")
    }
    assert {v.encode(): kind for v, kind in expected.items()} | {b"\xff\xfe": "not-json"} == letters


def test_a_bad_message_can_stop_the_sink_or_only_be_logged(shop, run_script, read_topic):
    """SINK_ON_BAD_MESSAGE=stop ends it with exit 1 where it stood; log goes on without a trace.

    The batches behind, under way by then, are not committed: the next start reads all again.
    """
    lines = [{**LINE, "line_n": n} for n in range(1, 1001)]  # of one partition
    shop.send("sales_items", ("007", b"{"), *lines)
    stopped = run_script(
        "erp_kafka_to_mongo.py", SINK_ON_BAD_MESSAGE="stop", SINK_BATCH_SIZE=50, seconds=30
    )
    assert 1 == stopped.returncode
    assert "sales_items[" in stopped.stderr.splitlines()[-1]
    assert "not-json" in stopped.stderr.splitlines()[-1]
    assert "1001 messages read" in shop.drain(SINK_ON_BAD_MESSAGE="log")
    assert [] == read_topic("dead_letter")


def test_what_is_too_large_for_mongodb_or_for_the_dead_letters_blocks_nothing(
    shop, database, settings, read_topic, run_script
):
    """A letter has its bytes while its topic takes them; else it says where they stand."""
    allow_large_sales(settings)
    huge = json.dumps({**SALE, "store_id": "x" * 17_000_000})
    shop.outbox = Outbox(settings.kafka, **{"message.max.bytes": 60_000_000})
    shop.send("sales", ("007", huge), ("1", b"{" * 1_048_000), ("2", b"{" * 20_000_000), SALE)
    shop.drain()
    assert ["007"] == list(stored(database, "sales"))
    letters = {message.key(): message for message in read_topic("dead_letter")}
    headers = {key: dict(letter.headers()) for key, letter in letters.items()}
    assert {b"007": b"too-large", b"1": b"not-json", b"2": b"not-json"} == {
        key: header["error_class"] for key, header in headers.items()
    }
    assert b"{" * 1_048_000 == letters[b"1"].value()
    assert [len(huge), 20_000_000] == [
        int(headers[key]["value_left_behind"]) for key in (b"007", b"2")
    ]
    replayed = run_script("erp_kafka_to_mongo.py", "--replay-dead-letters")
    assert "0 dead letters stored, 3 put aside again" in replayed.stdout
    assert ["007"] == list(stored(database, "sales"))


def test_dead_letters_are_listed_and_replayed(shop, run_script):
    """What a fix can store is stored; what fails again is kept; the rest is never tried twice."""
    shop.send("sales", BAD["not-json"], BAD["bad-key"])
    shop.drain()
    listed = run_script("erp_kafka_to_mongo.py", "--show-dead-letters")
    assert 0 == listed.returncode
    assert "not-json" in listed.stdout
    replayed = run_script("erp_kafka_to_mongo.py", "--replay-dead-letters")
    assert "0 dead letters stored, 2 put aside again" in replayed.stdout


def test_dead_letters_are_stored_after_a_fix_but_never_over_what_is_newer(
    shop, database, run_script
):
    """They keep the place in their topic that they had."""
    database["sales"].create_index("store_id", unique=True, name="a mistake")
    refused = [{**SALE, "sale_id": name, "total_amount": 1.0} for name in ("corrected", "not")]
    shop.send("sales", SALE, *refused)
    assert "2 bad" in shop.drain()
    database["sales"].drop_index("a mistake")
    shop.send("sales", {**refused[0], "total_amount": 2.0})
    shop.drain()
    replayed = run_script("erp_kafka_to_mongo.py", "--replay-dead-letters")
    assert "1 dead letters stored, 0 put aside again, 1 too old by now" in replayed.stdout
    amounts = {each["_id"]: each["total_amount"] for each in database["sales"].find()}
    assert {"007": 10.0, "corrected": 2.0, "not": 1.0} == amounts


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


def test_killed_in_the_middle_it_goes_on_where_it_committed(shop, run_script, database):
    """kill -9 while lines flow: each is there once."""
    _, items = rows(5000)
    shop.send("sales_items", *items)
    sink = run_script.start("erp_kafka_to_mongo.py", SINK_BATCH_SIZE=200)
    until(lambda: database["sales_items"].count_documents({}) > 1000)
    sink.kill()
    finish = run_script("erp_kafka_to_mongo.py", "--idle-timeout", 2)
    assert 0 == finish.returncode, finish.stderr
    assert stored(database, "sales_items") == {
        f"{i['sale_id']}:{i['line_n']}": {"_id": f"{i['sale_id']}:{i['line_n']}", **i}
        for i in items
    }


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
    while "reading 12 partitions" not in copies[1].stderr:  # so that there is always more to do
        shop.send("sales_items", *({**LINE, "sale_id": f"s{shop.sent + n}"} for n in range(100)))
    until(lambda: database["sales_items"].estimated_document_count() == shop.sent)
    assert [0, 0] == [copy.stop() for copy in copies]
    told = [re.search(r"(\d+) stored, (\d+) superseded", copy.stderr[-200:]) for copy in copies]
    stored_by = [int(each[1]) for each in told]
    assert shop.sent == sum(stored_by)
    assert all(stored_by)
    assert [0, 0] == [int(each[2]) for each in told]


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


def test_metrics_tell_what_was_stored_and_what_waits(shop, run_script, database):
    """Messages, results, dead letters and lag, by the standard client; up from the start on."""
    sink = run_script.start("erp_kafka_to_mongo.py", "--metrics-port", 0)
    until(lambda: "reading 24 partitions" in sink.stderr)
    address = sink.stderr.split("metrics at ")[1].split()[0]
    assert _page_with(address, "erp_sink_up 1.0")
    shop.send("sales", SALE, BAD["not-json"])
    until(lambda: database["sales"].count_documents({}) == 1)
    page = until(lambda: _page_with(address, 'erp_sink_results_total{result="bad"} 1.0'))
    assert 'erp_sink_results_total{result="stored"} 1.0' in page
    assert 'erp_sink_dead_letters_total{reason="not-json"} 1.0' in page
    assert "erp_sink_up 1.0" in page


def test_a_service_that_is_away_at_the_start_is_one_clear_line(run_script):
    """Kafka on a port where nothing listens: exit 1, what to do, no traceback."""
    failed = run_script(
        "erp_kafka_to_mongo.py", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", STARTUP_TIMEOUT_SECONDS=0
    )
    assert 1 == failed.returncode
    assert "Traceback" not in failed.stderr
    assert "make up" in failed.stderr.splitlines()[-1]


def allow_large_sales(settings):
    """Let the topic of sales take messages of 40 MB."""
    change = ConfigEntry(
        "max.message.bytes", "40000000", incremental_operation=AlterConfigOpType.SET
    )
    topic = ConfigResource(
        ConfigResource.Type.TOPIC, settings.topic_prefix + "sales", incremental_configs=[change]
    )
    admin = AdminClient(settings.kafka)
    admin.incremental_alter_configs([topic])[topic].result(30)


def _page_with(address, wanted):
    page = urlopen(address, timeout=5).read().decode()  # noqa: S310  our own address
    return page if wanted in page else None

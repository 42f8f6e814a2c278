"""The sink against the real broker and the wire MongoDB."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import pytest

from erp import contract
from erp.outbox import Outbox
from tests.environments import ROOT
from tests.sink_shop import LINE, SALE, Shop, rows, stored
from tests.topics import limit_messages
from tests.waiting import PATIENCE, until


@pytest.fixture
def shop(settings, run_script):
    """Topics to send to, and the sink to run."""
    return Shop(settings, run_script)


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
    stopped = run_script("erp_kafka_to_mongo.py", SINK_ON_BAD_MESSAGE="stop", SINK_BATCH_SIZE=50)
    assert 1 == stopped.returncode
    assert "sales_items[" in stopped.stderr.splitlines()[-1]
    assert "not-json" in stopped.stderr.splitlines()[-1]
    shop.send("sales_items", ("007", b"{"))
    told = shop.drain(SINK_ON_BAD_MESSAGE="log")
    assert "1002 messages read" in told
    assert 2 == told.count("not-json")  # the log is the only place that tells of them
    assert [] == read_topic("dead_letter")


def test_the_log_tells_of_many_dead_letters_once_of_each_kind(shop, read_topic):
    """All of them are among the dead letters; a topic of rubbish must not fill the disk twice."""
    shop.send("sales", *(("007", b"{") for _ in range(50)), *(("008", b"[]") for _ in range(50)))
    told = shop.drain()
    assert 100 == len(read_topic("dead_letter"))
    assert (1, 1) == (told.count("not-json"), told.count("breaks-contract"))


def test_what_is_too_large_for_mongodb_or_for_the_dead_letters_blocks_nothing(
    shop, database, settings, read_topic, run_script
):
    """A letter has its bytes while its topic takes them; else it says where they stand."""
    limit_messages(settings.kafka, settings.topic_prefix + "sales", 40_000_000)
    huge = json.dumps({**SALE, "payment_type": "x" * 17_000_000})
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


def test_what_is_no_dead_letter_does_not_keep_the_others_from_a_replay(shop, run_script):
    """One that somebody wrote by hand, without a word of where it stood, or of another topic."""
    shop.send("sales", BAD["not-json"])
    shop.drain()
    elsewhere = {
        "stage": "sink", "source_topic": "elsewhere", "source_partition": "0", "source_offset": "0",
        "error_class": "x", "reason": "y",
        **dict.fromkeys(("time", "source_timestamp"), "2024-01-01T00:00:00+00:00"),
    }  # fmt: skip
    for headers in ({"stage": "sink"}, elsewhere):
        shop.outbox.send_one(f"{shop.prefix}dead_letter", b"1", b"{}", headers)
    assert 0 == shop.outbox.flush(PATIENCE)
    listed = run_script("erp_kafka_to_mongo.py", "--show-dead-letters")
    assert (0, True) == (listed.returncode, "is no dead letter" in listed.stderr)
    replayed = run_script("erp_kafka_to_mongo.py", "--replay-dead-letters")
    assert "0 dead letters stored, 2 put aside again" in replayed.stdout


@pytest.mark.parametrize("flag", ["--show-dead-letters", "--replay-dead-letters"])
def test_what_nobody_takes_is_one_clear_line(run_script, flag):
    """Stdout on a full disk: what became of the dead letters is told on stderr."""
    with Path("/dev/full").open("wb") as nowhere:
        unread = subprocess.run(
            [sys.executable, str(ROOT / "erp_kafka_to_mongo.py"), flag],
            cwd=ROOT,
            env=run_script.environment(),
            stdout=nowhere,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert 1 == unread.returncode
    assert "Traceback" not in unread.stderr
    assert "error: cannot print the result" in unread.stderr.splitlines()[-1]


def test_dead_letters_are_either_listed_or_replayed(run_script):
    """To list them and forget the other wish would leave them as they are, without a word."""
    done = run_script("erp_kafka_to_mongo.py", "--show-dead-letters", "--replay-dead-letters")
    assert 2 == done.returncode
    assert "not allowed with" in done.stderr


def test_dead_letters_are_stored_after_a_fix_but_never_over_what_is_newer(
    shop, database, run_script
):
    """They keep the place in their topic that they had."""
    database["sales"].insert_one({"_id": "the only one", "store_id": SALE["store_id"]})
    database["sales"].create_index("store_id", unique=True, name="a mistake")
    refused = [{**SALE, "sale_id": name, "total_amount": 1.0} for name in ("corrected", "not")]
    shop.send("sales", *refused)
    assert "2 bad" in shop.drain()
    database["sales"].drop_index("a mistake")
    database["sales"].delete_one({"_id": "the only one"})
    shop.send("sales", {**refused[0], "total_amount": 2.0})
    shop.drain()
    replayed = run_script("erp_kafka_to_mongo.py", "--replay-dead-letters")
    assert "1 dead letters stored, 0 put aside again, 1 too old by now" in replayed.stdout
    amounts = {name: sale["total_amount"] for name, sale in stored(database, "sales").items()}
    assert {"corrected": 2.0, "not": 1.0} == amounts


def test_metrics_tell_what_was_stored_and_what_waits(shop, run_script, database):
    """Messages, results, dead letters and lag, by the standard client; up from the start on."""
    sink = run_script.start("erp_kafka_to_mongo.py", "--metrics-port", 0)
    until(lambda: "reading 24 partitions" in sink.stderr)
    address = sink.stderr.split("metrics at ")[1].split()[0]
    until(lambda: _page_with(address, "erp_sink_up 1.0"))  # it looks once a second
    shop.send("sales", SALE, BAD["not-json"])
    until(lambda: database["sales"].count_documents({}) == 1)
    for told in (
        'erp_sink_results_total{result="bad"} 1.0',
        'erp_sink_results_total{result="stored"} 1.0',
        'erp_sink_dead_letters_total{reason="not-json"} 1.0',
        "erp_sink_up 1.0",
    ):
        assert until(lambda told=told: _page_with(address, told))


def _page_with(address, wanted):
    page = urlopen(address, timeout=PATIENCE).read().decode()  # noqa: S310  our own address
    return page if wanted in page else None

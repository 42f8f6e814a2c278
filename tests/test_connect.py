"""MongoDB's connector with the configurations of connect/, beside the project's own sink."""

import json
import re
from datetime import UTC, datetime
from typing import get_type_hints

from bson import Int64
from bson.codec_options import CodecOptions

from erp import contract, kafka
from erp.outbox import Outbox
from local_stack import connect
from tests.waiting import until

TRACE = ("kafka", "stored_at")
DEAD_LETTERS = "connect_dead_letter"

PRODUCTS = [
    {"product_id": "01", "name": "Té «verde»", "unit_price": 2, "stock": 7, "active": True},
    {"product_id": "02", "unit_price": None, "created_at": "2023-12-31T23:59:59.999Z"},
    {"product_id": "gone", "name": "Café"},
]
CUSTOMERS = [
    {"customer_id": "c1", "age": 41, "email": None, "registration_date": "1969-07-20T20:17:40Z"},
    {"customer_id": "7", "age": 2**40, "loyalty": "a column that is not in the contract"},
]
SALES = [
    {"sale_id": "007", "sale_datetime": "2024-03-01T10:00:00Z", "items_count": 2, "tax": 0},
    {"sale_id": "a:b", "sale_datetime": "2024-03-01T10:00:00.123456+02:00", "total_amount": 1e-7},
    {"sale_id": "007", "sale_datetime": "2024-03-01T10:00:00Z", "items_count": 3, "tax": 0.5},
]
LINES = [
    {"sale_id": sale_id, "line_n": n, "product_id": f"p{n}", "quantity": -n, "net_amount": 1.25}
    for sale_id in ("007", "a:b")
    for n in (1, 2, 3)
]
BAD = {
    "007": b"{not json",
    "8": b'{"sale_id": "8", "sale_datetime": "yesterday"}',
    "9": b'["an array"]',
}
BAD_LINES = {"10": b'{"sale_id": "10", "product_id": "p"}'}


def test_the_connector_writes_the_documents_of_our_own_sink(
    settings, stack, database, run_script, read_topic, tmp_path
):
    """Field by field and type by type; tombstones delete; what can't be stored is put aside."""
    sent = send_all(settings)
    name = f"{settings.mongo_database}_connect"
    own = run_script.start("erp_kafka_to_mongo.py", "--max-messages", sent)
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "MONGO_URI": stack.mongo_uri,
        "MONGO_DATABASE": name,
    }
    theirs = database.client[name]
    try:
        running = connect.connector(settings.topic_prefix)
        with connect.worker(tmp_path / "connect", running, environment, quick_start=True):
            assert 0 == own.wait()
            ours = documents(database)
            assert {"products": 2, "customers": 2, "sales": 2, "sales_items": 4} == {
                table: len(found) for table, found in ours.items()
            }
            until(lambda: documents(theirs) == ours)
            assert origins(database) == origins(theirs)
            until(lambda: len(read_topic(DEAD_LETTERS)) == 4)
        put_aside = {m.key().decode(): m.value() for m in read_topic(DEAD_LETTERS)}
        assert BAD | BAD_LINES == put_aside
        headers = dict(read_topic(DEAD_LETTERS)[0].headers())
        assert headers["__connect.errors.topic"].decode().startswith(settings.topic_prefix)
    finally:
        database.client.drop_database(name)


def test_the_connector_knows_the_columns_of_the_contract():
    """The lists of columns, of doubles and of times are those of the contract."""
    configured = connect.connector()
    columns = {column for table in contract.TABLES for column in table.columns}
    assert columns | set(TRACE) == set(configured["transforms.columns.include"].split(","))
    doubles = {f"{column}:float64" for column in columns_of(float)}
    assert doubles == set(configured["transforms.doubles.spec"].split(","))
    java = (connect.CONFIGURATIONS / "java" / "Contract.java").read_text()
    times = re.search(r"TIMES =\s+List.of\((.*?)\)", java)[1]
    assert columns_of(datetime) == set(re.findall(r'"(\w+)"', times))


def test_the_connector_reads_the_topics_of_any_prefix():
    """The prefix is changed where topics are named, and nowhere else."""
    configured = connect.connector("shop.")
    topics = [f"shop.{table.name}" for table in contract.TABLES]
    assert topics == configured["topics"].split(",")
    assert [table.name for table in contract.TABLES] == [
        configured[f"topic.override.{topic}.collection"] for topic in topics
    ]
    assert "erp.connect.SaleLines" in configured.values()
    assert not any(re.search(r"\berp\.(?!connect\.)", name) for name in configured)


def send_all(settings):
    """Every row, then tombstones and rows that follow them; the number of messages."""
    topics = [settings.topic_prefix + name for name in (*contract.TOPICS, DEAD_LETTERS)]
    kafka.ensure_topics(settings.kafka, topics, 3, 1)
    outbox = Outbox(settings.kafka)
    rows = {
        contract.PRODUCTS: PRODUCTS,
        contract.CUSTOMERS: CUSTOMERS,
        contract.SALES: SALES,
        contract.SALES_ITEMS: LINES,
    }
    messages = {
        table: [(row[table.message_key], json.dumps(row)) for row in its_rows]
        for table, its_rows in rows.items()
    }
    messages[contract.PRODUCTS].append(("gone", None))
    messages[contract.SALES] += BAD.items()
    messages[contract.SALES_ITEMS] += BAD_LINES.items()
    again = {"sale_id": "007", "line_n": 2, "product_id": "later"}
    messages[contract.SALES_ITEMS] += [("007", None), ("007", json.dumps(again))]
    for table, pairs in messages.items():
        batch = [{"key": key, "value": value} for key, value in pairs]
        outbox.send(settings.topic_prefix + table.name, batch)
    assert 0 == outbox.flush(30)
    return sum(map(len, messages.values()))


def documents(database):
    """Collection -> _id -> fields with the type of each, where they came from aside.

    How many bytes a whole number takes is no difference: the drivers choose that.
    """
    codec = CodecOptions(tz_aware=True, tzinfo=UTC)
    return {
        table.name: {
            document["_id"]: {
                name: ("int" if isinstance(value, Int64) else type(value).__name__, value)
                for name, value in document.items()
                if name not in TRACE
            }
            for document in database.get_collection(table.name, codec_options=codec).find()
        }
        for table in contract.TABLES
    }


def origins(database):
    """Collection -> _id -> where the document came from."""
    return {
        table.name: {document["_id"]: document["kafka"] for document in database[table.name].find()}
        for table in contract.TABLES
    }


def columns_of(kind):
    """The columns of the contract that are of a type."""
    return {
        name
        for table in contract.TABLES
        for name, hint in get_type_hints(table.record).items()
        if kind in (hint, *getattr(hint, "__args__", ()))
    }

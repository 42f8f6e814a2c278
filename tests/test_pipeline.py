"""The whole path on real shop data: CSV, Kafka, MongoDB, a model, recommendations, aggregates.

Everything is read back and compared, field by field, with what the CSV files say when they are
read with nothing but the standard library.
"""

import csv
import json
import math
from collections import defaultdict
from datetime import UTC, datetime

import pytest

from erp import contract
from tests.waiting import until

NUMBERS = {"line_n", "items_count", "age", "stock", "quantity"}
MONEY = {"unit_price", "unit_cost", "gross_amount", "line_discount", "net_amount", "tax"}
MONEY |= {"discount_header", "total_amount"}
TIMES = {"sale_datetime", "created_at", "registration_date"}
KEYS = {table.name: table.message_key for table in contract.TABLES}
SPLIT = "2017-12-30"  # the last two days are replayed live
TOP_N = 5


def value(column, cell):
    """A cell as the contract says it travels: text, number, truth or time."""
    if column in NUMBERS | MONEY:
        return float(cell)
    if column in TIMES:
        return datetime.fromisoformat(cell).astimezone(UTC)
    return cell == "true" if column == "active" else cell


def rows(folder, name):
    """The rows of a file, without what is empty."""
    with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as lines:
        return [
            {column: value(column, cell) for column, cell in row.items() if cell}
            for row in csv.DictReader(lines)
        ]


def sent(messages):
    """What messages say, in no order: (key, value) with times as times."""
    found = []
    for message in messages:
        fields = {
            name: cell for name, cell in json.loads(message.value()).items() if cell is not None
        }
        for name in TIMES & fields.keys():
            assert fields[name].endswith("Z")
            fields[name] = datetime.fromisoformat(fields[name])
        found.append((message.key().decode(), fields))
    return sorted(found, key=repr)


def stored(database, name):
    """The documents of a collection by _id, without where they came from."""
    trace = ("kafka", "stored_at")
    return {d["_id"]: {k: v for k, v in d.items() if k not in trace} for d in database[name].find()}


def document_id(name, row):
    """The `_id` that the contract gives a row."""
    return f"{row['sale_id']}:{row['line_n']:.0f}" if name == "sales_items" else row[KEYS[name]]


@pytest.fixture
def shop(run_script, settings):
    """Four CSV files with all that a dozen households bought in a year, by name."""
    made = run_script("csv_out/prepare.py", "--households", 12)
    assert 0 == made.returncode, made.stderr
    return {name: rows(settings.csv_dir, name) for name in KEYS}


def test_everything_arrives_field_by_field_and_every_sale_is_answered(
    shop, run_script, read_topic, database
):
    """CSV rows = messages = documents; live sales = recommendations; aggregates add up."""

    def stage(script, *flags):
        ended = run_script(script, *flags)
        assert 0 == ended.returncode, ended.stderr
        return ended.stdout

    stage("erp_simulator_producer.py", "--until", SPLIT)
    history = sum(len(read_topic(name)) for name in KEYS)
    stage("erp_kafka_to_mongo.py", "--max-messages", history)
    stage("model_train_reco.py")

    service = run_script.start("reco_service_stream.py", "--new-only")
    sink = run_script.start("erp_kafka_to_mongo.py")
    until(lambda: "partitions" in service.stderr)
    live_flags = ["--mode", "live", "--tables", "sales,sales_items", "--since", SPLIT]
    stage("erp_simulator_producer.py", *live_flags, "--rate", 0)

    split = datetime.fromisoformat(SPLIT).replace(tzinfo=UTC)
    live = {s["sale_id"]: s for s in shop["sales"] if s["sale_datetime"] >= split}
    until(lambda: database["recommendations"].count_documents({}) >= len(live))
    for name, expected in shop.items():  # the service needs no header from MongoDB
        until(lambda n=name, e=expected: database[n].count_documents({}) == len(e))
    assert (0, 0) == (service.stop(), sink.stop())

    for name, expected in shop.items():
        messages = sorted(((row[KEYS[name]], row) for row in expected), key=repr)
        assert messages == sent(read_topic(name)), name
        documents = {
            document_id(name, row): {"_id": document_id(name, row), **row} for row in expected
        }
        assert documents == stored(database, name), name

    answers = stored(database, "recommendations")
    assert live.keys() == answers.keys()
    check_messages(read_topic("recommendations"), answers)
    lines = defaultdict(list)
    for line in shop["sales_items"]:
        lines[line["sale_id"]].append(line)
    products = {product["product_id"]: product for product in shop["products"]}
    for sale_id, answer in answers.items():
        check_answer(answer, live[sale_id], lines[sale_id], products)

    stage("mongo_data_processor_completo.py", "--once")
    check_days(database, shop)


def check_messages(messages, answers):
    """The topic says, by key, what the collection says."""
    latest = {message.key().decode(): json.loads(message.value()) for message in messages}
    assert len(messages) == len(latest)
    for sale_id, answer in answers.items():
        message = latest[sale_id]
        for name in ("timestamp", "created_at"):
            told = datetime.fromisoformat(message.pop(name))
            assert abs((answer[name] - told).total_seconds()) < 0.001
        kept = {k: v for k, v in answer.items() if k not in ("_id", "timestamp", "created_at")}
        assert kept == message


def check_answer(answer, sale, lines, products):
    """Each field of a recommendation, as the contract defines it."""
    assert sale["sale_datetime"] == answer["timestamp"]
    for name in ("customer_id", "store_id", "payment_type"):
        assert sale.get(name) == answer[name]
    assert answer["complete"] is True
    assert answer["latency_ms"] >= 0
    basket = [
        {
            "product_id": line["product_id"],
            "product_name": products[line["product_id"]].get("name"),
            "category": products[line["product_id"]].get("category"),
            "quantity": line.get("quantity"),
            "net_amount": line.get("net_amount"),
        }
        for line in lines
    ]
    assert basket == answer["basket_products"]
    bought = {line["product_id"] for line in lines}
    given = answer["recommendations"]
    assert TOP_N == len({each["product_id"] for each in given} - bought)
    assert list(range(1, TOP_N + 1)) == [each["ranking"] for each in given]
    best = given[0]["relevancia"]
    for each in given:
        product = products[each["product_id"]]
        assert (product.get("name"), product.get("category")) == (
            each["product_name"],
            each["category"],
        )
        assert math.isclose(100 * (TOP_N - each["ranking"] + 1) / TOP_N, each["ranking_percentage"])
        assert math.isclose(
            100 * each["relevancia"] / best, each["relevancia_percentage"], abs_tol=0.01
        )
        assert 0 <= each["confidence_percentage"] <= 100
        assert each["source"] in {"model", "category", "popular"}
        reasons = each["because_of"]
        assert {reason["product_id"] for reason in reasons} <= bought
        if each["source"] == "model" and reasons:
            assert math.isclose(100, sum(reason["share"] for reason in reasons), abs_tol=0.1)


def check_days(database, shop):
    """Tickets and net amounts of each day, in UTC, to the cent: lines less header discounts."""
    tickets, net = defaultdict(int), defaultdict(float)
    day_of = {s["sale_id"]: f"{s['sale_datetime']:%Y-%m-%d}" for s in shop["sales"]}
    for sale in shop["sales"]:
        tickets[day_of[sale["sale_id"]]] += 1
        net[day_of[sale["sale_id"]]] -= sale.get("discount_header", 0)
    for line in shop["sales_items"]:
        net[day_of[line["sale_id"]]] += line["net_amount"]
    days = stored(database, contract.DAILY_SALES)
    assert tickets == {day: summary["tickets"] for day, summary in days.items()}
    assert {day: round(amount, 2) for day, amount in net.items()} == {
        day: summary["net"] for day, summary in days.items()
    }

"""A shop for the tests of the recommendation service, and how to read what it answers."""

import re
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from pymongo import ReplaceOne

from erp import kafka, mongo, recommender
from erp.contract import (
    DEAD_LETTER,
    PRODUCTS,
    RECOMMENDATIONS,
    SALES,
    SALES_ITEMS,
    Product,
    Sale,
    SaleItem,
    document,
)
from erp.outbox import Outbox
from tests.waiting import PATIENCE

SCRIPT = "reco_service_stream.py"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Shop:
    """A shop of thirty products with some history, and what it hands to the service."""

    def __init__(self, settings, database, scripts, partitions=3):
        self.settings, self.database, self.scripts = settings, database, scripts
        self.prefix = settings.topic_prefix
        topics = [self.prefix + name for name in (SALES.name, RECOMMENDATIONS, DEAD_LETTER)]
        kafka.ensure_topics(settings.kafka, topics, partitions, 1)
        # the wire server fails a read that comes while indexes are made: not while a test looks
        mongo.ensure_recommendation_indexes(database, settings.recommendations_ttl_days)
        self.outbox = Outbox(settings.kafka)
        database[PRODUCTS.name].insert_many(
            [
                document(
                    PRODUCTS, Product(f"p{n}", f"Product {n}", f"Category {n % 4}", active=True)
                )
                for n in range(30)
            ]
        )
        for n in range(20):  # p0 sells best, p19 least
            self.store(f"history{n}", [f"p{m}" for m in range(20 - n)])

    def store(self, sale_id, products, first=1, quantity=1.0):
        """Store lines of a sale, as the sink does: however long the database is away."""
        items = [
            SaleItem(sale_id, n, product, quantity, net_amount=2.5)
            for n, product in enumerate(products, first)
        ]
        documents = [document(SALES_ITEMS, item) for item in items]
        writes = [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in documents]
        lines = self.database[SALES_ITEMS.name]
        mongo.outlast(lambda: lines.bulk_write(writes), time.sleep, "storing lines")

    def sell(self, sale_id, items_count=None, **fields):
        """Send a sale's header; also stored, as the sink does."""
        sale = Sale(sale_id, NOON, items_count=items_count, **fields)
        stored = document(SALES, sale)
        self.database[SALES.name].replace_one({"_id": sale_id}, stored, upsert=True)
        self.send([(sale_id, msgspec.json.encode(sale))])

    def send(self, messages):
        """Send keys and values to the topic of sales, confirmed."""
        topic = self.prefix + SALES.name
        self.outbox.send(topic, [{"key": key.encode(), "value": value} for key, value in messages])
        assert 0 == self.outbox.flush(PATIENCE)

    def answers(self):
        """The documents in the collection by sale."""
        return {answer["_id"]: answer for answer in self.database[RECOMMENDATIONS].find()}

    def wait_for(self, condition):
        """Wait until `condition(answers)` holds; the answers."""
        until = time.monotonic() + PATIENCE
        while not condition(answers := self.answers()):
            failed = [each for each in self.scripts.started if each.process.poll() in (1, 2)]
            assert not failed, failed[0].stderr
            logs = [each.stderr[-2000:] for each in self.scripts.started]
            assert time.monotonic() < until, f"answered: {sorted(answers)}\n" + "\n".join(logs)
            time.sleep(0.05)
        return answers

    def wait_for_log(self, service, words):
        """Wait until a service has said something; asks no server, which may be away."""
        until = time.monotonic() + PATIENCE
        while words not in service.stderr:
            assert time.monotonic() < until, service.stderr[-3000:]
            time.sleep(0.05)

    def committed(self):
        """What the service's group committed, partition to offset; 0 where nothing was."""
        with self._reader() as reader:
            found = reader.committed(self._partitions(reader), timeout=PATIENCE)
        return {each.partition: max(0, each.offset) for each in found}

    def ends(self):
        """The end of each partition of the sales."""
        with self._reader() as reader:
            return {
                each.partition: reader.get_watermark_offsets(each, timeout=PATIENCE)[1]
                for each in self._partitions(reader)
            }

    def members(self):
        """The copies of the service that the group has."""
        name = f"{self.settings.consumer_group_prefix}recommender"
        admin = AdminClient(self.settings.kafka)
        return admin.describe_consumer_groups([name])[name].result(PATIENCE).members

    @contextmanager
    def _reader(self):
        group = {"group.id": f"{self.settings.consumer_group_prefix}recommender"}
        reader = Consumer(self.settings.kafka | group)
        try:
            yield reader
        finally:
            reader.close()

    def _partitions(self, reader):
        topic = self.prefix + SALES.name
        known = reader.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
        return [TopicPartition(topic, number) for number in known]

    def wait_for_sales(self, *sale_ids):
        """Wait until these sales have an answer; the answers."""
        return self.wait_for(lambda answers: set(sale_ids) <= answers.keys())


def page(service, name):
    """A page of a service, once it said where its metrics are: status and text."""
    address = service.stderr.split("metrics at ")[1].split("/metrics")[0]
    try:
        with urllib.request.urlopen(f"{address}/{name}", timeout=PATIENCE) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def owned(service):
    """The partitions that a service said it has."""
    told = re.findall(r"partitions .*, now \[(.*)\]", service.stderr)
    return {int(number) for number in told[-1].split(", ") if number} if told else set()


def products(answer):
    """The product ids of a basket, in the order of its lines."""
    return [line["product_id"] for line in answer["basket_products"]]


def recommended(answer):
    """The product ids recommended, best first."""
    return [product["product_id"] for product in answer["recommendations"]]


def latest(messages):
    """Key to the value of its last message."""
    return {message.key().decode(): message.value() for message in messages}


def trained(together):
    """A model in which `together` are always bought with each other, over other pairs."""
    pairs = [together] * 30 + [("p20", "p21"), ("p22", "p23")] * 15
    lines = [(f"t{n}", product) for n, pair in enumerate(pairs) for product in pair]
    return recommender.fit(
        {"sale_id": [sale for sale, _ in lines], "product_id": [product for _, product in lines]},
        {
            "sale_id": [f"t{n}" for n in range(len(pairs))],
            "sale_datetime": ["2024-04-01T10:00:00Z"] * len(pairs),
        },
    )

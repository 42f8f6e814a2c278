"""Rows for the sink: what sends them to the test's topics, and what it made of them."""

import json
from datetime import UTC

from bson.codec_options import CodecOptions

from erp import contract, kafka
from erp.outbox import Outbox
from tests.waiting import PATIENCE

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
        assert self.outbox.flush(PATIENCE) == 0
        self.unread += len(rows)
        self.sent += len(rows)

    def drain(self, count=None, **settings):
        """Run the sink over what was sent since the last time; returns its log."""
        count, self.unread = count or self.unread, 0
        done = self.run_script("erp_kafka_to_mongo.py", "--max-messages", count, **settings)
        assert (0, "") == (done.returncode, done.stdout), done.stderr
        return done.stderr


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

"""Kafka, MongoDB, real sales and the scripts: what the service's measurements run on."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl
from _metrics import say
from _services import Scripts, services  # puts the project on the path
from confluent_kafka import Consumer, TopicPartition
from pymongo import MongoClient
from pymongo.database import Database

from config import Settings
from erp import contract, kafka
from erp.outbox import Outbox
from local_stack.stack import Stack

PATIENCE = 900  # s that anything may take
SERVICE, SINK = "reco_service_stream.py", "erp_kafka_to_mongo.py"
PRODUCER = "erp_simulator_producer.py"


@dataclass
class Bench:
    """Everything that a measurement needs."""

    stack: Stack
    settings: Settings
    scripts: Scripts
    database: Database[dict[str, Any]]
    watcher: Consumer  # asks how many messages there are, at hardly any cost to who is measured

    def topic(self, name: str) -> str:
        return self.settings.topic_prefix + name

    def messages(self, name: str) -> int:
        """How many messages a topic has."""
        return sum(high for _, high in self._watermarks(name))

    def read(self, name: str, first: list[int] | None = None) -> list[Any]:
        """The messages of a topic, from these offsets of its partitions on."""
        marks = self._watermarks(name)
        starts = first or [0] * len(marks)
        waiting = {p: high for p, (_, high) in enumerate(marks) if high > starts[p]}
        found = []
        with reading(self.settings) as reader:
            reader.assign([TopicPartition(self.topic(name), p, starts[p]) for p in waiting])
            while waiting:
                for message in reader.consume(10_000, 1):
                    if message.error() is None:
                        found.append(message)
                        if message.offset() + 1 >= waiting.get(message.partition(), 0):
                            waiting.pop(message.partition(), None)
        return found

    def ends(self, name: str) -> list[int]:
        """The offset after the last message of each partition."""
        return [high for _, high in self._watermarks(name)]

    def _watermarks(self, name: str) -> list[tuple[int, int]]:
        topic = self.topic(name)
        count = len(self.watcher.list_topics(topic, timeout=60).topics[topic].partitions)
        return [
            self.watcher.get_watermark_offsets(TopicPartition(topic, p), timeout=60)
            for p in range(count)
        ]


@contextmanager
def reading(settings: Settings) -> Iterator[Consumer]:
    """A consumer that is no member of a group."""
    reader = Consumer({**settings.kafka, "group.id": "bench-reader"})
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def bench(csv_dir: Path, model: Path, backend: Literal["memory", "file"]) -> Iterator[Bench]:
    """Kafka and MongoDB with empty topics, the products and nothing else; gone afterwards."""
    paths = {"csv_dir": csv_dir, "model_path": model}
    with services(mongo_backend=backend, **paths) as (stack, settings, scripts):
        topics = [settings.topic_prefix + name for name in contract.TOPICS]
        kafka.ensure_topics(settings.kafka, topics, 3, 1)
        with MongoClient(stack.mongo_uri, tz_aware=True) as client, reading(settings) as watcher:
            database = client[settings.mongo_database]
            _store_products(database, csv_dir)
            yield Bench(stack, settings, scripts, database, watcher)


@dataclass
class Sales:
    """Sales as they wait: `headers` are messages of their topic, `lines` documents by sale."""

    headers: list[dict[str, Any]]
    lines: dict[str, list[dict[str, Any]]]

    def __len__(self) -> int:
        return len(self.headers)

    def first(self, count: int) -> "Sales":
        """The oldest so many of them."""
        headers = self.headers[:count]
        return Sales(headers, {h["key"].decode(): self.lines[h["key"].decode()] for h in headers})

    def renamed(self, prefix: str) -> "Sales":
        """The same sales under other ids."""
        headers, lines = [], {}
        for header in self.headers:
            sale = msgspec.json.decode(header["value"], type=contract.Sale)
            old, sale.sale_id = sale.sale_id, prefix + sale.sale_id
            headers.append({"key": sale.sale_id.encode(), "value": msgspec.json.encode(sale)})
            lines[sale.sale_id] = [
                line | {"_id": prefix + line["_id"], "sale_id": sale.sale_id}
                for line in self.lines[old]
            ]
        return Sales(headers, lines)

    def store_lines(self, database: Database[dict[str, Any]]) -> None:
        """Store the lines as the sink would."""
        lines = [line for lines in self.lines.values() for line in lines]
        for first in range(0, len(lines), 1_000):
            database[contract.SALES_ITEMS.name].insert_many(lines[first : first + 1_000])

    def send_headers(self, settings: Settings) -> None:
        """Send the headers, confirmed."""
        outbox = Outbox(settings.kafka)
        outbox.send(settings.topic_prefix + contract.SALES.name, list(self.headers))
        outbox.flush()


def newest_sales(csv_dir: Path, count: int) -> tuple[Sales, datetime]:
    """The newest so many sales of the files, and the time of the first of them."""
    sales = pl.read_csv(csv_dir / "sales.csv", infer_schema=False).sort("sale_datetime").tail(count)
    lines = pl.scan_csv(csv_dir / "sales_items.csv", infer_schema=False)
    lines = lines.join(sales.lazy().select("sale_id"), on="sale_id", how="semi").collect()
    found = Sales([], {sale_id: [] for sale_id in sales["sale_id"]})
    for row in sales.iter_rows(named=True):
        sale = msgspec.convert(_given(row), contract.Sale, strict=False)
        found.headers.append({"key": sale.sale_id.encode(), "value": msgspec.json.encode(sale)})
    stored = {
        "kafka": {"topic": "erp.sales_items", "partition": 0, "offset": 0},
        "stored_at": datetime.now(UTC),
    }
    for row in lines.iter_rows(named=True):
        item = msgspec.convert(_given(row), contract.SaleItem, strict=False)
        document = contract.document(contract.SALES_ITEMS, item) | stored
        found.lines[item.sale_id].append(document)
    return found, datetime.fromisoformat(sales["sale_datetime"][0])


def products(csv_dir: Path) -> list[dict[str, Any]]:
    """The products of the files as documents."""
    rows = pl.read_csv(csv_dir / "products.csv", infer_schema=False).iter_rows(named=True)
    found = [msgspec.convert(_given(row), contract.Product, strict=False) for row in rows]
    return [contract.document(contract.PRODUCTS, product) for product in found]


def _store_products(database: Database[dict[str, Any]], csv_dir: Path) -> None:
    documents = products(csv_dir)
    for first in range(0, len(documents), 1_000):
        database[contract.PRODUCTS.name].insert_many(documents[first : first + 1_000])


def _given(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def wait_until(
    condition: Callable[[], bool], what: str, seconds: float = PATIENCE, fatal: bool = True
) -> None:
    """Wait until something holds; if it never does the measurement ends, or says so."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            problem = f"waited {seconds:.0f} s for {what}"
            if fatal:
                sys.exit(problem)
            say(problem)
            return
        time.sleep(0.1)


def replay(b: Bench, sales: Sales, rate: int = 100) -> None:
    """Play sales through the producer, header and lines one after the other."""
    since = min(msgspec.json.decode(header["value"])["sale_datetime"] for header in sales.headers)
    flags = ("--tables", "sales,sales_items", "--since", since, "--limit", len(sales))
    checkpoint = b.scripts.folder / "checkpoint.json"
    rejects = b.scripts.folder / "rejects.csv"
    flags += ("--checkpoint", checkpoint, "--rejects", rejects)
    b.scripts.run(PRODUCER, "--mode", "live", "--rate", rate, *flags)

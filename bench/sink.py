"""Measure the sink beside plain PyMongo and beside Kafka Connect with MongoDB's own connector.

Reads   lines of sales of Complete Journey (prepared into a temporary folder, or --csv-dir).
Writes  a table, or with --json one object {metric: {value, goal, unit}}; starts a Kafka, a MongoDB
        (in memory) and two Connect workers of its own and leaves nothing behind.

    python bench/sink.py
    python bench/sink.py --json > sink.json
    python bench/sink.py --only memory --memory-lines 10000000   # against 100,000; a quarter hour

Every way stores the same lines, in rounds whose order changes; the first round warms up and does
not count, medians do, of the ratios within a round. The clock starts when all lines become readable
at once, by the commit of a transaction; the sink and the workers run and have joined by then and go
on from round to round, so no start-up counts. It ends when the server has the last document.

sink      erp_kafka_to_mongo.py, as its user runs it
pymongo   plain unordered bulk upserts of the sink's documents, ready-made in memory: no Kafka, no
          JSON, no check
bare      the connector at its fastest: _id ready in the message, no transformation, no order
          (tasks.max 3, max.batch.size 1000, max.poll.records 2000, ReplaceOneDefaultStrategy)
shipped   the connector as connect/ configures it, with the same documents as the sink's
"""

import argparse
import gc
import json
import multiprocessing
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from _ended import cost_of
from _metrics import Metrics, metric, say, show
from _services import ROOT, Scripts, services
from confluent_kafka import Producer
from pymongo import MongoClient, ReplaceOne

from config import Settings
from erp import contract, kafka
from erp.contract import SALES_ITEMS
from erp.ingest import csv_files
from erp.ingest.csv_load import load
from erp.ingest.csv_survey import Survey, survey
from erp.ingest.tickets import Selection
from erp.outbox import Outbox
from local_stack import connect
from local_stack.stack import Stack

SINK = "erp_kafka_to_mongo.py"
PARTS = ("speed", "memory")
GOAL_PYMONGO, GOAL_CONNECT, GOAL_GROWTH = 0.85, 1.0, 1.2
LINES, FEW = 120_000, 100_000
PARTITIONS = 3
BATCH = 5_000  # of plain PyMongo; the driver makes the server's 1,000 of it
DROP_AT = 200_000  # documents, so that the server's memory does not end first
MB = 1024 * 1024
PATIENCE = 900  # s that anything may take
BARE = {
    "transforms": "",
    "document.id.strategy": f"{connect.STRATEGIES}.ProvidedInValueStrategy",
    "delete.on.null.values": "false",
    "bulk.write.ordered": "false",
    "max.batch.size": "1000",
    "consumer.override.max.poll.records": "2000",
}

Message = dict[str, Any]


class Run(NamedTuple):
    """One way of storing the lines, once: seconds, and the CPU seconds of the process."""

    seconds: float
    cpu: float


@dataclass
class Place:
    """Where everything runs."""

    stack: Stack
    settings: Settings
    scripts: Scripts
    client: MongoClient[dict[str, Any]]

    def topics(self, prefix: str) -> None:
        """Make the topics of this prefix."""
        names = (*contract.TOPICS, "connect_dead_letter")
        kafka.ensure_topics(self.settings.kafka, [prefix + name for name in names], PARTITIONS, 1)


def main() -> None:
    flags = parse_flags()
    with services() as (stack, settings, scripts), MongoClient(stack.mongo_uri) as client:
        place = Place(stack, settings, scripts, client)
        messages = messages_of(csv_dir(flags, scripts.folder), max(flags.lines, FEW))
        metrics: Metrics = {}
        if "speed" in flags.only:
            metrics |= speed(place, messages[: flags.lines], flags.rounds)
        if "memory" in flags.only:
            metrics |= memory(place, messages[:FEW], flags.memory_lines)
    show(metrics, flags.json)


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--csv-dir", type=Path, help="a folder with sales_items.csv (default: Complete Journey)")
    add("--lines", type=int, default=LINES, help=f"of sales, each round (default: {LINES})")
    add("--rounds", type=int, default=5, help="that count (default: 5)")
    add("--only", nargs="+", choices=PARTS, default=["speed"], help="what to do (default: speed)")
    add(
        "--memory-lines", type=int, default=1_000_000, metavar="N",
        help=f"memory: beside {FEW} lines (default: 1000000)",
    )  # fmt: skip
    add("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


def csv_dir(flags: argparse.Namespace, folder: Path) -> Path:
    """The folder of sales_items.csv; Complete Journey's if no other is named."""
    if flags.csv_dir is not None:
        return flags.csv_dir
    prepared = folder / "prepared"
    prepare = [sys.executable, str(ROOT / "csv_out" / "prepare.py"), "--households", "500"]
    subprocess.run([*prepare, "--output", str(prepared)], check=True, stdout=subprocess.DEVNULL)
    return prepared


def messages_of(folder: Path, count: int) -> list[Message]:
    """The producer's own messages of the first so many lines."""
    file = csv_files.describe(folder / "sales_items.csv", SALES_ITEMS)
    [found] = [item for item in survey(file, "UTC") if isinstance(item, Survey)]
    messages: list[Message] = []
    for part in load(file, found, Selection(), MB):
        messages += part.messages.select("key", "value").to_dicts()
        if len(messages) >= count:
            return messages[:count]
    sys.exit(f"{folder} has only {len(messages)} lines")


def speed(place: Place, messages: list[Message], rounds: int) -> Metrics:
    """All ways, `rounds` times and once to warm up, in a changing order."""
    with ExitStack() as exits:
        ways = {
            "sink": our_sink(place, messages),
            "pymongo": lambda: plain_pymongo(place, messages),
            "bare": exits.enter_context(connector(place, "bare", with_id(messages), BARE)),
            "shipped": exits.enter_context(connector(place, "shipped", messages, {})),
        }
        names = list(ways)
        runs: dict[str, list[Run]] = {name: [] for name in names}
        for number in range(rounds + 1):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                run = ways[name]()
                say(f"round {number} {name}: {len(messages) / run.seconds:,.0f} lines/s")
                if number:
                    runs[name].append(run)
    return compared(runs, len(messages))


def our_sink(place: Place, messages: list[Message]) -> Callable[[], Run]:
    """The sink as a process that has joined and waits for lines."""
    prefix = "sink."
    place.topics(prefix)
    sender = Sender(place, prefix)
    process = place.scripts.start(SINK, TOPIC_PREFIX=prefix, MONGO_DATABASE="sink")
    joined = f"reading {PARTITIONS * len(contract.TABLES)} partitions"
    wait_for(lambda: joined in process.log.read_text())
    return lambda: stored(place, "sink", messages, sender, psutil.Process(process.pid))


@contextmanager
def connector(
    place: Place, name: str, messages: list[Message], changed: dict[str, str]
) -> Iterator[Callable[[], Run]]:
    """A Connect worker that has joined and waits for lines."""
    prefix = f"{name}."
    place.topics(prefix)
    sender = Sender(place, prefix)
    settings = connect.connector(prefix) | {"name": name} | changed
    settings["consumer.override.isolation.level"] = "read_committed"
    if changed:
        items = f"topic.override.{prefix}{SALES_ITEMS.name}."
        settings = {
            key: value
            for key, value in settings.items()
            if not key.startswith(("post.processor", f"{items}document", f"{items}delete"))
        }
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": place.stack.kafka_bootstrap_servers,
        "MONGO_URI": place.stack.mongo_uri,
        "MONGO_DATABASE": name,
    }
    with connect.worker(place.scripts.folder / name, settings, environment) as server:
        yield lambda: stored(place, name, messages, sender, server.process)


class Sender:
    """Makes all lines readable at once: they wait in a transaction until it is committed."""

    def __init__(self, place: Place, prefix: str) -> None:
        self.topic = prefix + SALES_ITEMS.name
        self.producer = Producer(
            {
                **place.settings.kafka,
                "transactional.id": prefix,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 10_000_000,
                "delivery.report.only.error": True,
                "log_level": 0,
            }
        )
        self.producer.init_transactions()

    def prepare(self, messages: list[Message]) -> None:
        """Send the lines, so that nobody can read them yet."""
        self.producer.begin_transaction()
        self.producer.produce_batch(self.topic, messages)
        self.producer.flush()

    def release(self) -> None:
        """Let everybody read them."""
        self.producer.commit_transaction()


def stored(
    place: Place, name: str, messages: list[Message], sender: Sender, process: psutil.Process
) -> Run:
    """Let the lines loose and wait for the last document."""
    place.client.drop_database(name)
    collection = place.client[name][SALES_ITEMS.name]
    sender.prepare(messages)
    time.sleep(1)
    before, began = cpu_of(process), time.perf_counter()
    sender.release()
    wait_for(lambda: collection.estimated_document_count() == len(messages))
    seconds = time.perf_counter() - began
    time.sleep(1)  # the last commit
    cpu = cpu_of(process) - before
    place.client.drop_database(name)
    return Run(seconds, cpu)


def wait_for(condition: Callable[[], bool]) -> None:
    """Return as soon as it holds; if it never does the measurement ends."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"waited {PATIENCE} s in vain")
        time.sleep(0.02)


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds that a process took so far."""
    times = process.cpu_times()
    return times.user + times.system


def plain_pymongo(place: Place, messages: list[Message]) -> Run:
    """In a process of its own, whose memory ends with it."""
    place.client.drop_database("pymongo")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        run = pool.apply(upsert_ready_made, (place.stack.mongo_uri, messages))
    place.client.drop_database("pymongo")
    return run


def upsert_ready_made(uri: str, messages: list[Message]) -> Run:
    """Unordered bulk upserts of documents as the sink stores them, made beforehand."""
    documents = [ready_made(json.loads(message["value"]), n) for n, message in enumerate(messages)]
    operations = [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in documents]
    gc.freeze()
    with MongoClient(uri) as client:
        collection = client["pymongo"][SALES_ITEMS.name]
        client.admin.command("ping")
        began, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(operations), BATCH):
            collection.bulk_write(operations[first : first + BATCH], ordered=False)
        return Run(time.perf_counter() - began, time.process_time() - cpu)


def ready_made(line: dict[str, Any], number: int) -> dict[str, Any]:
    """A line as the document that the sink makes of it."""
    now = datetime.now(UTC)
    origin = {"topic": "erp.sales_items", "partition": 0, "offset": number, "timestamp": now}
    key = contract.item_id(line["sale_id"], line["line_n"])
    return {"_id": key, **line, "kafka": origin, "stored_at": now}


def with_id(messages: list[Message]) -> list[Message]:
    """The same messages with a ready `_id` in their values."""
    found = []
    for message in messages:
        line = json.loads(message["value"])
        line = {"_id": contract.item_id(line["sale_id"], line["line_n"]), **line}
        found.append({"key": message["key"], "value": json.dumps(line, separators=(",", ":"))})
    return found


def compared(runs: dict[str, list[Run]], lines: int) -> Metrics:
    """Rates and CPU by way, and the sink's ratios with their goals."""
    rate = {name: lines / statistics.median(r.seconds for r in each) for name, each in runs.items()}
    cpu = {
        name: 1e6 * statistics.median(r.cpu for r in each) / lines for name, each in runs.items()
    }

    def faster(peer: str) -> float:
        """How many times as fast as a peer, by rounds, since a machine has better minutes."""
        pairs = zip(runs["sink"], runs[peer], strict=True)
        return statistics.median(theirs.seconds / ours.seconds for ours, theirs in pairs)

    return {
        **{f"{name}_rate": metric(value, None, "lines/s") for name, value in rate.items()},
        **{f"{name}_cpu": metric(value, None, "µs/line") for name, value in cpu.items()},
        "sink_to_pymongo": metric(faster("pymongo"), GOAL_PYMONGO, "ratio"),
        "sink_to_connect_bare": metric(faster("bare"), GOAL_CONNECT, "ratio"),
        "sink_to_connect_shipped": metric(faster("shipped"), GOAL_CONNECT, "ratio"),
        "cpu_sink_to_connect_bare": metric(cpu["sink"] / cpu["bare"], 1.0, "ratio", most=True),
        "cpu_sink_to_connect_shipped": metric(
            cpu["sink"] / cpu["shipped"], 1.0, "ratio", most=True
        ),
    }


def memory(place: Place, messages: list[Message], many: int) -> Metrics:
    """The sink's highest memory with few lines and with many."""
    few_mb = peak(place, messages, FEW)
    many_mb = peak(place, messages, many)
    return {
        f"memory_{FEW}_lines": metric(few_mb, None, "MB"),
        f"memory_{many}_lines": metric(many_mb, None, "MB"),
        "memory_growth": metric(many_mb / few_mb, GOAL_GROWTH, "ratio", most=True),
    }


def peak(place: Place, messages: list[Message], lines: int) -> float:
    """Highest resident memory in MB of a sink that stores so many lines, all under new ids."""
    name = f"memory-{lines}"
    place.topics(f"{name}.")
    outbox = Outbox(place.settings.kafka)
    for turn in range(-(-lines // len(messages))):
        wanted = messages[: lines - turn * len(messages)]
        outbox.send(f"{name}.{SALES_ITEMS.name}", [renamed(each, turn) for each in wanted])
    outbox.flush()
    say(f"memory: {lines:,} lines wait")
    flags = ("--max-messages", lines)
    process = place.scripts.start(SINK, *flags, TOPIC_PREFIX=f"{name}.", MONGO_DATABASE=name)
    done = threading.Event()
    sweeper = threading.Thread(target=sweep, args=(place, name, done))
    sweeper.start()
    cost = cost_of(process)
    done.set()
    sweeper.join()
    place.client.drop_database(name)
    if process.returncode:
        sys.exit(f"the sink failed:\n{process.log.read_text()[-2000:]}")
    return cost.memory


def renamed(message: Message, turn: int) -> Message:
    """The same line of a sale with another id."""
    key = f"{message['key']}-{turn}"
    value = message["value"].replace(f'"{message["key"]}"', f'"{key}"', 1)
    return {"key": key, "value": value}


def sweep(place: Place, name: str, done: threading.Event) -> None:
    """Empty the collection now and then."""
    collection = place.client[name][SALES_ITEMS.name]
    while not done.wait(0.5):
        if collection.estimated_document_count() > DROP_AT:
            collection.drop()


if __name__ == "__main__":
    main()

"""The whole pipeline on real shop data, each stage a process of its own, with one command.

Reads   a sample of Complete Journey, a year of real groceries (csv_out/prepare.py)
Writes  the ERP's topics, the database, a model, and a log of each stage under local_stack/.run/demo
Run by  a person who wants to see it move; it stops all that it started

    python -m local_stack.demo          history, a model, then the last days live with three pages
    python -m local_stack.demo --once   the same, ending by itself when every sale has its answer

The configured topics and database are used if they are empty, else `demo.` and `erp_demo`, which
are emptied first. Exit code 0 if every count is right.
"""

import argparse
import csv
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient
from pymongo.database import Database
from rich.console import Console
from rich.table import Table

from config import Settings
from erp import contract, kafka
from erp.process import FAILED, USAGE, Failure, UsageError
from local_stack import lifecycle
from local_stack.errors import StackError
from local_stack.server import LOOPBACK
from local_stack.stack import Stack
from local_stack.stages import Stages
from local_stack.toolchain import RUN_DIR, file_lock
from local_stack.topics import read_spans

log = logging.getLogger("local_stack.demo")

FOLDER = RUN_DIR / "demo"
PAGES = {
    "erp_dashboard.py": "history",
    "erp_dashboard_dinamico.py": "live sales",
    "print_recommendations_consumer.py": "recommendations",
}
OWN_NAMES = {
    "TOPIC_PREFIX": "demo.",
    "CONSUMER_GROUP_PREFIX": "demo-",
    "MONGO_DATABASE": "erp_demo",
}
STATUS_EVERY = 5  # s
ANSWER_SECONDS = 120  # for the last sale's answer, after the replay
ADMIN_SECONDS = 30  # for Kafka to delete a topic


@dataclass
class Pipeline:
    """The demo's settings and the connections that count what arrived."""

    settings: Settings
    admin: AdminClient
    reader: Consumer
    database: Database

    def messages(self) -> dict[str, int]:
        """Messages in each topic of the contract, by the name of its table."""
        prefix = self.settings.topic_prefix
        counts = dict.fromkeys(contract.TOPICS, 0)
        for (topic, _), span in read_spans(self.reader, prefix).items():
            name = topic.removeprefix(prefix)
            if name in counts:
                counts[name] += span.high - span.low
        return counts

    def documents(self) -> dict[str, int]:
        """Documents in each collection of the four tables, and the recommendations."""
        names = [table.name for table in contract.TABLES] + [contract.RECOMMENDATIONS]
        return {name: self.database[name].count_documents({}) for name in names}


def main() -> int:
    """The story: a stack, a sample, history, a model, then the last days live."""
    options = parse_options()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        taken = f"another demo works in {options.folder}: stop it first"
        with file_lock(options.folder / "lock", taken), running_stack():
            names = choose_names(connect({}))
            pipeline = connect(names)
            environment = stage_environment(names, options.folder)
            with Stages(options.folder / "logs", environment) as stages:
                return play(options, pipeline, stages)
    except Failure as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return USAGE if isinstance(failure, UsageError) else FAILED
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 0


def interrupt(_signum: int, _frame: FrameType | None) -> None:
    """End the demo as Ctrl-C does; what it started is stopped whatever comes after that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def parse_options() -> argparse.Namespace:
    """The flags; their defaults make a demo of a minute or two."""
    parser = argparse.ArgumentParser(
        prog="python -m local_stack.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--once", action="store_true", help="end when every replayed sale has its answer")
    add("--households", type=int, default=530, help="size of the sample (default: %(default)s)")
    add("--days", type=int, default=3, help="last days, replayed live (default: %(default)s)")
    add("--port", type=int, default=8501, help="of the first page (default: %(default)s)")
    add("--speed", type=float, default=600, help="of the replay, in hours an hour (default: 600)")
    add("--folder", type=Path, default=FOLDER, help="of its data and logs (default: %(default)s)")
    return parser.parse_args()


def play(options: argparse.Namespace, pipeline: Pipeline, stages: Stages) -> int:
    """Every stage in its order; returns the exit code."""
    pages = dict(zip(PAGES, range(options.port, options.port + 3), strict=True))
    sink_metrics, service_metrics = options.port + 600, options.port + 601
    claim_ports([*pages.values(), sink_metrics, service_metrics])
    stages.run("csv_out/prepare.py", "--households", options.households)
    rows = count_rows(options.folder / "csv_out")
    split = last_days(options.folder / "csv_out" / "sales.csv", options.days)
    log.info("%s", "  ".join(f"{name} {number:,}" for name, number in rows.items()))

    stages.run("erp_simulator_producer.py", "--until", split)
    history = pipeline.messages()
    total = sum(history[table.name] for table in contract.TABLES)
    stages.run("erp_kafka_to_mongo.py", "--max-messages", total)
    stages.run("model_train_reco.py")
    stages.run("mongo_data_processor_completo.py", "--once")

    stages.start("reco_service_stream.py", "--new-only", "--metrics-port", service_metrics)
    stages.start("erp_kafka_to_mongo.py", "--metrics-port", sink_metrics)
    stages.start("mongo_data_processor_completo.py", "--watch", 5)
    for script, port in pages.items():
        stages.start(script, "--port", port)
    stages.wait_for("reco_service_stream.py", f"http://{LOOPBACK}:{service_metrics}/readyz")
    stages.wait_for("erp_kafka_to_mongo.py", f"http://{LOOPBACK}:{sink_metrics}/readyz")
    for script, port in pages.items():
        stages.wait_for(script, f"http://{LOOPBACK}:{port}/_stcore/health")
        log.info("%-16s http://%s:%d", PAGES[script], LOOPBACK, port)

    pace = ["--rate", 25] if options.once else ["--speed", options.speed]
    live = ["--mode", "live", "--tables", "sales,sales_items", "--since", split, *pace]
    stages.start("erp_simulator_producer.py", *live)
    replayed = rows[contract.SALES.name] - history[contract.SALES.name]
    follow(pipeline, stages, replayed, history[contract.SALES.name])
    right = print_counts(pipeline, rows, replayed)
    if not options.once:
        log.info("the replay has ended; the pages stay open until Ctrl-C")
        stages.watch()
    return 0 if right else 1


@contextmanager
def running_stack() -> Iterator[None]:
    """Kafka and MongoDB, as `up` finds or starts them; what it started is stopped at the end."""
    stack = Stack(RUN_DIR, mongo_backend="memory", mongo_heap="3g", detached=True)
    settings = lifecycle.explicit_settings()
    ours = not any(server.accepts() for server in lifecycle.wanted_servers(stack, settings))
    lifecycle.up(stack, settings)
    try:
        yield
    finally:
        if ours:
            lifecycle.down(stack, settings)


def connect(names: dict[str, str]) -> Pipeline:
    """The configured services, some settings changed by name."""
    settings = Settings(**{name.lower(): value for name, value in names.items()})
    client: MongoClient = MongoClient(settings.mongo_uri.get_secret_value(), tz_aware=True)
    options = settings.kafka | {"log_level": 0}
    database = client[settings.mongo_database]
    return Pipeline(settings, AdminClient(options), kafka.reader(options), database)


def choose_names(configured: Pipeline) -> dict[str, str]:
    """No other names if the configured ones are empty; else the demo's own, emptied."""
    if not any(configured.messages().values()) and not any(configured.documents().values()):
        return {}
    settings = configured.settings
    log.info(
        "the topics %s* or the database %s hold data already: the demo takes %s* and %s",
        settings.topic_prefix,
        settings.mongo_database,
        OWN_NAMES["TOPIC_PREFIX"],
        OWN_NAMES["MONGO_DATABASE"],
    )
    empty(connect(OWN_NAMES))
    return OWN_NAMES


def empty(pipeline: Pipeline) -> None:
    """Delete the topics, the groups and the database of an earlier demo."""
    pipeline.database.client.drop_database(pipeline.database)
    topics = {topic for topic, _ in read_spans(pipeline.reader, pipeline.settings.topic_prefix)}
    for deleted in pipeline.admin.delete_topics(list(topics)).values() if topics else ():
        deleted.result(ADMIN_SECONDS)
    prefix = pipeline.settings.consumer_group_prefix
    listed = pipeline.admin.list_consumer_groups().result(ADMIN_SECONDS).valid
    groups = [group.group_id for group in listed if group.group_id.startswith(prefix)]
    for deleted in pipeline.admin.delete_consumer_groups(groups).values() if groups else ():
        deleted.result(ADMIN_SECONDS)


def stage_environment(names: dict[str, str], folder: Path) -> dict[str, str]:
    """What every stage is told: the names, and files that are no person's own."""
    own = {
        "CSV_DIR": str(folder.absolute() / "csv_out"),
        "MODEL_PATH": str(folder.absolute() / "models" / "item_sim.pkl"),
        "BUSINESS_TIMEZONE": "America/New_York",  # where Complete Journey's shops are
        "CURRENCY": "USD",
        "ACCEPTANCE_DAYS": "1",  # only of the first days can it be seen what was bought later
    }
    return {**os.environ, **names, **own}


def claim_ports(ports: list[int]) -> None:
    """Raise StackError if one of the ports that the stages need is taken."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                raise StackError(f"port {port} is taken: stop what listens there") from None


def count_rows(folder: Path) -> dict[str, int]:
    """Rows of each of the four files."""
    return {table.name: len(read_rows(folder / f"{table.name}.csv")) for table in contract.TABLES}


def read_rows(file: Path) -> list[list[str]]:
    """The rows of a CSV file below its header."""
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))[1:]


def last_days(sales: Path, days: int) -> str:
    """The midnight that leaves so many days of the file behind it, ISO 8601."""
    with sales.open(newline="", encoding="utf-8") as lines:
        newest = max(row["sale_datetime"] for row in csv.DictReader(lines))
    day = datetime.fromisoformat(newest).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day - timedelta(days=days - 1)).isoformat()


def follow(pipeline: Pipeline, stages: Stages, replayed: int, history: int) -> None:
    """A line every few seconds of how far each stage is, until the last sale has its answer."""
    deadline = None
    while True:
        stages.check()
        sent, stored = pipeline.messages(), pipeline.documents()
        live = sent[contract.SALES.name] - history
        answered = stored[contract.RECOMMENDATIONS]
        log.info(
            "producer %s of %s sales | sink %s sales, %s lines | service %s answers"
            " | processor %s days",
            f"{live:,}",
            f"{replayed:,}",
            f"{stored[contract.SALES.name]:,}",
            f"{stored[contract.SALES_ITEMS.name]:,}",
            f"{answered:,}",
            f"{pipeline.database[contract.DAILY_SALES].count_documents({}):,}",
        )
        if answered >= replayed:
            return
        if live >= replayed:
            deadline = deadline or time.monotonic() + ANSWER_SECONDS
        if deadline and time.monotonic() > deadline:
            raise StackError(f"{replayed - answered} sales have no recommendation")
        time.sleep(STATUS_EVERY)


def print_counts(pipeline: Pipeline, rows: dict[str, int], replayed: int) -> bool:
    """The table of what went in and what came out; True if nothing is lost or doubled."""
    sent, stored = pipeline.messages(), pipeline.documents()
    name = contract.RECOMMENDATIONS
    counts = {table: (number, sent[table], stored[table]) for table, number in rows.items()}
    counts[f"{name} of the sales replayed"] = (replayed, sent[name], stored[name])
    table = Table("", "CSV rows", "messages", "documents", title="What went in and what came out")
    for what, numbers in counts.items():
        table.add_row(what, *(f"{number:,}" for number in numbers))
    Console().print(table)
    right = all(len(set(numbers)) == 1 for numbers in counts.values())
    if not right:
        log.error("the counts of a row differ: something was lost or doubled")
    return right


if __name__ == "__main__":
    sys.exit(main())

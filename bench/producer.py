"""What the producer costs: all of it, beside clients that are handed the finished messages.

Starts a Kafka of its own and sends the sales_items.csv of Complete Journey in four ways, in an
order that changes with each round: our script (from the CSV file to the last confirmation: survey,
read, check, encode, send), confluent-kafka's Producer.produce_batch with the same messages ready in
memory, and Apache Kafka's own ProducerPerformance (Java) with the same values ready in memory. All
are idempotent, with lz4 and the same delay. produce_batch runs twice: with the client's ordinary
queue (100,000 messages), which is bounded as ours is, and with one that takes the whole file at
once, which no program of flat memory can have. The first round warms up and does not count.

    python bench/producer.py
    python bench/producer.py --memory              # also 100,000 lines against 10 million
    python bench/producer.py --json > producer.json
    python bench/producer.py --lines 200000        # quicker

Exit codes: 0 measured; 1 something failed.
"""

import argparse
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from _ended import cost_of  # noqa: E402  the project is run from its folder
from _metrics import Metrics, metric, show  # noqa: E402
from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from erp import kafka  # noqa: E402
from erp.contract import SALES_ITEMS, TOPICS  # noqa: E402
from erp.ingest import csv_files  # noqa: E402
from erp.ingest.csv_load import load  # noqa: E402
from erp.ingest.csv_survey import Survey, survey  # noqa: E402
from erp.ingest.tickets import Selection  # noqa: E402
from local_stack.stack import Stack, free_ports  # noqa: E402
from local_stack.toolchain import fetch_jars, find_java  # noqa: E402

SCRIPT = ROOT / "erp_simulator_producer.py"
LINGER_MS, PARTITIONS = 5, 3
GOAL_RATIO, GOAL_MEMORY_MB, GOAL_GROWTH = 0.6, 600, 1.2
FEW, MANY = 100_000, 10_000_000  # lines
MB = 1024 * 1024
ALLOCATOR = "_RJEM_MALLOC_CONF"  # set by polars for this process, not meant for the script's


class Run(NamedTuple):
    """One way of sending, once: lines a second, CPU in microseconds a line, memory in MB."""

    rate: float
    cpu: float
    memory: float = 0.0


def main() -> None:
    flags = parse_flags()
    with tempfile.TemporaryDirectory(prefix="erp-bench-") as name:
        folder = Path(name)
        items = lines_of(flags, folder)
        with started(folder) as stack:
            runs = measured(stack, items, folder, flags.rounds)
            memory = grown(stack, items, folder) if flags.memory else None
    results = summary(runs, memory)
    if flags.json:
        show(results, as_json=True)
    else:
        show_ways(runs, results)
        show(results, as_json=False)


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv-dir", type=Path, help="a folder with sales_items.csv (default: the"
                        " whole of Complete Journey, prepared anew)")  # fmt: skip
    parser.add_argument("--lines", type=int, metavar="N", help="the first N lines (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: 5)")
    parser.add_argument("--memory", action="store_true", help="also measure memory over length")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


def lines_of(flags: argparse.Namespace, folder: Path) -> Path:
    """The sales_items.csv to send, alone in a folder."""
    source = flags.csv_dir
    if source is None:
        source = folder / "prepared"
        prepare = [sys.executable, str(ROOT / "csv_out" / "prepare.py"), "--output", str(source)]
        subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    target = folder / "csv" / "sales_items.csv"
    target.parent.mkdir()
    with (source / "sales_items.csv").open("rb") as read, target.open("wb") as write:
        if flags.lines is None:
            shutil.copyfileobj(read, write)
        else:
            write.writelines(line for line, _ in zip(read, range(flags.lines + 1), strict=False))
    return target


def started(folder: Path) -> Stack:
    stack = Stack(folder / "stack", *free_ports(3))
    stack.start([stack.kafka])
    return stack


def measured(stack: Stack, items: Path, folder: Path, rounds: int) -> dict[str, list[Run]]:
    """Every way of sending, `rounds` times and once to warm up, in a changing order."""
    values = folder / "values.txt"
    lines = write_values(items, values)
    ways = {
        "this producer": lambda prefix: ours(stack, items, prefix),
        "produce_batch, ready-made": lambda prefix: apart(ready_made, stack, items, prefix),
        "the same, unbounded queue": lambda prefix: apart(unbounded, stack, items, prefix),
        "ProducerPerformance, Java": lambda prefix: java(stack, values, lines, prefix),
    }
    names = list(ways)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            run = with_topics(stack, ways[name])
            if number:
                runs[name].append(run)
    return runs


def with_topics(stack: Stack, send: Any) -> Run:
    """Call `send` with a prefix whose topics are new, and delete them afterwards.

    All topics of the contract stand before a clock starts, for whichever way.
    """
    options = {"bootstrap.servers": stack.kafka_bootstrap_servers}
    admin = AdminClient({**options, "log_level": 3})
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    kafka.ensure_topics(options, [prefix + name for name in TOPICS], PARTITIONS, 1)
    try:
        return send(prefix)
    finally:
        topics = [topic for topic in admin.list_topics().topics if topic.startswith(prefix)]
        for deleted in admin.delete_topics(topics).values():
            deleted.result()


def ours(stack: Stack, items: Path, prefix: str) -> Run:
    """The script as its user runs it; its own clock leaves out the start of Python alone."""
    inherited = {name: text for name, text in os.environ.items() if name != ALLOCATOR}
    environment = inherited | {
        "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
        "TOPIC_PREFIX": prefix,
        "TOPIC_PARTITIONS": str(PARTITIONS),
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, str(SCRIPT), "--json", "--tables", SALES_ITEMS.name]
    process = subprocess.Popen(
        [*command, "--csv-dir", str(items.parent)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    cost = cost_of(process)
    if process.returncode:
        sys.exit("the producer failed")
    result = json.loads(process.stdout.read())
    table = result["tables"][SALES_ITEMS.name]
    if table["sent"] != table["read"]:
        sys.exit(f"the producer refused lines: {table['rejected']}")
    return Run(table["sent"] / result["seconds"], 1e6 * cost.cpu / table["sent"], cost.memory)


def apart(send: Any, stack: Stack, items: Path, prefix: str) -> Run:
    """Call `send` in a process of its own, whose memory ends with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(
            send, stack.kafka_bootstrap_servers, items, prefix + SALES_ITEMS.name
        ).result()


def unbounded(servers: str, items: Path, topic: str) -> Run:
    """The same messages, all of them in the client's queue at once."""
    room = {"queue.buffering.max.messages": 10_000_000, "queue.buffering.max.kbytes": 2_097_151}
    return ready_made(servers, items, topic, room)


def ready_made(servers: str, items: Path, topic: str, room: dict[str, int] | None = None) -> Run:
    """The same messages, ready in memory, as fast as the client takes them."""
    batches = [
        [
            {"key": message["key"].encode(), "value": message["value"].encode()}
            for message in part.messages.iter_rows(named=True)
        ]
        for part in messages_of(items)
    ]
    gc.freeze()
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": LINGER_MS,
            "delivery.report.only.error": True,
            "log_level": 3,
            **(room or {}),
        }
    )
    producer.list_topics(topic)
    lines = sum(map(len, batches))
    began, cpu = time.perf_counter(), time.process_time()
    for waiting in batches:
        batch = waiting
        while batch:
            if producer.produce_batch(topic, batch) == len(batch):
                break
            batch = [message for message in batch if message.pop("_error", None)]
            producer.poll(0.01)
    if producer.flush():
        raise RuntimeError("not everything was delivered")
    seconds = time.perf_counter() - began
    return Run(lines / seconds, 1e6 * (time.process_time() - cpu) / lines)


def messages_of(items: Path) -> Any:
    """The producer's own messages of a file."""
    file = csv_files.describe(items, SALES_ITEMS)
    found = [item for item in survey(file, "UTC") if isinstance(item, Survey)]
    return load(file, found[0], Selection(), MB)


def write_values(items: Path, target: Path) -> int:
    """The values of the messages, one a line, for ProducerPerformance; how many."""
    lines = 0
    with target.open("w") as file:
        for part in messages_of(items):
            file.writelines(value + "\n" for value in part.messages["value"])
            lines += len(part.messages)
    return lines


def java(stack: Stack, values: Path, lines: int, prefix: str) -> Run:
    """Kafka's own measuring client; it reports the rate itself, start-up left out."""
    program = find_java()
    settings = [
        f"bootstrap.servers={stack.kafka_bootstrap_servers}",
        "enable.idempotence=true",
        "compression.type=lz4",
        f"linger.ms={LINGER_MS}",
    ]
    command = [program, "-Xmx2g", "-cp", f"{fetch_jars(program)}/*",
               "org.apache.kafka.tools.ProducerPerformance",
               "--topic", prefix + SALES_ITEMS.name, "--num-records", str(lines),
               "--payload-file", str(values), "--throughput", "-1",
               "--command-property", *settings]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    cost = cost_of(process)
    output = process.stdout.read()
    if process.returncode:
        sys.exit(f"ProducerPerformance failed: {output[-500:]}")
    rate = float(output.strip().splitlines()[-1].split("records sent, ")[1].split(" ")[0])
    return Run(rate, 1e6 * cost.cpu / lines)


def grown(stack: Stack, items: Path, folder: Path) -> tuple[float, float]:
    """The script's memory in MB with few lines and with many: the same sales under new ids."""
    peaks = []
    for lines in (FEW, MANY):
        target = folder / f"{lines}" / "sales_items.csv"
        target.parent.mkdir()
        repeat(items, target, lines)
        peaks.append(with_topics(stack, lambda prefix, file=target: ours(stack, file, prefix)))
    return peaks[0].memory, peaks[1].memory


def repeat(items: Path, target: Path, lines: int) -> None:
    """Write so many lines, the file over and over, each time with another end of the sale_id."""
    header, *rows = items.read_bytes().splitlines(keepends=True)
    place = header.decode().strip().split(",").index("sale_id")
    if place:
        sys.exit("sale_id must be the first column")
    with target.open("wb") as file:
        file.write(header)
        for turn in range(-(-lines // len(rows))):
            wanted = rows[: lines - turn * len(rows)]
            file.writelines(row.replace(b",", b"-%d," % turn, 1) for row in wanted)


def summary(runs: dict[str, list[Run]], memory: tuple[float, float] | None) -> Metrics:
    """The metrics with their goals."""
    ours_, ready, whole, java_ = (
        statistics.median(run.rate for run in each) for each in runs.values()
    )
    own = runs["this producer"]
    results = {
        "producer_rate": metric(ours_, None, "lines/s"),
        "ready_made_rate": metric(ready, None, "lines/s"),
        "unbounded_rate": metric(whole, None, "lines/s"),
        "java_rate": metric(java_, None, "lines/s"),
        "producer_to_ready_made": metric(ours_ / ready, GOAL_RATIO, "ratio"),
        "producer_to_unbounded": metric(ours_ / whole, None, "ratio"),
        "producer_to_java": metric(ours_ / java_, GOAL_RATIO, "ratio"),
        "producer_cpu": metric(statistics.median(run.cpu for run in own), None, "µs/line"),
        "producer_memory": metric(max(run.memory for run in own), GOAL_MEMORY_MB, "MB", most=True),
    }
    if memory:
        few, many = memory
        results["memory_100_thousand"] = metric(few, GOAL_MEMORY_MB, "MB", most=True)
        results["memory_10_million"] = metric(many, GOAL_MEMORY_MB, "MB", most=True)
        results["memory_growth"] = metric(many / few, GOAL_GROWTH, "ratio", most=True)
    return results


def show_ways(runs: dict[str, list[Run]], results: Metrics) -> None:
    """The ways beside each other."""
    ways = Table("way", title="median of the rounds")
    for title in ("lines/s", "slowest", "fastest", "CPU µs/line", "of ready-made"):
        ways.add_column(title, justify="right")
    ready = results["ready_made_rate"]["value"]
    for name, each in runs.items():
        rates = [run.rate for run in each]
        rate = statistics.median(rates)
        cpu = statistics.median(run.cpu for run in each)
        ways.add_row(
            name,
            *(f"{number:,.0f}" for number in (rate, min(rates), max(rates))),
            f"{cpu:.2f}",
            f"{rate / ready:.2f}",
        )
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(ways)


if __name__ == "__main__":
    main()

"""Faults at random while lines flow from the producer to MongoDB, and what is there afterwards."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import polars as pl
from pymongo.database import Database

from erp import contract
from erp.contract import SALES, SALES_ITEMS, Table
from local_stack.stack import Stack

PRODUCER, SINK = "erp_simulator_producer.py", "erp_kafka_to_mongo.py"
PAUSE_SECONDS = (0.3, 2.5)  # between two faults
DOWN_SECONDS = (0.2, 2.0)  # that what was killed stays away
PATIENCE = 600  # s for the rest to arrive once nothing breaks any more
STILL_STARTING = -signal.SIGTERM  # exit code of a script that had read nothing yet
TRACE = ("kafka", "stored_at")

Document = dict[str, Any]
Start = Callable[..., subprocess.Popen[bytes]]  # script, flags


class Fault(NamedTuple):
    """What was done: when, while so many lines were stored, and for how many seconds."""

    second: float
    what: str
    stored: int
    lasted: float


class Flow:
    """The producer and the sink at work, and what can happen to them and to their servers.

    Parameters
    ----------
    start : callable
        Starts a script of the project: `start(script, *flags)`.
    flags : sequence of str
        What the producer is to send, and how fast.
    freeze_seconds : float
        How long a frozen database stays so.
    """

    def __init__(
        self,
        stack: Stack,
        database: Database[Document],
        start: Start,
        flags: Sequence[str],
        seed: int,
        freeze_seconds: float,
    ) -> None:
        self.stack, self.database, self.start, self.flags = stack, database, start, flags
        self.freeze_seconds = freeze_seconds
        self.random = random.Random(seed)
        self.producer, self.sink = self.start_producer(), start(SINK)
        self.done: list[Fault] = []

    @property
    def kinds(self) -> dict[str, Callable[[], None]]:
        """Every fault by its name."""
        return {
            "kill -9 of the producer": self.kill_producer,
            "kill -9 of the sink": self.kill_sink,
            "kill -9 of the broker": self.kill_broker,
            "SIGTERM of the sink, restart": self.restart_sink,
            "SIGTERM of the database, restart": self.stack.mongo.restart,
            f"SIGSTOP of the database, {self.freeze_seconds:g} s": self.freeze_database,
        }

    def break_things(self, count: int, say: Callable[[str], None] = lambda _: None) -> None:
        """So many faults one after the other, each kind about as often, in random order."""
        names = [name for n in range(count) for name in [list(self.kinds)[n % len(self.kinds)]]]
        self.random.shuffle(names)
        wait_until(lambda: self.stored() > 0, "the first line to be stored")
        began = time.monotonic()
        for name in names:
            time.sleep(self.random.uniform(*PAUSE_SECONDS))
            stored, at = self.stored(), time.monotonic()
            self.kinds[name]()
            fault = Fault(at - began, name, stored, time.monotonic() - at)
            self.done.append(fault)
            say(f"{fault.second:6.1f} s  {stored:>9,} lines stored  {name}")

    def stored(self, table: Table = SALES_ITEMS) -> int:
        """Documents of a table in MongoDB now."""
        return self.database[table.name].estimated_document_count()

    def finish(self, sales: int, lines: int) -> None:
        """Wait until everything is sent, and then until so many are stored; end the sink.

        Raises RuntimeError when a process ended otherwise than it should.
        """
        if (code := self.producer.wait(PATIENCE)) != 0:
            raise RuntimeError(f"the producer ended with {code}")
        wait_until(lambda: self.stored(SALES) >= sales, "the last sale to be stored")
        wait_until(lambda: self.stored() >= lines, "the last line to be stored")
        self.end_sink()

    def start_producer(self) -> subprocess.Popen[bytes]:
        """From the beginning, or from where the last one got to."""
        return self.start(PRODUCER, "--resume", *self.flags)

    def kill_producer(self) -> None:
        if self.producer.poll() is None:
            self.producer.kill()
            self.producer.wait()
            self.rest()
            self.producer = self.start_producer()

    def kill_sink(self) -> None:
        self.sink.kill()
        self.sink.wait()
        self.rest()
        self.sink = self.start(SINK)

    def restart_sink(self) -> None:
        self.end_sink()
        self.sink = self.start(SINK)

    def end_sink(self) -> None:
        self.sink.terminate()
        if (code := self.sink.wait(PATIENCE)) not in (0, STILL_STARTING):
            raise RuntimeError(f"the sink ended with {code}")

    def kill_broker(self) -> None:
        self.stack.kafka.kill()
        self.rest()
        self.stack.kafka.launch()
        self.stack.kafka.wait()

    def freeze_database(self) -> None:
        self.stack.mongo.freeze()
        time.sleep(self.freeze_seconds)
        self.stack.mongo.thaw()

    def rest(self) -> None:
        time.sleep(self.random.uniform(*DOWN_SECONDS))


class Difference(NamedTuple):
    """How the documents of a table differ from the rows of its file."""

    rows: int
    missing: int
    unknown: int
    differing: int


def compare(database: Database[Document], csv_dir: Path) -> dict[str, Difference]:
    """Sales and their lines as they were sent beside what is stored, field by field."""
    return {table.name: _compare(database, csv_dir, table) for table in (SALES, SALES_ITEMS)}


def _compare(database: Database[Document], csv_dir: Path, table: Table) -> Difference:
    rows = pl.read_csv(csv_dir / f"{table.name}.csv", infer_schema=False)
    sent = {}
    for row in rows.iter_rows(named=True):
        given = {name: value for name, value in row.items() if value is not None}
        document = contract.document(table, msgspec.convert(given, table.record, strict=False))
        sent[document["_id"]] = document
    differing = unknown = 0
    for found in database[table.name].find(batch_size=5_000):
        expected = sent.pop(found["_id"], None)
        unknown += expected is None
        own = {name: value for name, value in found.items() if name not in TRACE}
        differing += expected is not None and own != expected
    return Difference(rows.height, len(sent), unknown, differing)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return when it holds. Raises RuntimeError when it never does."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(f"waited {PATIENCE} s for {what}")
        time.sleep(0.1)

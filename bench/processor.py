"""What the processor costs: the whole of Complete Journey, then one more day, then one late line.

Starts a MongoDB of its own in memory, stores every sale but those of the last day and an answer of
five bestsellers to each, and runs the processor as its user does. The peer of the whole is reading
the same documents and nothing else, which no computation can be faster than; the peer of a day and
of a line is the whole.

    python bench/processor.py
    python bench/processor.py --json > processor.json
    python bench/processor.py --households 200      quicker, on the first households alone

Exit codes: 0 measured; 1 the processor failed or a figure is wrong.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psutil
from _metrics import metric, show
from _shop_documents import BATCH, ZONE, documents_of, mongodb, store
from pymongo.database import Database

from erp import contract
from erp.mongo import ensure_recommendation_indexes
from erp.processor.changes import OVERLAP
from erp.processor.snapshots import read_stamp

SCRIPT = "mongo_data_processor_completo.py"
PATIENCE_SECONDS = 1_800
GOAL_MEMORY_MB = 800


def main() -> int:
    flags = parse_flags()
    frames = documents_of(flags.households)
    sales = frames[contract.SALES.name]
    evening = sales["sale_datetime"].max() - timedelta(days=1)
    late = sales.filter(pl.col("sale_datetime") > evening).select("sale_id")
    with mongodb() as (database, scripts):
        for table in contract.TABLES:
            early = frames[table.name]
            if "sale_id" in early.columns:
                early = early.join(late, on="sale_id", how="anti")
            store(database, table, early)
        store_answers(database, frames)
        floor = timed(lambda: read_everything(database))
        process = scripts.start(SCRIPT, "--watch", "0.2", BUSINESS_TIMEZONE=ZONE)
        watched = Watched(process, database)
        watched.until(lambda stamp: stamp.round >= 1)
        watched.wait(OVERLAP.total_seconds())  # until a round no longer meets the bulk of the load
        for table in (contract.SALES, contract.SALES_ITEMS):
            store(database, table, frames[table.name].join(late, on="sale_id"))
        lines = frames[contract.SALES_ITEMS.name].height
        done = watched.until(lambda stamp: stamp.lines == lines)
        change_a_line(database)
        watched.until(lambda stamp: stamp.round > done)
        rounds, followed = watched.rounds(), watched.followed()
    (whole, whole_cpu), *days, (line, line_cpu) = rounds
    day, day_cpu = (sum(column) for column in zip(*days, strict=True))
    show(
        {
            "whole": metric(whole, None, "s"),
            "reading_alone": metric(floor, None, "s"),
            "one_more_day": metric(day, None, "s"),
            "one_late_line": metric(line, None, "s"),
            "following_up_all_answers": metric(followed[0], None, "s"),
            "following_up_one_more_day": metric(sum(followed[1:]), None, "s"),
            "whole_per_reading_alone": metric(whole / floor, None, "ratio"),
            "one_more_day_per_whole": metric(day / whole, None, "ratio"),
            "one_late_line_per_whole": metric(line / whole, None, "ratio"),
            "CPU_of_the_whole": metric(whole_cpu, None, "s"),
            "CPU_of_one_more_day": metric(day_cpu, None, "s"),
            "CPU_of_one_late_line": metric(line_cpu, None, "s"),
            "peak_memory": metric(watched.peak, GOAL_MEMORY_MB, "MB", most=True),
        },
        flags.json,
    )
    return 0 if watched.peak < GOAL_MEMORY_MB else 1


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--households", type=int, metavar="N", help="the first N households (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


def read_everything(database: Database) -> None:
    for table in contract.TABLES:
        projection = dict.fromkeys(table.columns, 1)
        for _ in database[table.name].find_raw_batches({}, projection, batch_size=BATCH):
            pass


def store_answers(database: Database, frames: dict[str, pl.DataFrame]) -> None:
    """To each sale five of the bestsellers, as the service stores them but for their names."""
    lines = frames[contract.SALES_ITEMS.name]["product_id"]
    best = lines.value_counts(sort=True)["product_id"].head(100).to_list()
    names = ["sale_id", "customer_id", "sale_datetime"]
    for some in frames[contract.SALES.name].select(names).iter_slices(BATCH):
        database[contract.RECOMMENDATIONS].insert_many(
            [
                {
                    "_id": sale_id,
                    "sale_id": sale_id,
                    "customer_id": customer_id,
                    "timestamp": moment,
                    "created_at": moment,
                    "model_version": "bestsellers",
                    "recommendations": [
                        {
                            "product_id": best[(number + 7 * rank) % len(best)],
                            "ranking": rank,
                            "source": "popular",
                            "confidence_percentage": 10.0 / rank,
                        }
                        for rank in range(1, 6)
                    ],
                }
                for number, (sale_id, customer_id, moment) in enumerate(some.iter_rows())
            ],
            ordered=False,
        )
    ensure_recommendation_indexes(database, 0)


def change_a_line(database: Database) -> None:
    items = database[contract.SALES_ITEMS.name]
    changed = {"net_amount": 1.0, "stored_at": datetime.now(UTC)}
    items.update_one({"_id": items.find_one()["_id"]}, {"$set": changed})


def timed(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


class Watched:
    """The processor at work: its rounds, and its peak of resident memory in MB."""

    def __init__(self, process: subprocess.Popen, database: Database) -> None:
        self.process, self.database = process, database
        self.peak = 0.0

    def until(self, holds: Callable[[Any], bool]) -> int:
        """Wait until the stamp is right; the round."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            stamp = read_stamp(self.database)
            if stamp is not None and holds(stamp):
                return stamp.round
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{SCRIPT} failed:\n{self.process.log.read_text()[-2000:]}")
            self.peak = max(self.peak, psutil.Process(self.process.pid).memory_info().rss / 2**20)
            time.sleep(0.05)

    def wait(self, seconds: float) -> None:
        """Let it work for so long."""
        end = time.monotonic() + seconds
        self.until(lambda _: time.monotonic() > end)

    def rounds(self) -> list[tuple[float, float]]:
        """The seconds of each round that changed something, and those of its own CPU."""
        deadline = time.monotonic() + 10
        while True:  # the line of a round follows its stamp
            found = re.findall(
                r"documents in ([\d.]+) s, CPU ([\d.]+) s", self.process.log.read_text()
            )
            rounds = read_stamp(self.database).round
            if len(found) == rounds or time.monotonic() > deadline:
                return [(float(seconds), float(cpu)) for seconds, cpu in found]
            time.sleep(0.1)

    def followed(self) -> list[float]:
        """The seconds of each time that answers were followed up."""
        found = re.findall(r"followed up in ([\d.]+) s", self.process.log.read_text())
        return [float(seconds) for seconds in found]


if __name__ == "__main__":
    sys.exit(main())

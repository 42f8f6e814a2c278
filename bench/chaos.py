"""Break what can break while lines flow from the producer to MongoDB, and see that none is lost.

Reads   sales of Complete Journey (prepared into a temporary folder, or --csv-dir).
Writes  what was done when, and what is stored afterwards, as tables, or with --json the second as
        one object {metric: {value, goal, unit}}; starts a Kafka and a MongoDB (on a file) of its
        own and leaves nothing behind.

    python bench/chaos.py                               # 200,000 lines, 30 faults, ten minutes
    python bench/chaos.py --lines 20000 --faults 6 --seed 2
    python bench/chaos.py --named                       # with a name the sink comes back at once

Producer, sink and broker are killed (-9), sink and database are ended by SIGTERM, the database
stands still for 20 s; each is started again, the producer with --resume. The database is not
killed: the embedded one does not journal, so that would say nothing about a real one. Afterwards
every line that Kafka confirmed, which is every line of the files, is in MongoDB once, equal field
by field.

Exit codes: 0 nothing lost; 1 something was, or a process failed.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import polars as pl
from _metrics import Metrics, metric, say, show
from _services import ROOT, services
from _sink_faults import Difference, Fault, Flow, compare
from pymongo import MongoClient
from rich.console import Console
from rich.table import Table

from erp import contract

FREEZE_SECONDS = 20
SECONDS_PER_FAULT = 9  # that the flow is to last


def main() -> int:
    flags = parse_flags()
    name = "sink" if flags.named else None
    with services(mongo_backend="file", consumer_instance=name) as (stack, settings, scripts):
        folder = scripts.folder / "csv"
        lines = write_input(flags, scripts.folder, folder)
        sales = pl.scan_csv(folder / "sales.csv").select(pl.len()).collect().item()
        rate = max(1.0, sales / (flags.faults * SECONDS_PER_FAULT))
        sending = ("--mode", "live", "--rate", f"{rate:.2f}", "--tables", "sales,sales_items")
        with MongoClient(stack.mongo_uri, tz_aware=True) as client:
            database = client[settings.mongo_database]
            say(f"{lines:,} lines of {sales:,} sales, {rate:.0f} sales a second")
            flow = Flow(
                stack,
                database,
                scripts.start,
                (*sending, "--csv-dir", str(folder)),
                flags.seed,
                FREEZE_SECONDS,
            )
            flow.break_things(flags.faults, say)
            flow.finish(sales, lines)
            found = compare(database, folder)
    metrics = measured(flow.done, found)
    report(flow.done, metrics, flags.json)
    return int(any(each["value"] > each["goal"] for each in metrics.values() if each["goal"] == 0))


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--csv-dir", type=Path, help="a folder with sales.csv and sales_items.csv")
    add("--lines", type=int, default=200_000, help="of sales, about (default: 200000)")
    add("--faults", type=int, default=30, help="how many (default: 30)")
    add("--seed", type=int, default=1, help="of their order and their moments (default: 1)")
    add("--named", action="store_true", help="the sink has a name (CONSUMER_INSTANCE)")
    add("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


def write_input(flags: argparse.Namespace, folder: Path, target: Path) -> int:
    """The first sales of the source, with all their lines; returns the lines."""
    source = flags.csv_dir
    if source is None:
        source = folder / "prepared"
        prepare = [sys.executable, str(ROOT / "csv_out" / "prepare.py"), "--households", "500"]
        subprocess.run([*prepare, "--output", str(source)], check=True, stdout=subprocess.DEVNULL)
    lines = pl.read_csv(source / "sales_items.csv", infer_schema=False)
    last = lines["sale_id"][min(flags.lines, lines.height) - 1]
    wanted = lines.head(flags.lines).filter(pl.col("sale_id") != last)
    target.mkdir()
    wanted.write_csv(target / "sales_items.csv")
    sales = pl.read_csv(source / "sales.csv", infer_schema=False)
    sales.join(wanted, on="sale_id", how="semi").write_csv(target / "sales.csv")
    return wanted.height


def measured(faults: list[Fault], found: dict[str, Difference]) -> Metrics:
    """The metrics with their goals."""
    lines = found[contract.SALES_ITEMS.name]
    whole = sum(fault.stored < lines.rows for fault in faults)
    metrics = {
        "faults": metric(len(faults), None, "faults"),
        "faults_while_lines_flowed": metric(whole, len(faults), "faults"),
    }
    for name, difference in found.items():
        for what, number in difference._asdict().items():
            goal = None if what == "rows" else 0
            metrics[f"{name}_{what}"] = metric(number, goal, "documents", most=True)
    return metrics


def report(faults: list[Fault], metrics: Metrics, as_json: bool) -> None:
    """Print what was done when, and what is left of it."""
    done = Table("second", "what was done", "lines stored by then", "back after")
    for fault in faults:
        done.add_row(
            f"{fault.second:.1f}", fault.what, f"{fault.stored:,}", f"{fault.lasted:.1f} s"
        )
    Console(stderr=as_json).print(done)
    show(metrics, as_json)


if __name__ == "__main__":
    sys.exit(main())

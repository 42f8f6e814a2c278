"""What each stage costs at 1, 3 and 10 times a number of sales, and whether it grows in proportion.

Starts a Kafka and a MongoDB (in memory) of its own. For each size so many sales of Complete
Journey go through the scripts as a user runs them: producer, sink, trainer (in this process, and by
Spark on both processors of this machine), processor, service. What a script costs with a hundred
sales is its start and is taken off. A slope of 1, of the logarithms of seconds and of lines, is a
cost in proportion; less is better.

    python bench/scale.py
    python bench/scale.py --json > scale.json
    python bench/scale.py --base 1000 --only producer,sink
    python bench/scale.py --lines 50000000     # the trainer alone, on so many: seconds and memory

Exit codes: 0 measured; 1 something failed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from _services import ROOT, Scripts, services
from rich.console import Console
from rich.table import Table

from erp import contract

STAGES = {
    "producer": "line",
    "sink": "line",
    "trainer": "line",
    "spark": "line",
    "processor": "line",
    "service": "sale",
}
SIZES = (1, 3, 10)  # times the base
FEW = 100  # sales: what is left is the start
GOAL_SLOPE = 1.1
GOAL_MEMORY_GB = 24
GB = 1024


class Shop(NamedTuple):
    """The files of some sales, and how many there are."""

    folder: Path
    sales: int
    lines: int
    name: str

    def settings(self) -> dict[str, object]:
        """Topics, groups and a database of its own."""
        return {
            "topic_prefix": f"bench-{self.name}.",
            "consumer_group_prefix": f"bench-{self.name}.",
            "mongo_database": f"bench_{self.name}",
            "csv_dir": self.folder,
            "model_path": self.folder / "models" / "item_sim.pkl",
        }


def main() -> int:
    flags = parse_flags()
    with tempfile.TemporaryDirectory(prefix="erp-scale-") as name:
        source = flags.csv_dir or prepared(Path(name))
        if flags.lines:
            results = trained(source, flags.lines)
        else:
            shops = [some_sales(source, Path(name), FEW)]
            shops += [some_sales(source, Path(name), flags.base * times) for times in SIZES]
            costs = measured(shops, flags.only)
            results = summary(shops, costs)
            if not flags.json:
                show(shops, costs)
    if flags.json:
        print(json.dumps(results, indent=1))
    else:
        show_metrics(results)
    return 0


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--csv-dir", type=Path, help="what csv_out/prepare.py wrote (default: anew)"
    )
    parser.add_argument("--base", type=int, default=2_500, help="sales at 1x (default: 2500)")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(STAGES),
        metavar="STAGE,STAGE",
        help=f"of {','.join(STAGES)}; a stage needs those before it (default: all)",
    )
    parser.add_argument("--lines", type=int, metavar="N", help="train on N resampled lines instead")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser.parse_args()


def prepared(folder: Path) -> Path:
    """Complete Journey as files."""
    target = folder / "prepared"
    command = [sys.executable, str(ROOT / "csv_out" / "prepare.py"), "--output", str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target


def some_sales(source: Path, folder: Path, count: int) -> Shop:
    """The files of `count` sales, spread evenly over the year."""
    target = folder / f"shop-{count}"
    target.mkdir()
    sales = pl.read_csv(source / "sales.csv", infer_schema=False).sort("sale_datetime", "sale_id")
    sales = sales.gather_every(max(1, len(sales) // count)).head(count)
    lines = pl.read_csv(source / "sales_items.csv", infer_schema=False)
    lines = lines.join(sales.select("sale_id"), on="sale_id", how="semi", maintain_order="left")
    for frame, table in ((sales, contract.SALES), (lines, contract.SALES_ITEMS)):
        frame.write_csv(target / f"{table.name}.csv")
    for table in (contract.PRODUCTS, contract.CUSTOMERS):
        shutil.copy(source / f"{table.name}.csv", target)
    return Shop(target, len(sales), len(lines), str(count))


def measured(shops: list[Shop], only: list[str]) -> dict[str, list[float]]:
    """Seconds of each stage for each shop, the smallest first, the start left in."""
    costs: dict[str, list[float]] = {stage: [] for stage in only}
    with services(mongo_heap="3g") as (_, _, scripts):
        for stage in only:  # once for nothing: the first start of a program reads it from disk
            run_stage(scripts, stage, shops[0])
        for shop in [shops[0]._replace(name="start"), *shops[1:]]:
            for stage in only:
                costs[stage].append(run_stage(scripts, stage, shop))
                told = f"{stage} {shop.lines:,} lines: {costs[stage][-1]:.1f} s"
                print(told, file=sys.stderr, flush=True)
    return costs


def run_stage(scripts: Scripts, stage: str, shop: Shop) -> float:
    """Run the script of a stage to its end; seconds."""
    tables = "sales,sales_items"
    messages = shop.sales + shop.lines
    own = ("--checkpoint", shop.folder / f"{shop.name}.json")
    command: dict[str, tuple[object, ...]] = {
        "producer": ("erp_simulator_producer.py", "--tables", tables, *own),
        "sink": ("erp_kafka_to_mongo.py", "--max-messages", messages),
        "trainer": ("model_train_reco.py", "--source", f"csv:{shop.folder}"),
        "spark": ("model_train_reco.py", "--source", f"csv:{shop.folder}", "--engine", "spark",
                  "--output", shop.folder / "spark.pkl"),
        "processor": ("mongo_data_processor_completo.py", "--once"),
        "service": ("reco_service_stream.py", "--max-messages", shop.sales),
    }  # fmt: skip
    began = time.perf_counter()
    process = scripts.start(*command[stage], **shop.settings())
    if process.wait():
        sys.exit(f"{stage} failed:\n{process.log.read_text()[-3000:]}")
    return time.perf_counter() - began


def growth(shops: list[Shop], costs: list[float]) -> tuple[float, float]:
    """Microseconds a line at the largest size, and the slope of the logarithms."""
    start = costs[0]
    seconds = np.maximum([cost - start for cost in costs[1:]], 0.01)
    lines = np.array([shop.lines - shops[0].lines for shop in shops[1:]])
    slope = np.polyfit(np.log(lines), np.log(seconds), 1)[0]
    return 1e6 * seconds[-1] / lines[-1], float(slope)


def summary(shops: list[Shop], costs: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """The metrics with their goals."""
    results = {}
    per_sale = (shops[-1].lines - shops[0].lines) / (shops[-1].sales - shops[0].sales)
    for stage, each in costs.items():
        cost, slope = growth(shops, each)
        unit = STAGES[stage]
        cost *= per_sale if unit == "sale" else 1
        results[f"{stage}_cost"] = metric(cost, None, f"µs/{unit}")
        results[f"{stage}_slope"] = metric(slope, GOAL_SLOPE, "slope")
    return results


def trained(source: Path, lines: int) -> dict[str, dict[str, Any]]:
    """The local trainer in a process of its own on so many lines made of real ones."""
    program = Path(__file__).with_name("_resampled.py")
    command = [sys.executable, str(program), str(source), str(lines)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(
            f"the trainer ended with {done.returncode} on {lines:,} lines: it needs more memory"
            " than there is, or what it said above"
        )
    found = json.loads(done.stdout)
    return {
        "lines": metric(found["lines"], None, "lines"),
        "sales": metric(found["sales"], None, "sales"),
        "customers": metric(found["customers"], None, "customers"),
        "similar_pairs": metric(found["pairs"], None, "pairs"),
        "seconds": metric(found["seconds"], None, "s"),
        "cost": metric(1e6 * found["seconds"] / found["lines"], None, "µs/line"),
        "memory_of_the_lines": metric(found["peak_before_mb"] / GB, None, "GB"),
        "peak_memory": metric(found["peak_mb"] / GB, GOAL_MEMORY_GB, "GB"),
    }


def metric(value: float, goal: float | None, unit: str) -> dict[str, Any]:
    found = {"value": round(value, 3), "goal": goal, "unit": unit}
    return found if goal is None else found | {"at_most": True}


def show(shops: list[Shop], costs: dict[str, list[float]]) -> None:
    """Seconds of each stage at each size."""
    table = Table("stage", title="seconds, the start taken off")
    table.add_column("start", justify="right")
    for shop in shops[1:]:
        table.add_column(f"{shop.sales:,} sales\n{shop.lines:,} lines", justify="right")
    for stage, each in costs.items():
        later = (f"{cost - each[0]:.2f}" for cost in each[1:])
        table.add_row(stage, f"{each[0]:.2f}", *later)
    console().print(table)


def show_metrics(results: dict[str, dict[str, Any]]) -> None:
    table = Table("metric")
    for title in ("value", "goal", "unit"):
        table.add_column(title, justify="right")
    for name, row in results.items():
        goal = "" if row["goal"] is None else f"{row['goal']:g}"
        table.add_row(name, f"{row['value']:,.2f}", goal, row["unit"])
    console().print(table)


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 100)


if __name__ == "__main__":
    sys.exit(main())

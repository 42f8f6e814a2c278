"""Measure the trainer and its model's answers: seconds, memory, growth, baskets per second.

Reads   sales of Complete Journey (prepared into a temporary folder, or --csv-dir).
Writes  a table, or with --json one object {metric: {value, goal, unit}}; needs no server.

    python bench/trainer.py
    python bench/trainer.py --only fit,answers --rounds 9
    python bench/trainer.py --json > trainer.json

fit      the similarities, and the whole fit with everything that is learned, beside implicit's
         CosineRecommender on the same matrix with the same threads and as many neighbours. Rounds
         in rotated order; medians count. Processor seconds say the same on a machine that is busy.
command  `model_train_reco.py` from the files to the model on disk, beyond the bare reading of the
         same columns by polars; its peak memory.
growth   the whole fit of ten times the baskets, each repeated under new ids, by that of one.
answers  recommendations by product ids, through the library: many at once, and one by one.

Exit codes: 0 measured; 1 something failed; 2 usage.
"""

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from _ended import cost_of
from _metrics import Metrics, metric, say, show
from _services import ROOT  # puts the project on the path
from implicit.nearest_neighbours import CosineRecommender

from erp.recommender import Model, ModelSettings, fit_baskets, training_csv
from erp.recommender.learning import similarities
from erp.recommender.peers import matrix
from erp.recommender.training_data import Baskets

PARTS = ("fit", "command", "growth", "answers")
TIMES = 10  # the baskets of `growth`
ASKED, ONE_BY_ONE = 20_000, 5_000  # newest baskets
COLUMNS = {
    "sales": ("sale_id", "sale_datetime", "customer_id", "store_id"),
    "sales_items": ("sale_id", "product_id", "quantity"),
}


class Cost(NamedTuple):
    """Seconds on the clock, and of all processors."""

    seconds: float
    cpu: float


def main() -> int:
    """Measure what was asked for, print it."""
    flags = parse()
    metrics: Metrics = {}
    with tempfile.TemporaryDirectory(prefix="erp-trainer-") as name:
        folder = flags.csv_dir or prepared(Path(name))
        if "command" in flags.only:
            say("the command")
            metrics |= command(folder, Path(name), flags.rounds)
        baskets = training_csv.read_baskets(folder)
        say("compiling, and once for nothing")
        model = fit_baskets(baskets)
        if "fit" in flags.only:
            metrics |= fit(baskets, model.settings, flags.rounds)
        if "growth" in flags.only:
            metrics |= growth(baskets, flags.rounds)
        if "answers" in flags.only:
            say("answers")
            metrics |= answers(model, baskets, flags.rounds)
    show(metrics, flags.json)
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv-dir", type=Path, help="what csv_out/prepare.py wrote")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    flags = parser.parse_args()
    flags.only = flags.only.split(",")
    if unknown := set(flags.only) - set(PARTS):
        parser.error(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    return flags


def prepared(folder: Path) -> Path:
    """Complete Journey as files."""
    target = folder / "csv"
    program = [sys.executable, str(ROOT / "csv_out" / "prepare.py"), "--output", str(target)]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    return target


def fit(baskets: Baskets, settings: ModelSettings, rounds: int) -> Metrics:
    """The similarities and the whole fit beside implicit's."""
    sales = matrix(baskets)
    costs = measured(
        {
            "similarities": partial(similarities, baskets, settings),
            "whole fit": lambda: fit_baskets(baskets, settings=settings),
            "implicit": partial(peer_fit, sales, settings),
        },
        rounds,
    )
    peer = costs["implicit"]
    found = {f"{name}, seconds": metric(cost.seconds, None, "s") for name, cost in costs.items()}
    for name, goal in (("similarities", 1.0), ("whole fit", None)):
        ratios = Cost(costs[name].seconds / peer.seconds, costs[name].cpu / peer.cpu)
        for what, ratio in zip(("to implicit's", "processor to implicit's"), ratios, strict=True):
            found[f"{name}, {what}"] = metric(ratio, goal, "ratio", most=goal is not None)
    return found


def peer_fit(sales: sp.csr_matrix, settings: ModelSettings) -> None:
    peer = CosineRecommender(K=settings.top_sim_per_item, num_threads=settings.threads)
    with warnings.catch_warnings(action="ignore"):  # of the form of its own matrix
        peer.fit(sales, show_progress=False)


def command(folder: Path, scratch: Path, rounds: int) -> Metrics:
    """The training command beyond the bare reading, and its peak memory."""
    costs, peaks = [], []
    for _ in range(1 + min(rounds, 3)):
        seconds, peak = trained(folder, scratch / "item_sim.pkl")
        costs.append(seconds)
        peaks.append(peak)
    bare = measured({"reading": partial(read, folder)}, rounds)["reading"]
    seconds = statistics.median(costs[1:])  # the first one may have compiled
    return {
        "command, seconds": metric(seconds, None, "s"),
        "bare reading, seconds": metric(bare.seconds, None, "s"),
        "command beyond reading": metric(seconds - bare.seconds, 10, "s", most=True),
        "command, peak memory": metric(max(peaks), 1500, "MB", most=True),
    }


def trained(folder: Path, output: Path) -> tuple[float, float]:
    """Seconds of one run of the command, and its peak memory in MB."""
    program = [sys.executable, str(ROOT / "model_train_reco.py")]
    began = time.perf_counter()
    process = subprocess.Popen(
        [*program, "--source", f"csv:{folder}", "--output", str(output)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    cost = cost_of(process)
    if process.returncode:
        told = process.stderr.read() if process.stderr else ""
        sys.exit(f"the trainer failed:\n{told[-3000:]}")
    return time.perf_counter() - began, cost.memory


def read(folder: Path) -> None:
    """The columns that the trainer needs, and nothing done with them."""
    for name, columns in COLUMNS.items():
        pl.read_csv(folder / f"{name}.csv", columns=list(columns), infer_schema=False)


def growth(baskets: Baskets, rounds: int) -> Metrics:
    """What ten times the baskets cost."""
    many = repeated(baskets, TIMES)
    costs = measured(
        {"one": lambda: fit_baskets(baskets), "many": lambda: fit_baskets(many)}, min(rounds, 3)
    )
    seconds, cpu = (
        after / before for after, before in zip(costs["many"], costs["one"], strict=True)
    )
    return {
        f"{TIMES} times the baskets": metric(seconds, 12, "ratio", most=True),
        f"{TIMES} times the baskets, processor": metric(cpu, 12, "ratio", most=True),
    }


def repeated(baskets: Baskets, times: int) -> Baskets:
    """Each sale so many times under ids of its own, in the order of time."""
    sizes = np.repeat(baskets.sizes, times)
    indptr = np.concatenate(([0], np.cumsum(sizes)))
    begin = np.repeat(baskets.indptr[:-1], times)
    places = np.repeat(begin - indptr[:-1], sizes) + np.arange(indptr[-1])
    return replace(
        baskets,
        sale_ids=pa.array([f"{number:010d}" for number in range(len(sizes))], pa.string()),
        indptr=indptr,
        items=baskets.items[places],
        times=np.repeat(baskets.times, times),
        customers=np.repeat(baskets.customers, times),
        stores=np.repeat(baskets.stores, times),
    )


def answers(model: Model, baskets: Baskets, rounds: int) -> Metrics:
    """Recommendations for the newest baskets by product ids, as a program of one's own asks."""
    asked = range(max(0, len(baskets) - ASKED), len(baskets))
    names = np.array(baskets.item_ids, object)
    shown = [names[baskets.items[slice(*baskets.indptr[sale : sale + 2])]].tolist()
             for sale in asked]  # fmt: skip
    customers = [
        baskets.customer_ids[code] if code >= 0 else None for code in baskets.customers[asked]
    ]
    costs = measured(
        {
            "basket alone": lambda: model.recommend_many(shown),
            "customer known": lambda: model.recommend_many(shown, customers),
        },
        rounds,
    )
    goals = {"basket alone": 20_000, "customer known": None}
    found = {
        f"recommend_many, {name}": metric(len(shown) / cost.seconds, goals[name], "baskets/s")
        for name, cost in costs.items()
    }
    for name, cost in costs.items():
        micros = 1e6 * cost.cpu / len(shown)
        found[f"recommend_many, {name}, processor"] = metric(micros, None, "µs/basket")
    for name, given in (("basket alone", [None] * len(shown)), ("customer known", customers)):
        questions = list(zip(shown, given, strict=True))[:ONE_BY_ONE]
        goal = 300 if name == "basket alone" else None
        for kind, clock in (("", time.perf_counter), (", processor", time.thread_time)):
            median, late = 1e6 * np.percentile(one_by_one(model, questions, clock), (50, 99))
            bound = None if kind else goal
            found[f"one basket, {name}, median{kind}"] = metric(median, None, "µs")
            found[f"one basket, {name}, 99 %{kind}"] = metric(
                late, bound, "µs", most=bound is not None
            )
    return found


def one_by_one(model: Model, questions: list, clock: Callable[[], float]) -> list[float]:
    """Seconds of each question by itself."""
    seconds = []
    for basket, customer in questions:
        began = clock()
        model.recommend(basket, customer)
        seconds.append(clock() - began)
    return seconds


def measured(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, Cost]:
    """The medians of each, in rounds whose order rotates."""
    costs: dict[str, list[Cost]] = {name: [] for name in work}
    names = list(work)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: {', '.join(names)}")
        for name in names:
            gc.collect()
            began, cpu = time.perf_counter(), time.process_time()
            work[name]()
            costs[name].append(Cost(time.perf_counter() - began, time.process_time() - cpu))
        names = names[1:] + names[:1]
    return {
        name: Cost(*map(statistics.median, zip(*each, strict=True))) for name, each in costs.items()
    }


if __name__ == "__main__":
    sys.exit(main())

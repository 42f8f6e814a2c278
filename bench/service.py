"""Measure the recommendation service: throughput, latencies, memory, and what faults do to it.

Reads   sales of Complete Journey (prepared into a temporary folder, or --csv-dir).
Writes  a table, or with --json one object {metric: {value, goal, unit}}; starts a Kafka and a
        MongoDB of its own on free ports and leaves nothing behind.

    python bench/service.py                       # everything, about twenty minutes
    python bench/service.py --only backlog        # or live, soak, chaos
    python bench/service.py --only chaos --chaos-sales 2000 --faults 5

backlog  sales wait in Kafka, their lines in MongoDB: recommendations per second with one process
         and with two, beside the bare ceiling: the same reads, writes and messages through the
         plain clients in batches of the same size, with answers that were made before. Beside
         each, the processor time that an answer costs, which a busy machine hardly changes.
         Rounds alternate; medians count.
live     producer, sink and service together: from the header's entry in Kafka to the
         recommendation's, told apart by whether the servers, started a moment ago, still compile
         themselves; and scoring with enrichment alone, one sale at a time.
soak     many sales in waves under new ids: memory after the first wave and at the end.
chaos    service, sink and broker are killed, the database is restarted and frozen, at random,
         during a live replay: one recommendation for each sale, with its full basket.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
from _metrics import Metrics, metric, say, show
from _reco import (
    SERVICE,
    SINK,
    Bench,
    Sales,
    bench,
    newest_sales,
    products,
    replay,
    wait_until,
)
from _service_chaos import chaos
from _services import ROOT

from erp import contract, kafka, recommender
from erp.outbox import Outbox
from erp.recommender.catalogue import Catalogue
from erp.service import sale_answers
from erp.service.baskets import Basket, Line, find_by_id
from reco_service_stream import BATCH

PARTS = ("backlog", "live", "soak", "chaos")
WARM_UP_SECONDS = 40  # of live sales: by then two cores have compiled the servers
LINE_FIELDS = {"product_id": 1, "quantity": 1, "net_amount": 1}


class Pace(NamedTuple):
    """Recommendations per second, and ms of processor time that one costs."""

    rate: float
    cost: float


def main() -> int:
    """Prepare data and a model, measure what was asked for, print it."""
    flags = parse()
    metrics: Metrics = {}
    with tempfile.TemporaryDirectory() as name:
        csv_dir, model = flags.csv_dir or Path(name) / "csv", Path(name) / "item_sim.pkl"
        sales = prepare(csv_dir, model, flags)
        if "backlog" in flags.only:
            with bench(csv_dir, model, "memory") as b:
                metrics |= backlog(b, sales.first(flags.sales), flags.rounds)
        if "live" in flags.only:
            with bench(csv_dir, model, "memory") as b:
                metrics |= live(b, sales.first(flags.live_sales))
            metrics |= scoring(csv_dir, model, sales.first(2_000))
        if "soak" in flags.only:
            with bench(csv_dir, model, "memory") as b:
                metrics |= soak(b, sales.first(flags.sales), flags.soak_sales)
        if "chaos" in flags.only:
            with bench(csv_dir, model, "file") as b:
                metrics |= chaos(b, sales.first(flags.chaos_sales), flags.faults, flags.seed)
    show(metrics, flags.json)
    return 0


def parse() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="measure these (default: all)")
    add("--csv-dir", type=Path, help="the four CSV files (default: prepared from Complete Journey)")
    add("--sales", type=int, default=20_000, help="of the backlog and of a wave (default: 20000)")
    add("--rounds", type=int, default=3, help="of the backlog, each way (default: 3)")
    add("--live-sales", type=int, default=10_000, help="at 100 a second (default: 10000)")
    add("--soak-sales", type=int, default=200_000, help="in all (default: 200000)")
    add("--chaos-sales", type=int, default=10_000, help="at 50 a second (default: 10000)")
    add("--faults", type=int, default=20, help="of the chaos (default: 20)")
    add("--seed", type=int, default=1, help="of the random faults (default: 1)")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse_args()


def prepare(csv_dir: Path, model: Path, flags: argparse.Namespace) -> Sales:
    """The newest sales of the files, and a model of the ones before them."""
    if flags.csv_dir is None:
        say("preparing half a year of Complete Journey")
        run("csv_out/prepare.py", "--weeks", 26, "--output", csv_dir)
    sales, first = newest_sales(csv_dir, max(flags.sales, flags.live_sales, flags.chaos_sales))
    say(f"training on the sales before {first:%Y-%m-%d}")
    until = first.isoformat()
    run("model_train_reco.py", "--source", f"csv:{csv_dir}", "--until", until, "--output", model)
    return sales


def run(script: str, *arguments: object) -> None:
    """Run one of the project's scripts to its end."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{script} failed:\n{done.stderr[-3000:]}")


def backlog(b: Bench, sales: Sales, rounds: int) -> Metrics:
    """Recommendations per second of a backlog, and of the bare clients doing the same."""
    sales.store_lines(b.database)
    sales.send_headers(b.settings)
    say("warming up")
    serve(b, len(sales), "warm")
    ready = ready_answers(b)
    paces: dict[str, list[Pace]] = {"one": [], "bare": [], "two": []}
    for number in range(rounds):
        say(f"backlog, round {number + 1} of {rounds}")
        paces["one"].append(serve(b, len(sales), f"one{number}"))
        paces["bare"].append(bare(b, len(sales), ready, f"bare{number}"))
        paces["two"].append(serve(b, len(sales), f"two{number}", processes=2))
    one, ceiling, two = (
        statistics.median(pace.rate for pace in paces[name]) for name in ("one", "bare", "two")
    )
    own, plain = (statistics.median(pace.cost for pace in paces[name]) for name in ("one", "bare"))
    return {
        "backlog_per_second": metric(one, 1_000, "recommendations/s"),
        "bare_clients_per_second": metric(ceiling, None, "recommendations/s"),
        "backlog_to_bare": metric(one / ceiling, 0.7, "ratio"),
        "processor_per_answer": metric(own, None, "ms"),
        "processor_per_answer_bare": metric(plain, None, "ms"),
        "two_processes_per_second": metric(two, None, "recommendations/s"),
        "two_processes_to_one": metric(two / one, None, "ratio"),
        "cores": metric(psutil.cpu_count() or 0, None, "cores, for Kafka and MongoDB too"),
    }


def serve(b: Bench, count: int, group: str, processes: int = 1) -> Pace:
    """Answer the whole topic with so many processes, counted from the first batch on."""
    b.database[contract.RECOMMENDATIONS].delete_many({})  # nobody answered them before
    starts = b.ends(contract.RECOMMENDATIONS)
    before, wanted = sum(starts), sum(starts) + count
    running = [
        b.scripts.start(SERVICE, consumer_group_prefix=f"{group}-") for _ in range(processes)
    ]
    wait_until(lambda: b.messages(contract.RECOMMENDATIONS) >= before + BATCH, "the first batch")
    spent, first = processor_seconds(running), b.messages(contract.RECOMMENDATIONS)
    wait_until(lambda: b.messages(contract.RECOMMENDATIONS) >= wanted, "the backlog")
    spent = processor_seconds(running) - spent
    b.scripts.stop(*running)
    # from the first batch's confirmation to the last one's
    times = sorted(each.timestamp()[1] for each in b.read(contract.RECOMMENDATIONS, starts))
    rate = (count - BATCH) / (times[-1] - times[BATCH - 1]) * 1_000
    return Pace(rate, spent / (wanted - first) * 1_000)


def processor_seconds(processes: list[subprocess.Popen[bytes]]) -> float:
    """Of all their threads, in user and system mode."""
    times = [psutil.Process(process.pid).cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def ready_answers(b: Bench) -> dict[str, tuple[dict, bytes]]:
    """The answers that the service gave, as documents and as messages."""
    return {
        answer["_id"]: (answer, sale_answers.encode(answer))
        for answer in b.database[contract.RECOMMENDATIONS].find(batch_size=1_000)
    }


def bare(b: Bench, count: int, ready: dict[str, tuple[dict, bytes]], group: str) -> Pace:
    """The same reads, writes and messages without the service."""
    answers = b.database[contract.RECOMMENDATIONS]
    answers.delete_many({})
    consumer = kafka.consumer(b.settings.kafka, group)
    consumer.subscribe([b.topic(contract.SALES.name)])
    outbox = Outbox(b.settings.kafka)
    items = b.database[contract.SALES_ITEMS.name]
    done, first = 0, 0.0
    while done < count:
        messages = consumer.consume(BATCH, 0.1)
        headers = [msgspec.json.decode(message.value()) for message in messages]
        ids = [
            contract.item_id(header["sale_id"], number)
            for header in headers
            for number in range(1, header["items_count"] + 2)
        ]
        lines = list(find_by_id(items, ids, LINE_FIELDS))
        chosen = [ready[header["sale_id"]] for header in headers]
        if not lines:
            continue
        answers.insert_many([each for each, _ in chosen], ordered=False)
        outbox.send(
            b.topic(contract.RECOMMENDATIONS),
            [{"key": each["_id"].encode(), "value": value} for each, value in chosen],
        )
        outbox.flush()
        consumer.commit(asynchronous=True)
        done += len(messages)
        if not first:
            first, spent, counted = time.perf_counter(), time.process_time(), done
    rate = (count - counted) / (time.perf_counter() - first)
    cost = (time.process_time() - spent) / (count - counted) * 1_000
    consumer.close()
    return Pace(rate, cost)


def live(b: Bench, sales: Sales) -> Metrics:
    """Latencies with producer, sink and service running together, 100 sales a second."""
    say(f"live, {len(sales)} sales at 100 a second")
    sink, service = b.scripts.start(SINK), b.scripts.start(SERVICE)
    wait_until(lambda: "came, now" in service.log.read_text(), "the service")
    wait_until(lambda: "reading" in sink.log.read_text(), "the sink")
    replay(b, sales)
    b.scripts.check(sink, service)
    wait_until(lambda: b.messages(contract.RECOMMENDATIONS) >= len(sales), "the answers")
    b.scripts.stop()
    entered = {each.key(): each.timestamp()[1] for each in b.read(contract.SALES.name)}
    answered = {each.key(): each.timestamp()[1] for each in b.read(contract.RECOMMENDATIONS)}
    warm = min(entered.values()) + WARM_UP_SECONDS * 1_000
    cold = sorted(answered[key] - moment for key, moment in entered.items() if moment < warm)
    took = sorted(answered[key] - moment for key, moment in entered.items() if moment >= warm)
    incomplete = b.database[contract.RECOMMENDATIONS].count_documents({"complete": False})
    return {
        "live_incomplete": metric(incomplete, 0, "answers", most=True),
        "live_median": metric(statistics.median(took), 100, "ms", most=True),
        "live_p90": metric(took[int(len(took) * 0.9)], None, "ms"),
        "live_p99": metric(took[int(len(took) * 0.99)], 500, "ms", most=True),
        "live_warm_up_median": metric(statistics.median(cold), None, "ms"),
        "live_warm_up_p99": metric(cold[int(len(cold) * 0.99)], None, "ms"),
    }


def scoring(csv_dir: Path, path: Path, sales: Sales) -> Metrics:
    """Milliseconds of scoring and enriching one sale alone."""
    say("scoring, one sale at a time")
    model = recommender.load(path)
    model.use(Catalogue.from_products(products(csv_dir)))
    took = []
    for header in sales.headers:
        sale = msgspec.json.decode(header["value"], type=contract.Sale)
        lines = {
            line["line_n"]: Line(line["product_id"], line.get("quantity"), line.get("net_amount"))
            for line in sales.lines[sale.sale_id]
        }
        basket = Basket(sale, time.time(), lines=lines)
        began = time.perf_counter()
        for answer in sale_answers.answers(model, [basket], 5):
            sale_answers.encode(answer)
        took.append((time.perf_counter() - began) * 1_000)
    took.sort()
    return {
        "scoring_median": metric(statistics.median(took), None, "ms"),
        "scoring_p90": metric(took[int(len(took) * 0.9)], 1, "ms", most=True),
    }


def soak(b: Bench, sales: Sales, total: int) -> Metrics:
    """Memory of the service after the first wave and at the end."""
    service = b.scripts.start(SERVICE)
    memory = []
    waves = max(2, total // len(sales))
    for wave in range(waves):
        say(f"soak, wave {wave + 1} of {waves}")
        part = sales.renamed(f"{wave}-")
        part.store_lines(b.database)
        part.send_headers(b.settings)
        wanted = (wave + 1) * len(sales)
        wait_until(lambda wanted=wanted: b.messages(contract.RECOMMENDATIONS) >= wanted, "a wave")
        memory.append(psutil.Process(service.pid).memory_info().rss / 2**20)
        b.database[contract.SALES_ITEMS.name].drop()
        b.database[contract.RECOMMENDATIONS].drop()
    b.scripts.stop(service)
    return {
        "soak_sales": metric(waves * len(sales), None, "sales"),
        "memory_after_first_wave": metric(memory[0], None, "MiB"),
        "memory_at_the_end": metric(memory[-1], None, "MiB"),
        "memory_growth": metric(memory[-1] / memory[0], 1.1, "ratio", most=True),
    }


if __name__ == "__main__":
    sys.exit(main())

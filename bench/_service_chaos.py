"""Faults at random while sales are replayed, and what is left of the sales afterwards."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
from _metrics import Metrics, metric, say
from _reco import SERVICE, SINK, Bench, Sales, replay, wait_until
from rich.console import Console
from rich.table import Table

from erp import contract
from erp.contract import Recommendation

FREEZE_SECONDS = (2, 12)
DOWN_SECONDS = (0.5, 4)
RATE = 50  # sales a second
FAULTY_SHARE = (
    0.6  # of the replay in which a fault is due; each one takes seconds, so some come late
)
SETTLE_SECONDS = 300  # after the replay, for the last sale to be answered with all its lines


class Faults:
    """Kills, restarts and freezes; every one is made good again a few seconds later."""

    def __init__(self, b: Bench, seed: int) -> None:
        self._b, self._random = b, random.Random(seed)
        self._scripts = {name: b.scripts.start(name) for name in (SERVICE, SINK)}
        self._kinds: list[tuple[str, Callable[[], None]]] = [
            ("kill -9 of the service", lambda: self._kill(SERVICE)),
            ("kill -9 of the sink", lambda: self._kill(SINK)),
            ("kill -9 of the broker", self._kill_broker),
            ("restart of the database", b.stack.mongo.restart),
            ("freeze of the database", self._freeze),
        ]
        self.done: list[tuple[float, str]] = []

    def inject(self, count: int, seconds: float) -> None:
        """So many faults, spread over so many seconds."""
        began = time.monotonic()
        moments = sorted(self._random.uniform(0, seconds) for _ in range(count))
        kinds = [self._kinds[n % len(self._kinds)] for n in range(count)]
        self._random.shuffle(kinds)
        for moment, (name, fault) in zip(moments, kinds, strict=True):
            time.sleep(max(0, began + moment - time.monotonic()))
            self.done.append((time.monotonic() - began, name))
            say(f"  {time.monotonic() - began:6.1f} s  {name}")
            fault()

    def _kill(self, script: str) -> None:
        self._scripts[script].kill()
        self._scripts[script].wait()
        time.sleep(self._random.uniform(*DOWN_SECONDS))
        self._scripts[script] = self._b.scripts.start(script)

    def _kill_broker(self) -> None:
        self._b.stack.kafka.kill()
        time.sleep(self._random.uniform(*DOWN_SECONDS))
        self._b.stack.kafka.launch()
        self._b.stack.kafka.wait()

    def _freeze(self) -> None:
        self._b.stack.mongo.freeze()
        time.sleep(self._random.uniform(*FREEZE_SECONDS))
        self._b.stack.mongo.thaw()


def chaos(b: Bench, sales: Sales, count: int, seed: int) -> Metrics:
    """Replay sales while things break; afterwards every sale has one whole recommendation."""
    say(f"chaos, {len(sales)} sales at {RATE} a second, {count} faults")
    faults = Faults(b, seed)
    seconds = len(sales) / RATE * FAULTY_SHARE
    breaking = threading.Thread(target=faults.inject, args=(count, seconds))
    breaking.start()
    replay(b, sales, RATE)
    in_time = len(faults.done)
    breaking.join()
    answers = b.database[contract.RECOMMENDATIONS]
    wait_until(
        lambda: answers.count_documents({"complete": True}) >= len(sales),
        "every sale to have its full basket",
        SETTLE_SECONDS,
        fatal=False,
    )
    b.scripts.stop()
    _show(faults.done)
    return {"chaos_faults_during_replay": metric(in_time, count, "faults")} | _compare(b, sales)


def _compare(b: Bench, sales: Sales) -> Metrics:
    found = b.database[contract.RECOMMENDATIONS].find(batch_size=1_000)
    documents = {each.pop("_id"): each for each in found}
    messages = b.read(contract.RECOMMENDATIONS)
    # one key is in one partition, so the last one read of a key is its latest
    latest = {each.key().decode(): each.value() for each in messages}
    missing = sum(sale_id not in documents or sale_id not in latest for sale_id in sales.lines)
    differing = sum(
        msgspec.json.decode(latest[sale_id], type=Recommendation)
        != msgspec.convert(document, Recommendation)
        for sale_id, document in documents.items()
        if sale_id in latest
    )
    partial = sum(
        _products(documents[sale_id]["basket_products"]) != _products(lines)
        for sale_id, lines in sales.lines.items()
        if sale_id in documents
    )
    return {
        "chaos_sales": metric(len(sales), None, "sales"),
        "chaos_without_answer": metric(missing, 0, "sales", most=True),
        "chaos_unknown_answers": metric(len(documents.keys() - sales.lines), 0, "", most=True),
        "chaos_document_differs_from_message": metric(differing, 0, "sales", most=True),
        "chaos_basket_not_full": metric(partial, 0, "sales", most=True),
        "chaos_messages_per_sale": metric(len(messages) / len(sales), None, "messages"),
    }


def _products(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(line["product_id"] for line in lines)


def _show(faults: list[tuple[float, str]]) -> None:
    table = Table("second", "fault")
    for moment, name in faults:
        table.add_row(f"{moment:.1f}", name)
    Console(stderr=True).print(table)

"""Rounds that follow changes, against computing everything anew."""

import pytest

from erp.processor import catch_up
from erp.processor.aggregates import COLLECTIONS, FACTS
from erp.processor.catch_up import missing, recall, recompute
from erp.processor.packed import unpack
from erp.processor.snapshots import read, read_state
from tests.processor_shop import RandomShop

ZONE = "America/New_York"
COUNTED = ("sales", "lines", "orphan_lines", "first_day", "last_day", "up_to_sale", "up_to_time")


@pytest.fixture
def shop(database, monkeypatch):
    """A random shop whose rounds never fall back on computing everything anew."""
    monkeypatch.setattr(catch_up, "FEW_DAYS", 10_000)
    return RandomShop(database, 11)


def _everything(database):
    found = {name: read(database, name) for name in COLLECTIONS if name != FACTS}
    tickets, lines = unpack(read(database, FACTS))
    found["tickets"] = sorted(tickets.drop("sale").rows(), key=str)
    rows = lines.join(tickets.select("sale", "sale_id"), on="sale").drop("sale").rows()
    found["lines"] = sorted(rows, key=str)
    state = read_state(database)
    return found | {name: state[name] for name in COUNTED}


@pytest.mark.parametrize("at_once", [1, 4])
def test_following_changes_ends_where_computing_anew_does(shop, database, at_once):
    """After random changes of every kind, every document equals the one that is computed anew."""
    shop.open()
    memory = recompute(database, ZONE).memory
    kinds = set()
    for step in range(12):
        for _ in range(at_once):
            shop.change_something()
        result = catch_up.catch_up(database, ZONE, memory)
        kinds.add(result.kind)
        memory = recall(database, ZONE) if step % 6 == 5 else result.memory
        if step % 3 == 2:
            followed = _everything(database)
            assert 0 == missing(database)
            recompute(database, ZONE)
            assert _everything(database) == followed
    assert "whole" not in kinds
    assert "changed" in kinds


def test_a_round_writes_only_what_changed(shop, database):
    """One late line writes the documents of its day and sale and nothing of other days."""
    shop.open()
    memory = recompute(database, ZONE).memory
    days = {day["_id"]: day for day in read(database, "daily_sales_summary")}
    shop.put("sales_items", sale_id="s:1", line_n=9, product_id="p1", net_amount=3.0)

    result = catch_up.catch_up(database, ZONE, memory)

    after = {day["_id"]: day for day in read(database, "daily_sales_summary")}
    assert 1 == result.sales
    assert 1 == sum(days[key] != after[key] for key in days)
    assert "nothing" == catch_up.catch_up(database, ZONE, result.memory).kind


def test_many_changes_are_computed_anew(shop, database, monkeypatch):
    """From a number of changed rows on, a round is a whole one."""
    shop.open()
    memory = recompute(database, ZONE).memory
    monkeypatch.setattr("erp.processor.changes.TOO_MANY", 3)
    for line in range(5):
        shop.line(1, 20 + line)

    assert "whole" == catch_up.catch_up(database, ZONE, memory).kind

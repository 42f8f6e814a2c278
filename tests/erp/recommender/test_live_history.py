"""A customer's history as her sales come one by one."""

import numpy as np
import pytest

from erp.recommender import live_history as live
from erp.recommender.history import DAY, SCALES
from erp.recommender.live_history import ITEMS_KEPT, History


@pytest.fixture
def history():
    """Nobody has bought anything; a half-life of ten days."""
    nothing = np.zeros(0, np.int32)
    sums = np.zeros((0, len(SCALES)), np.float32)
    return History(10, 0.0, {}, np.zeros(1, np.int64), nothing, sums, sums)


def test_history_of_a_customer_is_bounded(history):
    """However much a customer buys, her heaviest products stay and the newest are among them."""
    habit = np.array([0], np.int32)
    for sale in range(600):
        history.add([("c", np.arange(10, dtype=np.int32) + 1 + 10 * sale, sale * DAY, 1.0)])
        history.add([("c", habit, sale * DAY, 1.0)])
        items = history.batch(["c"], np.array([sale * DAY])).items
        assert len(items) <= 2 * ITEMS_KEPT
    assert 0 in items
    assert set(range(5_991, 6_001)) <= set(items.tolist())
    assert sorted(items.tolist()) == items.tolist()


def test_warming_up_compiles_and_leaves_no_trace(history, monkeypatch):
    """What adds a sale was called, and it knows nobody afterwards."""
    called, merge = [], live._merge
    monkeypatch.setattr(live, "_merge", lambda *given: (called.append(given), merge(*given)))
    history.warm_up()
    assert 1 == len(called)
    assert not len(history.batch(["c", None], np.zeros(2)).items)


def test_sales_added_together_are_those_added_one_by_one(history):
    """However often a customer comes among them; what is taken back is gone."""
    random = np.random.default_rng(4)
    sales = [
        (f"c{random.integers(5)}", np.sort(random.choice(30, 4, replace=False)), day * DAY, 1.0)
        for day in range(40)
    ]
    sales += [(customer, items, time, -1.0) for customer, items, time, _ in sales[7:12]]
    history.add(sales)
    alone = history.untouched()
    for sale in sales[:7] + sales[12:40]:
        alone.add([sale])
    customers, times = [f"c{n}" for n in range(6)], np.full(6, 41 * DAY)
    together, expected = history.batch(customers, times), alone.batch(customers, times)
    assert pytest.approx(expected.baskets) == together.baskets
    bought = together.frequencies[:, 2] > 1e-9
    assert expected.items.tolist() == together.items[bought].tolist()
    assert pytest.approx(expected.frequencies, rel=1e-5) == together.frequencies[bought]


def test_what_was_bought_since_joins_the_training():
    """Sums of both where a product is in both, each alone elsewhere."""
    trained = np.array([[2, 2, 2], [1, 1, 1]], np.float32)
    history = History(
        10, 0.0, {"c": 0}, np.array([0, 2]), np.array([3, 5], np.int32), trained, trained[:1]
    )
    history.add([("c", np.array([1, 5], np.int32), 0.0, 1.0)])
    found = history.batch(["c", "other"], np.zeros(2))
    assert [0, 3, 3] == found.indptr.tolist()
    assert [1, 3, 5] == found.items.tolist()
    assert [0.25, 0.5, 0.5] == found.frequencies[:, 1].tolist()
    assert [3.0, 0.0] == found.baskets.tolist()


def test_what_was_forgotten_is_not_owed(history):
    """A sale that is taken back after its customer was let go of does not count against another."""
    history.max_live, items = 1, np.array([5, 7], np.int32)
    for customer, sign in (("c", 1.0), ("other", 1.0), ("c", -1.0), ("c", 1.0)):
        history.add([(customer, items, 0.0, sign)])
    assert [0.5, 0.5] == history.batch(["c"], np.zeros(1)).frequencies[:, 1].tolist()

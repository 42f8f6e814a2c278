"""Customers' frequencies beside their definition."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from erp.recommender import training_data
from erp.recommender.history import DAY, SCALES, rows_before
from erp.recommender.live_history import fit_history

HALF_LIFE = 20.0  # days


@pytest.fixture(scope="module")
def baskets():
    """150 sales of 8 customers and of strangers, of 12 products."""
    random = np.random.default_rng(2)
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    customers = random.integers(0, 10, 150).tolist()
    sales = pl.DataFrame(
        {
            "sale_id": [f"s{i}" for i in range(150)],
            "sale_datetime": [start + dt.timedelta(hours=7 * i) for i in range(150)],
            "customer_id": [f"c{one}" if one < 8 else None for one in customers],
        }
    )
    lines = [
        {"sale_id": f"s{i}", "product_id": f"p{item:02}"}
        for i in range(150)
        for item in random.choice(12, random.integers(1, 5), replace=False)
    ]
    return training_data.from_frames(pl.DataFrame(lines), sales)


def plain(baskets, sale, moment):
    """P(u, i) by item at the three half-lives, and the decayed baskets, before a place."""
    sums, totals = np.zeros((12, 3)), np.zeros(3)
    if baskets.customers[sale] >= 0:
        for other in np.flatnonzero(baskets.customers[:sale] == baskets.customers[sale]):
            age = (moment - baskets.times[other]) / DAY
            weight = 2.0 ** (-age / (HALF_LIFE * np.array(SCALES)))
            totals += weight
            sums[baskets.items[baskets.indptr[other] : baskets.indptr[other + 1]]] += weight
    return sums, totals


def test_a_sale_sees_its_customers_earlier_ones(baskets):
    """Decayed baskets with the product / (decayed baskets + 1), whatever the order asked in."""
    sales = np.random.default_rng(0).permutation(len(baskets))[:60]
    found = rows_before(baskets, sales, HALF_LIFE)
    for row, sale in enumerate(sales.tolist()):
        sums, totals = plain(baskets, sale, baskets.times[sale])
        held = np.flatnonzero(sums[:, 0])
        pairs = slice(found.indptr[row], found.indptr[row + 1])
        assert held.tolist() == found.items[pairs].tolist()
        assert pytest.approx(sums[held] / (totals + 1), rel=1e-5) == found.frequencies[pairs]
        assert pytest.approx(totals[2], rel=1e-5) == found.baskets[row]


def test_the_history_at_the_end_is_that_of_all_sales(baskets):
    """And of more than `items_kept` products the heaviest stay."""
    history = fit_history(baskets, HALF_LIFE, items_kept=6)
    for customer in baskets.customer_ids:
        code = baskets.customer_ids.index(customer)
        last = np.flatnonzero(baskets.customers == code)[-1]
        sums, totals = plain(baskets, last, baskets.times[-1])
        age = (baskets.times[-1] - baskets.times[last]) / DAY
        weight = 2.0 ** (-age / (HALF_LIFE * np.array(SCALES)))
        sums[baskets.items[baskets.indptr[last] : baskets.indptr[last + 1]]] += weight
        best = np.argsort(-sums.sum(axis=1), kind="stable")[:6]
        best = np.sort(best[sums[best, 0] > 0])
        totals += weight
        found = history.batch([customer], baskets.times[-1:])
        assert best.tolist() == found.items.tolist()
        assert pytest.approx(sums[best] / (totals + 1), rel=1e-5) == found.frequencies
        assert pytest.approx(totals[2:], rel=1e-5) == found.baskets


def test_what_is_asked_together_is_what_is_asked_alone(baskets):
    """One row or many."""
    sales = np.arange(100, 150)
    together = rows_before(baskets, sales, HALF_LIFE)
    for row, sale in enumerate(sales):
        alone = rows_before(baskets, np.array([sale]), HALF_LIFE)
        pairs = slice(together.indptr[row], together.indptr[row + 1])
        assert alone.items.tolist() == together.items[pairs].tolist()
        assert pytest.approx(alone.frequencies, rel=1e-6) == together.frequencies[pairs]

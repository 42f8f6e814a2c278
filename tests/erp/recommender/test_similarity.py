"""The similarities beside their formula, on random baskets."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from erp.recommender import neighbours, training_data
from erp.recommender.similarity import MONTH, basket_weights, fit_similarity

ITEMS, SALES = 25, 200
OPTIONS = {
    "item_exponent": 0.3,
    "size_exponent": 0.8,
    "shrink": 2.0,
    "half_life_months": 6.0,
    "min_support": 3,
    "top": 6,
}


@pytest.fixture(scope="module")
def baskets():
    random = np.random.default_rng(5)
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    sales = pl.DataFrame(
        {
            "sale_id": [f"s{i}" for i in range(SALES)],
            "sale_datetime": [start + dt.timedelta(days=i) for i in range(SALES)],
        }
    )
    lines = [
        {"sale_id": f"s{i}", "product_id": f"p{item:02}"}
        for i in range(SALES)
        for item in random.choice(ITEMS, random.integers(1, 6), replace=False)
    ]
    return training_data.from_frames(pl.DataFrame(lines), sales)


def expected(baskets, options):
    """Values and supports as full matrices, every pair that enough sales share."""
    held = np.zeros((len(baskets), ITEMS))
    held[np.repeat(np.arange(len(baskets)), baskets.sizes), baskets.items] = 1
    weights = basket_weights(
        baskets.sizes, baskets.times, options["size_exponent"], options["half_life_months"]
    )
    together, support = held.T @ (held * weights[:, None]), held.T @ held
    n, a = together.diagonal(), options["item_exponent"]
    values = together / (n[:, None] ** (1 - a) * n[None, :] ** a + options["shrink"])
    values[support < options["min_support"]] = 0
    np.fill_diagonal(values, 0)
    return values, support


def test_similarities_follow_the_formula(baskets):
    """sim(i -> j) = C_ij / (n_i^(1-a) n_j^a + shrink), the strongest of each row."""
    values, support = expected(baskets, OPTIONS)
    found = fit_similarity(baskets, **OPTIONS)
    for item in range(ITEMS):
        row = slice(found.indptr[item], found.indptr[item + 1])
        best = np.argsort(-values[item], kind="stable")[: OPTIONS["top"]]
        best = np.sort(best[values[item][best] > 0])
        assert best.tolist() == found.indices[row].tolist()
        assert pytest.approx(values[item][best], rel=1e-5) == found.values[row]
        assert support[item][best].tolist() == found.support[row].tolist()
    assert support.diagonal().tolist() == found.sales.tolist()


def test_half_a_and_nothing_else_is_the_cosine(baskets):
    """a = 0.5, b = 0, shrink = 0 and no decay: the angle between two columns."""
    plain = {**OPTIONS, "item_exponent": 0.5, "size_exponent": 0.0, "shrink": 0.0}
    found = fit_similarity(baskets, **{**plain, "half_life_months": 1e9, "top": ITEMS})
    held = np.zeros((len(baskets), ITEMS))
    held[np.repeat(np.arange(len(baskets)), baskets.sizes), baskets.items] = 1
    cosine = held.T @ held / np.sqrt(np.outer(held.sum(axis=0), held.sum(axis=0)))
    rows = np.repeat(np.arange(ITEMS), np.diff(found.indptr))
    assert pytest.approx(cosine[rows, found.indices], rel=1e-5) == found.values


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_blocks_and_threads_change_nothing(baskets, threads, monkeypatch):
    """However the rows are cut up, to the bit."""
    whole = fit_similarity(baskets, **OPTIONS)
    monkeypatch.setattr(neighbours, "PRODUCTS_PER_BLOCK", 300)
    monkeypatch.setattr(neighbours, "ROWS_PER_BLOCK", 4)
    cut = fit_similarity(baskets, **OPTIONS, threads=threads)
    for name in ("indptr", "indices", "values", "support"):
        assert (getattr(whole, name) == getattr(cut, name)).all(), name


def test_of_equal_neighbours_the_rarer_product_stays():
    """The cut at `top` does not depend on the order of the input."""
    lines = [(f"s{i}", key) for i in range(4) for key in ("a", "b", "c", "d")]
    lines += [("s9", "d"), ("s9", "x")]
    sales = pl.DataFrame({"sale_id": [f"s{i}" for i in range(10)]})
    sales = sales.with_columns(sale_datetime=pl.lit("2025-01-01"))
    frame = pl.DataFrame(lines, schema=["sale_id", "product_id"], orient="row")
    options = {**OPTIONS, "item_exponent": 0.0, "size_exponent": 0.0, "top": 2}
    for seed in (1, 2, 3):
        mixed = training_data.from_frames(frame.sample(fraction=1, shuffle=True, seed=seed), sales)
        found = fit_similarity(mixed, **options)
        assert [1, 2] == found.indices[found.indptr[0] : found.indptr[1]].tolist()


def test_the_weight_of_a_sale_halves_with_age_and_falls_with_size():
    """size^-b 2^(-age / half-life), on average 1 for a line."""
    times = np.array([0.0, MONTH, MONTH, MONTH])
    weights = basket_weights(np.array([2, 2, 8, 2]), times, 0.5, 1.0)
    assert pytest.approx(0.5) == weights[0] / weights[1]
    assert pytest.approx(0.5) == weights[2] / weights[1]
    assert pytest.approx(1.0) == np.average(weights, weights=[2, 2, 8, 2])

"""The weights of the regression beside a general solver, and what they are for."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from scipy.optimize import nnls

from erp.recommender import learning, mutual, regression, training_data
from erp.recommender.regression import NEIGHBOURS, SIMILARITY_PART
from erp.recommender.settings import ModelSettings
from erp.recommender.similarity import NOT_TOLD, Similarity, basket_weights

SETTINGS = ModelSettings(min_support=1, top_sim_per_item=500, ridge=4.0)


def baskets_of(contents) -> training_data.Baskets:
    """Sales with these products, one a day."""
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    days = range(len(contents))
    sales = {"sale_id": list(days), "sale_datetime": [start + dt.timedelta(days=d) for d in days]}
    lines = [
        {"sale_id": day, "product_id": f"p{item:03}"} for day in days for item in contents[day]
    ]
    return training_data.from_frames(pl.DataFrame(lines), pl.DataFrame(sales))


def weights_of(baskets, settings=SETTINGS) -> np.ndarray:
    """The regression's weights as a full matrix (items, items)."""
    similarity, _, _ = learning.fit_parts(baskets, settings, [None] * len(baskets.item_ids))
    found = np.zeros(similarity.shape)
    rows = np.repeat(np.arange(len(found)), np.diff(similarity.indptr))
    found[rows, similarity.indices] = similarity.strengths - SIMILARITY_PART * similarity.values
    return found


def by_name(baskets) -> dict[tuple[str, str], float]:
    """The regression's weight of each product for each."""
    weights = weights_of(baskets)
    return {
        (one, other): weights[row, column]
        for row, one in enumerate(baskets.item_ids)
        for column, other in enumerate(baskets.item_ids)
    }


def test_weights_are_those_of_a_general_solver():
    """Least squares with weights of at least 0 and a ridge, item by item, of random baskets."""
    random = np.random.default_rng(7)
    contents = [random.choice(12, random.integers(1, 6), replace=False) for _ in range(150)]
    baskets = baskets_of(contents)
    found = weights_of(baskets)
    assert len(found) < NEIGHBOURS
    weight = basket_weights(
        baskets.sizes, baskets.times, SETTINGS.size_exponent, SETTINGS.recency_halflife_months
    )
    held = np.zeros((len(baskets), len(found)))
    held[np.repeat(np.arange(len(baskets)), baskets.sizes), baskets.items] = 1
    held *= np.sqrt(weight)[:, None]
    for item in range(len(found)):
        others = np.flatnonzero(np.arange(len(found)) != item)
        ridge = np.sqrt(SETTINGS.ridge) * np.eye(len(others))
        system = np.concatenate((held[:, others], ridge))
        expected, _ = nnls(system, np.concatenate((held[:, item], np.zeros(len(others)))))
        assert pytest.approx(expected, abs=5e-3) == found[others, item]


def test_products_that_tell_the_same_share_it():
    """Bread goes with butter and its knife always; together they say no more than one of them."""
    butter, knife, bread, jam, filler = range(5)
    others = [[jam, filler]] * 3
    both = by_name(baskets_of(([[butter, knife, bread], *others]) * 100))
    alone = by_name(baskets_of(([[butter, bread], *others]) * 100))
    whole = alone["p000", "p002"]
    parts = both["p000", "p002"], both["p001", "p002"]
    assert 0.9 < whole < 1
    assert pytest.approx(whole, abs=0.05) == sum(parts)
    assert min(parts) > whole / 3


def test_an_item_is_told_by_so_many_neighbours_at_most():
    """An item that goes with two hundred has weights from the closest alone."""
    hub, many = 0, 200
    contents = [[hub, 1 + number % many] for number in range(40 * many)]
    contents += [[1 + number] for number in range(many // 2) for _ in range(40)]  # less close
    found = weights_of(baskets_of(contents))
    told_by = np.flatnonzero(found[:, hub])
    assert NEIGHBOURS == len(told_by)
    assert told_by.min() > many // 2


def test_threads_and_blocks_do_not_change_a_weight(monkeypatch):
    """One item at a time by one thread is as good as all by two."""
    random = np.random.default_rng(9)
    contents = [random.choice(80, random.integers(1, 9), replace=False) for _ in range(400)]
    baskets = baskets_of(contents)
    whole = weights_of(baskets)
    monkeypatch.setattr(regression, "ITEMS_AT_ONCE", 1)
    assert (whole == weights_of(baskets, ModelSettings(**{**vars(SETTINGS), "threads": 1}))).all()


def test_two_of_a_kind_speak_against_each_other_and_companions_for():
    """EASE's weights are the closed form, negative between what is bought instead of each other."""
    random = np.random.default_rng(4)
    rows = [
        [0 if random.random() < 0.5 else 1, *(item for item in (2, 3) if random.random() < 0.6)]
        for _ in range(400)
    ]
    held = np.zeros((len(rows), 4))
    for row, items in enumerate(rows):
        held[row, items] = 1
    order = mutual.commonest(held.sum(axis=0).astype(np.int64))
    counts = np.zeros((4, 4), np.int32)
    indptr = np.concatenate(([0], np.cumsum([len(items) for items in rows])))
    items = np.concatenate(rows).astype(np.int32)
    mutual.add_pairs(indptr, items, mutual.places(order, 4), counts)
    nothing = np.zeros(0, np.int32)
    similarity = Similarity(np.zeros(5, np.int64), nothing, nothing, nothing, nothing, nothing,
                            *NOT_TOLD)  # fmt: skip
    found = mutual.fitted(similarity, order, counts, 2)
    chosen = held[:, order]
    inverse = np.linalg.inv(chosen.T @ chosen + mutual.RIDGE * np.eye(4))
    expected = -inverse / inverse.diagonal()
    np.fill_diagonal(expected, 0)
    assert found.mutual == pytest.approx(expected, abs=1e-6)
    place = mutual.places(order, 4)
    assert found.mutual[place[0], place[1]] < 0 < found.mutual[place[2], place[3]]


def test_a_sale_that_holds_everything_is_counted_within_bounds():
    """Also where a rarer product follows all of the common ones; compiled, nobody looks."""
    place, counts = mutual.places(np.array([1, 0], np.int32), 3), np.zeros((2, 2), np.int32)
    mutual.add_pairs.py_func(np.array([0, 3]), np.array([0, 1, 2]), place, counts)
    assert [[1, 1], [0, 1]] == counts.tolist()

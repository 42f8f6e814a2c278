"""What the newest sales teach, and how often each of them is asked."""

import numpy as np
import pytest

from erp.recommender import learning, logistic, training_data
from erp.recommender.settings import ModelSettings

PRODUCTS, CUSTOMERS, SALES = 30, 40, 800


@pytest.fixture(scope="module")
def baskets():
    """Random sales of four products in which neighbours go together."""
    random = np.random.default_rng(7)
    first = random.integers(0, PRODUCTS, SALES)
    items = (first[:, None] + random.integers(0, 5, (SALES, 4))) % PRODUCTS
    names = [f"s{number:04d}" for number in range(SALES)]
    lines = {"sale_id": np.repeat(names, 4).tolist(),
             "product_id": [f"p{one}" for one in items.ravel()]}  # fmt: skip
    sales = {
        "sale_id": names,
        "sale_datetime": [
            f"2024-01-{1 + n // 40:02d}T{n % 40 // 2:02d}:00:00" for n in range(SALES)
        ],
        "customer_id": [f"c{one}" for one in random.integers(0, CUSTOMERS, SALES)],
    }
    return training_data.from_frames(lines, sales)


@pytest.fixture
def told(monkeypatch):
    """The numbers of recommendations that taught each probability, by their features."""
    numbers: dict[int, list[int]] = {}
    fit = logistic.fit_probability

    def counted(values, *rest):
        numbers.setdefault(values.shape[1], []).append(len(values))
        return fit(values, *rest)

    monkeypatch.setattr(logistic, "fit_probability", counted)
    return numbers


def learned(baskets, told) -> list[int]:
    """How many of the model's recommendations taught: next sale and hidden half, ascending."""
    told.clear()
    learning.learn(baskets, ModelSettings(), [None] * len(baskets.item_ids))
    return sorted(told[max(told)])


def test_few_sales_teach_order_and_probabilities_both(baskets, told, monkeypatch):
    """With few newest sales every one of them is asked for the probabilities, not one half."""
    monkeypatch.setattr(learning, "TURNS", 1)
    whole = learned(baskets, told)
    monkeypatch.setattr(learning, "FEW", 0)
    half = learned(baskets, told)
    assert all(1.6 * less < more for less, more in zip(half, whole, strict=True))


def test_what_is_recommended_is_ordered_by_what_other_sales_taught(baskets, monkeypatch):
    """No sale that taught an order is asked what came of that order."""
    taught, asked = {}, []
    laboratory = learning._Laboratory
    learn_order, learn_half = laboratory.learn_order, laboratory.learn_half

    def order(lab, sales, known):
        found = learn_order(lab, sales, known)
        taught[id(found)] = set(sales.tolist())
        return found

    def half(lab, parts):
        asked.extend(parts)
        return learn_half(lab, parts)

    monkeypatch.setattr(laboratory, "learn_order", order)
    monkeypatch.setattr(laboratory, "learn_half", half)
    heads = learning.learn(baskets, ModelSettings(), [None] * len(baskets.item_ids))
    assert len(asked) == 2
    for sales, those in asked:
        assert not taught[id(those.order)] & set(sales.tolist())
    assert taught[id(heads.order)] == set().union(*(sales.tolist() for sales, _ in asked))


def test_few_baskets_hide_another_half_in_turn(baskets, told, monkeypatch):
    """Of few baskets more than one half is hidden; of the next sale there is only one."""
    in_turn = learned(baskets, told)
    monkeypatch.setattr(learning, "TURNS", 1)
    once = learned(baskets, told)
    assert min(once) == min(in_turn)
    assert 3 * max(once) < max(in_turn)

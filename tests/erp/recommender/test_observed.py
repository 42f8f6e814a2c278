"""The sales that a model remembers beside those of its training."""

import numpy as np
import pytest

from erp.recommender.live_history import History
from erp.recommender.observed import ObservedSale, ObservedSales


def sale(customer, *items, moment=0.0):
    """A sale of these item codes."""
    return ObservedSale(customer, np.array(items, np.int32).tobytes(), moment)


def test_a_sale_is_found_by_its_key_as_it_came_last():
    """A later version takes the place of the first."""
    sales = ObservedSales(10)
    sales.put(7, sale("anna", 1, 2))
    sales.put(7, sale("berta", 3, moment=9.0))
    assert sale("berta", 3, moment=9.0) == sales.get(7)
    assert [3] == sales.get(7).items.tolist()
    assert sales.get(8) is None
    assert 1 == len(sales)


def test_the_oldest_sale_is_forgotten_first():
    """However many come, no more than asked for are kept, the newest; they are told by age."""
    sales = ObservedSales(3)
    for key in range(2**64 - 8, 2**64 - 1):
        sales.put(key, sale(str(key)))
    assert list(range(2**64 - 4, 2**64 - 1)) == [key for key, _ in sales]
    assert all(str(key) == found.customer for key, found in sales)


def test_sales_whose_keys_end_alike_are_told_apart():
    """Whichever of them is forgotten, first, last or amidst, the others are found."""
    sales, newest = ObservedSales(5), {}
    for turn, ending in enumerate(np.random.default_rng(1).integers(0, 3, 400).tolist()):
        key = turn % 7 << 32 | ending  # some come again while they are remembered
        sales.put(key, sale(str(turn)))
        newest[key] = str(turn)
        if len(newest) > 5:
            del newest[next(iter(newest))]
        assert newest == {key: found.customer for key, found in sales}
        assert newest == {key: sales.get(key).customer for key in newest}
        assert all(sales.get(turn << 32 | 3) is None for turn in range(7))


@pytest.mark.parametrize("known", [[], [2, 5, 9]])
@pytest.mark.parametrize("bought", [[], [5], [1, 5, 9, 12]])
def test_a_sale_that_is_added_and_taken_back_leaves_the_history(known, bought):
    """Sums grow by the sale's weight where it holds the product, and shrink by the same."""
    history = History(
        60,
        1e9,
        {"anna": 0} if known else {},
        np.array([0, len(known)]),
        np.array(known, np.int32),
        np.ones((len(known), 3), np.float32),
        np.ones((1, 3), np.float32),
    )
    items = np.array(bought, np.int32)
    history.add([("anna", items, 1e9, 1.0)])
    found = history.batch(["anna"], np.array([1e9]))
    assert sorted({*known, *bought}) == found.items.tolist()
    sums = np.array([[(code in known) + (code in bought)] * 3 for code in found.items])
    sales = bool(known) + 1.0
    assert pytest.approx(sums.reshape(-1, 3) / (sales + 1)) == found.frequencies
    assert [sales] == found.baskets.tolist()
    history.add([("anna", items, 1e9, -1.0)])
    found = history.batch(["anna"], np.array([1e9]))
    assert [(code in known) / 2 for code in found.items] == found.frequencies[:, 1].tolist()
    assert [float(bool(known))] == found.baskets.tolist()

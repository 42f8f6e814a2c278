"""A customer's history as her sales come one by one."""

import numpy as np
import pytest

from erp.recommender.history import DAY, ITEMS_KEPT, SCALES, History


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


def test_warming_up_leaves_no_trace(history):
    """It knows nobody afterwards."""
    history.warm_up()
    assert not len(history.batch(["c", None], np.zeros(2)).items)

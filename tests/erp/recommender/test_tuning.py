"""The search for settings, on sales whose best settings are known."""

import datetime as dt
import random

import numpy as np
import polars as pl
import pytest

from erp.recommender import training_data, tuning
from erp.recommender.settings import ModelSettings

SALES = 1_500
STALE = ModelSettings(recency_halflife_months=1e4)  # yesterday counts as much as ten years ago


@pytest.fixture(scope="module")
def fashion():
    """What goes with each of 20 products is another of 20 every 75 days; five years of sales."""
    rng = random.Random(3)
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    sales, lines = [], []
    for number in range(SALES):
        day = 1800 * number // SALES
        first = rng.randrange(20)
        other = 20 + (first + 7 * (day // 75)) % 20  # all sell alike: no popularity tells
        sales.append({"sale_id": number, "sale_datetime": start + dt.timedelta(days=day)})
        lines += [{"sale_id": number, "product_id": f"p{item:03}"} for item in (first, other)]
    return training_data.from_frames(pl.DataFrame(lines), pl.DataFrame(sales))


@pytest.fixture
def short(monkeypatch):
    """A search over the half-life alone."""
    monkeypatch.setattr(tuning, "VARIED", {"recency_halflife_months": (2.0, 24.0)})


@pytest.mark.usefixtures("short")
def test_where_fashions_change_recent_sales_are_found_to_count_more(fashion):
    """The half-life found is the short one, and the same again."""
    found = tuning.tune(fashion, None, STALE)
    assert {"recency_halflife_months": 2.0} == found.changed
    assert 2.0 == found.settings.recency_halflife_months
    assert found.after > found.before
    assert found == tuning.tune(fashion, None, STALE)


@pytest.mark.usefixtures("short")
def test_without_time_nothing_is_tried(fashion):
    """A budget that is used up leaves the settings as they were."""
    found = tuning.tune(fashion, None, STALE, seconds=1e-9)
    assert (STALE, {}, 0) == (found.settings, found.changed, found.trials)


@pytest.mark.parametrize("sales", [0, 1, 2, 30])
def test_too_few_sales_tell_nothing(fashion, sales):
    """Nothing is found, and said so."""
    found = tuning.tune(fashion.between(0, sales), None, STALE)
    assert found is None
    assert "too few sales" in tuning.in_words(found)


def test_a_difference_that_may_be_chance_is_no_reason():
    """Four more and one less is a reason; six more and four less is none."""

    def questions(gained, lost):
        both = np.zeros(100, bool)
        theirs, ours = both.copy(), both.copy()
        theirs[:gained], ours[gained : gained + lost] = True, True
        return theirs, ours

    assert tuning._better(*questions(4, 1))
    assert not tuning._better(*questions(6, 4))
    assert not tuning._better(*questions(0, 0))

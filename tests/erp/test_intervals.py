"""Confidence intervals against figures that are known."""

import numpy as np
import pytest

from erp import intervals


def test_a_share_has_wilsons_interval():
    """10 of 100: 5.5 % to 17.4 %, as in every table of Wilson's interval."""
    assert (0.1, 0.0552, 0.1744) == pytest.approx(intervals.share(10, 100), abs=5e-5)


@pytest.mark.parametrize(("hits", "of", "low", "high"), [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1)])
def test_none_and_all_are_no_certainty(hits, of, low, high):
    """The interval stays between 0 and 1 and is never empty."""
    assert (hits / of, low, high) == pytest.approx(intervals.share(hits, of), abs=5e-5)


def test_nothing_seen_says_nothing():
    """A share of nothing can be anything."""
    assert (0, 0, 1) == intervals.share(0, 0)
    assert (0, 0, 0) == intervals.mean(np.zeros(0))


def test_a_difference_has_newcombes_interval():
    """Newcombe's example (a) of 1998: 56/70 less 48/80 is 0.2, from 0.0524 to 0.3339."""
    found = intervals.difference(intervals.share(56, 70), intervals.share(48, 80))
    assert (0.2, 0.0524, 0.3339) == pytest.approx(found, abs=5e-5)


def test_the_ratio_of_a_model_to_itself_is_one_for_certain():
    """Paired: what both find moves nothing."""
    hits = np.arange(500) % 3 == 0
    assert (1, 1, 1) == intervals.ratio(hits, hits)


def test_a_ratio_is_drawn_from_pairs():
    """Half as many, all of them among the other's: 0.5, and an interval about it."""
    theirs = np.arange(1000) % 2 == 0
    found = intervals.ratio(theirs & (np.arange(1000) % 4 == 0), theirs)
    assert 0.5 == found.value
    assert 0.43 < found.low < 0.48
    assert 0.52 < found.high < 0.57

"""RFM scores and segments."""

import itertools

import polars as pl
import pytest

from erp.processor.rfm import SEGMENTS, scored


def _customers(recency, frequency, monetary):
    return pl.DataFrame({"recency": recency, "frequency": frequency, "monetary": monetary})


def test_scores_are_fifths_and_equal_values_are_equal():
    """Of ten customers each fifth has a score; recency counts backwards; ties share the lower."""
    frame = scored(_customers(range(10), [1] * 8 + [2, 3], range(10)))

    assert [5, 5, 4, 4, 3, 3, 2, 2, 1, 1] == frame["recency_score"].to_list()
    assert [1] * 8 + [5, 5] == frame["frequency_score"].to_list()
    assert [1, 1, 2, 2, 3, 3, 4, 4, 5, 5] == frame["monetary_score"].to_list()


def test_every_cell_has_a_segment():
    """All 125 mixtures of scores have one of the eleven names, and all names are used."""
    values = list(itertools.product(range(5), repeat=3))
    frame = scored(_customers(*zip(*values, strict=True)))

    assert 125 == len(
        set(zip(*(frame[f"{n}_score"] for n in ("recency", "frequency", "monetary")), strict=True))
    )
    assert set(SEGMENTS) == set(frame["segment"])


@pytest.mark.parametrize(
    ("row", "segment"), [((0, 9, 9), "champions"), ((9, 9, 9), "cannot_lose"), ((9, 0, 0), "lost")]
)
def test_corners(row, segment):
    """The best are champions, the best that stay away must not be lost, the rest are lost."""
    others = [(n, n, n) for n in range(10)]
    frame = scored(_customers(*zip(*[*others, row], strict=True)))

    assert segment == frame["segment"][-1]


def test_nobody():
    """No customers, no scores."""
    assert scored(_customers([], [], []).cast(pl.Int64)).is_empty()

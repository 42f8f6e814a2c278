"""RFM: customers by recency, frequency and monetary value.

Scores are quintiles over all customers, 1 to 5, 5 for the most recent, most frequent and most
spending fifth (A. M. Hughes, Strategic Database Marketing, 1994). Equal values have equal scores.
Segments name the cells of recency against the mean of the other two, in the division that CRM
tools share (for one: https://www.putler.com/rfm-analysis/).
"""

import polars as pl

QUANTILES = 5

# segment: recency score from, to; mean of frequency and monetary score (halves up) from, to
_CELLS = {
    "champions": (4, 5, 4, 5),
    "loyal": (3, 3, 4, 5),
    "potential_loyalists": (4, 5, 2, 3),
    "new": (5, 5, 1, 1),
    "promising": (4, 4, 1, 1),
    "need_attention": (3, 3, 3, 3),
    "about_to_sleep": (3, 3, 1, 2),
    "cannot_lose": (1, 2, 5, 5),
    "at_risk": (1, 2, 3, 4),
    "hibernating": (2, 2, 1, 2),
    "lost": (1, 1, 1, 2),
}
SEGMENTS = tuple(_CELLS)


def scored(customers: pl.DataFrame) -> pl.DataFrame:
    """The customers with recency_score, frequency_score, monetary_score and segment.

    `customers` has recency (days, fewer is better), frequency and monetary.
    """
    return customers.with_columns(
        recency_score=_score(-pl.col("recency")),
        frequency_score=_score(pl.col("frequency")),
        monetary_score=_score(pl.col("monetary")),
    ).with_columns(segment=_segment())


def _score(value: pl.Expr) -> pl.Expr:
    """1 + the fifths of all customers that are strictly worse."""
    worse = value.rank("min").cast(pl.Int64) - 1
    return 1 + worse * QUANTILES // pl.len().cast(pl.Int64)


def _segment() -> pl.Expr:
    recency = pl.col("recency_score")
    value = (pl.col("frequency_score") + pl.col("monetary_score") + 1) // 2
    named = pl.lit(None, dtype=pl.String)
    for segment, (r_from, r_to, v_from, v_to) in _CELLS.items():
        inside = recency.is_between(r_from, r_to) & value.is_between(v_from, v_to)
        named = pl.when(inside).then(pl.lit(segment)).otherwise(named)
    return named

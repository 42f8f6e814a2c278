"""How strongly two products go together: recency-weighted co-occurrence, normalised per item.

sim(i -> j) = C_ij / (n_i^(1-a) n_j^a + shrink), where a basket counts size^-b 2^(-age / half-life),
scaled so that the average line counts 1. C_ij sums the baskets that hold both, n_i those that hold
i. a = 0.5, b = 0, shrink = 0 is the cosine of Sarwar et al., "Item-based collaborative filtering
recommendation algorithms", 2001; a < 0.5 leans towards P(j | i), as in Deshpande and Karypis,
"Item-based top-N recommendation algorithms", 2004.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

MONTH = 30.4375 * 86400.0  # seconds
PRODUCTS_PER_BLOCK = 4_000_000  # of C at once, estimated: bounds the memory of a block


@dataclass(frozen=True)
class Similarity:
    """The kept neighbours of each item, by item code, columns ascending within a row.

    indptr : int64 (items + 1), indices : int32 (pairs), values : float32 (pairs), the similarity,
    support : int32 (pairs), the unweighted number of sales that hold both,
    sales : int32 (items), the unweighted number of sales that hold the item.
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    support: np.ndarray
    sales: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.sales), len(self.sales)


def basket_weights(sizes, times, size_exponent: float, half_life_months: float) -> np.ndarray:
    """Float32 weight per sale, scaled so that the lines' mean weight is 1.

    The newest times count as now: 0.1 % of the sales may lie after it, so that one sale with a
    wrong date far ahead does not age all others.
    """
    if not len(times):
        return np.zeros(0, np.float32)
    now = times[int(0.999 * (len(times) - 1))]
    age = np.maximum(now - times, 0.0) / MONTH
    weights = np.maximum(sizes, 1.0) ** -size_exponent * 2.0 ** (-age / half_life_months)
    return (weights * (sizes.sum() / np.dot(weights, sizes))).astype(np.float32)


def fit_similarity(
    baskets,
    *,
    item_exponent: float,
    size_exponent: float,
    shrink: float,
    half_life_months: float,
    min_support: int,
    top: int,
    threads: int = 2,
) -> Similarity:
    """The `top` strongest neighbours of each item among pairs in at least `min_support` sales.

    Parameters
    ----------
    baskets : Baskets
    item_exponent : a, 0 to 1
    size_exponent : b, 0 or more
    shrink : in weighted sales, 0 or more
    """
    items, sizes = len(baskets.item_ids), baskets.sizes
    weights = basket_weights(sizes, baskets.times, size_exponent, half_life_months)
    sales = np.bincount(baskets.items, minlength=items).astype(np.int32)
    weighted = np.bincount(
        baskets.items, weights=np.repeat(weights, sizes), minlength=items
    )  # n_i (items,)
    kept = np.flatnonzero(sales >= max(min_support, 1)).astype(np.int32)
    narrow = np.full(items, -1, np.int32)
    narrow[kept] = np.arange(len(kept), dtype=np.int32)

    columns = narrow[baskets.items]
    used = columns >= 0
    indptr = np.concatenate(([0], np.cumsum(used)))[baskets.indptr]
    # The real part adds up weights, the imaginary part counts: both in one product.
    plain = sp.csr_matrix(
        (np.ones(indptr[-1], np.complex64), columns[used], indptr), shape=(len(baskets), len(kept))
    )
    mates = np.bincount(columns[used], np.repeat(np.diff(indptr), np.diff(indptr)), len(kept))
    turned = plain.T.tocsr()  # (kept, sales)
    turned.data = weights[turned.indices] + np.complex64(1j)
    left, right = weighted[kept] ** (1 - item_exponent), weighted[kept] ** item_exponent

    def block(bounds: tuple[int, int]):
        first, last = bounds
        pairs = turned[first:last] @ plain  # (last - first, kept) csr
        rows = np.repeat(np.arange(first, last, dtype=np.int32), np.diff(pairs.indptr))
        chosen = (pairs.data.imag > min_support - 0.5) & (rows != pairs.indices)
        rows, others, sums = rows[chosen], pairs.indices[chosen], pairs.data[chosen]
        del pairs
        values = (sums.real / (left[rows] * right[others] + shrink)).astype(np.float32)
        counts = np.rint(sums.imag).astype(np.int32)
        keep = _strongest(rows, values, top)
        return kept[rows[keep]], kept[others[keep]], values[keep], counts[keep]

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(block, _blocks(mates, PRODUCTS_PER_BLOCK)))
    empty = [np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32)]
    rows, others, values, counts = (
        (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if parts
        else (*empty, np.zeros(0, np.int32))
    )
    order = np.argsort(rows.astype(np.int64) * max(items, 1) + others)
    starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=items)))).astype(np.int64)
    return Similarity(starts, others[order], values[order], counts[order], sales)


def _blocks(cost: np.ndarray, limit: int) -> list[tuple[int, int]]:
    """Consecutive ranges of rows, each of about `limit` in cost."""
    if not len(cost):
        return []
    numbers = (np.cumsum(cost) // limit).astype(np.int64)
    edges = np.flatnonzero(np.diff(numbers)) + 1
    edges = [0, *edges.tolist(), len(cost)]
    return list(pairwise(edges))


def _strongest(rows: np.ndarray, values: np.ndarray, top: int) -> np.ndarray:
    """Positions of the `top` largest values of each row; ties go to the smaller position."""
    if not len(rows):
        return np.zeros(0, np.int64)
    base = rows[0]
    lengths = np.bincount(rows - base)
    if lengths.max() <= top:
        return np.arange(len(rows))
    long = (lengths > top)[rows - base]
    within = np.flatnonzero(long)
    order = within[np.lexsort((-values[within], rows[within]))]
    sorted_rows = rows[order]
    first = np.searchsorted(sorted_rows, sorted_rows, side="left")
    return np.sort(
        np.concatenate((np.flatnonzero(~long), order[np.arange(len(order)) - first < top]))
    )

"""How strongly two products go together: recency-weighted co-occurrence, normalised per item.

sim(i -> j) = C_ij / (n_i^(1-a) n_j^a + shrink), where a basket counts size^-b 2^(-age / half-life),
scaled so that the average line counts 1. C_ij sums the baskets that hold both, n_i those that hold
i. a = 0.5, b = 0, shrink = 0 is the cosine of Sarwar et al., "Item-based collaborative filtering
recommendation algorithms", 2001; a < 0.5 leans towards P(j | i), as in Deshpande and Karypis,
"Item-based top-N recommendation algorithms", 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from erp.recommender import checks, neighbours

MONTH = 30.4375 * 86400.0  # seconds
NOT_TOLD = (np.zeros(0, np.int32), np.zeros((0, 0), np.float32))  # common, mutual


@dataclass(frozen=True)
class Similarity:
    """The kept neighbours of each item, by item code, columns ascending within a row.

    indptr : int64 (items + 1), indices : int32 (pairs), values : float32 (pairs), the similarity,
    strengths : float32 (pairs), what an item of a basket adds to the score of its neighbour: the
    similarity itself until `regression.fitted` tells,
    support : int32 (pairs), the unweighted number of sales that hold both,
    sales : int32 (items), the unweighted number of sales that hold the item,
    common : int32 (common), the commonest items; mutual : float32 (common, common), what each of
    them says for or against each other: none until `mutual.fitted` tells.
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    strengths: np.ndarray
    support: np.ndarray
    sales: np.ndarray
    common: np.ndarray
    mutual: np.ndarray

    def checked(self, items: int) -> Similarity:
        """The same as compiled code reads it; ValueError where it is not of so many items."""
        indptr, indices = checks.csr(self.indptr, self.indices, items, items, "similarity")
        shape = (len(indices),)
        _, common = checks.csr([0, len(self.common)], self.common, 1, items, "common items")
        return Similarity(
            indptr,
            indices,
            checks.array(self.values, np.float32, shape, "similarities"),
            checks.array(self.strengths, np.float32, shape, "strengths"),
            checks.array(self.support, np.int32, shape, "support"),
            checks.array(self.sales, np.int32, (items,), "sales of items"),
            common,
            checks.array(self.mutual, np.float32, (len(common),) * 2, "what items say of others"),
        )

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.sales), len(self.sales)


def place_of_now(sales: int) -> int:
    """Which of so many sales in time order tells the present.

    0.1 % of the sales may lie after it, so that one with a wrong date far ahead does not age all
    others.
    """
    return int(0.999 * (sales - 1))


def unscaled_weights(sizes, times, now: float, size_exponent: float, half_life_months: float):
    """Weight per sale by its size and its age at `now` (seconds), float64."""
    age = np.maximum(now - times, 0.0) / MONTH
    return np.maximum(sizes, 1.0) ** -size_exponent * 2.0 ** (-age / half_life_months)


def basket_weights(sizes, times, size_exponent: float, half_life_months: float) -> np.ndarray:
    """Float32 weight per sale, scaled so that the lines' mean weight is 1."""
    if not len(times):
        return np.zeros(0, np.float32)
    now = times[place_of_now(len(times))]
    weights = unscaled_weights(sizes, times, now, size_exponent, half_life_months)
    return (weights * (sizes.sum() / np.dot(weights, sizes))).astype(np.float32)


def numbering(sales: np.ndarray, min_support: int) -> tuple[np.ndarray, np.ndarray]:
    """Items numbered from rare to common, so that a pair is found once, at its rarer item.

    Parameters
    ----------
    sales : int (items), of which those with fewer than `min_support` get no number

    Returns
    -------
    kept : int32 (numbers), the item of each number; number : int32 (items), -1 where none
    """
    order = np.argsort(sales, kind="stable").astype(np.int32)
    kept = order[np.searchsorted(sales[order], max(min_support, 1)) :]
    number = np.full(len(sales), -1, np.int32)
    number[kept] = np.arange(len(kept), dtype=np.int32)
    return kept, number


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
    kept, number = numbering(sales, min_support)
    columns = number[baskets.items]
    used = columns >= 0
    indptr = np.concatenate(([0], np.cumsum(used)))[baskets.indptr]
    held = sp.csr_matrix(
        (np.ones(indptr[-1], np.int8), columns[used], indptr), shape=(len(baskets), len(kept))
    )
    turned = held.tocsc()
    left = (weighted[kept] ** (1 - item_exponent)).astype(np.float32)
    right = (weighted[kept] ** item_exponent).astype(np.float32)
    lengths, numbers, values, counts = neighbours.strongest(
        number,
        (turned.indptr, turned.indices),
        (held.indptr, held.indices),
        weights,
        (left, right, np.float32(shrink)),
        min_support,
        top,
        threads,
    )
    pairs = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    by_row = sp.csr_matrix(
        (np.arange(len(numbers), dtype=np.int32), kept[numbers], pairs), shape=(items, items)
    ).tocsc()
    by_row = by_row.tocsr()  # columns ascend within a row now
    values, counts = values[by_row.data], counts[by_row.data]
    return Similarity(pairs, by_row.indices, values, values, counts, sales, *NOT_TOLD)

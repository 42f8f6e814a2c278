"""What each of the commonest products says for or against each other, all others being told too.

EASE (Steck, WWW 2019): of the sales as a matrix X of zeros and ones, P = (X'X + ridge I)^-1 and

    B_ij = -P_ij / P_jj,  0 where i = j

B_ij is what a basket's i adds to the expectation of j. Unlike the strengths of `regression` it may
be negative, as between two brands of the same, and it knows the pairs that hardly ever come
together; what they say for each other counts from MIN_SUPPORT sales with both. Every sale counts
the same, however old. X'X are whole numbers, so that whoever sums them up, in whatever order, gets
the same ones.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from erp.recommender.similarity import Similarity

MOST = 2000  # products: B has a number for each pair of them, 16 MB
RIDGE = 50.0  # in sales


def commonest(sales: np.ndarray) -> np.ndarray:
    """The MOST items in the most sales, those of the most first; int32 (common).

    sales : int (items), those that hold each
    """
    most = min(MOST, np.count_nonzero(sales))
    return np.argsort(-sales, kind="stable")[:most].astype(np.int32)


def places(common: np.ndarray, items: int) -> np.ndarray:
    """The place of each item among the common ones, int32 (items), -1 where it is none."""
    found = np.full(items, -1, np.int32)
    found[common] = np.arange(len(common), dtype=np.int32)
    return found


@numba.njit(nogil=True, cache=True)
def add_pairs(indptr, items, place, counts):
    """Add to `counts`, int32 (common, common), each sale with both; only where row <= column.

    indptr, items : csr of the sales, each item once a sale; place : int32 (items), -1 of others
    """
    held = np.empty(len(counts) + 1, np.int32)  # and a place for what is not common
    for sale in range(len(indptr) - 1):
        many = 0
        for item in items[indptr[sale] : indptr[sale + 1]]:
            held[many] = place[item]
            many += place[item] >= 0
        for at in range(many):
            one = held[at]
            counts[one, one] += 1
            for other in held[at + 1 : many]:
                counts[min(one, other), max(one, other)] += 1


def counted(baskets, common: np.ndarray) -> np.ndarray:
    """X'X of some sales, the half of it where row <= column; int32 (common, common)."""
    counts = np.zeros((len(common), len(common)), np.int32)
    add_pairs(baskets.indptr, baskets.items, places(common, len(baskets.item_ids)), counts)
    return counts


def fitted(
    similarity: Similarity, common: np.ndarray, counts: np.ndarray, min_support: int
) -> Similarity:
    """The same similarities with B of the common items.

    counts : int (common, common), X'X where row <= column
    min_support : sales that hold both, below which an item says nothing for another
    """
    matrix = counts.astype(np.float64).T  # its lower half in LAPACK's order of columns
    matrix[np.diag_indices_from(matrix)] += RIDGE
    with threadpool_limits(1):  # the same sums in the same order on every machine
        if len(common):
            matrix, _ = lapack.dpotrf(matrix, lower=1, overwrite_a=1)
            matrix, _ = lapack.dpotri(matrix, lower=1, overwrite_c=1)
    lower = np.tril(matrix, -1)
    weights = (lower + lower.T) / -matrix.diagonal()
    weights[(np.maximum(counts, counts.T) < min_support) & (weights > 0)] = 0
    return replace(similarity, common=common, mutual=np.ascontiguousarray(weights, np.float32))

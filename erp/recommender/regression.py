"""How much each product of a basket adds to the chance of another, the others being there too.

A sparse linear method (SLIM: Ning and Karypis, ICDM 2011): of each item j its occurrence in a sale
is told from that of its neighbours, by least squares with weights of at least 0 and a ridge,

    min over w >= 0 of  sum over sales s of weight_s (x_sj - sum_i w_i x_si)^2 + ridge sum_i w_i^2

which the sums C_ij of weights of sales with both, and n_i of those with i, are enough for. Two
products that mostly come together share what one of them alone would tell, where similarities count
it twice. Pairs that the similarities did not keep count 0. Like EASE (Steck, WWW 2019), but with
NEIGHBOURS items for each one instead of all: memory is that of the pairs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numba
import numpy as np
import scipy.sparse as sp

from erp.recommender.similarity import Similarity

NEIGHBOURS = 50  # of each item, those with the largest cosine
SWEEPS = 20  # of coordinate descent, at most
TOLERANCE = 1e-3  # largest change of a weight in the last sweep
SIMILARITY_PART = 0.05  # of a strength; orders what no weight tells apart
ITEMS_AT_ONCE = 500


def fitted(similarity: Similarity, weighted: np.ndarray, settings) -> Similarity:
    """The same pairs with strengths w_ij + SIMILARITY_PART sim(i -> j).

    Parameters
    ----------
    weighted : float64 (items), weighted sales of each, n_i
    settings : ModelSettings, that the similarities were made with
    """
    items = len(weighted)
    rows = np.repeat(np.arange(items, dtype=np.int32), np.diff(similarity.indptr))
    exponent = settings.item_exponent
    left = (weighted ** (1 - exponent)).astype(np.float32)
    right = (weighted**exponent).astype(np.float32)
    both = similarity.values * (
        left[rows] * right[similarity.indices] + np.float32(settings.shrink)
    )  # C_ij (pairs,)
    incoming = sp.csr_matrix(
        (np.arange(len(rows), dtype=np.int32), similarity.indices, similarity.indptr),
        shape=similarity.shape,
    ).tocsc()  # for each j the pairs i -> j
    weights = np.zeros(len(rows), np.float32)
    arrays = (
        (incoming.indptr, incoming.indices, incoming.data),
        (similarity.indptr, similarity.indices, both),
        weighted.astype(np.float32),
    )

    def fit(first: int) -> None:
        _fit(first, min(first + ITEMS_AT_ONCE, items), *arrays, np.float32(settings.ridge), weights)

    with ThreadPoolExecutor(settings.threads) as pool:
        list(pool.map(fit, range(0, items, ITEMS_AT_ONCE)))
    part = np.float32(SIMILARITY_PART)
    return replace(similarity, strengths=weights + part * similarity.values)


@numba.njit(nogil=True, cache=True)
def _fit(first, last, incoming, pairs, weighted, ridge, weights):
    """Fill in the weights of the pairs to items first..last-1."""
    indptr, sources, places = incoming
    number = np.full(len(weighted), -1, np.int32)
    gram = np.zeros((NEIGHBOURS, NEIGHBOURS), np.float32)
    for item in range(first, last):
        low, high = indptr[item], indptr[item + 1]
        chosen = low + _closest(sources[low:high], places[low:high], pairs[2], weighted)
        many = len(chosen)
        for place in range(many):
            number[sources[chosen[place]]] = place
        _fill(gram, sources[chosen], pairs, weighted, ridge, number)
        target = np.empty(many, np.float32)
        for place in range(many):
            target[place] = pairs[2][places[chosen[place]]]
        solution = _descend(gram, target)
        for place in range(many):
            weights[places[chosen[place]]] = solution[place]
            number[sources[chosen[place]]] = -1


@numba.njit(nogil=True, cache=True)
def _closest(sources, places, both, weighted):
    """The NEIGHBOURS of an item with the largest cosine, of equal ones the first, ascending."""
    cosines = np.empty(len(sources), np.float32)
    for at in range(len(sources)):
        cosines[at] = -both[places[at]] / np.sqrt(weighted[sources[at]])
    if len(cosines) <= NEIGHBOURS:
        return np.arange(len(cosines))
    return np.sort(np.argsort(cosines, kind="mergesort")[:NEIGHBOURS])


@numba.njit(nogil=True, cache=True)
def _fill(gram, sources, pairs, weighted, ridge, number):
    """The sums C of all pairs of some items, the ridge on the diagonal."""
    indptr, others, both = pairs
    many = len(sources)
    gram[:many, :many] = 0
    for place in range(many):
        one = sources[place]
        for at in range(indptr[one], indptr[one + 1]):
            other = number[others[at]]
            if other >= 0:
                gram[place, other] = both[at]
                gram[other, place] = both[at]
        gram[place, place] = weighted[one] + ridge


@numba.njit(nogil=True, cache=True)
def _descend(gram, target):
    """The w >= 0 that minimises w gram w / 2 - w target, by coordinate descent."""
    many = len(target)
    solution, rest = np.zeros(many, np.float32), target.copy()
    for _ in range(SWEEPS):
        largest = np.float32(0)
        for place in range(many):
            was = solution[place]
            now = max(was + rest[place] / gram[place, place], np.float32(0))
            if now != was:
                solution[place] = now
                for other in range(many):
                    rest[other] -= (now - was) * gram[place, other]
                largest = max(largest, abs(now - was))
        if largest < TOLERANCE:
            break
    return solution

"""The strongest neighbours of each item, row by row, as compiled code.

For one item the sales that hold it are gone through (Gustavson's sparse product, 1978), what they
hold besides is summed up in an array of all items, and the strongest are kept. Memory is that array
for each thread and the neighbours kept; the matrix of items by items is never there as a whole.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba
import numpy as np

from erp.recommender.candidates import best_heap
from erp.recommender.sampling import Csr

PRODUCTS_PER_BLOCK = 1_000_000  # of rows that are handed to a thread at once
ROWS_PER_BLOCK = 4_000

Scales = tuple[np.ndarray, np.ndarray, np.float32]


def strongest(
    rows, turned: Csr, held: Csr, weights, scales: Scales, min_support: int, top: int, threads: int
):
    """The `top` largest sums / (left right + shrink) of each row, of equal ones the lower number.

    Parameters
    ----------
    rows : int32 (items), the number of each, -1 where it has no neighbours
    turned : (indptr, sales), csr, the sales of each number, ascending
    held : (indptr, numbers), csr, the numbers of each sale
    weights : float32 (sales)
    scales : left and right, float32 (numbers), and shrink
    min_support : sales that hold both, at least

    Returns
    -------
    lengths : int32 (items); numbers int32, values float32, counts int32, csr by item, in no order
    within a row
    """
    cost = np.zeros(len(rows), np.int64)
    _costs(rows, *turned, held[0], cost)

    def block(bounds):
        first, last = bounds
        return _block(rows[first:last], *turned, *held, weights, *scales, min_support, top)

    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(block, _blocks(cost)))
    if not parts:
        parts = [block((0, 0))]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


@numba.njit(nogil=True, cache=True)
def _costs(rows, indptr, sales, held_indptr, cost):
    for row, number in enumerate(rows):
        if number >= 0:
            for at in range(indptr[number], indptr[number + 1]):
                cost[row] += held_indptr[sales[at] + 1] - held_indptr[sales[at]]


def _blocks(cost: np.ndarray) -> list[tuple[int, int]]:
    """Consecutive ranges of rows, each of about PRODUCTS_PER_BLOCK and not too many."""
    if not len(cost):
        return []
    price = cost + PRODUCTS_PER_BLOCK // ROWS_PER_BLOCK
    numbers = np.cumsum(price) // PRODUCTS_PER_BLOCK
    edges = np.flatnonzero(np.diff(numbers)) + 1
    return list(pairwise([0, *edges.tolist(), len(cost)]))


@numba.njit(nogil=True, cache=True)
def _block(
    rows, indptr, sales, held_indptr, held, weights, left, right, shrink, min_support, top
):  # fmt: skip
    both = np.zeros((len(left), 2), np.float32)  # sum and count of each number
    touched = np.empty(len(left) + 1, np.int32)
    scores, counts = np.empty(len(left), np.float32), np.empty(len(left), np.int32)
    lengths = np.zeros(len(rows), np.int32)
    space = np.int64(len(rows)) * min(top, len(left))
    numbers, values = np.empty(space, np.int32), np.empty(space, np.float32)
    support = np.empty(space, np.int32)
    filled = 0
    for row, number in enumerate(rows):
        if number < 0:
            continue
        found = 0
        for at in range(indptr[number], indptr[number + 1]):
            sale = sales[at]
            weight = weights[sale]
            for line in range(held_indptr[sale], held_indptr[sale + 1]):
                other = held[line]
                touched[found] = other
                found += both[other, 1] == 0
                both[other, 0] += weight
                both[other, 1] += np.float32(1)
        often = 0
        for place in range(found):
            other = touched[place]
            if both[other, 1] >= min_support and other != number:
                touched[often] = other
                scores[often] = both[other, 0] / (left[number] * right[other] + shrink)
                counts[often] = both[other, 1]
                often += 1
            both[other] = 0
        first = filled
        if often <= top:
            filled += often
            numbers[first:filled] = touched[:often]
            values[first:filled] = scores[:often]
            support[first:filled] = counts[:often]
        else:
            for place in best_heap(scores, touched, often, top):
                numbers[filled], values[filled] = touched[place], scores[place]
                support[filled] = counts[place]
                filled += 1
        lengths[row] = filled - first
    return lengths, numbers[:filled].copy(), values[:filled].copy(), support[:filled].copy()

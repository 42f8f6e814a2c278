"""What each customer buys again and again: decayed frequencies as of a moment.

P(u, i) = decayed baskets of u with i / (decayed baskets of u + 1), at three half-lives: a quarter
of the given one (what was bought just now), the given one, and four times it (old habits).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from erp.recommender import checks

DAY = 86400.0  # seconds
SCALES = (0.25, 1.0, 4.0)  # of the half-life
FARTHEST = 200.0  # half-lives ahead of the origin that are told apart


@dataclass(frozen=True)
class HistoryRows:
    """The frequencies of a batch of baskets' customers.

    indptr : int64 (rows + 1), items : int32 (pairs), ascending within a row,
    frequencies : float32 (pairs, 3), 0 to 1, baskets : float32 (rows), decayed at the longest.
    """

    indptr: np.ndarray
    items: np.ndarray
    frequencies: np.ndarray
    baskets: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> HistoryRows:
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        pairs = np.repeat(self.indptr[rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return HistoryRows(indptr, self.items[pairs], self.frequencies[pairs], self.baskets[rows])

    def checked(self, rows: int, products: int) -> HistoryRows:
        """The same as compiled code reads it; ValueError where it is not of so many of each."""
        indptr, items = checks.csr(self.indptr, self.items, rows, products, "histories")
        shape = (len(items), len(SCALES))
        frequencies = checks.array(self.frequencies, np.float32, shape, "frequencies")
        baskets = checks.array(self.baskets, np.float32, (rows,), "decayed baskets")
        if not ((frequencies >= 0) & (frequencies <= 1)).all() or not (baskets >= 0).all():
            raise ValueError("histories: frequencies are from 0 to 1, decayed baskets at least 0")
        return HistoryRows(indptr, items, frequencies, baskets)


def no_history(rows: int) -> HistoryRows:
    """So many customers of whom nothing is known."""
    return HistoryRows(
        np.zeros(rows + 1, np.int64),
        np.zeros(0, np.int32),
        np.zeros((0, len(SCALES)), np.float32),
        np.zeros(rows, np.float32),
    )


def rows_before(baskets, sales: np.ndarray, half_life_days: float) -> HistoryRows:
    """For each of the given sales, its customer's frequencies just before it.

    Parameters
    ----------
    baskets : Baskets, in time order
    sales : int (rows), places in `baskets`
    """
    order = np.argsort(baskets.customers, kind="stable")  # by customer, then time
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    sorted_customers = baskets.customers[order]
    starts = np.searchsorted(sorted_customers, baskets.customers[sales], side="left")
    ends = np.where(baskets.customers[sales] < 0, starts, place[sales])
    seen_at = baskets.times[sales]
    pairs, items, sums, totals = decayed(baskets, order, starts, ends, seen_at, half_life_days)
    sums /= np.repeat((totals + 1).astype(np.float32), np.diff(pairs), axis=0)
    return HistoryRows(pairs, items, sums, totals[:, -1].astype(np.float32))


def decayed(baskets, order, starts, ends, seen_at, half_life_days: float):
    """Decayed sums of the products in the first sales of customers, at each of the SCALES.

    Parameters
    ----------
    order : int (sales), places in `baskets` by customer and time
    starts, ends : int (rows), a row is of the sales order[start:end]; equal starts, one customer
    seen_at : seconds (rows), when they are looked back at; not before the last of them

    Returns
    -------
    indptr, items : csr by row, items ascending; sums : float32 (pairs, 3);
    totals : float64 (rows, 3), decayed sales
    """
    rows = (order, starts, ends, np.lexsort((ends, starts)))
    held = (baskets.indptr, baskets.items, len(baskets.item_ids))
    pairs = np.zeros(len(starts) + 1, np.int64)
    _count(*rows, *held, pairs)
    np.cumsum(pairs, out=pairs)
    totals = np.zeros((len(starts), len(SCALES)))
    items, sums = np.empty(pairs[-1], np.int32), np.empty((pairs[-1], len(SCALES)), np.float32)
    half_lives = half_life_days * np.array(SCALES) * DAY
    _add_up(*rows, *held, baskets.times, seen_at, half_lives, pairs, items, sums, totals)
    return pairs, items, sums, totals


@numba.njit(nogil=True, cache=True)
def _count(order, starts, ends, by, held_indptr, held, products, pairs):
    """The number of distinct products of each row, in pairs[1:]."""
    seen = np.full(products, -1, np.int64)
    customer, at, distinct = -1, 0, 0
    for row in by:
        if starts[row] != customer:
            customer, at, distinct = starts[row], starts[row], 0
        while at < ends[row]:
            for line in range(held_indptr[order[at]], held_indptr[order[at] + 1]):
                if seen[held[line]] != customer:
                    seen[held[line]] = customer
                    distinct += 1
            at += 1
        pairs[row + 1] = distinct


@numba.njit(nogil=True, cache=True)
def _add_up(
    order, starts, ends, by, held_indptr, held, products, times, seen_at, half_lives, pairs,
    items, sums, totals,
):  # fmt: skip
    """Fill in items, ascending within a row, sums and totals: a customer's sales are gone over
    once, and each of her rows is what has been added up when it ends."""
    slot = np.zeros(products, np.int64)
    weight, total = np.empty(3), np.empty(3)
    first = 0
    while first < len(by):
        last = first
        while last + 1 < len(by) and starts[by[last + 1]] == starts[by[first]]:
            last += 1
        whole = by[last]
        mine = _products(order[starts[whole] : ends[whole]], held_indptr, held, slot)
        for place in range(len(mine)):
            slot[mine[place]] = place
        own, total[:] = np.zeros((len(mine), 3)), 0
        at = starts[whole]
        for row in by[first : last + 1]:
            while at < ends[row]:
                _decay(seen_at[whole] - times[order[at]], half_lives, weight)
                total += weight
                for line in range(held_indptr[order[at]], held_indptr[order[at] + 1]):
                    place = slot[held[line]]
                    for scale in range(3):
                        own[place, scale] += weight[scale]
                at += 1
            _decay(seen_at[whole] - seen_at[row], half_lives, weight)
            grown = 1 / weight
            totals[row] = total * grown
            to = pairs[row]
            for place in range(len(mine)):
                if own[place, 0] > 0:
                    items[to] = mine[place]
                    for scale in range(3):
                        sums[to, scale] = own[place, scale] * grown[scale]
                    to += 1
        for item in mine:
            slot[item] = 0
        first = last + 1


@numba.njit(nogil=True, cache=True)
def _decay(age, half_lives, left):
    """Write what is left of 1 after `age` seconds."""
    for scale in range(len(half_lives)):
        left[scale] = 2.0 ** -min(age / half_lives[scale], FARTHEST / 2)


@numba.njit(nogil=True, cache=True)
def _products(sales, held_indptr, held, marks):
    """The distinct products of some sales, ascending; marks are 0 before and after."""
    many = 0
    for sale in sales:
        many += held_indptr[sale + 1] - held_indptr[sale]
    found, many = np.empty(many, np.int32), 0
    for sale in sales:
        for line in range(held_indptr[sale], held_indptr[sale + 1]):
            found[many] = held[line]
            many += marks[held[line]] == 0
            marks[held[line]] = 1
    found = found[:many]
    for item in found:
        marks[item] = 0
    return np.sort(found)

"""What each customer buys again and again: decayed frequencies, kept fresh as sales arrive.

P(u, i) = decayed baskets of u with i / (decayed baskets of u + 1), at three half-lives: a quarter
of the given one (what was bought just now), the given one, and four times it (old habits).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

DAY = 86400.0  # seconds
SCALES = (0.25, 1.0, 4.0)  # of the half-life
CURRENT = 1  # the scale that is the given half-life itself
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
    start = np.searchsorted(sorted_customers, baskets.customers[sales], side="left")
    lengths = np.where(baskets.customers[sales] < 0, 0, place[sales] - start)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    earlier = order[np.repeat(start - indptr[:-1], lengths) + np.arange(indptr[-1])]
    age = (np.repeat(baskets.times[sales], lengths) - baskets.times[earlier]) / DAY
    pairs, items, sums, totals = _decayed(baskets, indptr, earlier, age, half_life_days)
    frequencies = sums / np.repeat(totals + 1, np.diff(pairs), axis=0)
    return HistoryRows(
        pairs, items, frequencies.astype(np.float32), totals[:, -1].astype(np.float32)
    )


def _decayed(baskets, indptr, sales, age, half_life_days: float):
    """Decayed sums of the products in groups of sales, at each of the SCALES.

    Parameters
    ----------
    indptr, sales : csr, the sales (places in `baskets`) of each group; age : of each, in days

    Returns
    -------
    indptr, items : csr by group, items ascending; sums : float64 (pairs, 3);
    totals : float64 (groups, 3), decayed sales
    """
    half_lives = half_life_days * np.array(SCALES)
    weights = 2.0 ** -np.minimum(age[:, None] / half_lives, FARTHEST / 2)  # (sales, 3)
    totals = np.zeros((len(indptr) - 1, len(SCALES)))
    pairs = np.zeros(len(indptr), np.int64)
    held = (baskets.indptr, baskets.items, len(baskets.item_ids))
    _count(indptr, sales, *held, pairs)
    np.cumsum(pairs, out=pairs)
    items, sums = np.empty(pairs[-1], np.int32), np.zeros((pairs[-1], len(SCALES)))
    _add_up(indptr, sales, weights, *held, pairs, items, sums, totals)
    return pairs, items, sums, totals


@numba.njit(nogil=True, cache=True)
def _count(indptr, sales, held_indptr, held, products, pairs):
    """The number of distinct products of each group, in pairs[1:]."""
    last = np.full(products, -1, np.int64)
    for group in range(len(indptr) - 1):
        for place in range(indptr[group], indptr[group + 1]):
            for at in range(held_indptr[sales[place]], held_indptr[sales[place] + 1]):
                if last[held[at]] != group:
                    last[held[at]] = group
                    pairs[group + 1] += 1


@numba.njit(nogil=True, cache=True)
def _add_up(indptr, sales, weights, held_indptr, held, products, pairs, items, sums, totals):
    """Fill in items, ascending within a group, their sums and the totals."""
    seen = np.full(products, -1, np.int64)
    for group in range(len(indptr) - 1):
        first, found = pairs[group], pairs[group]
        for place in range(indptr[group], indptr[group + 1]):
            for at in range(held_indptr[sales[place]], held_indptr[sales[place] + 1]):
                if seen[held[at]] < first:
                    seen[held[at]] = first
                    items[found] = held[at]
                    found += 1
        items[first:found] = np.sort(items[first:found])
        for at in range(first, found):
            seen[items[at]] = at
        for place in range(indptr[group], indptr[group + 1]):
            for scale in range(totals.shape[1]):
                totals[group, scale] += weights[place, scale]
            for at in range(held_indptr[sales[place]], held_indptr[sales[place] + 1]):
                for scale in range(totals.shape[1]):
                    sums[seen[held[at]], scale] += weights[place, scale]


class History:
    """Decayed sums per customer and item; sales can be added one by one.

    A sum is kept as seen from `origin` (seconds since 1970 UTC), so that nothing needs to be
    renewed as time goes by: at time t it has decayed by 2^(-(t - origin) / half-life).

    Parameters
    ----------
    rows : dict customer id -> row of the arrays
    indptr, items, sums : csr of float32 (pairs, 3), items ascending within a row
    totals : float32 (customers, 3), decayed baskets
    max_live : customers whose sums may differ from the arrays; the longest unseen goes first
    """

    def __init__(self, half_life_days, origin, rows, indptr, items, sums, totals, max_live=100_000):
        self.half_life_days = float(half_life_days)
        self.origin = float(origin)
        self.rows, self.indptr, self.items = rows, indptr, items
        self.sums, self.totals, self.max_live = sums, totals, max_live
        self._half_lives = np.array(SCALES) * self.half_life_days * DAY  # seconds
        self._live: OrderedDict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = OrderedDict()

    def sums_of(self, customer: str | None):
        """Items, sums (items, 3) and totals (3) of a customer as seen from the origin, or None."""
        live = self._live.get(customer)
        if live is not None:
            return live
        row = self.rows.get(customer)
        if row is None:
            return None
        lo, hi = self.indptr[row], self.indptr[row + 1]
        return self.items[lo:hi], self.sums[lo:hi], self.totals[row]

    def add(self, customer: str, items: np.ndarray, time: float, sign: float = 1.0) -> None:
        """Add one sale of distinct item codes; sign -1 takes it back."""
        age = (time - self.origin) / self._half_lives  # (3,)
        known = self.sums_of(customer)
        if known is None:
            known = (np.zeros(0, np.int32), np.zeros((0, len(SCALES))), np.zeros(len(SCALES)))
        elif customer not in self._live:
            known = (known[0].copy(), known[1].astype(np.float64), known[2].astype(np.float64))
        self._live[customer] = _with_sale(*known, items, age, sign)
        self._live.move_to_end(customer)
        if len(self._live) > self.max_live:
            self._live.popitem(last=False)

    def batch(self, customers: Sequence[str | None], times: np.ndarray) -> HistoryRows:
        """The frequencies of the customers at the given times (seconds), one row each."""
        found = [self.sums_of(customer) if customer is not None else None for customer in customers]
        lengths = np.array([0 if one is None else len(one[0]) for one in found], np.int64)
        indptr = np.concatenate(([0], np.cumsum(lengths)))
        steps = np.clip((times[:, None] - self.origin) / self._half_lives, -FARTHEST, FARTHEST)
        decay = 2.0**-steps  # (rows, 3)
        present = [one for one in found if one is not None]
        if not present:
            nothing = np.zeros((0, len(SCALES)), np.float32)
            return HistoryRows(
                indptr, np.zeros(0, np.int32), nothing, np.zeros(len(found), np.float32)
            )
        items = np.concatenate([one[0] for one in present])
        sums = np.concatenate([one[1] for one in present])
        totals = np.zeros((len(found), len(SCALES)))
        totals[[place for place, one in enumerate(found) if one is not None]] = [
            one[2] for one in present
        ]
        totals *= decay
        factor = (decay / (totals + 1.0)).astype(np.float32)
        frequencies = np.minimum(sums * np.repeat(factor, lengths, axis=0), 1.0)
        return HistoryRows(
            indptr, items, frequencies.astype(np.float32), totals[:, -1].astype(np.float32)
        )


@numba.njit(nogil=True, cache=True)
def _with_sale(known, sums, totals, items, age, sign):
    """Items, sums and totals of a customer with a sale of ascending items more, or less.

    age : of the sale in half-lives, negative before the origin, at each of the SCALES
    """
    weights = sign * 2.0 ** np.maximum(np.minimum(age, FARTHEST), -FARTHEST)
    merged = np.empty(len(known) + len(items), np.int32)
    result = np.zeros((len(merged), len(age)))
    at = other = found = 0
    while at < len(known) or other < len(items):
        old = other == len(items) or (at < len(known) and known[at] <= items[other])
        merged[found] = known[at] if old else items[other]
        if old:
            result[found] = sums[at]
            at += 1
        if other < len(items) and items[other] == merged[found]:
            result[found] += weights
            other += 1
        found += 1
    result = np.maximum(result[:found], 0.0)
    return merged[:found].copy(), result, np.maximum(totals + weights, 0.0)


def fit_history(
    baskets, half_life_days: float, items_kept: int = 500, origin: float | None = None
) -> History:
    """The history of every customer at the end of the data, its `items_kept` heaviest items.

    origin : seconds since 1970 UTC, the end of the data if not that of these baskets
    """
    if origin is None:
        origin = float(baskets.times[-1]) if len(baskets) else 0.0
    known = np.flatnonzero(baskets.customers >= 0)
    present, rows = np.unique(baskets.customers[known], return_inverse=True)
    order = np.argsort(rows, kind="stable")
    indptr = np.searchsorted(rows[order], np.arange(len(present) + 1))
    age = (origin - baskets.times[known[order]]) / DAY
    pairs, items, sums, totals = _decayed(baskets, indptr, known[order], age, half_life_days)
    row_of = np.repeat(np.arange(len(present)), np.diff(pairs))
    kept = np.arange(len(items))
    if np.diff(pairs).max(initial=0) > items_kept:
        heavy = np.lexsort((-sums.sum(axis=1), row_of))
        rank = np.arange(len(heavy)) - pairs[row_of[heavy]]
        kept = np.sort(heavy[rank < items_kept])
    counts = np.bincount(row_of[kept], minlength=len(present))
    return History(
        half_life_days,
        origin,
        {baskets.customer_ids[code]: row for row, code in enumerate(present)},
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        items[kept],
        sums[kept].astype(np.float32),
        totals.astype(np.float32),
    )

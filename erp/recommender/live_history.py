"""What each customer buys again and again, kept fresh as sales arrive (history.py)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import numba
import numpy as np

from erp.recommender.history import DAY, FARTHEST, SCALES, HistoryRows, decayed

ITEMS_KEPT = 500  # heaviest items of a customer; what is added may be twice as many for a while
NOTHING = np.zeros((1, 1 + len(SCALES)))  # was bought: see History._added
Change = tuple[str, np.ndarray, float, float]  # customer, items (ascending), seconds, 1 or -1


class History:
    """Decayed sums per customer and item; sales can be added.

    A sum is kept as seen from `origin` (seconds since 1970 UTC), so that nothing needs to be
    renewed as time goes by: at time t it has decayed by 2^(-(t - origin) / half-life).

    Parameters
    ----------
    rows : dict customer id -> row of the arrays
    indptr, items, sums : csr of float32 (pairs, 3), items ascending within a row
    totals : float32 (customers, 3), decayed baskets
    max_live : customers whose sales since then are known; the longest unseen goes first
    """

    def __init__(self, half_life_days, origin, rows, indptr, items, sums, totals, max_live=100_000):
        self.half_life_days = float(half_life_days)
        self.origin = float(origin)
        self.rows, self.indptr, self.items = rows, indptr, items
        self.sums, self.totals, self.max_live = sums, totals, max_live
        self._half_lives = np.array(SCALES) * self.half_life_days * DAY  # seconds
        # float64 (1 + items, 4): the totals behind a 0; then an item in each row, and its sums
        self._added: OrderedDict[str, np.ndarray] = OrderedDict()

    def untouched(self) -> History:
        """The same without the sales that were added; the arrays are shared."""
        arrays = self.indptr, self.items, self.sums, self.totals
        return History(self.half_life_days, self.origin, self.rows, *arrays, self.max_live)

    def add(self, sales: Sequence[Change]) -> None:
        """Add sales, or take some back; those of a customer one after the other."""
        turns: list[list[Change]] = []
        taken: dict[str, int] = {}
        for sale in sales:
            turn = taken[sale[0]] = taken.get(sale[0], -1) + 1
            if turn == len(turns):
                turns.append([])
            turns[turn].append(sale)
        for turn_of_each in turns:
            self._add(turn_of_each)

    def warm_up(self) -> None:
        """Compile what adds a sale, or load it from the cache, ahead of the first one."""
        list(self._merged([("", np.zeros(0, np.int32), self.origin, 1.0)]))

    def _add(self, sales: list[Change]) -> None:
        """The same for sales of different customers."""
        for customer, added in self._merged(sales):
            self._added[customer] = _heaviest(added) if len(added) > 2 * ITEMS_KEPT else added
            self._added.move_to_end(customer)
            if len(self._added) > self.max_live:
                self._added.popitem(last=False)

    def _merged(self, sales: list[Change]) -> Iterator[tuple[str, np.ndarray]]:
        """Different customers, and what was added of each with her sale."""
        customers, bought, times, signs = zip(*sales, strict=True)
        indptr, added = self._added_of(customers)
        starts, items = _ends(bought), np.concatenate(bought)
        merged, lasts = np.empty((len(added) + len(items), added.shape[1])), np.empty_like(starts)
        ages = np.array(times) - self.origin
        _merge(indptr, added, starts, items, ages, np.array(signs), self._half_lives, merged, lasts)
        firsts = (indptr + starts).tolist()
        for customer, first, last in zip(customers, firsts, lasts.tolist(), strict=False):
            yield customer, merged[first:last].copy()

    def _added_of(self, customers: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
        """What was added of each, one behind the other, and where each begins."""
        get = self._added.get
        added = [NOTHING if one is None else get(one, NOTHING) for one in customers]
        return _ends(added), np.concatenate(added or [NOTHING])

    def batch(self, customers: Sequence[str | None], times: np.ndarray) -> HistoryRows:
        """The frequencies of the customers at the given times (seconds), one row each."""
        rows = np.array([self.rows.get(customer, -1) for customer in customers], np.int64)
        added = self._added_of(customers)
        known = rows[rows >= 0]
        most = len(added[1]) + (self.indptr[known + 1] - self.indptr[known]).sum()
        found = HistoryRows(
            np.zeros(len(rows) + 1, np.int64),
            np.empty(most, np.int32),
            np.empty((most, len(SCALES)), np.float32),
            np.empty(len(rows), np.float32),
        )
        trained = self.indptr, self.items, self.sums, self.totals
        _seen_at(
            rows, trained, added, times - self.origin, self._half_lives,
            (found.indptr, found.items, found.frequencies, found.baskets),
        )  # fmt: skip
        pairs = slice(found.indptr[-1])
        return replace(found, items=found.items[pairs], frequencies=found.frequencies[pairs])


def _heaviest(added: np.ndarray) -> np.ndarray:
    """What was added of a customer, with the ITEMS_KEPT products of the largest frequencies."""
    frequencies = (added[1:, 1:] / (added[0, 1:] + 1)).sum(axis=1)
    heaviest = np.argsort(-frequencies, kind="stable")[:ITEMS_KEPT]
    return added[np.concatenate(([0], np.sort(heaviest) + 1))]


def _ends(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Where each array begins, and the last one ends, when they are put behind each other."""
    return np.fromiter(accumulate(map(len, arrays), initial=0), np.int64, len(arrays) + 1)


@numba.njit(nogil=True, cache=True)
def _seen_at(rows, trained, added, ages, half_lives, out):
    """Write each customer's frequencies, `ages` seconds after the origin.

    rows : her row in `trained`, -1 where she was unknown; added : a part for each
    """
    indptr, items, sums, totals = trained
    starts, new = added
    ends, held, frequencies, baskets = out
    filled = 0
    for place in range(len(rows)):
        row, first = rows[place], filled
        at, last = (indptr[row], indptr[row + 1]) if row >= 0 else (0, 0)
        other, end = starts[place] + 1, starts[place + 1]
        while at < last or other < end:
            is_old = other == end or (at < last and items[at] <= new[other, 0])
            is_new = other < end and (not is_old or items[at] == new[other, 0])
            held[filled] = items[at] if is_old else new[other, 0]
            for scale in range(3):
                before = np.float64(sums[at, scale]) if is_old else 0.0
                frequencies[filled, scale] = before + (new[other, 1 + scale] if is_new else 0.0)
            at += is_old
            other += is_new
            filled += 1
        for scale in range(3):
            age = min(max(ages[place] / half_lives[scale], -FARTHEST), FARTHEST)
            before = np.float64(totals[row, scale]) if row >= 0 else 0.0
            total = max(before + new[starts[place], 1 + scale], 0.0) * 2.0**-age
            factor = np.float32(2.0**-age / (total + 1.0))
            for pair in range(first, filled):
                share = min(frequencies[pair, scale] * factor, np.float32(1))
                frequencies[pair, scale] = max(share, np.float32(0))
            baskets[place] = total
        ends[place + 1] = filled


@numba.njit(nogil=True, cache=True)
def _merge(indptr, added, starts, items, ages, signs, half_lives, merged, lasts):
    """Write what was added of customers, each with a sale of ascending items.

    ages : of the sales in seconds, negative before the origin; signs : -1 takes a sale back;
    lasts : where each ends in `merged`; she begins at indptr + starts. Nothing is below 0: what is
    taken back may have been forgotten.
    """
    weights = np.empty(3)
    for row in range(len(ages)):
        at, last, other, end = indptr[row] + 1, indptr[row + 1], starts[row], starts[row + 1]
        to = indptr[row] + other
        merged[to, 0] = 0
        for scale in range(3):
            passed = min(max(ages[row] / half_lives[scale], -FARTHEST), FARTHEST)
            weights[scale] = signs[row] * 2.0**passed
            merged[to, 1 + scale] = max(added[indptr[row], 1 + scale] + weights[scale], 0.0)
        to += 1
        while at < last or other < end:
            is_old = other == end or (at < last and added[at, 0] <= items[other])
            is_new = other < end and (not is_old or added[at, 0] == items[other])
            merged[to, 0] = added[at, 0] if is_old else items[other]
            for scale in range(3):
                before = added[at, 1 + scale] if is_old else 0.0
                merged[to, 1 + scale] = max(before + weights[scale], 0.0) if is_new else before
            at += is_old
            other += is_new
            to += 1
        lasts[row] = to


def fit_history(
    baskets, half_life_days: float, items_kept: int = ITEMS_KEPT, origin: float | None = None
) -> History:
    """The history of every customer at the end of the data, its `items_kept` heaviest items.

    origin : seconds since 1970 UTC, the end of the data if not that of these baskets
    """
    if origin is None:
        origin = float(baskets.times[-1]) if len(baskets) else 0.0
    known = np.flatnonzero(baskets.customers >= 0)
    present, rows = np.unique(baskets.customers[known], return_inverse=True)
    order = np.argsort(rows, kind="stable")
    ends = np.searchsorted(rows[order], np.arange(len(present)), side="right")
    starts, seen_at = np.roll(ends, 1), np.full(len(ends), origin)
    starts[:1] = 0
    pairs, items, sums, totals = decayed(
        baskets, known[order], starts, ends, seen_at, half_life_days
    )
    kept = np.ones(len(items), bool)
    for row in np.flatnonzero(np.diff(pairs) > items_kept):
        weights = sums[pairs[row] : pairs[row + 1]].sum(axis=1)
        kept[pairs[row] + np.argsort(-weights, kind="stable")[items_kept:]] = False
    indptr = np.concatenate(([0], np.cumsum(kept)))[pairs]
    return History(
        half_life_days,
        origin,
        {baskets.customer_ids[code]: row for row, code in enumerate(present)},
        indptr,
        items[kept],
        sums[kept],
        totals.astype(np.float32),
    )

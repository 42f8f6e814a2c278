"""What sells: time-decayed shares of lines, overall, by category and by store."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from erp.recommender import checks
from erp.recommender.similarity import place_of_now

DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Popularity:
    """Decayed sales per item and per store.

    shares : float32 (items), the item's decayed share of all sales' lines, sums to 1,
    per_sale : float, decayed lines per decayed sale,
    store_indptr, store_items, store_shares : the same by store, csr, blended with the whole.
    """

    shares: np.ndarray
    per_sale: float
    store_indptr: np.ndarray
    store_items: np.ndarray
    store_shares: np.ndarray

    def checked(self, items: int, stores: int) -> Popularity:
        """The same as compiled code reads it; ValueError where it is not of so many of each."""
        indptr, sold = checks.csr(self.store_indptr, self.store_items, stores, items, "stores")
        return Popularity(
            checks.array(self.shares, np.float32, (items,), "shares of items"),
            float(self.per_sale),
            indptr,
            sold,
            checks.array(self.store_shares, np.float32, (len(sold),), "shares of stores"),
        )


def fit_popularity(
    baskets, half_life_days: float, store_top: int = 100, blend_lines: float = 100.0
) -> Popularity:
    """Shares of each item; a store's are blended with `blend_lines` lines of the whole.

    Parameters
    ----------
    half_life_days : of a sale's weight
    store_top : items kept per store; 0 leaves the stores out
    """
    items, sizes = len(baskets.item_ids), baskets.sizes
    stores = len(baskets.store_ids) if store_top else 0
    if not len(baskets):
        return Popularity(
            np.zeros(items, np.float32),
            1.0,
            np.zeros(stores + 1, np.int64),
            np.zeros(0, np.int32),
            np.zeros(0, np.float32),
        )
    now = baskets.times[place_of_now(len(baskets))]
    weights = weights_at(now, baskets.times, half_life_days)
    volume = np.bincount(baskets.items, np.repeat(weights, sizes), items)
    total = volume.sum()
    shares = volume / total
    by_store = np.argsort(baskets.stores, kind="stable")
    first = np.searchsorted(baskets.stores[by_store], np.arange(stores + 1))
    shelves, lines, sold = [], np.zeros(items), np.zeros(items, bool)
    for store in range(stores):
        sales = by_store[first[store] : first[store + 1]]
        here = _add_lines(sales, baskets.indptr, baskets.items, weights, lines, sold)
        shelves.append(_shelf(here, lines[here], shares, store_top, blend_lines))
        lines[here], sold[here] = 0, False
    return Popularity(shares.astype(np.float32), float(total / weights.sum()), *stacked(shelves))


@numba.njit(nogil=True, cache=True)
def _add_lines(sales, indptr, items, weights, lines, sold):
    """Add up the lines of some sales by item; which items were sold, ascending."""
    many = 0
    for sale in sales:
        many += indptr[sale + 1] - indptr[sale]
    here, many = np.empty(many, np.int32), 0
    for sale in sales:
        for at in range(indptr[sale], indptr[sale + 1]):
            if not sold[items[at]]:
                sold[items[at]] = True
                here[many] = items[at]
                many += 1
            lines[items[at]] += weights[sale]
    return np.sort(here[:many])


def weights_at(now: float, times: np.ndarray, half_life_days: float) -> np.ndarray:
    """Float64 weight of each sale by its age at `now` (seconds)."""
    return 2.0 ** (-np.maximum(now - times, 0.0) / DAY / half_life_days)


def store_shelf(lines: np.ndarray, shares: np.ndarray, top: int = 100, blend_lines: float = 100.0):
    """The items that sell best in a store, and their shares, blended with the whole.

    lines : float64 (items), the store's decayed lines; shares : float64 (items), of the whole
    """
    here = np.flatnonzero(lines)
    return _shelf(here, lines[here], shares, top, blend_lines)


def _shelf(here, lines, shares, top: int, blend_lines: float):
    score = (lines + blend_lines * shares[here]) / (lines.sum() + blend_lines)
    if len(score) > top:  # only what may be among the best is sorted
        some = np.flatnonzero(score >= np.partition(score, -top)[-top])
        here, score = here[some], score[some]
    best = np.argsort(-score, kind="stable")[:top]
    return here[best], score[best]


def stacked(shelves) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items and shares of each store as csr: indptr, items, shares."""
    items = [np.zeros(0, np.int32), *(items for items, _ in shelves)]
    shares = [np.zeros(0), *(shares for _, shares in shelves)]
    return (
        np.concatenate(([0], np.cumsum([len(items) for items, _ in shelves]))).astype(np.int64),
        np.concatenate(items).astype(np.int32),
        np.concatenate(shares).astype(np.float32),
    )

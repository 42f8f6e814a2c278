"""What the customers bought, up to now: the history of the training and the sales seen since.

A sale counts once however often it comes, and one that comes again with other products replaces
its first version. Any thread may ask and tell.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from erp.recommender.history import HistoryRows
from erp.recommender.live_history import Change, History
from erp.recommender.observed import ObservedSale, ObservedSales
from erp.recommender.sampling import Csr

SALES_REMEMBERED = 100_000  # newest observed sales, to tell those that come twice


class Customers:
    """A history that is kept fresh.

    Parameters
    ----------
    history : History
    trained : uint64 (sales), ascending: the keys of the sales it was made of, see `keys_of`

    Attributes
    ----------
    newest : seconds since 1970 UTC, of the newest sale known
    """

    def __init__(self, history: History, trained: np.ndarray):
        self.history, self.trained = history, trained
        self.newest = history.origin
        self._observed = ObservedSales(SALES_REMEMBERED)
        self._lock = threading.RLock()

    def frequencies(self, customers: Sequence[str | None], moments: np.ndarray) -> HistoryRows:
        """What each customer buys again and again as of a moment (seconds), a row each."""
        with self._lock:
            return self.history.batch(customers, moments)

    def observe(
        self,
        keys: np.ndarray,
        customers: Sequence[str],
        bought: Csr,
        moments: Sequence[float | None],
    ) -> int:
        """Add sales, each to its customer's history; the number that changed anything.

        Parameters
        ----------
        keys : uint64 (sales); bought : of item codes
        moments : seconds since 1970 UTC; None: the newest time known
        """
        ends, codes = bought
        with self._lock:
            newest, sales = self.newest, []
            for customer, moment, (first, end) in zip(
                customers, moments, pairwise(ends.tolist()), strict=True
            ):
                when = newest if moment is None else moment
                newest = max(newest, when)
                sales.append(ObservedSale(sys.intern(customer), codes[first:end].tobytes(), when))
            return self._observe(keys, sales)

    def observe_from(self, other: Customers, codes: np.ndarray) -> int:
        """Take over the sales that another (older) model observed; the number that were new.

        codes : int32, its item codes -> ours, -1 where there is none
        """
        with other._lock:
            as_they_are = iter(other._observed)
        theirs = list(as_they_are)
        keys, sales = np.array([key for key, _ in theirs], np.uint64), []
        for _, sale in theirs:
            ours = np.unique(codes[sale.items])
            sales.append(sale._replace(codes=ours[ours >= 0].tobytes()))
        with self._lock:
            return self._observe(keys, sales)

    def _observe(self, keys: np.ndarray, sales: list[ObservedSale]) -> int:
        """Add sales that are new or changed; how many."""
        changes: list[Change] = []
        seen: dict[int, ObservedSale] = {}
        new = 0
        for key, trained, sale in zip(keys.tolist(), self._are_trained(keys), sales, strict=True):
            before = seen.get(key) or self._observed.get(key)
            if before is None and trained:
                continue
            if before is not None:
                if (before.customer, before.codes) == (sale.customer, sale.codes):
                    continue
                changes.append((before.customer, before.items, before.moment, -1.0))
            changes.append((sale.customer, sale.items, sale.moment, 1.0))
            seen[key] = sale
            new += 1
        self.history.add(changes)
        for key, sale in seen.items():  # now that they are added
            self._observed.put(key, sale)
            self.newest = max(self.newest, sale.moment)
        return new

    def _are_trained(self, keys: np.ndarray) -> list[bool]:
        """Which of the sales the history was made of."""
        trained = self.trained
        if not len(trained):
            return [False] * len(keys)
        places = np.minimum(np.searchsorted(trained, keys), len(trained) - 1)
        return (trained[places] == keys).tolist()

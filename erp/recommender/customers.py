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

from erp.recommender.history import History, HistoryRows
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
        changed = 0
        for key, trained, customer, moment, (first, end) in zip(
            keys.tolist(), self._are_trained(keys), customers, moments, pairwise(ends.tolist()),
            strict=True,
        ):  # fmt: skip
            when = self.newest if moment is None else moment
            changed += self._observe(key, trained, sys.intern(customer), codes[first:end], when)
        return changed

    def observe_from(self, other: Customers, codes: np.ndarray) -> int:
        """Take over the sales that another (older) model observed; the number that were new.

        codes : int32, its item codes -> ours, -1 where there is none
        """
        with other._lock:
            as_they_are = iter(other._observed)
        sales = list(as_they_are)
        keys = np.array([key for key, _ in sales], np.uint64)
        changed = 0
        for (key, sale), trained in zip(sales, self._are_trained(keys), strict=True):
            ours = np.unique(codes[sale.items])
            changed += self._observe(key, trained, sale.customer, ours[ours >= 0], sale.moment)
        return changed

    def _observe(self, key: int, trained: bool, customer: str, items, moment: float) -> bool:
        sale = ObservedSale(customer, items.tobytes(), moment)
        with self._lock:
            before = self._observed.get(key)
            if before is None and trained:
                return False
            if before is not None:
                if (before.customer, before.codes) == (customer, sale.codes):
                    return False
                self.history.add(before.customer, before.items, before.moment, sign=-1.0)
            self.history.add(customer, items, moment)
            self._observed.put(key, sale)
            self.newest = max(self.newest, moment)
        return True

    def _are_trained(self, keys: np.ndarray) -> list[bool]:
        """Which of the sales the history was made of."""
        trained = self.trained
        if not len(trained):
            return [False] * len(keys)
        places = np.minimum(np.searchsorted(trained, keys), len(trained) - 1)
        return (trained[places] == keys).tolist()

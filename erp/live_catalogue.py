"""A catalogue that follows the products of MongoDB.

Every turn reads what the sink stored since the last one, by `stored_at`; every so often all of
them, for deletions and for changes that nothing stamped. The more products there are the rarer
that is, so that it never takes more than a few percent of the time.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pymongo
from pymongo.collection import Collection

from erp.catalogue import Catalogue

READ_TIMEOUT = 60  # s for all products
OVERLAP = timedelta(seconds=60)  # a document is stamped a little before it can be read
FULL_SHARE = 0.02  # of the time is spent on reading all products, at most
FULL_EVERY = 10  # s between two readings of all products, at least

_FIELDS = {"name": 1, "category": 1, "active": 1, "stored_at": 1}


class LiveCatalogue:
    """Keeps `catalogue` like the collection of products, as often as `refresh` is called."""

    def __init__(self, collection: Collection[dict[str, Any]], catalogue: Catalogue) -> None:
        self._collection = collection
        self.catalogue = catalogue
        self._newest: datetime | None = None
        self._full_at = 0.0  # of the monotonic clock

    def refresh(self) -> None:
        """Take over what changed since the last call."""
        began = time.monotonic()
        if began >= self._full_at:
            present = self._take_over({})
            self.catalogue.remove(self.catalogue.products.keys() - present)
            spent = time.monotonic() - began
            self._full_at = time.monotonic() + max(FULL_EVERY, spent / FULL_SHARE)
        elif self._newest is not None:
            self._take_over({"stored_at": {"$gte": self._newest - OVERLAP}})

    def _take_over(self, query: dict[str, Any]) -> set[str]:
        seen: set[str] = set()
        with pymongo.timeout(READ_TIMEOUT):
            self.catalogue.update(self._read(query, seen))
        return seen

    def _read(self, query: dict[str, Any], seen: set[str]) -> Iterator[dict[str, Any]]:
        for product in self._collection.find(query, _FIELDS):
            stored_at = product.get("stored_at")
            if stored_at is not None and (self._newest is None or stored_at > self._newest):
                self._newest = stored_at
            seen.add(product["_id"])
            yield product

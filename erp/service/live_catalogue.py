"""A catalogue that follows the products of MongoDB.

Every turn reads what the sink stored since the last one, by `stored_at`; every so often all of
them, for deletions and for changes that nothing stamped. The more products there are the rarer
that is, so that it never takes more than a few percent of the time.
"""

import time
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import pymongo
from pymongo.collection import Collection

from erp.recommender.catalogue import Catalogue

READ_TIMEOUT = 60  # s for all products
OVERLAP = timedelta(seconds=60)  # a document is stamped a little before it can be read
FULL_SHARE = 0.02  # of the time is spent on reading all products, at most
PART = 1_000  # products handed over at once
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
            products = self._collection.find(query, _FIELDS, batch_size=PART)
            # in parts, because scoring waits while the catalogue changes
            while part := list(islice(products, PART)):
                seen.update(product["_id"] for product in part)
                stamps = [product["stored_at"] for product in part if "stored_at" in product]
                if self._newest is not None:
                    stamps.append(self._newest)
                self._newest = max(stamps, default=None)
                self.catalogue.update(part)
        return seen

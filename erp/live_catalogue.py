"""The products of MongoDB in memory, following their changes.

Every turn reads what the sink stored since the last one, by `stored_at`; every so often all of
them, for deletions and for changes that nothing stamped. The more products there are the rarer
that is, so that it never takes more than a few percent of the time.
"""

import time
from datetime import datetime, timedelta
from typing import Any

import pymongo
from pymongo.collection import Collection

READ_TIMEOUT = 60  # s for all products
OVERLAP = timedelta(seconds=60)  # a document is stamped a little before it can be read
FULL_SHARE = 0.02  # of the time is spent on reading all products, at most
FULL_EVERY = 10  # s between two readings of all products, at least

_FIELDS = {"name": 1, "category": 1, "subcategory": 1, "active": 1, "stored_at": 1}

Product = dict[str, Any]


class LiveCatalogue:
    """Products by their id, each a dict of name, category, subcategory and active as far as known.

    `products` is replaced, never changed, so another thread may read it at any time.
    """

    def __init__(self, collection: Collection[Product]) -> None:
        self._collection = collection
        self.products: dict[str, Product] = {}
        self._newest: datetime | None = None
        self._full_at = 0.0  # of the monotonic clock

    def refresh(self) -> bool:
        """Read what changed; True if a name, a category or whether it is sold did."""
        began = time.monotonic()
        if began >= self._full_at:
            products = self._read({})
            spent = time.monotonic() - began
            self._full_at = time.monotonic() + max(FULL_EVERY, spent / FULL_SHARE)
        elif self._newest is not None:
            changed = self._read({"stored_at": {"$gte": self._newest - OVERLAP}})
            if all(self.products.get(key) == product for key, product in changed.items()):
                return False
            products = self.products | changed
        else:
            return False
        if products == self.products:
            return False
        self.products = products
        return True

    def _read(self, query: dict[str, Any]) -> dict[str, Product]:
        products = {}
        with pymongo.timeout(READ_TIMEOUT):
            for product in self._collection.find(query, _FIELDS):
                stored_at = product.pop("stored_at", None)
                if stored_at is not None and (self._newest is None or stored_at > self._newest):
                    self._newest = stored_at
                products[product.pop("_id")] = product
        return products

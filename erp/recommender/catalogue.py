"""The products as they are now: names, categories, and which of them may be recommended.

A catalogue is filled from documents (MongoDB's `products`, rows of a CSV) and follows changes; a
model that uses it sees them with the next recommendation, without a new training.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from erp.contract import FALSE

CHANGES_KEPT = 10_000


class Product(NamedTuple):
    """name: None where unknown. category: None where unknown. active: may be recommended."""

    name: str | None
    category: str | None
    active: bool


UNKNOWN = Product(None, None, True)
ABSENT = Product(None, None, False)


class Catalogue:
    """Products by id. Safe to update in one thread while another recommends.

    Parameters
    ----------
    never : ids, names or categories that are never recommended (postage, bags), whatever the case
    """

    def __init__(self, never: Iterable[str] = ()):
        self.never = frozenset(text.strip().casefold() for text in never if text.strip())
        self.products: dict[str, Product] = {}
        self.revision = 0
        self._changes: deque[tuple[int, str]] = deque(maxlen=CHANGES_KEPT)
        self._lock = threading.Lock()

    @classmethod
    def from_products(cls, documents: Iterable[Mapping], never: Iterable[str] = ()) -> Catalogue:
        """A catalogue of documents with product_id (or _id), name, category, active."""
        catalogue = cls(never)
        catalogue.update(documents)
        return catalogue

    def __len__(self) -> int:
        return len(self.products)

    def get(self, product_id: str) -> Product:
        """The product; one that the catalogue lacks is active only while the catalogue is empty."""
        found = self.products.get(product_id)
        if found is None:
            barred = self.never and product_id.casefold() in self.never
            found = ABSENT if self.products or barred else UNKNOWN
        return found

    def update(self, documents: Iterable[Mapping]) -> int:
        """Take over new and changed products; the number that really changed."""
        changed = 0
        with self._lock:
            for document in documents:
                key = document.get("product_id", document.get("_id"))
                if key is None or key == "":
                    continue
                key = str(key)
                product = self._read(document, key)
                if self.products.get(key) != product:
                    self.products[key] = product
                    self._note(key)
                    changed += 1
        return changed

    def remove(self, product_ids: Iterable[str]) -> None:
        """Products that no longer exist: never recommended, still named."""
        with self._lock:
            for key in product_ids:
                product = self.products.get(key, UNKNOWN)
                if product.active or key not in self.products:
                    self.products[key] = product._replace(active=False)
                    self._note(key)

    def changed_since(self, revision: int) -> list[str] | None:
        """The ids that changed after `revision`; None where too many did to tell."""
        with self._lock:
            if revision == self.revision:
                return []
            if not self._changes or self._changes[0][0] > revision + 1:
                return None
            return [key for number, key in self._changes if number > revision]

    def _note(self, key: str) -> None:
        self.revision += 1
        self._changes.append((self.revision, key))

    def _read(self, document: Mapping, key: str) -> Product:
        name, category = _text(document.get("name")), _text(document.get("category"))
        active = document.get("active", True)
        active = active is None or str(active).strip().casefold() not in FALSE
        if self.never and not self.never.isdisjoint(
            text.casefold() for text in (key, name, category) if text
        ):
            active = False
        return Product(name, category, active)


def _text(value) -> str | None:
    if value is None or value != value:
        return None
    text = str(value).strip()
    return text or None

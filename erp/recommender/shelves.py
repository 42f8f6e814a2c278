"""The model's items as the catalogue sees them, and bestsellers where the model has no answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from erp.recommender.catalogue import Catalogue


class CatalogueView:
    """Names, categories and activity by item code, kept in step with a catalogue.

    names : list of str, the id where there is no name; categories : list of str or None;
    active : bool (items); name_codes, category_codes : int32 (items), equal where the text is equal
    (names whatever their case; category code 0 where unknown).
    """

    def __init__(self, item_ids: list[str], index: dict[str, int], catalogue: Catalogue):
        self.item_ids, self.index, self.catalogue = item_ids, index, catalogue
        self.lock = threading.RLock()
        self.generation = 0  # grows when the activity of an item changed
        self._fill()

    def _fill(self) -> None:
        self.revision, self.filled = self.catalogue.revision, len(self.catalogue) > 0
        self.names, self.categories = [], []
        self.active = np.zeros(len(self.item_ids), bool)
        self.name_codes = np.zeros(len(self.item_ids), np.int32)
        self.category_codes = np.zeros(len(self.item_ids), np.int32)
        self._name_code: dict[str, int] = {}
        self._category_code: dict[str, int] = {}
        for code, key in enumerate(self.item_ids):
            product = self.catalogue.get(key)
            self.names.append(product.name or key)
            self.categories.append(product.category)
            self._set(code, product)
        self._after_change()

    def _set(self, code: int, product) -> None:
        self.active[code] = product.active
        folded = self.names[code].casefold()
        self.name_codes[code] = self._name_code.setdefault(folded, len(self._name_code))
        category = product.category
        self.category_codes[code] = (
            0
            if category is None
            else self._category_code.setdefault(category, len(self._category_code) + 1)
        )

    def refresh(self) -> None:
        """Take over what changed in the catalogue since the last call."""
        if self.revision == self.catalogue.revision:
            return
        with self.lock:
            revision = self.catalogue.revision
            changed = self.catalogue.changed_since(self.revision)
            if changed is None or not self.filled:
                self._fill()
                return
            for key in changed:
                code = self.index.get(key)
                if code is not None:
                    product = self.catalogue.get(key)
                    self.names[code] = product.name or key
                    self.categories[code] = product.category
                    self._set(code, product)
            self.revision = revision
            self._after_change()

    def _after_change(self) -> None:
        self.generation += 1
        self._newcomers: list[str] | None = None

    def newcomers(self) -> list[str]:
        """Active products of the catalogue that the model has never seen."""
        if self._newcomers is None:
            with self.lock:
                self._newcomers = [
                    key
                    for key, product in list(self.catalogue.products.items())
                    if product.active and key not in self.index
                ]
        return self._newcomers

    def name(self, key: str) -> str:
        code = self.index.get(key)
        return self.names[code] if code is not None else (self.catalogue.get(key).name or key)

    def category(self, key: str) -> str | None:
        code = self.index.get(key)
        return self.categories[code] if code is not None else self.catalogue.get(key).category


class Shelves:
    """Bestsellers in the order in which they are offered: by category, by store, of all.

    Parameters
    ----------
    sold : Popularity
    view : CatalogueView
    """

    PER_CATEGORY = 200

    def __init__(self, sold, store_index: dict[str, int], view: CatalogueView):
        self.sold, self.store_index, self.view = sold, store_index, view
        self._order = np.argsort(-sold.shares, kind="stable")
        self._generation = -1
        self._by_category: dict[int, list[int]] = {}

    def offers(self, basket: list[str], store: str | None) -> Iterator[tuple[str, float, str]]:
        """Product id, decayed share of all lines, and source; active products, best first."""
        if self._generation != self.view.generation:
            self._by_category, self._generation = {}, self.view.generation
            self._active = self._order[self.view.active[self._order]].tolist()
        yield from self._of_categories(basket)
        ids, active, shares = self.view.item_ids, self.view.active, self.sold.shares
        place = None if store is None else self.store_index.get(store)
        if place is not None:
            lo, hi = self.sold.store_indptr[place : place + 2]
            for code, share in zip(
                self.sold.store_items[lo:hi].tolist(),
                self.sold.store_shares[lo:hi].tolist(),
                strict=True,
            ):
                if active[code]:
                    yield ids[code], share, "popular"
        for code in self._active:
            yield ids[code], float(shares[code]), "popular"
        for key in self.view.newcomers():
            yield key, 0.0, "popular"

    def _of_categories(self, basket: list[str]):
        counts: dict[str, int] = {}
        for key in basket:
            category = self.view.category(key)
            if category is not None:
                counts[category] = counts.get(category, 0) + 1
        ids, shares = self.view.item_ids, self.sold.shares
        for category in sorted(counts, key=lambda name: (-counts[name], name)):
            for code in self._shelf(category):
                yield ids[code], float(shares[code]), "category"

    def _shelf(self, category: str) -> list[int]:
        code = self.view._category_code.get(category, 0)
        if code == 0:
            return []
        if code not in self._by_category:
            members = np.flatnonzero((self.view.category_codes == code) & self.view.active)
            best = np.argsort(-self.sold.shares[members], kind="stable")
            self._by_category[code] = members[best][: self.PER_CATEGORY].tolist()
        return self._by_category[code]

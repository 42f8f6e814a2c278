"""The sales that a model saw since it was trained, so that each counts once however often it comes.

What is kept of a sale is small, since a service keeps a hundred thousand: 64 bits of its id's
hash, its products' codes as bytes, its customer and its time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


class ObservedSale(NamedTuple):
    """customer: id; codes: item codes, ascending, int32 as bytes; moment: seconds since 1970."""

    customer: str
    codes: bytes
    moment: float

    @property
    def items(self) -> np.ndarray:
        """The item codes, int32."""
        return np.frombuffer(self.codes, np.int32).copy()


class ObservedSales:
    """The newest `most` sales by the hash of their id; the oldest goes first."""

    def __init__(self, most: int):
        self._most = most
        self._places: dict[int, int] = {}
        self._keys: list[int] = []
        self._customers: list[str] = []
        self._codes: list[bytes] = []
        self._moments = np.zeros(most)
        self._next = 0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[int, ObservedSale]]:
        """Keys and sales, in any order."""
        return ((key, self._at(place)) for key, place in list(self._places.items()))

    def get(self, key: int) -> ObservedSale | None:
        """The sale of this key, if it is among them."""
        place = self._places.get(key)
        return None if place is None else self._at(place)

    def put(self, key: int, sale: ObservedSale) -> None:
        """Remember a sale, in the place of an older version of it."""
        place = self._places.get(key)
        if place is None:
            place = self._free_place(key)
        self._customers[place], self._codes[place] = sale.customer, sale.codes
        self._moments[place] = sale.moment

    def _free_place(self, key: int) -> int:
        place = self._next
        if place == len(self._keys):
            self._keys.append(key)
            self._customers.append("")
            self._codes.append(b"")
        else:
            del self._places[self._keys[place]]
            self._keys[place] = key
        self._places[key] = place
        self._next = (place + 1) % self._most
        return place

    def _at(self, place: int) -> ObservedSale:
        return ObservedSale(self._customers[place], self._codes[place], float(self._moments[place]))

"""The sales that a model saw since it was trained, so that each counts once however often it comes.

What is kept of a sale is small, since a service keeps a hundred thousand: 64 bits of its id's
hash, its products' codes as bytes, its customer and its time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

NOWHERE = -1


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
    """The newest `most` sales by the hash of their id; the oldest goes first.

    They stand in a ring, and those whose keys end in the same bits form a chain. A dict of numbers
    would take as much memory as the sales themselves.
    """

    def __init__(self, most: int):
        self._most = most
        self._keys, self._moments = array("Q", bytes(8 * most)), array("d", bytes(8 * most))
        self._customers: list[str] = []
        self._codes: list[bytes] = []
        self._oldest = 0  # the next place to take
        self._mask = (1 << most.bit_length()) - 1
        self._first = array("i", [NOWHERE]) * (self._mask + 1)  # place, by the key's last bits
        self._next = array("i", [NOWHERE]) * most  # place of the same chain, by place

    def __len__(self) -> int:
        return len(self._customers)

    def __iter__(self) -> Iterator[tuple[int, ObservedSale]]:
        """Keys and sales as they are now, the oldest first; they may change meanwhile."""
        older, newer = slice(self._oldest, len(self)), slice(self._oldest)
        sales = map(
            ObservedSale,
            self._customers[older] + self._customers[newer],
            self._codes[older] + self._codes[newer],
            self._moments[older] + self._moments[newer],
        )
        return zip(self._keys[older] + self._keys[newer], sales, strict=True)

    def get(self, key: int) -> ObservedSale | None:
        """The sale of this key, if it is among them."""
        place = self._find(key)
        return None if place == NOWHERE else self._at(place)

    def put(self, key: int, sale: ObservedSale) -> None:
        """Remember a sale, in the place of an older version of it."""
        place = self._find(key)
        if place == NOWHERE:
            place = self._take_place(key)
        self._customers[place], self._codes[place] = sale.customer, sale.codes
        self._moments[place] = sale.moment

    def _find(self, key: int) -> int:
        place = self._first[key & self._mask]
        while place != NOWHERE and self._keys[place] != key:
            place = self._next[place]
        return place

    def _take_place(self, key: int) -> int:
        place = self._oldest
        if place == len(self):
            self._customers.append("")
            self._codes.append(b"")
        else:
            self._unchain(place)
        chain = key & self._mask
        self._keys[place], self._next[place] = key, self._first[chain]
        self._first[chain] = place
        self._oldest = (place + 1) % self._most
        return place

    def _unchain(self, place: int) -> None:
        """Let go of the oldest sale, which is the end of its chain."""
        chain = self._keys[place] & self._mask
        before = self._first[chain]
        if before == place:
            self._first[chain] = NOWHERE
            return
        while self._next[before] != place:
            before = self._next[before]
        self._next[before] = NOWHERE

    def _at(self, place: int) -> ObservedSale:
        return ObservedSale(self._customers[place], self._codes[place], self._moments[place])

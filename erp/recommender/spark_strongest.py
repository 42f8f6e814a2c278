"""The strongest pairs of items, of sums that come block by block, as Spark's tasks make them.

The local engine needs none of this: it has a row of items by items at once (`neighbours`).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from erp.recommender.similarity import NOT_TOLD, Similarity

PAIRS_HELD = 4_000_000  # before all but the strongest are let go


def pair_sums(turned, held, min_support: int):
    """Pairs of the first items with commoner ones that enough sales hold.

    Parameters
    ----------
    turned : csr complex64 (rows, sales), of the first items the sales' weight + 1j
    held : csr complex64 (sales, columns), 1 where a sale holds an item

    Returns
    -------
    rows, columns : int32 (pairs), columns > rows; sums : complex64, weight and count
    """
    pairs = turned @ held
    rows = np.repeat(np.arange(turned.shape[0], dtype=np.int32), np.diff(pairs.indptr))
    often = (pairs.data.imag > min_support - 0.5) & (rows < pairs.indices)
    return rows[often], pairs.indices[often], pairs.data[often]


def of_pairs(kept, sales, rows, others, values, counts) -> Similarity:
    """The kept neighbours by item code, of directed pairs by number."""
    items = len(sales)
    # Rows in the order of the item codes; columns are sorted by scipy.
    pairs = sp.csr_matrix(
        (np.arange(len(rows), dtype=np.int32), (kept[rows], kept[others])), shape=(items, items)
    )
    values, counts = values[pairs.data], counts[pairs.data]
    starts = pairs.indptr.astype(np.int64)
    return Similarity(starts, pairs.indices, values, values, counts, sales, *NOT_TOLD)


class Pairs:
    """Pairs that occur together; now and then all but each item's strongest are let go.

    weighted : float64 (numbers), weighted sales of each item, n_i
    """

    def __init__(self, weighted: np.ndarray, item_exponent: float, shrink: float, top: int):
        self.left = (weighted ** (1 - item_exponent)).astype(np.float32)
        self.right = (weighted**item_exponent).astype(np.float32)
        self.shrink, self.top = np.float32(shrink), top
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.held, self.limit = 0, PAIRS_HELD

    def add(self, rows, others, sums) -> None:
        """Take undirected pairs, each once; sums is complex64, weight and count."""
        self.parts.append((rows, others, sums))
        self.held += len(rows)
        if self.held > self.limit:
            self._let_go()

    def _let_go(self) -> None:
        rows, others, sums = self._all()
        place, _, _ = self._directed(rows, others, sums)
        kept = np.unique(place % len(rows))
        self.parts = [(rows[kept], others[kept], sums[kept])]
        self.held = len(kept)
        self.limit = max(self.limit, 2 * self.held)

    def _all(self):
        if not self.parts:
            none = np.zeros(0, np.int32)
            return none, none, np.zeros(0, np.complex64)
        return tuple(np.concatenate(part) for part in zip(*self.parts, strict=True))

    def _directed(self, rows, others, sums):
        """Places of the strongest pairs of each row, then row and value of each.

        A place beyond the number of pairs is the pair's other direction.
        """
        sources, targets = np.concatenate((rows, others)), np.concatenate((others, rows))
        values = np.tile(sums.real, 2)
        scale = self.left[sources]
        scale *= self.right[targets]
        scale += self.shrink
        values /= scale
        del scale
        places, indptr = _grouped(sources, len(self.left))
        places = places[_strongest(indptr, values[places], targets[places], self.top)]
        return places, sources[places], values[places]

    def strongest(self):
        """Rows, others, values and counts of the `top` strongest pairs of each row."""
        rows, others, sums = self._all()
        self.parts = []
        places, sources, values = self._directed(rows, others, sums)
        pair = places % max(len(rows), 1)
        targets = rows[pair] + others[pair] - sources
        return sources, targets, values, np.rint(sums.imag[pair]).astype(np.int32)


def _grouped(rows: np.ndarray, items: int) -> tuple[np.ndarray, np.ndarray]:
    """Places ordered by row, in the order given within a row, and where each row begins."""
    one_each = sp.csr_matrix(
        (np.ones(len(rows), np.int8), rows, np.arange(len(rows) + 1, dtype=np.int32)),
        shape=(len(rows), items),
    )
    by_row = one_each.tocsc()  # a counting sort
    return by_row.indices, by_row.indptr


def _strongest(indptr: np.ndarray, values: np.ndarray, targets: np.ndarray, top: int):
    """Places of the `top` largest values of each row of a csr, ascending.

    Of equal values those with the lower target.
    """
    chosen = np.ones(len(values), bool)
    for row in np.flatnonzero(np.diff(indptr) > top):
        first, last = indptr[row], indptr[row + 1]
        here = values[first:last]
        least = np.partition(here, len(here) - top)[len(here) - top]
        chosen[first:last] = here > least
        equal = first + np.flatnonzero(here == least)
        free = top - np.count_nonzero(chosen[first:last])
        chosen[equal[np.argsort(targets[equal], kind="stable")[:free]]] = True
    return np.flatnonzero(chosen)

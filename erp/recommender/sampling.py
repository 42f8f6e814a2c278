"""Parts of baskets, drawn by what they are: the same sale is drawn wherever it stands in the data.

A draw is a hash of the sale's id, so that neither the order of the input nor what else is in it
decides which sales a model learns from, and which of their products are hidden meanwhile.
"""

from __future__ import annotations

from itertools import accumulate

import numba
import numpy as np
import pyarrow as pa

Csr = tuple[np.ndarray, np.ndarray]  # of baskets: indptr int64 (rows + 1), items int32 (lines)
_STEP = np.uint64(0x9E3779B97F4A7C15)


def keys_of(texts: pa.Array) -> np.ndarray:
    """A hash of each text, uint64 (texts), the same on every machine (FNV-1a, mixed)."""
    if not len(texts):
        return np.zeros(0, np.uint64)
    if isinstance(texts, pa.ChunkedArray):
        texts = pa.concat_arrays(texts.chunks)
    _, ends, data = texts.cast(pa.string()).buffers()
    ends = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    letters = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return _mixed(_fnv(letters, ends))


def keys_of_texts(texts: list[str]) -> np.ndarray:
    """`keys_of` for a list, of which Arrow would make a column only after it loaded pandas."""
    encoded = [text.encode() for text in texts]
    ends = np.fromiter(accumulate(map(len, encoded), initial=0), np.int32, len(texts) + 1)
    ends.flags.writeable = False  # as a column's are: compiled once for both
    return _mixed(_fnv(np.frombuffer(b"".join(encoded), np.uint8), ends))


@numba.njit(cache=True)
def _fnv(letters, ends):
    """Fowler-Noll-Vo 1a, 64 bits (RFC 9923)."""
    result = np.empty(len(ends) - 1, np.uint64)
    for place in range(len(result)):
        value = np.uint64(0xCBF29CE484222325)
        for at in range(ends[place], ends[place + 1]):
            value = (value ^ np.uint64(letters[at])) * np.uint64(0x100000001B3)
        result[place] = value
    return result


def _mixed(keys: np.ndarray) -> np.ndarray:
    """Every bit of a key depends on all (the last step of SplitMix64, Steele et al., 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def uniform(keys: np.ndarray, purpose: int) -> np.ndarray:
    """A number in [0, 1) for each key, another one for each purpose; float64."""
    salted = _mixed(keys + np.full(1, purpose + 1, np.uint64) * _STEP)
    return (salted >> np.uint64(11)) * 2.0**-53


def line_keys(keys: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """A key for each line of baskets (indptr) of the keys of their sales."""
    sizes = np.diff(indptr)
    number = np.arange(indptr[-1]) - np.repeat(indptr[:-1], sizes)
    return _mixed(np.repeat(keys, sizes) + (number.astype(np.uint64) + np.uint64(1)) * _STEP)


def take(baskets, sales: np.ndarray) -> Csr:
    """The baskets of the given sales as csr (indptr, items)."""
    sizes = baskets.sizes[sales]
    indptr = np.concatenate(([0], np.cumsum(sizes)))
    places = np.repeat(baskets.indptr[sales] - indptr[:-1], sizes) + np.arange(indptr[-1])
    return indptr, baskets.items[places]


@numba.njit(nogil=True, cache=True)
def distinct(indptr, items):
    """The codes of each basket, each once, ascending; without those below 0."""
    kept, ends = np.empty(len(items), np.int32), np.zeros(len(indptr), np.int64)
    many = 0
    for row in range(len(indptr) - 1):
        first = many
        for item in np.sort(items[indptr[row] : indptr[row + 1]]):
            if item >= 0 and (many == first or kept[many - 1] != item):
                kept[many] = item
                many += 1
        ends[row + 1] = many
    return ends, kept[:many]


def split(indptr, items, hidden: np.ndarray) -> tuple[Csr, Csr]:
    """Shown and hidden part of baskets."""
    return _lines_of(indptr, items, ~hidden), _lines_of(indptr, items, hidden)


def _lines_of(indptr, items, part: np.ndarray) -> Csr:
    running = np.concatenate(([0], np.cumsum(part)))
    return running[indptr], items[part]


def one_hidden(draws: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Bool per line: one line of each basket is hidden, by the basket's draw in [0, 1)."""
    sizes = np.diff(indptr)
    hidden = np.zeros(indptr[-1], bool)
    hidden[(indptr[:-1] + np.minimum(draws * sizes, sizes - 1).astype(np.int64))[sizes > 0]] = True
    return hidden


def half_hidden(draws: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """Bool per line: half of each basket is hidden (the smaller half of an odd one).

    draws : float (lines); those with the lowest ones of their basket are hidden
    """
    sizes = np.diff(indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((draws, rows))
    hidden = np.zeros(len(rows), bool)
    hidden[order] = (np.arange(len(rows)) - indptr[rows]) < (sizes // 2)[rows]
    return hidden


def next_sales(baskets) -> np.ndarray:
    """For each sale the place of its customer's next one, -1 where there is none, int64."""
    order = np.lexsort((np.arange(len(baskets)), baskets.customers))
    following = np.full(len(baskets), -1, np.int64)
    same = baskets.customers[order[1:]] == baskets.customers[order[:-1]]
    same &= baskets.customers[order[1:]] >= 0
    following[order[:-1][same]] = order[1:][same]
    return following


def holds(indptr, items, queries: np.ndarray) -> np.ndarray:
    """Bool (rows, k): whether each query is in its row of a csr, ascending within a row."""
    if not len(items):
        return np.zeros(queries.shape, bool)
    span = np.int64(1) << 32
    row_of = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
    keys = row_of * span + items
    wanted = np.arange(len(queries), dtype=np.int64)[:, None] * span + queries
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[places] == wanted

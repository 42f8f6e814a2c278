"""Keys as 64-bit hashes: 8 bytes each, whatever their length, compared by whole columns.

The same key has the same hash in one process. Two different keys of n share one with a chance of
n²/2^65: 3 in a million for 10 million rows.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

Hashes = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_SEED = 20_240_229


def hashes(columns: pl.DataFrame) -> Hashes:
    """The hash of each row of these columns."""
    return columns.hash_rows(seed=_SEED).to_numpy()


def contains(ordered: Hashes, wanted: Hashes) -> Mask:
    """Which of `wanted` are in the sorted array `ordered`."""
    if not len(ordered):
        return np.zeros(len(wanted), bool)
    return ordered[_places(ordered, wanted)] == wanted


def _places(ordered: Hashes, wanted: Hashes) -> npt.NDArray[np.intp]:
    return np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)


class Repeats:
    """Tells the first row of a key from the later ones, for keys known to come more than once."""

    def __init__(self, repeated: Hashes) -> None:
        self._repeated = repeated  # sorted
        self._seen = np.zeros(len(repeated), bool)

    def __bool__(self) -> bool:
        return bool(len(self._repeated))

    def later(self, keys: Hashes) -> Mask:
        """Which rows repeat the key of a row that was shown before them."""
        later = np.zeros(len(keys), bool)
        places = _places(self._repeated, keys)
        for row in np.flatnonzero(self._repeated[places] == keys):
            later[row] = self._seen[places[row]]
            self._seen[places[row]] = True
        return later

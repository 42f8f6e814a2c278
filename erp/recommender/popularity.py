"""What sells: time-decayed shares of lines, overall, by category and by store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Popularity:
    """Decayed sales per item and per store.

    shares : float32 (items), the item's decayed share of all sales' lines, sums to 1,
    per_sale : float, decayed lines per decayed sale,
    store_indptr, store_items, store_shares : the same by store, csr, blended with the whole.
    """

    shares: np.ndarray
    per_sale: float
    store_indptr: np.ndarray
    store_items: np.ndarray
    store_shares: np.ndarray


def fit_popularity(
    baskets, half_life_days: float, store_top: int = 100, blend_lines: float = 100.0
) -> Popularity:
    """Shares of each item; a store's are blended with `blend_lines` lines of the whole.

    Parameters
    ----------
    half_life_days : of a sale's weight
    store_top : items kept per store
    """
    items, stores, sizes = len(baskets.item_ids), len(baskets.store_ids), baskets.sizes
    if not len(baskets):
        return Popularity(
            np.zeros(items, np.float32),
            1.0,
            np.zeros(stores + 1, np.int64),
            np.zeros(0, np.int32),
            np.zeros(0, np.float32),
        )
    now = baskets.times[int(0.999 * (len(baskets) - 1))]
    weights = 2.0 ** (-np.maximum(now - baskets.times, 0.0) / DAY / half_life_days)
    lines = np.repeat(weights, sizes)
    total = lines.sum()
    shares = np.bincount(baskets.items, lines, items) / total
    known = np.repeat(baskets.stores, sizes)
    inside = known >= 0
    counts = sp.csr_matrix(
        (lines[inside], (known[inside], baskets.items[inside])), shape=(stores, items)
    )
    indptr, columns, values = [0], [], []
    for store in range(stores):
        lo, hi = counts.indptr[store : store + 2]
        here, weight = counts.indices[lo:hi], counts.data[lo:hi]
        score = (weight + blend_lines * shares[here]) / (weight.sum() + blend_lines)
        best = np.argsort(-score, kind="stable")[:store_top]
        columns.append(here[best])
        values.append(score[best])
        indptr.append(indptr[-1] + len(best))
    return Popularity(
        shares.astype(np.float32),
        float(total / weights.sum()),
        np.array(indptr, np.int64),
        np.concatenate([np.zeros(0, np.int32), *columns]).astype(np.int32),
        np.concatenate([np.zeros(0), *values]).astype(np.float32),
    )

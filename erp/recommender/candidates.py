"""From a basket to candidates and what is known of each, as compiled code: microseconds a basket.

Candidates are the products with the largest B / sqrt(n) + P, where B sums the strengths of the
basket's n products for the candidate and P is the customer's own decayed frequency. Where a basket
leads to some, but not to as many as are ordered, bestsellers join them: of few products almost any
may be the next. Learning and answering both look here. numba compiles it at the first call and
keeps the result, see compiled.py.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from erp.recommender import mutual
from erp.recommender.sampling import Csr

FEATURES = (
    "similarity",
    "place",
    "basket_size",
    "popularity",
    "trend",
    "same_category",
    "score",
    "mutual",
    "frequency",
    "frequency_short",
    "frequency_long",
    "habit",
    "category_frequency",
)
BASKET_FEATURES = 8  # the first ones need no customer
WIDTH = len(FEATURES)
FEW_ITEMS = 500  # products up to which more candidates are ordered
ENOUGH = 8  # candidates that a basket must lead to before bestsellers join them
STEP_BITS, STEPS = 16, 2048  # of a float's 23 bits behind the point those that make no difference
OWN = np.float32(-np.inf)  # for a sum of similarities: it is in the basket


@dataclass(frozen=True)
class ItemFacts:
    """What the features know of an item: float32 or int32 (items).

    popularity and trend are logarithms of the decayed share and of its ratio to the plain share;
    category is a code, 0 where unknown; categories is the number of codes.
    """

    popularity: np.ndarray
    trend: np.ndarray
    category: np.ndarray
    categories: int


def item_facts(shares: np.ndarray, sales: np.ndarray, categories: list[str | None], most=2000):
    """Facts of decayed shares, plain sales counts and category names, by item.

    Only the `most` best-selling categories are told apart: the features hold a number per basket
    and category.
    """
    plain = sales / max(sales.sum(), 1)
    popularity = np.log(shares + 1e-6)
    volume: dict[str, float] = {}
    for name, count in zip(categories, sales.tolist(), strict=True):
        if name is not None:
            volume[name] = volume.get(name, 0) + count
    code = {
        name: place + 1
        for place, name in enumerate(sorted(volume, key=lambda key: (-volume[key], key))[:most])
    }
    return ItemFacts(
        popularity.astype(np.float32),
        (popularity - np.log(plain + 1e-6)).astype(np.float32),
        np.array([0 if name is None else code[name] for name in categories], np.int32),
        len(code) + 1,
    )


class Found(NamedTuple):
    """Candidates of some baskets, best first.

    codes : int32 (rows, many), -1 where there are fewer
    scores : float32 (rows, many), B / sqrt(n) + P
    own : bool (rows, many), the customer bought it before
    values : float32 (rows, many, FEATURES)
    """

    codes: np.ndarray
    scores: np.ndarray
    own: np.ndarray
    values: np.ndarray


class Candidates:
    """The arrays of a model in the form that the compiled code reads.

    Parameters
    ----------
    similarity : Similarity; facts : ItemFacts
    """

    def __init__(self, similarity, facts: ItemFacts):
        self.items, self.categories = len(similarity.sales), facts.categories
        self.pairs = (
            similarity.indptr,
            similarity.indices,
            similarity.values,
            similarity.strengths,
            similarity.support,
        )
        self.mutual = (mutual.places(similarity.common, self.items), similarity.mutual)
        best = np.argsort(-facts.popularity, kind="stable").astype(np.int32)
        self.facts = (facts.popularity, facts.trend, facts.category, best)
        self.sold = np.count_nonzero(similarity.sales)
        self._local = threading.local()

    def many(self, candidates: int) -> int:
        """How many candidates are ordered: more where products are few, any may be the next."""
        return candidates * 5 // 3 if self.sold <= FEW_ITEMS else candidates

    def scratch(self):
        """Work space of this thread, as clean as the compiled code leaves it."""
        held = getattr(self._local, "held", None)
        if held is None:
            held = self._local.held = (
                np.zeros((self.items, 2), np.float32),  # sums of similarities, strengths
                np.full(self.items, -1, np.int64),  # place in the history
                np.zeros(self.items, np.int32),  # what was touched
                np.zeros((2, self.categories), np.float32),  # basket and history by category
            )
        return held

    def find(self, baskets: Csr, history, active: np.ndarray, many: int) -> Found:
        """The `many` best candidates of each basket.

        Parameters
        ----------
        baskets : of item codes
        history : HistoryRows; active : bool (items)
        """
        rows = len(baskets[0]) - 1
        found = Found(
            np.full((rows, many), -1, np.int32),
            np.zeros((rows, many), np.float32),
            np.zeros((rows, many), np.bool_),
            np.zeros((rows, many, WIDTH), np.float32),
        )
        _find_all(
            *baskets, history.indptr, history.items, history.frequencies, history.baskets,
            self.pairs, self.mutual, self.facts, active, self.scratch(), many, tuple(found),
        )  # fmt: skip
        return found


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _find_all(
    indptr, items, h_indptr, h_items, h_frequencies, h_baskets, pairs, mutual, facts, active,
    scratch, many, out,
):  # fmt: skip
    codes, scores, own, values = out
    history = (h_indptr, h_items, h_frequencies, h_baskets)
    for row in range(len(indptr) - 1):
        basket = items[indptr[row] : indptr[row + 1]]
        to = (codes[row], scores[row], own[row], values[row])
        find(row, basket, history, pairs, mutual, facts, active, scratch, many, to)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def find(row, basket, history, pairs, mutual, facts, active, scratch, many, out):
    """Write the candidates of one basket to `out`, best first; returns how many there are.

    row : of the history; scratch is left as it was; out : one row of a Found
    """
    h_indptr, h_items, h_frequencies, h_baskets = history
    category = facts[2]
    sums, habit, touched, by_category = scratch
    first, last = h_indptr[row], h_indptr[row + 1]
    for item in basket:
        sums[item, 0] = OWN
        by_category[0, category[item]] += 1
    count = _from_basket(basket, pairs, sums, touched)
    for at in range(first, last):
        other = h_items[at]
        by_category[1, category[other]] += h_frequencies[at, 1]
        new = sums[other, 0] == 0 and habit[other] < 0
        habit[other] = at
        if new and h_frequencies[at, 1] > 0:
            touched[count] = other
            count += 1
    by_category[:, 0] = 0
    codes, scores, offered = np.empty(count, np.int32), np.empty(count, np.float32), 0
    root = np.float32(np.sqrt(max(len(basket), 1)))
    for place in range(count):
        item = touched[place]
        codes[offered] = item
        scores[offered] = sums[item, 1] / root
        if last > first and habit[item] >= 0:
            scores[offered] += h_frequencies[habit[item], 1]
        offered += active[item]
    offered = _promising(codes, scores, offered, many)
    best = _best_places(scores, codes, offered, many)
    found = len(best)
    for place in range(found):
        item = codes[best[place]]
        out[0][place] = item
        out[1][place] = scores[best[place]]
        out[2][place] = habit[item] >= 0
    if ENOUGH <= found < many:
        found = _joined(found, many, facts[3], active, sums, habit, out)
    _add_mutual(found, basket, mutual, out)
    _features(found, len(basket), h_frequencies, h_baskets[row], facts, scratch, out)
    for place in range(count):
        sums[touched[place]] = 0
    for item in basket:
        sums[item] = 0
        by_category[0, category[item]] = 0
    for at in range(first, last):
        habit[h_items[at]] = -1
        by_category[1, category[h_items[at]]] = 0
    return found


@numba.njit(nogil=True, cache=True)
def _joined(found, many, bestsellers, active, sums, habit, out):
    """Add bestsellers that neither basket nor habit led to, up to `many`; how many there are."""
    for item in bestsellers:
        if found == many:
            break
        if active[item] and sums[item, 0] == 0 and habit[item] < 0:
            out[0][found], out[1][found], out[2][found] = item, 0, False
            found += 1
    return found


@numba.njit(nogil=True, cache=True)
def _from_basket(basket, pairs, sums, touched):
    """Sum up similarities and strengths for what is not in the basket; returns how many that is.

    There is no branch but one that is hardly ever taken: the processor could not foresee it.
    """
    indptr, indices, similarities, strengths, _ = pairs
    count = 0
    for item in basket:
        for at in range(indptr[item], indptr[item + 1]):
            other, similarity = indices[at], similarities[at]
            if similarity <= 0 and sums[other, 0] == 0:  # untouched, its strength would stay behind
                continue
            touched[count] = other
            count += sums[other, 0] == 0
            sums[other, 0] += similarity
            sums[other, 1] += strengths[at]
    return count


@numba.njit(nogil=True, cache=True)
def _add_mutual(found, basket, mutual, out):
    """Sum up for each candidate what the basket's products say for or against it."""
    (place_of, weights), (codes, _, _, values) = mutual, out
    values[:found, 7] = 0
    for item in basket:
        one = place_of[item]
        if one >= 0:
            row = weights[one]
            for place in range(found):
                other = place_of[codes[place]]
                if other >= 0:
                    values[place, 7] += row[other]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _features(found, size, frequencies, baskets, facts, scratch, out):
    """Fill in the FEATURES of the first `found` candidates, in that order; mutual holds its sum."""
    popularity, trend, category, _ = facts
    sums, habit, _, by_category = scratch
    codes, scores, own, values = out
    size = max(size, 1)
    log_size, log_baskets = np.log(size), np.log(1 + baskets)
    # most are one of these, and a logarithm takes long
    never, no_category, nothing = np.log(3e-3), np.log(1e-2), np.log(1e-3)
    for place in range(found):
        item = codes[place]
        part = sums[item, 0] if sums[item, 0] >= 1e-5 else np.float32(0)
        alike, liked = by_category[0, category[item]], by_category[1, category[item]]
        values[place, 0] = np.log(part / size + 1e-3)
        values[place, 1] = np.log(place + 1)
        values[place, 2] = log_size
        values[place, 3] = popularity[item]
        values[place, 4] = trend[item]
        values[place, 5] = np.log(1 + alike) if alike > 0 else 0.0
        values[place, 6] = np.log(scores[place] + 1e-3)
        against = values[place, 7] <= 0
        values[place, 7] = nothing if against else np.log(values[place, 7] + 1e-3)
        values[place, 8:11] = never
        if own[place]:
            at = habit[item]
            values[place, 8] = np.log(frequencies[at, 1] + 3e-3)
            values[place, 9] = np.log(frequencies[at, 0] + 3e-3)
            values[place, 10] = np.log(frequencies[at, 2] + 3e-3)
        values[place, 11] = log_baskets
        values[place, 12] = np.log(liked + 1e-2) if liked > 0 else no_category


@numba.njit(nogil=True, cache=True)
def _promising(codes, scores, count, many):
    """Move to the front those that can be among the `many` best; how many they are.

    They are counted by how far they are from the best one, in steps of less than one per cent: as
    whole numbers the bits of positive floats are in the order of the floats.
    """
    if count <= 2 * many:
        return count
    bits = np.maximum(scores[:count].view(np.int32), 0)
    steps = np.minimum((bits.max() - bits) >> STEP_BITS, STEPS - 1)
    counts = np.zeros(STEPS, np.int32)
    for step in steps:
        counts[step] += 1
    edge, enough = 0, counts[0]
    while enough < many:
        edge += 1
        enough += counts[edge]
    kept = 0
    for place in range(count):
        codes[kept], scores[kept] = codes[place], scores[place]
        kept += steps[place] <= edge
    return kept


@numba.njit(nogil=True, cache=True)
def best_heap(scores, codes, found, many):
    """Places of the `many` best of the first `found` scores, the worst of them first, as a heap.

    Of equal scores those with the lower code.
    """
    kept = min(found, many)
    heap = np.empty(kept, np.int64)
    for place in range(kept):
        at = place
        while at > 0:
            parent = (at - 1) // 2
            if not _worse(scores, codes, place, heap[parent]):
                break
            heap[at] = heap[parent]
            at = parent
        heap[at] = place
    if kept:
        for place in range(kept, found):
            if _worse(scores, codes, heap[0], place):
                _sift(heap, kept, place, scores, codes)
    return heap


@numba.njit(nogil=True, cache=True)
def _best_places(scores, codes, found, many):
    """The same, best first."""
    heap = best_heap(scores, codes, found, many)
    size = len(heap)
    ordered = np.empty(size, np.int64)
    while size > 0:
        size -= 1
        ordered[size] = heap[0]
        _sift(heap, size, heap[size], scores, codes)
    return ordered


@numba.njit(nogil=True, cache=True)
def _worse(scores, codes, one, other):
    if scores[one] != scores[other]:
        return scores[one] < scores[other]
    return codes[one] > codes[other]


@numba.njit(nogil=True, cache=True)
def _sift(heap, size, place, scores, codes):
    """Put `place` on top of the heap and let it sink."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _worse(scores, codes, heap[child + 1], heap[child]):
            child += 1
        if not _worse(scores, codes, heap[child], place):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = place

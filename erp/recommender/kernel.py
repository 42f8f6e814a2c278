"""The model's answer to a basket as compiled code: microseconds each, one or many.

It does for serving what `ranking` does with arrays for learning: the same candidates, features and
logits. numba compiles it at the first call and keeps the result beside this file.
"""

from __future__ import annotations

import threading

import numba
import numpy as np

from erp.recommender import ranking

WIDTH = len(ranking.FEATURES)
SEEN = WIDTH + 2  # features of a probability: those, the order's own chance, the rank


def stacked(heads, width: int) -> tuple[np.ndarray, ...]:
    """Two heads side by side: known (2), mean, 1 / scale, linear (2, width), square, constant."""
    known = np.zeros(2, np.bool_)
    mean, inverse, linear = (np.zeros((2, width), np.float32) for _ in range(3))
    square, constant = np.zeros((2, width, width), np.float32), np.zeros(2)
    for place, head in enumerate(heads):
        if head is not None:
            used = len(head.mean)
            known[place] = True
            mean[place, :used], linear[place, :used] = head.mean, head.linear
            inverse[place, :used] = 1 / head.scale
            square[place, :used, :used] = head.square
            constant[place] = head.constant
    return known, mean, inverse, linear, square, constant


class Kernel:
    """The arrays of a model in the form that the compiled code reads.

    Parameters
    ----------
    similarity : Similarity; facts : ranking.ItemFacts; heads : learning.Heads
    """

    def __init__(self, similarity, facts, heads):
        self.items = len(similarity.sales)
        self.pairs = (
            similarity.indptr,
            similarity.indices,
            similarity.values,
            similarity.support,
        )
        self.facts = (facts.popularity, facts.trend, facts.category)
        self.categories = facts.categories
        self.order = stacked((heads.order, heads.order_known or heads.order), WIDTH)
        self.chance = stacked((heads.half, heads.next_sale), SEEN)
        self._local = threading.local()

    def _scratch(self):
        scratch = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = (
                np.zeros(self.items, np.float32),  # sums of similarities
                np.full(self.items, -1, np.int64),  # place in the history
                np.zeros(self.items, np.int8),  # 1 touched, 2 in the basket
                np.zeros(self.items, np.int32),  # what was touched
                np.zeros((2, self.categories), np.float32),  # basket and history by category
            )
        return scratch

    def answer(self, baskets, history, customers, view, settings, n: int):
        """The `n` best of each basket.

        Parameters
        ----------
        baskets : (indptr int64, items int32), csr of item codes
        history : HistoryRows; customers : bool (rows), which customers are known
        view : (active bool, name codes int32, category codes int32), by item

        Returns
        -------
        picked int32, relevance, confidence float32, support int32, all (rows, n), -1 where none;
        candidates found int32 (rows); reasons: starts int64 (rows n + 1), items, shares in percent
        """
        rows, lines = len(customers), len(baskets[1])
        out = (
            np.full((rows, n), -1, np.int32),
            np.zeros((rows, n), np.float32),
            np.zeros((rows, n), np.float32),
            np.zeros((rows, n), np.int32),
            np.zeros(rows, np.int32),
            np.zeros(rows * n + 1, np.int64),
            np.empty(lines * n, np.int32),
            np.empty(lines * n, np.float64),
        )
        _answer(
            *baskets, history.indptr, history.items, history.frequencies, history.baskets,
            customers, self.pairs, self.facts, view, self.order, self.chance, self._scratch(),
            settings.candidates, settings.max_per_category, settings.personal_weight, out,
        )  # fmt: skip
        return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _logit(values, head, place):
    """z w + z Q z + constant of one head, z standardised and clipped."""
    _, mean, inverse, linear, square, constant = head
    width = mean.shape[1]
    z = np.empty(width, np.float32)
    for a in range(width):
        z[a] = min(max((values[a] - mean[place, a]) * inverse[place, a], -4.0), 4.0)
    total = constant[place]
    for a in range(width):
        inner = linear[place, a]
        for b in range(a, width):
            inner += square[place, a, b] * z[b]
        total += inner * z[a]
    return total


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _best(scores, codes, found, many):
    """The `many` best of the first `found` scores, best first; ties to the lower code."""
    kept = min(found, many)
    heap = np.empty(kept, np.int64)  # places; the worst on top
    size = 0
    for place in range(found):
        if size < kept:
            at = size
            size += 1
            while at > 0:
                parent = (at - 1) // 2
                if not _worse(scores, codes, place, heap[parent]):
                    break
                heap[at] = heap[parent]
                at = parent
            heap[at] = place
        elif _worse(scores, codes, heap[0], place):
            _sift(heap, size, place, scores, codes)
    ordered = np.empty(kept, np.int64)
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


@numba.njit(nogil=True, cache=True)
def _find(indices, low, high, wanted):
    """The place of `wanted` among ascending indices[low:high], -1 where it is not."""
    while low < high:
        middle = (low + high) // 2
        if indices[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _answer(
    indptr, items, h_indptr, h_items, h_frequencies, h_baskets, customers, pairs, facts, view,
    order, chance, scratch, many, cap, personal_weight, out,
):  # fmt: skip
    p_indptr, p_indices, p_values, p_support = pairs
    popularity, trend, category = facts
    active, names, categories = view
    sums, habit, marks, touched, by_category = scratch
    picked, relevance, confidence, support, found_of, starts, reason_items, reason_shares = out
    rows, n = picked.shape
    filled = 0
    values = np.zeros((many, WIDTH), np.float32)
    seen = np.zeros(SEEN, np.float32)
    for row in range(rows):
        first, last = indptr[row], indptr[row + 1]
        h_first, h_last = h_indptr[row], h_indptr[row + 1]
        size = max(last - first, 1)
        # What is reached from the basket and from the habits
        count = 0
        for line in range(first, last):
            marks[items[line]] = 2
            by_category[0, category[items[line]]] += 1
        for line in range(first, last):
            item = items[line]
            for at in range(p_indptr[item], p_indptr[item + 1]):
                other = p_indices[at]
                if marks[other] == 0 and active[other]:
                    marks[other] = 1
                    touched[count] = other
                    count += 1
                if marks[other] == 1:
                    sums[other] += p_values[at]
        for at in range(h_first, h_last):
            other = h_items[at]
            by_category[1, category[other]] += h_frequencies[at, 1]
            habit[other] = at
            if marks[other] == 0 and active[other] and h_frequencies[at, 1] > 0:
                marks[other] = 1
                touched[count] = other
                count += 1
        by_category[:, 0] = 0
        scores = np.empty(count, np.float32)
        for place in range(count):
            item = touched[place]
            own = h_frequencies[habit[item], 1] if habit[item] >= 0 else np.float32(0)
            scores[place] = sums[item] / np.sqrt(size) + own
        best = _best(scores, touched, count, many)
        found = len(best)
        found_of[row] = found
        # How they are weighed
        kind = 1 if h_last > h_first else 0
        logits = np.empty(found, np.float64)
        top = -np.inf
        for place in range(found):
            item = touched[best[place]]
            at = habit[item]
            score = scores[best[place]]
            part = sums[item] if sums[item] >= 1e-5 else np.float32(0)
            values[place, 0] = np.log(part / size + 1e-3)
            values[place, 1] = np.log(place + 1)
            values[place, 2] = np.log(size)
            values[place, 3] = popularity[item]
            values[place, 4] = trend[item]
            values[place, 5] = np.log(1 + by_category[0, category[item]])
            values[place, 6] = np.log(score + 1e-3)
            values[place, 7] = np.log((h_frequencies[at, 1] if at >= 0 else 0) + 3e-3)
            values[place, 8] = np.log((h_frequencies[at, 0] if at >= 0 else 0) + 3e-3)
            values[place, 9] = np.log((h_frequencies[at, 2] if at >= 0 else 0) + 3e-3)
            values[place, 10] = np.log(1 + h_baskets[row])
            values[place, 11] = np.log(by_category[1, category[item]] + 1e-2)
            if order[0][kind]:
                logits[place] = _logit(values[place], order, kind)
            else:
                logits[place] = np.log(max(score, 1e-9))
            top = max(top, logits[place])
        odds = np.exp(logits - top)
        total = odds.sum()
        weighed = np.empty(found, np.float64)
        for place in range(found):
            odds[place] /= total
            item = touched[best[place]]
            weighed[place] = odds[place]
            if personal_weight != 1 and habit[item] >= 0:
                weighed[place] *= personal_weight
        # The first n whose name is new and whose category is not full
        rank = 0
        target = 1 if customers[row] else 0
        while rank < n:
            place = -1
            for other in range(found):
                if weighed[other] >= 0 and (place < 0 or weighed[other] > weighed[place]):
                    place = other
            if place < 0:
                break
            item = touched[best[place]]
            score = weighed[place]
            weighed[place] = -1
            same, full = False, 0
            for earlier in range(rank):
                same |= names[picked[row, earlier]] == names[item]
                full += categories[picked[row, earlier]] == categories[item]
            if same or (cap > 0 and categories[item] != 0 and full >= cap):
                continue
            picked[row, rank] = item
            relevance[row, rank] = score
            for feature in range(WIDTH):
                seen[feature] = values[place, feature]
            seen[WIDTH] = np.log(odds[place] + 1e-5)
            seen[WIDTH + 1] = np.log(rank + 1)
            if chance[0][target]:
                logit = _logit(seen, chance, target)
            else:
                logit = np.log(odds[place] + 1e-9)
            confidence[row, rank] = 1 / (1 + np.exp(-logit))
            rank += 1
        # Why: the basket's products by their similarity to each
        for rank in range(n):
            begin = filled
            item = picked[row, rank]
            whole, strongest = 0.0, -1.0
            for line in range(first, last if item >= 0 else first):
                low, high = p_indptr[items[line]], p_indptr[items[line] + 1]
                at = _find(p_indices, low, high, item)
                if at < high and p_indices[at] == item and p_values[at] > 0:
                    value = p_values[at]
                    to = filled
                    while to > begin and reason_shares[to - 1] < value:
                        reason_shares[to] = reason_shares[to - 1]
                        reason_items[to] = reason_items[to - 1]
                        to -= 1
                    reason_shares[to] = value
                    reason_items[to] = items[line]
                    filled += 1
                    whole += value
                    if value > strongest:
                        strongest = value
                        support[row, rank] = p_support[at]
            rest = 100.0
            for at in range(begin, filled):
                reason_shares[at] = np.round(reason_shares[at] / whole * 1e4) / 100
                rest -= reason_shares[at]
            if filled > begin:
                reason_shares[begin] = np.round((reason_shares[begin] + rest) * 100) / 100
            starts[row * n + rank + 1] = filled
        # Leave the scratch as it was
        for place in range(count):
            sums[touched[place]] = 0
            marks[touched[place]] = 0
        for line in range(first, last):
            marks[items[line]] = 0
            by_category[0, category[items[line]]] = 0
        for at in range(h_first, h_last):
            habit[h_items[at]] = -1
            by_category[1, category[h_items[at]]] = 0

"""The model's answer to a basket as compiled code: which candidates, how sure, and why."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from erp.recommender.candidates import WIDTH, Candidates, find
from erp.recommender.sampling import Csr

SEEN = WIDTH + 2  # features of a probability: those, the order's own chance, the rank
SMALLEST = 1e-9  # relevance of what was never sold


def stacked(heads, width: int) -> tuple[np.ndarray, ...]:
    """Two heads side by side: features used (2), 0 of none, mean, 1 / scale, linear (2, width),
    square, constant."""
    features = np.zeros(2, np.int64)
    mean, inverse, linear = (np.zeros((2, width), np.float32) for _ in range(3))
    square, constant = np.zeros((2, width, width), np.float32), np.zeros(2)
    for place, head in enumerate(heads):
        if head is not None:
            used = len(head.mean)
            features[place] = used
            mean[place, :used], linear[place, :used] = head.mean, head.linear
            inverse[place, :used] = 1 / head.scale
            square[place, :used, :used] = head.square
            constant[place] = head.constant
    return features, mean, inverse, linear, square, constant


class Answer(NamedTuple):
    """Recommendations for some baskets, by rank.

    picked : int32 (rows, n), item codes, -1 where there are no more; the others say nothing there
    many : int32 (rows), recommendations; found : int32 (rows), candidates
    relevance, relative, chance : float64 (rows, n), the latter two in per cent, to two places
    support : int32 (rows, n)
    joined : bool (rows, n), a bestseller that neither basket nor habit led to
    starts : int64 (rows n + 1), because, shares : the reasons' items, and parts in per cent
    """

    picked: np.ndarray
    many: np.ndarray
    found: np.ndarray
    relevance: np.ndarray
    relative: np.ndarray
    chance: np.ndarray
    support: np.ndarray
    joined: np.ndarray
    starts: np.ndarray
    because: np.ndarray
    shares: np.ndarray


class Kernel:
    """A model's candidates, and what was learned about them.

    Parameters
    ----------
    reach : Candidates; heads : learning.Heads
    """

    def __init__(self, reach: Candidates, heads):
        self.reach = reach
        self.order = stacked((heads.order, heads.order_known or heads.order), WIDTH)
        self.chance = stacked((heads.half, heads.next_sale), SEEN)

    def answer(self, baskets: Csr, history, customers, view, settings, n: int, seen=None):
        """The `n` best of each basket.

        Parameters
        ----------
        baskets : of item codes
        history : HistoryRows; customers : bool (rows), which customers are known
        view : (active bool, name codes int32, category codes int32), by item
        seen : float32 (rows, n, SEEN), filled with what the confidence was told from

        Returns
        -------
        Answer
        """
        rows, lines = len(customers), len(baskets[1])
        out = Answer(
            np.empty((rows, n), np.int32),
            np.empty(rows, np.int32),
            np.empty(rows, np.int32),
            np.empty((rows, n)),
            np.empty((rows, n)),
            np.empty((rows, n)),
            np.empty((rows, n), np.int32),
            np.zeros((rows, n), np.bool_),
            np.zeros(rows * n + 1, np.int64),
            np.empty(lines * n, np.int32),
            np.empty(lines * n),
        )
        if seen is None:
            seen = np.zeros((0, n, SEEN), np.float32)
        _answer(
            *baskets, history.indptr, history.items, history.frequencies, history.baskets,
            customers, self.reach.pairs, self.reach.mutual, self.reach.facts, view, self.order,
            self.chance, self.reach.scratch(), self.reach.many(settings.candidates),
            settings.max_per_category, settings.personal_weight, out, seen,
        )  # fmt: skip
        return out


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _logits(rows, values, head, kind):
    """z w + z Q z + constant of the first rows by one head, z standardised and clipped.

    All rows at once, feature by feature: so the processor adds up several rows in one step.
    """
    features, mean, inverse, linear, square, constant = head
    width, edge = features[kind], np.float32(4)
    z = np.empty((width, rows), np.float32)
    for a in range(width):
        for row in range(rows):
            standard = (values[row, a] - mean[kind, a]) * inverse[kind, a]
            z[a, row] = min(max(standard, -edge), edge)
    total, inner = np.full(rows, constant[kind]), np.empty(rows, np.float32)
    for a in range(width):
        inner[:] = linear[kind, a]
        for b in range(a, width):
            weight = square[kind, a, b]
            if weight != 0:
                for row in range(rows):
                    inner[row] += weight * z[b, row]
        for row in range(rows):
            total[row] += inner[row] * z[a, row]
    return total


@numba.njit(nogil=True, cache=True)
def _find(indices, low, high, wanted):
    """The place of `wanted` among ascending indices[low:high], or where it would be."""
    while low < high:
        middle = (low + high) // 2
        if indices[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _answer(
    indptr, items, h_indptr, h_items, h_frequencies, h_baskets, customers, pairs, mutual, facts,
    view, order, chance, scratch, many, cap, personal_weight, out, seen_out,
):  # fmt: skip
    active = view[0]
    history = (h_indptr, h_items, h_frequencies, h_baskets)
    best = (
        np.empty(many, np.int32),
        np.empty(many, np.float32),
        np.empty(many, np.bool_),
        np.empty((many, WIDTH), np.float32),
    )
    filled, n = 0, out.picked.shape[1]
    for row in range(len(out.many)):
        basket = items[indptr[row] : indptr[row + 1]]
        found = find(row, basket, history, pairs, mutual, facts, active, scratch, many, best)
        out.found[row] = found
        kind = 1 if h_indptr[row + 1] > h_indptr[row] else 0
        odds = _odds(found, best, order, kind)
        weighed = odds.copy()
        for place in range(found):
            if personal_weight != 1 and best[2][place]:
                weighed[place] *= personal_weight
        target = 1 if customers[row] else 0
        seen = seen_out[row] if len(seen_out) else np.empty((n, SEEN), np.float32)
        to = (
            out.picked[row], out.relevance[row], out.relative[row], out.chance[row], seen,
            out.joined[row],
        )  # fmt: skip
        out.many[row] = _pick(found, best, odds, weighed, view, cap, chance, target, to)
        for rank in range(n):
            begin = filled
            if rank < out.many[row]:
                filled, out.support[row, rank] = _reasons(
                    basket, out.picked[row, rank], pairs, begin, out.because, out.shares
                )
            out.starts[row * n + rank + 1] = filled


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _odds(found, best, order, kind):
    """The chance of each candidate to be the one; without weights the scores decide."""
    _, scores, _, values = best
    if order[0][kind]:
        logits = _logits(found, values, order, kind)
    else:
        logits = np.log(np.maximum(scores[:found], 1e-9))
    top = -np.inf
    for place in range(found):
        top = max(top, logits[place])
    odds = np.exp(logits - top)
    return odds / odds.sum()


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _pick(found, best, odds, weighed, view, cap, chance, target, out):
    """The likeliest candidates whose name is new and whose category is not full; how many.

    out : item, relevance, that and the confidence in per cent, what the latter was told from,
    whether it joined, by rank
    """
    codes, scores, _, values = best
    _, names, categories = view
    picked, relevance, relative, confidence, seen, joined = out
    said = np.empty(len(picked))
    rank = 0
    while rank < len(picked):
        place = -1
        for other in range(found):
            if weighed[other] >= 0 and (place < 0 or weighed[other] > weighed[place]):
                place = other
        if place < 0:
            break
        item, score = codes[place], weighed[place]
        weighed[place] = -1
        same, full = False, 0
        for earlier in range(rank):
            same |= names[picked[earlier]] == names[item]
            full += categories[picked[earlier]] == categories[item]
        if same or (cap > 0 and categories[item] != 0 and full >= cap):
            continue
        picked[rank] = item
        joined[rank] = scores[place] == 0
        relevance[rank] = max(np.float64(np.float32(score)), SMALLEST)
        relative[rank] = _rounded(100 * relevance[rank] / relevance[0])
        for feature in range(WIDTH):
            seen[rank, feature] = values[place, feature]
        seen[rank, WIDTH] = np.log(odds[place] + 1e-5)
        seen[rank, WIDTH + 1] = np.log(rank + 1)
        said[rank] = np.log(odds[place] + 1e-9)
        rank += 1
    if chance[0][target]:
        said = _logits(rank, seen, chance, target)
    for place in range(rank):
        confidence[place] = _rounded(100 * np.float64(np.float32(1 / (1 + np.exp(-said[place])))))
    picked[rank:] = -1
    return rank


@numba.njit(nogil=True, cache=True)
def _rounded(value):
    """To two places."""
    return np.rint(value * 100) / 100


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _reasons(basket, item, pairs, begin, reason_items, reason_shares):
    """Write the basket's products by their strength for `item`, in per cent from `begin` on.

    Returns where they end, and the support of the strongest.
    """
    indptr, indices, _, strengths, counts = pairs
    filled, whole, strongest, support = begin, 0.0, -1.0, 0
    for one in basket:
        low, high = indptr[one], indptr[one + 1]
        at = _find(indices, low, high, item)
        if at < high and indices[at] == item and strengths[at] > 0:
            value = strengths[at]
            to = filled
            while to > begin and reason_shares[to - 1] < value:
                reason_shares[to] = reason_shares[to - 1]
                reason_items[to] = reason_items[to - 1]
                to -= 1
            reason_shares[to] = value
            reason_items[to] = one
            filled += 1
            whole += value
            if value > strongest:
                strongest = value
                support = counts[at]
    rest = 100.0
    for at in range(begin, filled):
        reason_shares[at] = np.rint(reason_shares[at] / whole * 1e4) / 100
        rest -= reason_shares[at]
    if filled > begin:
        reason_shares[begin] = _rounded(reason_shares[begin] + rest)
    return filled, support

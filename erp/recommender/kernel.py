"""The model's answer to a basket as compiled code: which candidates, how sure, and why."""

from __future__ import annotations

import numba
import numpy as np

from erp.recommender import candidates
from erp.recommender.candidates import WIDTH, Candidates, find
from erp.recommender.sampling import Csr

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
        if seen is None:
            seen = np.zeros((0, n, SEEN), np.float32)
        _answer(
            *baskets, history.indptr, history.items, history.frequencies, history.baskets,
            customers, self.reach.pairs, self.reach.facts, view, self.order, self.chance,
            self.reach.scratch(), candidates.room(1, settings.candidates),
            settings.max_per_category, settings.personal_weight, out, seen,
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
    indptr, items, h_indptr, h_items, h_frequencies, h_baskets, customers, pairs, facts, view,
    order, chance, scratch, room, cap, personal_weight, out, seen_out,
):  # fmt: skip
    active = view[0]
    history = (h_indptr, h_items, h_frequencies, h_baskets)
    picked, relevance, confidence, support, found_of, starts, reason_items, reason_shares = out
    best = (room[0][0], room[1][0], room[2][0], room[3][0])
    many, n = len(best[0]), picked.shape[1]
    filled = 0
    for row in range(len(picked)):
        basket = items[indptr[row] : indptr[row + 1]]
        found = find(row, basket, history, pairs, facts, active, scratch, many, best)
        found_of[row] = found
        kind = 1 if h_indptr[row + 1] > h_indptr[row] else 0
        odds = _odds(found, best, order, kind)
        weighed = odds.copy()
        for place in range(found):
            if personal_weight != 1 and best[2][place]:
                weighed[place] *= personal_weight
        target = 1 if customers[row] else 0
        seen = seen_out[row] if len(seen_out) else np.empty((n, SEEN), np.float32)
        to = (picked[row], relevance[row], confidence[row], seen)
        _pick(found, best, odds, weighed, view, cap, chance, target, to)
        for rank in range(n):
            begin = filled
            if picked[row, rank] >= 0:
                filled, support[row, rank] = _reasons(
                    basket, picked[row, rank], pairs, begin, reason_items, reason_shares
                )
            starts[row * n + rank + 1] = filled


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _odds(found, best, order, kind):
    """The chance of each candidate to be the one; without weights the scores decide."""
    _, scores, _, values = best
    logits = np.empty(found, np.float64)
    top = -np.inf
    for place in range(found):
        if order[0][kind]:
            logits[place] = _logit(values[place], order, kind)
        else:
            logits[place] = np.log(max(scores[place], 1e-9))
        top = max(top, logits[place])
    odds = np.exp(logits - top)
    return odds / odds.sum()


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _pick(found, best, odds, weighed, view, cap, chance, target, out):
    """The likeliest candidates whose name is new and whose category is not full.

    out : item, relevance, confidence and what that was told from, by rank
    """
    codes, _, _, values = best
    _, names, categories = view
    picked, relevance, confidence, seen = out
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
        picked[rank], relevance[rank] = item, score
        for feature in range(WIDTH):
            seen[rank, feature] = values[place, feature]
        seen[rank, WIDTH] = np.log(odds[place] + 1e-5)
        seen[rank, WIDTH + 1] = np.log(rank + 1)
        if chance[0][target]:
            logit = _logit(seen[rank], chance, target)
        else:
            logit = np.log(odds[place] + 1e-9)
        confidence[rank] = 1 / (1 + np.exp(-logit))
        rank += 1


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
        reason_shares[at] = np.round(reason_shares[at] / whole * 1e4) / 100
        rest -= reason_shares[at]
    if filled > begin:
        reason_shares[begin] = np.round((reason_shares[begin] + rest) * 100) / 100
    return filled, support

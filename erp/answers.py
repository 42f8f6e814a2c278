"""From ranked candidates to recommendations with the fields of the contract."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from erp.learning import popular_features

SMALLEST = 1e-9  # relevance of what was never sold


def first_allowed(places, candidates, n: int, names, categories, cap: int) -> np.ndarray:
    """The first `n` places of each row whose name is new, and whose category is not full.

    Parameters
    ----------
    places : int (rows, k), best first; candidates : int32 (rows, k), -1 where there is none
    names, categories : int32 (items), codes; category 0 is never full
    cap : most of one category, 0: no cap

    Returns
    -------
    int (rows, n), -1 where the row has no more
    """
    rows, many = candidates.shape
    real = candidates >= 0
    if not real.any():
        return np.full((rows, n), -1, np.int64)
    known = np.maximum(candidates, 0)
    earlier = np.tri(many, k=-1, dtype=bool)  # [i, j]: j comes before i
    name = names[known]
    same = (name[:, :, None] == name[:, None, :]) & earlier & real[:, None, :]
    allowed = real & ~same.any(axis=2)
    if cap > 0:
        category = categories[known]
        before = (category[:, :, None] == category[:, None, :]) & earlier & allowed[:, None, :]
        allowed &= (category == 0) | (before.sum(axis=2) < cap)
    rank = np.cumsum(allowed, axis=1) - 1
    result = np.full((rows, n), -1, np.int64)
    row, column = np.nonzero(allowed & (rank < n))
    result[row, rank[row, column]] = places[row, column]
    return result


class Reasons:
    """Looks up which products of a basket speak for a recommendation, and how much."""

    def __init__(self, similarity):
        self.similarity = similarity
        self._pairs = sp.csr_matrix(
            (
                np.arange(1, len(similarity.indices) + 1, dtype=np.int64),
                similarity.indices,
                similarity.indptr,
            ),
            shape=similarity.shape,
        )
        self._pairs.has_sorted_indices = True
        self._pairs.has_canonical_format = True

    def of(self, indptr, items, picked):
        """Reasons of all recommendations of a batch.

        Parameters
        ----------
        indptr, items : the baskets as csr of item codes
        picked : int (rows, n), recommended item codes, -1 where none

        Returns
        -------
        dict (row, rank from 0) -> list of (item code, share in per cent), largest first
        support : int (rows, n), sales that hold the recommendation and its first reason
        """
        rows, n = picked.shape
        support = np.zeros((rows, n), np.int64)
        if not len(items) or not n or not self._pairs.nnz:
            return {}, support
        row_of = np.repeat(np.arange(rows), np.diff(indptr))
        wanted = picked[row_of]  # (lines, n)
        places = np.asarray(
            self._pairs[np.repeat(items, n), np.maximum(wanted, 0).ravel()]
        ).reshape(wanted.shape)
        line, rank = np.nonzero((places > 0) & (wanted >= 0))
        if not len(line):
            return {}, support
        place = places[line, rank] - 1
        value, row = self.similarity.values[place].astype(np.float64), row_of[line]
        key = row * n + rank
        order = np.lexsort((-value, key))
        key, value, line, place = key[order], value[order], line[order], place[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        totals = np.add.reduceat(value, starts)
        lengths = np.diff(np.append(starts, len(key)))
        shares = np.round(100 * value / np.repeat(totals, lengths), 2)
        shares[starts] = np.round(shares[starts] + 100 - np.add.reduceat(shares, starts), 2)
        support.ravel()[key[starts]] = self.similarity.support[place[starts]]
        codes, shares = items[line].tolist(), shares.tolist()
        found = {}
        for first, length, at in zip(
            starts.tolist(), lengths.tolist(), key[starts].tolist(), strict=True
        ):
            last = first + length
            found[at] = list(zip(codes[first:last], shares[first:last], strict=True))
        return found, support


def top_up(answer, row_ids, n, cap, offers, name_of, category_of) -> list[tuple[str, float, str]]:
    """More products for a row that has too few, from the shelves; a full category yields last.

    Parameters
    ----------
    answer : list of product ids already recommended
    row_ids : product ids of the basket
    offers : function without arguments, gives (product id, share, source) best first
    """
    more: list[tuple[str, float, str]] = []
    taken = set(answer) | set(row_ids)
    names = {name_of(key).casefold() for key in answer}
    counts: dict[str, int] = {}
    for key in answer:
        counts[category_of(key)] = counts.get(category_of(key), 0) + 1
    for limit in (cap, 0) if cap > 0 else (0,):
        for key, share, source in offers():
            if len(answer) + len(more) >= n:
                return more
            if key in taken:
                continue
            name, category = name_of(key).casefold(), category_of(key)
            if name in names or (limit and category and counts.get(category, 0) >= limit):
                continue
            more.append((key, share, source))
            taken.add(key)
            names.add(name)
            counts[category] = counts.get(category, 0) + 1
    return more


def popular_confidence(head, share, source, size, found, baskets, per_sale: float) -> float:
    """The probability of a recommendation by category or popularity; without a head its share."""
    if head is None:
        return min(share * per_sale, 0.95)
    logit = head.logit(popular_features(share, source == "category", size, found, baskets))
    return float(1 / (1 + np.exp(-logit)))


def numbered(rows: list[dict], n: int) -> list[dict]:
    """Fill in the percentages that depend on the place and on the best one."""
    best = rows[0]["relevancia"] if rows else 1.0
    for place, row in enumerate(rows):
        row["relevancia_percentage"] = round(100 * row["relevancia"] / best, 2)
        row["ranking"] = place + 1
        row["ranking_percentage"] = round(100 * (n - place) / n, 2)
    return rows

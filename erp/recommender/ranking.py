"""From a basket to ranked candidates: the candidates, their features, and how they are weighed.

Candidates are the products with the largest B / sqrt(n) + w P, where B sums the similarities of
the basket's n products to the candidate and P is the customer's own decayed frequency. They are
ordered by a second-order logistic model over a dozen features of basket and candidate, which is
learned from later sales (conditional logit over the candidates of one basket: McFadden, 1974).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sparse_dot_topn import sp_matmul_topn
from threadpoolctl import threadpool_limits

from erp.recommender.history import CURRENT, HistoryRows

PERSONAL_REACH = 1.0  # w of the candidates; how they are ordered is learned
EXCLUDED = np.float32(-1e6)
FEATURES = (
    "similarity",
    "place",
    "basket_size",
    "popularity",
    "trend",
    "same_category",
    "score",
    "frequency",
    "frequency_short",
    "frequency_long",
    "habit",
    "category_frequency",
)
BASKET_FEATURES = 7  # the first ones need no customer


def reach_matrix(similarity, active: np.ndarray) -> sp.csr_matrix:
    """Similarity, own habit and exclusion one above the other: (3 items, items) csr float32."""
    items = len(active)
    values = np.where(active[similarity.indices], similarity.values, np.float32(0))
    diagonal = np.where(active, np.float32(PERSONAL_REACH), np.float32(0))
    stairs = np.arange(1, items + 1, dtype=np.int64) + len(values)
    every = np.arange(items, dtype=np.int32)
    indptr = np.concatenate((similarity.indptr, stairs, stairs + items))
    indices = np.concatenate((similarity.indices, every, every))
    data = np.concatenate((values, diagonal, np.full(items, EXCLUDED)))
    kind = np.int32 if len(data) < 2**31 else np.int64
    return sp.csr_matrix(
        (data.astype(np.float32), indices.astype(kind), indptr.astype(kind)),
        shape=(3 * items, items),
    )


def find_candidates(
    indptr: np.ndarray,
    items: np.ndarray,
    history: HistoryRows,
    matrix: sp.csr_matrix,
    many: int,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """The `many` best products not in the basket, and their scores, best first.

    Parameters
    ----------
    indptr, items : csr of the baskets, item codes, each once
    matrix : of `reach_matrix`

    Returns
    -------
    candidates : int32 (baskets, many), -1 where there are fewer
    scores : float32 (baskets, many), B / sqrt(n) + w P, 0 where there are fewer
    """
    rows, total = len(indptr) - 1, matrix.shape[1]
    sizes, habits = np.diff(indptr), np.diff(history.indptr)
    starts = np.concatenate(([0], np.cumsum(2 * sizes + habits)))
    columns = np.empty(starts[-1], matrix.indices.dtype)
    weights = np.empty(starts[-1], np.float32)
    basket_row = np.repeat(np.arange(rows), sizes)
    first = np.arange(len(items)) + (starts[:-1] - indptr[:-1])[basket_row]
    second = first + sizes[basket_row]
    columns[first], columns[second] = items, items + 2 * total
    weights[first], weights[second] = 1 / np.sqrt(np.maximum(sizes, 1))[basket_row], 1
    third = np.arange(len(history.items)) + np.repeat(
        starts[:-1] + 2 * sizes - history.indptr[:-1], habits
    )
    columns[third] = history.items + total
    weights[third] = history.frequencies[:, CURRENT]
    wanted = sp.csr_matrix((weights, columns, starts), shape=(rows, 3 * total))
    candidates = np.full((rows, many), -1, np.int32)
    scores = np.zeros((rows, many), np.float32)
    if total == 0 or rows == 0:
        return candidates, scores
    best = sp_matmul_topn(
        wanted, matrix, min(many, total), threshold=0.0, sort=True, n_threads=threads
    )
    found = np.diff(best.indptr)
    filled = np.arange(many) < found[:, None]
    candidates[filled] = best.indices[: best.indptr[-1]]
    scores[filled] = best.data[: best.indptr[-1]]
    return candidates, scores


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
        np.array([code.get(name, 0) for name in categories], np.int32),
        len(code) + 1,
    )


def lookup(indptr, items, queries: np.ndarray) -> np.ndarray:
    """Where each query (rows, k) lies in its row of a csr pattern; -1 where it does not."""
    if not len(items):
        return np.full(queries.shape, -1, np.int64)
    span = np.int64(1) << 32
    row_of = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
    keys = row_of * span + items
    wanted = np.arange(len(queries), dtype=np.int64)[:, None] * span + queries
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def features(
    indptr: np.ndarray,
    items: np.ndarray,
    history: HistoryRows,
    candidates: np.ndarray,
    scores: np.ndarray,
    facts: ItemFacts,
) -> np.ndarray:
    """What is known of each candidate in its basket.

    Returns
    -------
    float32 (baskets, candidates, FEATURES)
    """
    rows, many = candidates.shape
    sizes = np.diff(indptr)
    log_size = np.log(np.maximum(sizes, 1)).astype(np.float32)
    known = np.maximum(candidates, 0)
    result = np.zeros((rows, many, len(FEATURES)), np.float32)
    if not len(facts.category):
        return result
    category = facts.category[known]
    counts = np.zeros((rows, facts.categories), np.float32)
    basket_row = np.repeat(np.arange(rows), sizes)
    np.add.at(counts, (basket_row, facts.category[items]), 1)
    counts[:, 0] = 0
    row = np.arange(rows)[:, None]

    frequency = np.zeros((rows, many, 3), np.float32)
    category_frequency = np.zeros((rows, many), np.float32)
    if len(history.items):
        places = lookup(history.indptr, history.items, known)
        hit = places >= 0
        frequency[hit] = history.frequencies[places[hit]]
        own = np.zeros((rows, facts.categories), np.float32)
        history_row = np.repeat(np.arange(rows), np.diff(history.indptr))
        np.add.at(
            own,
            (history_row, facts.category[history.items]),
            history.frequencies[:, CURRENT],
        )
        own[:, 0] = 0
        category_frequency = own[row, category]
    basket_part = scores - np.float32(PERSONAL_REACH) * frequency[:, :, CURRENT]
    basket_part *= np.sqrt(np.maximum(sizes, 1)).astype(np.float32)[:, None]
    basket_part[basket_part < 1e-5] = 0

    result[..., 0] = np.log(basket_part / np.maximum(sizes, 1)[:, None] + 1e-3)
    result[..., 1] = np.log(np.arange(1, many + 1))
    result[..., 2] = log_size[:, None]
    result[..., 3] = facts.popularity[known]
    result[..., 4] = facts.trend[known]
    result[..., 5] = np.log1p(counts[row, category])
    result[..., 6] = np.log(scores + 1e-3)
    result[..., 7] = np.log(frequency[:, :, 1] + 3e-3)
    result[..., 8] = np.log(frequency[:, :, 0] + 3e-3)
    result[..., 9] = np.log(frequency[:, :, 2] + 3e-3)
    result[..., 10] = np.log1p(history.baskets)[:, None]
    result[..., 11] = np.log(category_frequency + 1e-2)
    return result


@dataclass(frozen=True)
class Weights:
    """A second-order logistic model: logit = constant + z w + z Q z, z standardised and clipped.

    mean, scale, linear : float32 (features), square : float32 (features, features)
    """

    mean: np.ndarray
    scale: np.ndarray
    linear: np.ndarray
    square: np.ndarray
    constant: float

    def logit(self, values: np.ndarray) -> np.ndarray:
        """Float32 (...), for values (..., features)."""
        z = standardised(values, self.mean, self.scale)
        return ((z @ self.square + self.linear) * z).sum(axis=-1) + np.float32(self.constant)


def standardised(values, mean, scale) -> np.ndarray:
    return np.clip((values - mean) / scale, -4, 4)


def _expanded(z: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """z and the pairwise products of the features `squares`, (n, f + s (s + 1) / 2)."""
    first, second = np.triu_indices(len(squares))
    return np.concatenate((z, z[:, squares[first]] * z[:, squares[second]]), axis=1)


def _weights(mean, scale, squares, solution: np.ndarray, constant: float) -> Weights:
    width = len(mean)
    square = np.zeros((width, width), np.float32)
    first, second = np.triu_indices(len(squares))
    square[squares[first], squares[second]] = solution[width:]
    return Weights(mean, scale, solution[:width].astype(np.float32), square, float(constant))


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = values.mean(axis=0, dtype=np.float64)
    scale = values.std(axis=0, dtype=np.float64)
    return mean.astype(np.float32), np.where(scale > 1e-4, scale, 1.0).astype(np.float32)


def _newton(derivatives, start: np.ndarray, steps: int = 25, tolerance: float = 1e-3) -> np.ndarray:
    """The minimum of a convex function by Newton's method with halved steps.

    derivatives : function of the solution, gives value, gradient, Hessian
    """
    solution = start
    value, gradient, curvature = derivatives(solution)
    for _ in range(steps):
        step = np.linalg.solve(curvature, gradient)
        gain = float(step @ gradient)
        if gain < tolerance:
            break
        size = 1.0
        while size > 1e-3:
            fresh = derivatives(solution - size * step)
            if fresh[0] <= value - 1e-4 * size * gain:
                break
            size /= 2
        else:
            break
        solution = solution - size * step
        value, gradient, curvature = fresh
    return solution


def fit_choice(values: np.ndarray, chosen: np.ndarray, present: np.ndarray, ridge: float):
    """Weights under which the chosen candidate of each basket is the likeliest (conditional logit).

    Parameters
    ----------
    values : float32 (baskets, candidates, features)
    chosen : int (baskets), the place of the right one
    present : bool (baskets, candidates)
    ridge : penalty on squared weights, in baskets
    """
    rows, many, width = values.shape
    squares = np.arange(width)
    mean, scale = _moments(values[present])
    count = width + width * (width + 1) // 2

    def derivatives(solution):
        value = ridge / 2 * float(solution @ solution)
        gradient, curvature = ridge * solution, ridge * np.eye(count)
        weights = solution.astype(np.float32)
        for first in range(0, rows, 250):
            part = slice(first, first + 250)
            z = standardised(values[part].reshape(-1, width), mean, scale)
            z = _expanded(z, squares)
            logits = np.where(present[part], (z @ weights).reshape(-1, many), -np.inf)
            logits -= logits.max(axis=1, keepdims=True)
            odds = np.exp(logits)
            sums = odds.sum(axis=1, keepdims=True)
            odds /= sums
            right = np.arange(len(odds)) * many + chosen[part]
            value += float(np.log(sums).sum() - logits.ravel()[right].sum())
            weighted = z * odds.reshape(-1, 1)
            mean_z = weighted.reshape(-1, many, count).sum(axis=1)
            gradient = gradient + (mean_z - z[right]).sum(axis=0, dtype=np.float64)
            curvature += weighted.T @ z - mean_z.T @ mean_z
        return value, gradient, curvature

    start = np.zeros(count)
    start[FEATURES.index("score")] = 1.0
    with threadpool_limits(1):
        solution = _newton(derivatives, start)
    return _weights(mean, scale, squares, solution, 0.0)


def fit_probability(values: np.ndarray, happened: np.ndarray, ridge: float, squares) -> Weights:
    """Weights of a logistic regression; the constant is not penalised.

    Parameters
    ----------
    values : float32 (n, features), happened : bool (n)
    ridge : penalty on squared weights, in observations
    squares : int, the features whose products count too
    """
    mean, scale = _moments(values)
    z = _expanded(standardised(values, mean, scale), np.asarray(squares)).astype(np.float64)
    z = np.concatenate((np.ones((len(z), 1)), z), axis=1)
    outcome = happened.astype(np.float64)
    penalty = np.full(z.shape[1], ridge)
    penalty[0] = 1e-6

    def derivatives(solution):
        logits = z @ solution
        chance = 1 / (1 + np.exp(-logits))
        value = np.logaddexp(0, logits).sum() - outcome @ logits + penalty @ solution**2 / 2
        gradient = (chance - outcome) @ z + penalty * solution
        return value, gradient, (z.T * (chance * (1 - chance))) @ z + np.diag(penalty)

    start = np.zeros(z.shape[1])
    rate = (outcome.sum() + 0.5) / (len(outcome) + 1)
    start[0] = np.log(rate / (1 - rate))
    with threadpool_limits(1):
        solution = _newton(derivatives, start)
    return _weights(mean, scale, np.asarray(squares), solution[1:], solution[0])


def choice_probabilities(logits: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Softmax over the present candidates of each basket, float32 (baskets, candidates)."""
    masked = np.where(present, logits, -np.inf)
    top = masked.max(axis=1, keepdims=True)
    odds = np.exp(masked - np.where(np.isfinite(top), top, 0))
    return (odds / np.maximum(odds.sum(axis=1, keepdims=True), 1e-30)).astype(np.float32)


def best_places(values: np.ndarray, many: int) -> np.ndarray:
    """Columns of the `many` largest values of each row, largest first; ties to the lower column."""
    many = min(many, values.shape[1])
    if many == 0 or not len(values):
        return np.zeros((len(values), many), np.int64)
    if many < values.shape[1]:
        chosen = np.sort(np.argpartition(-values, many - 1, axis=1)[:, :many], axis=1)
    else:
        chosen = np.broadcast_to(np.arange(many), values.shape)
    order = np.argsort(-np.take_along_axis(values, chosen, 1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, 1)


def confidence_features(values, probabilities, ranks) -> np.ndarray:
    """The features of shown recommendations, with the model's own opinion of them.

    Parameters
    ----------
    values : float32 (..., features), probabilities : float32 (...), ranks : int (...), from 1
    """
    extra = np.stack(
        (np.log(probabilities + 1e-5), np.log(ranks).astype(np.float32)), axis=-1
    ).astype(np.float32)
    return np.concatenate((values, extra), axis=-1)

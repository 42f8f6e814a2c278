"""Other recommenders, to be asked the same questions: what is worth having must beat them.

Each takes the sales to learn from and a trial, and gives the codes of its DEPTH best products for
each basket, none of them in the basket: int32 (rows, DEPTH), -1 where it has no more.
"""

from __future__ import annotations

import warnings
from math import isqrt

import numpy as np
import psutil
import scipy.sparse as sp
from scipy.linalg import lapack
from sparse_dot_topn import sp_matmul_topn

from erp.recommender.evaluation import DEPTH, Trial
from erp.recommender.similarity import fit_similarity

NEIGHBOURS = 100  # kept of each product, by those that keep some
SAR_NEIGHBOURS = 1_000  # SAR keeps all; so many bound the memory and cost it little
EASE_ITEMS = 8_000  # commonest products, at most
EASE_RIDGE = 50.0  # lambda: the best of 2 to 2,000 on both data sets of bench/quality.py
EASE_BYTES = 12  # of each pair of products while the matrix is inverted
EASE_SHARE = 0.4  # of the free memory that it may take
EASE_FEWEST = 500  # products; with memory for fewer it is left out
ROWS = 1_000  # baskets scored, or products compared, at once


def all_peers(
    baskets, trial: Trial, threads: int = 2
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The codes of each peer by name, and of those that are left out the reason."""
    found = {
        "popularity": most_popular(baskets, trial),
        "plain cosine": plain_cosine(baskets, trial, threads),
        "SAR Jaccard": sar_jaccard(baskets, trial, threads),
    }
    left_out = {}
    ease_codes = ease(baskets, trial)
    if ease_codes is None:
        left_out["EASE"] = "too little free memory for its matrix of all pairs of products"
    else:
        found["EASE"] = ease_codes
    implicit = implicit_peers(baskets, trial, threads)
    if implicit is None:
        left_out["implicit"] = "it is not installed (pip install -r requirements-dev.txt)"
    return found | (implicit or {}), left_out


def most_popular(baskets, trial: Trial, n: int = DEPTH) -> np.ndarray:
    """The most sold products that are not in the basket."""
    order = np.argsort(-np.bincount(baskets.items, minlength=len(baskets.item_ids)), kind="stable")
    order = order[: n + 200].tolist()
    codes = np.full((len(trial), n), -1, np.int32)
    for row in range(len(trial)):
        inside = set(trial.items[trial.indptr[row] : trial.indptr[row + 1]].tolist())
        best = [code for code in order if code not in inside][:n]
        codes[row, : len(best)] = best
    return codes


def plain_cosine(baskets, trial: Trial, threads: int = 2) -> np.ndarray:
    """Cosine of Sarwar et al., 2001, without decay."""
    found = fit_similarity(
        baskets, item_exponent=0.5, size_exponent=0.0, shrink=0.0, half_life_months=1e9,
        min_support=1, top=NEIGHBOURS, threads=threads,
    )  # fmt: skip
    similarity = sp.csr_matrix((found.values, found.indices, found.indptr), shape=found.shape)
    return best_of(similarity, trial, threads)


def implicit_peers(baskets, trial: Trial, threads: int = 2) -> dict[str, np.ndarray] | None:
    """implicit's Cosine, TFIDF and BM25 recommenders; None where it is not installed."""
    try:
        from implicit.nearest_neighbours import (  # noqa: PLC0415  a peer, not a dependency
            BM25Recommender,
            CosineRecommender,
            TFIDFRecommender,
        )
    except ImportError:
        return None
    held = matrix(baskets)
    found = {}
    for peer in (CosineRecommender, TFIDFRecommender, BM25Recommender):
        fitted = peer(K=NEIGHBOURS, num_threads=threads)
        with warnings.catch_warnings(action="ignore"):  # of the form of its own weighted matrix
            fitted.fit(held, show_progress=False)
        found[f"implicit {peer.__name__.removesuffix('Recommender')}"] = best_of(
            sp.csr_matrix(fitted.similarity), trial, threads
        )
    return found


def sar_jaccard(baskets, trial: Trial, threads: int = 2, kept: int = SAR_NEIGHBOURS) -> np.ndarray:
    """SAR with Jaccard similarity: c_ij / (c_ii + c_jj - c_ij), summed over the basket.

    c_ij counts the sales with both (Microsoft Recommenders, "SAR Single Node", 2018 and later).
    """
    held = matrix(baskets)
    by_item = held.T.tocsr()
    count = np.diff(by_item.indptr).astype(np.float32)
    parts = []
    for first in range(0, by_item.shape[0], ROWS):
        both = (by_item[first : first + ROWS] @ held).tocsr()
        rows = first + np.repeat(np.arange(both.shape[0]), np.diff(both.indptr))
        both.data /= count[rows] + count[both.indices] - both.data
        both.data[rows == both.indices] = 0
        parts.append(_largest(both, kept))
    return best_of(sp.vstack(parts, "csr"), trial, threads)


def ease(baskets, trial: Trial, ridge: float = EASE_RIDGE) -> np.ndarray | None:
    """EASE^R on the commonest products: the item weights B in closed form (Steck, 2019).

    B_ij = -P_ij / P_jj with P = (X'X + ridge I)^-1 and a diagonal of 0; None where its memory is
    not free.
    """
    sold = np.bincount(baskets.items, minlength=len(baskets.item_ids))
    items = min(EASE_ITEMS, int((sold > 0).sum()))
    fitting = isqrt(int(EASE_SHARE * psutil.virtual_memory().available / EASE_BYTES))
    if fitting < min(items, EASE_FEWEST) or not items:
        return None
    common = np.argsort(-sold, kind="stable")[: min(items, fitting)]
    weights = _ease_weights(matrix(baskets)[:, common], ridge)
    codes = np.full((len(trial), DEPTH), -1, np.int32)
    shown = _shown(trial, len(baskets.item_ids))[:, common].tocsr()
    depth = min(DEPTH, len(common))
    for first in range(0, len(trial), ROWS):
        part = shown[first : first + ROWS]
        scores = part @ weights  # (rows, items)
        scores[part.nonzero()] = -np.inf
        best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        value = np.take_along_axis(scores, best, 1)
        order = np.argsort(-value, axis=1, kind="stable")
        best, value = np.take_along_axis(best, order, 1), np.take_along_axis(value, order, 1)
        codes[first : first + ROWS, :depth] = np.where(value > 0, common[best], -1)
    return codes


def _ease_weights(held: sp.csr_matrix, ridge: float) -> np.ndarray:
    """B of EASE, float32 (items, items)."""
    gram = np.asfortranarray((held.T @ held).toarray())
    gram[np.diag_indices_from(gram)] += np.float32(ridge)
    factor, wrong = lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, wrong_too = lapack.spotri(factor, lower=1, overwrite_c=1)  # its lower half
    if wrong or wrong_too:
        raise np.linalg.LinAlgError("X'X with a ridge is not positive definite")
    for row in range(1, len(inverse)):
        inverse[:row, row] = inverse[row, :row]
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0)
    return inverse


def matrix(baskets) -> sp.csr_matrix:
    """Sales by items, ones, float32."""
    return sp.csr_matrix(
        (np.ones(len(baskets.items), np.float32), baskets.items, baskets.indptr),
        shape=(len(baskets), len(baskets.item_ids)),
    )


def best_of(similarity: sp.csr_matrix, trial: Trial, threads: int = 2) -> np.ndarray:
    """The products with the largest sum of similarities to the basket's."""
    items = similarity.shape[0]
    shown = _shown(trial, items)
    never = sp.identity(items, np.float32, "csr") * np.float32(-1e6)  # what is shown already
    stacked = sp.vstack([similarity.astype(np.float32), never]).tocsr()
    best = sp_matmul_topn(
        sp.hstack([shown, shown]).tocsr(), stacked, DEPTH, threshold=0.0, sort=True,
        n_threads=threads,
    )  # fmt: skip
    codes = np.full((len(trial), DEPTH), -1, np.int32)
    codes[np.arange(DEPTH) < np.diff(best.indptr)[:, None]] = best.indices[: best.indptr[-1]]
    return codes


def _shown(trial: Trial, items: int) -> sp.csr_matrix:
    """Baskets by items, ones, float32."""
    return sp.csr_matrix(
        (np.ones(len(trial.items), np.float32), trial.items, trial.indptr),
        shape=(len(trial), items),
    )


def _largest(part: sp.csr_matrix, kept: int) -> sp.csr_matrix:
    """The `kept` largest entries of each row, without zeros."""
    rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    order = np.lexsort((-part.data, rows))
    place = np.arange(len(order)) - np.repeat(part.indptr[:-1], np.diff(part.indptr))
    order = order[(place < kept) & (part.data[order] > 0)]
    counts = np.bincount(rows[order], minlength=part.shape[0])
    indptr = np.concatenate(([0], np.cumsum(counts)))
    return sp.csr_matrix((part.data[order], part.indices[order], indptr), shape=part.shape)

"""How good a model is: on sales after those it was fitted on, beside its peers.

Three questions, each about sales of the newest part of the data:
hidden: one product of a basket is hidden; is it among the recommendations for the rest?
half: half of a basket is shown; which recommendations are in the other half?
next: which recommendations for a known customer's sale are in her next one?
The last two compare confidence_percentage with what happened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sparse_dot_topn import sp_matmul_topn

from erp.recommender import history as habits
from erp.recommender import learning
from erp.recommender.similarity import fit_similarity

SIZES = ((1, 1), (2, 3), (4, 9), (10, None))  # products shown
DEPTH = 10


@dataclass(frozen=True)
class Trial:
    """Baskets shown and the products that would have been right.

    sales : int (rows), places in the data; indptr, items : csr of what is shown;
    answers : (indptr, items), csr of what would be right.
    """

    sales: np.ndarray
    indptr: np.ndarray
    items: np.ndarray
    answers: tuple[np.ndarray, np.ndarray]

    def __len__(self) -> int:
        return len(self.sales)


def hidden_trial(baskets, first: int, most: int, seed: int = 0, last: int | None = None) -> Trial:
    """One random product hidden of each of at most `most` sales from place `first` on."""
    random = np.random.default_rng(seed)
    sales = np.arange(first, len(baskets) if last is None else last)
    sales = np.sort(random.permutation(sales[baskets.sizes[sales] >= 2])[:most])
    indptr, items = learning.take(baskets, sales)
    hidden = np.zeros(len(items), bool)
    hidden[indptr[:-1] + random.integers(0, np.maximum(np.diff(indptr), 1))] = True
    shown, answers = learning.split(indptr, items, hidden)
    return Trial(sales, *shown, answers)


def half_trial(baskets, first: int, most: int, seed: int = 0) -> Trial:
    """A random half of each basket hidden."""
    random = np.random.default_rng(seed)
    sales = np.arange(first, len(baskets))
    sales = np.sort(random.permutation(sales[baskets.sizes[sales] >= 2])[:most])
    indptr, items = learning.take(baskets, sales)
    shown, answers = learning.split(
        indptr, items, learning.half_hidden(random.random(len(items)), indptr)
    )
    return Trial(sales, *shown, answers)


def next_trial(baskets, first: int, most: int, seed: int = 0) -> Trial:
    """Whole baskets of known customers, and the next sale of each."""
    random = np.random.default_rng(seed)
    following = learning.next_sales(baskets)
    sales = np.arange(first, len(baskets))
    sales = np.sort(random.permutation(sales[following[sales] >= 0])[:most])
    indptr, items = learning.take(baskets, sales)
    return Trial(sales, indptr, items, learning.take(baskets, following[sales]))


def ask(model, baskets, trial: Trial, n: int, known: bool) -> list[list[dict]]:
    """The model's recommendations; `known` with customers and their history up to each sale."""
    names = np.array(model.item_ids, dtype=object)
    shown = [part.tolist() for part in np.split(names[trial.items], trial.indptr[1:-1])]
    if not len(trial):
        return []
    histories = (
        habits.rows_before(baskets, trial.sales, model.settings.personal_halflife_days)
        if known
        else learning.no_history(len(trial))
    )
    customers = [
        None if code < 0 or not known else baskets.customer_ids[code]
        for code in baskets.customers[trial.sales].tolist()
    ]
    stores = [
        None if code < 0 else baskets.store_ids[code]
        for code in baskets.stores[trial.sales].tolist()
    ]
    return model.recommend_many(shown, customers, n, stores, histories=histories)


def codes_of(model, answers: list[list[dict]], n: int) -> np.ndarray:
    """Item codes of recommendations, int32 (rows, n), -1 where there is none."""
    index = {key: code for code, key in enumerate(model.item_ids)}
    result = np.full((len(answers), n), -1, np.int32)
    for row, answer in enumerate(answers):
        for place, one in enumerate(answer[:n]):
            result[row, place] = index.get(one["product_id"], -1)
    return result


def ranks_of(codes: np.ndarray, trial: Trial) -> np.ndarray:
    """The place from 1 of the hidden product in each row, 0 where it is not there."""
    match = codes == trial.answers[1][:, None]
    return np.where(match.any(axis=1), match.argmax(axis=1) + 1, 0)


def ranking_metrics(ranks: np.ndarray) -> dict[str, float]:
    """Hit rates, mean reciprocal rank and nDCG of one hidden product each, at DEPTH 10."""
    found = ranks > 0
    gain = np.where(found, 1 / np.log2(np.maximum(ranks, 1) + 1), 0)
    hit = float(found.mean()) if len(ranks) else 0.0
    return {
        "hit@5": float((found & (ranks <= 5)).mean()) if len(ranks) else 0.0,
        "hit@10": hit,
        "hit@10 ±": 1.96 * float(np.sqrt(hit * (1 - hit) / max(len(ranks), 1))),
        "MRR@10": float(np.where(found, 1 / np.maximum(ranks, 1), 0).mean()) if len(ranks) else 0.0,
        "nDCG@10": float(gain.mean()) if len(ranks) else 0.0,
    }


def variety_metrics(codes: np.ndarray, sales_per_item: np.ndarray, sales: int) -> dict[str, float]:
    """Coverage: share of sold products recommended at all. Novelty: mean bits of surprise."""
    shown = codes[codes >= 0]
    share = np.maximum(sales_per_item[shown], 1) / max(sales, 1)
    return {
        "coverage": len(np.unique(shown)) / max(int((sales_per_item > 0).sum()), 1),
        "novelty": float(-np.log2(share).mean()) if len(shown) else 0.0,
    }


def ratio_interval(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the ratio of two hit rates on the same baskets, by paired bootstrap."""
    random = np.random.default_rng(seed)
    picks = random.integers(0, len(ours), (1000, len(ours)), dtype=np.int32)
    ratios = ours[picks].mean(axis=1) / np.maximum(theirs[picks].mean(axis=1), 1e-9)
    return float(np.quantile(ratios, 0.025)), float(np.quantile(ratios, 0.975))


@dataclass(frozen=True)
class Said:
    """What was said and what happened, one entry per recommendation."""

    chance: np.ndarray
    happened: np.ndarray
    size: np.ndarray
    source: np.ndarray
    store: np.ndarray

    def __getitem__(self, rows) -> Said:
        return Said(
            self.chance[rows], self.happened[rows], self.size[rows], self.source[rows],
            self.store[rows],
        )  # fmt: skip


def said(model, baskets, trial: Trial, answers: list[list[dict]]) -> Said:
    """Probabilities and outcomes of recommendations."""
    chance, happened, size, source, store = [], [], [], [], []
    item_ids = np.array(model.item_ids, dtype=object)
    indptr, items = trial.answers
    for row, answer in enumerate(answers):
        right = set(item_ids[items[indptr[row] : indptr[row + 1]]].tolist())
        shown = int(trial.indptr[row + 1] - trial.indptr[row])
        for one in answer:
            chance.append(one["confidence_percentage"] / 100)
            happened.append(one["product_id"] in right)
            source.append(one["source"])
            size.append(shown)
            store.append(int(baskets.stores[trial.sales[row]]))
    return Said(*(np.array(part) for part in (chance, happened, size, source, store)))


def calibration(what: Said, bins: int = 10) -> dict:
    """Error (mean gap of equally filled bins), Brier skill over the mean, and the bins."""
    if not len(what.chance):
        return {"recommendations": 0, "error": 0.0, "skill": 0.0, "said": 0.0, "happened": 0.0,
                "bins": []}  # fmt: skip
    order = np.argsort(what.chance, kind="stable")
    table = [
        {
            "said": float(what.chance[part].mean()),
            "happened": float(what.happened[part].mean()),
            "count": len(part),
        }
        for part in np.array_split(order, bins)
        if len(part)
    ]
    rate = what.happened.mean()
    constant = rate * (1 - rate)
    brier = float(np.square(what.chance - what.happened).mean())
    gaps = [abs(one["said"] - one["happened"]) * one["count"] for one in table]
    return {
        "recommendations": len(order),
        "error": sum(gaps) / len(order),
        "skill": 1 - brier / constant if constant > 0 else 0.0,
        "said": float(what.chance.mean()),
        "happened": float(rate),
        "bins": table,
    }


def calibration_by(what: Said) -> dict[str, dict]:
    """Calibration by basket size and by source."""
    parts = {}
    for low, high in SIZES:
        rows = (what.size >= low) & (what.size <= (high or what.size.max(initial=0)))
        if rows.any():
            parts[f"size {low}" + ("+" if high is None else f"-{high}" if high > low else "")] = (
                calibration(what[rows])
            )
    for source in ("model", "category", "popular"):
        rows = what.source == source
        if rows.any():
            parts[f"source {source}"] = calibration(what[rows])
    return parts


# -------------------------------------------------------------------------------------- peers


def matrix(baskets, sales: slice = slice(None)) -> sp.csr_matrix:
    """Sales by items, ones, float32."""
    part = baskets if sales == slice(None) else baskets.between(sales.start or 0, sales.stop)
    return sp.csr_matrix(
        (np.ones(len(part.items), np.float32), part.items, part.indptr),
        shape=(len(part), len(part.item_ids)),
    )


def best_of(similarity: sp.csr_matrix, trial: Trial, n: int = DEPTH) -> np.ndarray:
    """The products with the largest sum of similarities, none of the basket, int32 (rows, n)."""
    items = similarity.shape[0]
    shown = sp.csr_matrix(
        (np.ones(len(trial.items), np.float32), trial.items, trial.indptr),
        shape=(len(trial), items),
    )
    stacked = sp.vstack(
        [similarity.astype(np.float32), sp.identity(items, np.float32, "csr") * np.float32(-1e6)]
    ).tocsr()
    best = sp_matmul_topn(
        sp.hstack([shown, shown]).tocsr(), stacked, n, threshold=0.0, sort=True, n_threads=2
    )
    codes = np.full((len(trial), n), -1, np.int32)
    codes[np.arange(n) < np.diff(best.indptr)[:, None]] = best.indices[: best.indptr[-1]]
    return codes


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


def plain_cosine(baskets, trial: Trial) -> np.ndarray:
    """Cosine of Sarwar et al., 2001, without decay."""
    found = fit_similarity(
        baskets, item_exponent=0.5, size_exponent=0.0, shrink=0.0, half_life_months=1e9,
        min_support=1, top=100,
    )  # fmt: skip
    return best_of(
        sp.csr_matrix((found.values, found.indices, found.indptr), shape=found.shape), trial
    )


def implicit_peers(baskets, trial: Trial) -> dict[str, np.ndarray]:
    """implicit's Cosine, TFIDF and BM25 recommenders; none where it is not installed."""
    try:
        from implicit.nearest_neighbours import (  # noqa: PLC0415  a peer, not a dependency
            BM25Recommender,
            CosineRecommender,
            TFIDFRecommender,
        )
    except ImportError:
        return {}
    held = matrix(baskets)
    found = {}
    for peer in (CosineRecommender, TFIDFRecommender, BM25Recommender):
        fitted = peer(K=100, num_threads=2)
        fitted.fit(held, show_progress=False)
        found[f"implicit {peer.__name__.removesuffix('Recommender')}"] = best_of(
            sp.csr_matrix(fitted.similarity), trial
        )
    return found

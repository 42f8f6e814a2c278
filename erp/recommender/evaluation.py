"""Questions about sales after those that a model was fitted on, and how they were answered.

Three questions, each about sales of the newest part of the data:
hidden: one product of a basket is hidden; is it among the recommendations for the rest?
half: half of a basket is shown; which recommendations are in the other half?
next: which recommendations for a known customer's sale are in her next one?
The last two compare confidence_percentage with what happened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from erp import intervals
from erp.intervals import Estimate
from erp.recommender import history as habits
from erp.recommender import learning, sampling
from erp.recommender.history import HistoryRows

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

    @property
    def sizes(self) -> np.ndarray:
        """Products shown, int64 (rows)."""
        return np.diff(self.indptr)


def hidden_trial(baskets, first: int, most: int, seed: int = 0, last: int | None = None) -> Trial:
    """One random product hidden of each of at most `most` sales from place `first` on."""
    random = np.random.default_rng(seed)
    sales = np.arange(first, len(baskets) if last is None else last)
    sales = np.sort(random.permutation(sales[baskets.sizes[sales] >= 2])[:most])
    indptr, items = sampling.take(baskets, sales)
    hidden = np.zeros(len(items), bool)
    hidden[indptr[:-1] + random.integers(0, np.maximum(np.diff(indptr), 1))] = True
    shown, answers = sampling.split(indptr, items, hidden)
    return Trial(sales, *shown, answers)


def half_trial(baskets, first: int, most: int, seed: int = 0) -> Trial:
    """A random half of each basket hidden."""
    random = np.random.default_rng(seed)
    sales = np.arange(first, len(baskets))
    sales = np.sort(random.permutation(sales[baskets.sizes[sales] >= 2])[:most])
    indptr, items = sampling.take(baskets, sales)
    hidden = sampling.half_hidden(random.random(len(items)), indptr)
    shown, answers = sampling.split(indptr, items, hidden)
    return Trial(sales, *shown, answers)


def next_trial(baskets, first: int, most: int, seed: int = 0) -> Trial:
    """Whole baskets of known customers, and the next sale of each."""
    random = np.random.default_rng(seed)
    following = sampling.next_sales(baskets)
    sales = np.arange(first, len(baskets))
    sales = np.sort(random.permutation(sales[following[sales] >= 0])[:most])
    indptr, items = sampling.take(baskets, sales)
    return Trial(sales, indptr, items, sampling.take(baskets, following[sales]))


def ask(model, baskets, trial: Trial, n: int, known: bool) -> list[list[dict]]:
    """The model's recommendations; `known` with customers and their history up to each sale.

    The model may have been fitted on other data than `baskets`.
    """
    if not len(trial):
        return []
    names = np.array(baskets.item_ids, dtype=object)
    shown = [part.tolist() for part in np.split(names[trial.items], trial.indptr[1:-1])]
    if known:
        history = habits.rows_before(baskets, trial.sales, model.settings.personal_halflife_days)
        history = _in_codes_of(model, baskets, history)
    else:
        history = learning.no_history(len(trial))
    customers = [
        None if code < 0 or not known else baskets.customer_ids[code]
        for code in baskets.customers[trial.sales].tolist()
    ]
    stores = [
        None if code < 0 else baskets.store_ids[code]
        for code in baskets.stores[trial.sales].tolist()
    ]
    return model.recommend_many(shown, customers, n, stores, histories=history)


def _in_codes_of(model, baskets, history: HistoryRows) -> HistoryRows:
    """The frequencies of the products that the model knows, by its codes."""
    if model.item_ids is baskets.item_ids:
        return history
    index = {key: code for code, key in enumerate(model.item_ids)}
    translated = np.array([index.get(key, -1) for key in baskets.item_ids], np.int32)
    items = translated[history.items]
    rows = np.repeat(np.arange(len(history.baskets)), np.diff(history.indptr))
    order = np.lexsort((items, rows))
    order = order[items[order] >= 0]
    kept = np.bincount(rows[order], minlength=len(history.baskets))
    return HistoryRows(
        np.concatenate(([0], np.cumsum(kept))).astype(np.int64),
        items[order],
        history.frequencies[order],
        history.baskets,
    )


def codes_of(baskets, answers: list[list[dict]], n: int) -> np.ndarray:
    """Item codes of recommendations, int32 (rows, n), -1 where there is none."""
    index = {key: code for code, key in enumerate(baskets.item_ids)}
    result = np.full((len(answers), n), -1, np.int32)
    for row, answer in enumerate(answers):
        for place, one in enumerate(answer[:n]):
            result[row, place] = index.get(one["product_id"], -1)
    return result


def ranks_of(codes: np.ndarray, trial: Trial) -> np.ndarray:
    """The place from 1 of the hidden product in each row, 0 where it is not there."""
    match = codes == trial.answers[1][:, None]
    return np.where(match.any(axis=1), match.argmax(axis=1) + 1, 0)


def ranking_metrics(ranks: np.ndarray) -> dict[str, Estimate]:
    """Hit rates, mean reciprocal rank and nDCG of one hidden product each, at DEPTH 10."""
    found, place = ranks > 0, np.maximum(ranks, 1)
    return {
        "hit@5": intervals.share(int((found & (ranks <= 5)).sum()), len(ranks)),
        "hit@10": intervals.share(int(found.sum()), len(ranks)),
        "MRR@10": intervals.mean(np.where(found, 1 / place, 0)),
        "nDCG@10": intervals.mean(np.where(found, 1 / np.log2(place + 1), 0)),
    }


def variety_metrics(codes: np.ndarray, sales_per_item: np.ndarray, sales: int) -> dict[str, float]:
    """Coverage: share of sold products recommended at all. Novelty: mean bits of surprise.

    Novelty is -log2 of the share of sales that hold the product (Zhou et al., 2010).
    """
    shown = codes[codes >= 0]
    rate = np.maximum(sales_per_item[shown], 1) / max(sales, 1)
    return {
        "coverage": len(np.unique(shown)) / max(int((sales_per_item > 0).sum()), 1),
        "novelty": float(-np.log2(rate).mean()) if len(shown) else 0.0,
    }


class Purchases:
    """When each customer first bought each product, to tell repeats from what is new to her."""

    def __init__(self, baskets) -> None:
        self._customers, self._width = baskets.customers, max(len(baskets.item_ids), 1)
        sale_of = np.repeat(np.arange(len(baskets)), baskets.sizes)
        known = np.flatnonzero(baskets.customers[sale_of] >= 0)
        keys = self._keys(baskets.customers[sale_of[known]], baskets.items[known])
        self._pairs, place = np.unique(keys, return_index=True)  # lines are in time order
        self._first = sale_of[known[place]]

    def _keys(self, customers: np.ndarray, items: np.ndarray) -> np.ndarray:
        return customers.astype(np.int64) * self._width + items

    def known(self, sales: np.ndarray) -> np.ndarray:
        """Bool (rows): the sale has a customer."""
        return self._customers[sales] >= 0

    def before(self, sales: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Bool, shaped as `codes` (rows, n): the sale's customer had bought it before that sale."""
        if not len(self._pairs):
            return np.zeros(codes.shape, bool)
        keys = self._keys(self._customers[sales][:, None], codes)
        place = np.minimum(np.searchsorted(self._pairs, keys), len(self._pairs) - 1)
        bought = (self._pairs[place] == keys) & (self._first[place] < sales[:, None])
        return bought & (codes >= 0) & self.known(sales)[:, None]


def repeat_metrics(
    codes: np.ndarray, ranks: np.ndarray, trial: Trial, purchases: Purchases
) -> dict[str, Estimate | float]:
    """Of known customers: the share of recommendations that they had bought before, and hit@10
    apart where the hidden product was such a repeat and where it was new to them.
    """
    known = purchases.known(trial.sales)
    again = purchases.before(trial.sales, trial.answers[1][:, None])[:, 0]
    repeats = purchases.before(trial.sales, codes)[known]
    shown = int((codes[known] >= 0).sum())
    found: dict[str, Estimate | float] = {"repeats": float(repeats.sum()) / max(shown, 1)}
    for name, rows in (("repeat", known & again), ("new", known & ~again)):
        found[f"hit@10 {name}"] = intervals.share(int((ranks[rows] > 0).sum()), int(rows.sum()))
    return found

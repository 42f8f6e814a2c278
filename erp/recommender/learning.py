"""What a model learns from its newest sales: how to order candidates and how sure to be.

The newest part of the sales is kept away from the similarities. Half of its sales teach the order
of the candidates: one product of each basket is hidden, and the one that was hidden should come
first. The other half teach the probabilities: of a product that is recommended to a known customer,
that her next sale holds it; where the customer is unknown, that it is in the hidden half of a
basket of which the other half was shown. The final similarities are then fitted on all sales.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from erp.memory import give_back
from erp.recommender import history as habits
from erp.recommender import popularity, ranking
from erp.recommender.sampling import (
    half_hidden,
    keys_of,
    line_keys,
    next_sales,
    one_hidden,
    split,
    take,
    uniform,
)
from erp.recommender.similarity import fit_similarity

CHUNK = 500  # baskets at once
CHOICES = 3000  # baskets that teach an order, at most
TRIED = 30_000  # baskets that are looked at for it, at most
OUTCOMES = 5000  # sales that teach a probability, at most
PURPOSES = ("which", "order", "hidden", "half", "next")  # of a draw
SHOWN = 8  # recommendations per basket that teach the probabilities
POPULAR_CHUNKS = 4  # of sales that teach the probabilities of bestsellers
SQUARES = [  # features of a recommendation whose products count for its probability
    ranking.FEATURES.index(name)
    for name in ("similarity", "basket_size", "popularity", "frequency", "habit")
] + [len(ranking.FEATURES), len(ranking.FEATURES) + 1]
POPULAR_SQUARES = [0, 2]
FEWEST_SALES = 20  # before the newest part, below which nothing is learned
FEWEST_CHOICES = 30  # below this the order stays that of the scores
FEWEST_OUTCOMES = 40  # hits below which a probability is not learned from its own kind


@dataclass(frozen=True)
class Heads:
    """What was learned; None where there was too little to learn from.

    order, order_known : of candidates, for unknown and for known customers
    half, next_sale : probabilities of model recommendations
    half_popular, next_popular : the same for recommendations by category and popularity
    """

    order: ranking.Weights | None = None
    order_known: ranking.Weights | None = None
    half: ranking.Weights | None = None
    next_sale: ranking.Weights | None = None
    half_popular: ranking.Weights | None = None
    next_popular: ranking.Weights | None = None


def fit_parts(baskets, settings, categories):
    """Similarity, popularity and item facts of some baskets."""
    similarity = fit_similarity(
        baskets,
        item_exponent=settings.item_exponent,
        size_exponent=settings.size_exponent,
        shrink=settings.shrink,
        half_life_months=settings.recency_halflife_months,
        min_support=settings.min_support,
        top=settings.top_sim_per_item,
        threads=settings.threads,
    )
    sold = popularity.fit_popularity(baskets, settings.popularity_halflife_days)
    facts = ranking.item_facts(sold.shares, similarity.sales, categories)
    return similarity, sold, facts


def slice_start(sales: int, fraction: float = 0.1, fewest: int = 1500) -> int:
    """Where the slice begins: the newest `fraction`, or more of few sales, at most the half."""
    return sales - min(sales // 2, max(int(sales * fraction), fewest))


def learn(
    baskets, settings, categories: list[str | None], start: int | None = None, parts=None
) -> Heads:
    """Heads from the newest part of the baskets; all None where there are too few.

    Parameters
    ----------
    settings : ModelSettings
    categories : per item code
    start, parts : where the newest part begins and what `fit_parts` made of the sales before it,
        if that is known: then the baskets may lack sales that are not looked at
    """
    if start is None:
        start = slice_start(len(baskets))
    if start < FEWEST_SALES:
        return Heads()
    lab = _Laboratory(baskets, start, settings, categories, parts)
    newest = np.arange(start, len(baskets))
    teaches_order = lab.draws(newest, "which") < 0.5
    orders, probabilities = newest[teaches_order], newest[~teaches_order]
    order = lab.learn_order(orders, known=False)
    order_known = lab.learn_order(orders, known=True)
    half, half_popular = lab.learn_half(probabilities, order)
    next_sale, next_popular = lab.learn_next(probabilities, order, order_known)
    return Heads(
        order, order_known, half, next_sale or half, half_popular, next_popular or half_popular
    )


def draws(keys: np.ndarray, purpose: str, seed: int) -> np.ndarray:
    """A number in [0, 1) for each key of a sale, another one for each purpose and seed."""
    return uniform(keys, len(PURPOSES) * seed + PURPOSES.index(purpose))


def no_history(rows: int) -> habits.HistoryRows:
    return habits.HistoryRows(
        np.zeros(rows + 1, np.int64),
        np.zeros(0, np.int32),
        np.zeros((0, len(habits.SCALES)), np.float32),
        np.zeros(rows, np.float32),
    )


def popular_features(shares, by_category, sizes, found, baskets) -> np.ndarray:
    """Features of recommendations by category or popularity, float32 (..., 5).

    shares : decayed share of lines; by_category : bool; sizes : products in the basket;
    found : candidates that the model had; baskets : decayed baskets of the customer.
    """
    return np.stack(
        [
            np.log(np.asarray(shares, np.float32) + 1e-6),
            np.asarray(by_category, np.float32),
            np.log1p(np.asarray(sizes, np.float32)),
            np.log1p(np.asarray(found, np.float32)),
            np.log1p(np.asarray(baskets, np.float32)),
        ],
        axis=-1,
    )


class _Laboratory:
    """The parts fitted before the slice, and baskets of the slice scored with them."""

    def __init__(self, baskets, start, settings, categories, parts=None):
        self.baskets, self.settings, self.start = baskets, settings, start
        self.keys = keys_of(baskets.sale_ids[start:])
        parts = parts or fit_parts(baskets.between(0, start), settings, categories)
        self.similarity, self.sold, self.facts = parts
        give_back()
        self.active = self.similarity.sales > 0
        self.matrix = ranking.reach_matrix(self.similarity, self.active)

    def draws(self, sales: np.ndarray, purpose: str) -> np.ndarray:
        """A number in [0, 1) for each of these sales of the slice, by its id."""
        return draws(self.keys[sales - self.start], purpose, self.settings.seed)

    def drawn(self, sales: np.ndarray, purpose: str) -> np.ndarray:
        """The same sales in an order by their ids."""
        return sales[np.argsort(self.draws(sales, purpose), kind="stable")]

    def histories(self, sales: np.ndarray) -> habits.HistoryRows:
        return habits.rows_before(self.baskets, sales, self.settings.personal_halflife_days)

    def score(self, indptr, items, history):
        candidates, scores = ranking.find_candidates(
            indptr,
            items,
            history,
            self.matrix,
            self.settings.candidates,
            self.settings.threads,
        )
        values = ranking.features(indptr, items, history, candidates, scores, self.facts)
        return candidates, scores, values

    def learn_order(self, sales, known: bool):
        """Weights of the conditional logit, from hiding one product of each basket."""
        sales = sales[self.baskets.sizes[sales] >= 2]
        if known:
            sales = sales[self.baskets.customers[sales] >= 0]
        sales = self.drawn(sales, "order")[:TRIED]
        kept, right, present, total = [], [], [], 0
        for first in range(0, len(sales), CHUNK):
            chunk = np.sort(sales[first : first + CHUNK])
            indptr, items = take(self.baskets, chunk)
            hidden = one_hidden(self.draws(chunk, "hidden"), indptr)
            (indptr, items), (_, answers) = split(indptr, items, hidden)
            history = self.histories(chunk) if known else no_history(len(chunk))
            if known:
                some = np.flatnonzero(np.diff(history.indptr) > 0)
                history = history[some]
                sizes = np.diff(indptr)[some]
                items = items[np.repeat(np.isin(np.arange(len(chunk)), some), np.diff(indptr))]
                indptr, answers = np.concatenate(([0], np.cumsum(sizes))), answers[some]
            candidates, _, values = self.score(indptr, items, history)
            match = candidates == answers[:, None]
            rows = np.flatnonzero(match.any(axis=1))
            width = len(ranking.FEATURES) if known else ranking.BASKET_FEATURES
            kept.append(values[rows][..., :width])
            right.append(match[rows].argmax(axis=1))
            present.append(candidates[rows] >= 0)
            total += len(rows)
            if total >= CHOICES:
                break
        if total < FEWEST_CHOICES:
            return None
        return ranking.fit_choice(
            np.concatenate(kept),
            np.concatenate(right),
            np.concatenate(present),
            self.settings.order_ridge,
        )

    def learn_half(self, sales, order):
        """Probabilities for unknown customers: half of each basket shown."""
        sales = self.drawn(sales[self.baskets.sizes[sales] >= 2], "half")
        sales = np.sort(sales[:OUTCOMES])
        shown = _Outcomes()
        for first in range(0, len(sales), CHUNK):
            chunk = sales[first : first + CHUNK]
            indptr, items = take(self.baskets, chunk)
            lines = line_keys(self.keys[chunk - self.start], indptr)
            half = half_hidden(uniform(lines, self.settings.seed), indptr)
            (indptr, items), answers = split(indptr, items, half)
            self._outcomes(shown, indptr, items, no_history(len(chunk)), order, order, answers)
        return shown.fit(self.settings.confidence_ridge)

    def learn_next(self, sales, order, order_known):
        """Probabilities for known customers: what the next sale of each held."""
        following = next_sales(self.baskets)
        sales = np.sort(self.drawn(sales[following[sales] >= 0], "next")[:OUTCOMES])
        shown = _Outcomes()
        for first in range(0, len(sales), CHUNK):
            chunk = sales[first : first + CHUNK]
            answers = take(self.baskets, following[chunk])
            indptr, items = take(self.baskets, chunk)
            history = self.histories(chunk)
            self._outcomes(shown, indptr, items, history, order, order_known, answers)
        return shown.fit(self.settings.confidence_ridge)

    def _outcomes(self, shown, indptr, items, history, order, order_known, answers):
        """Add what would have been recommended, and whether it came true."""
        candidates, scores, values = self.score(indptr, items, history)
        known = np.diff(history.indptr) > 0
        probabilities = order_probabilities(values, scores, candidates, known, order, order_known)
        places = ranking.best_places(probabilities, SHOWN)
        there = np.take_along_axis(candidates, places, 1)
        ranks = np.broadcast_to(np.arange(1, places.shape[1] + 1), places.shape)
        seen = ranking.confidence_features(
            np.take_along_axis(values, places[..., None], 1),
            np.take_along_axis(probabilities, places, 1),
            ranks,
        )
        true = ranking.lookup(*answers, np.maximum(there, 0)) >= 0
        real = there >= 0
        shown.model.append(seen[real])
        shown.true.append(true[real])
        if len(shown.popular) < POPULAR_CHUNKS:
            self._popular_outcomes(shown, indptr, items, history, candidates, answers)

    def _popular_outcomes(self, shown, indptr, items, history, candidates, answers):
        """The bestsellers of a category of the basket, and of the whole, for each basket."""
        rows = len(indptr) - 1
        sizes = np.diff(indptr)
        best = np.argsort(-self.sold.shares, kind="stable")[:50]
        by_category: dict[int, np.ndarray] = {}
        picks = np.full((rows, 6), -1, np.int64)
        for row in range(rows):
            inside = items[indptr[row] : indptr[row + 1]]
            code = int(self.facts.category[inside[0]]) if len(inside) else 0
            if code and code not in by_category:
                members = np.flatnonzero(self.facts.category == code)
                by_category[code] = members[np.argsort(-self.sold.shares[members])][:20]
            shelves = ((by_category[code] if code else best[:0]), best)
            for half, shelf in enumerate(shelves):
                free = shelf[~np.isin(shelf, inside)][:3]
                picks[row, 3 * half : 3 * half + len(free)] = free
        found = (candidates >= 0).sum(axis=1)
        shape = picks.shape
        seen = popular_features(
            self.sold.shares[np.maximum(picks, 0)],
            np.broadcast_to(np.arange(6) < 3, shape),
            np.broadcast_to(sizes[:, None], shape),
            np.broadcast_to(found[:, None], shape),
            np.broadcast_to(history.baskets[:, None], shape),
        )
        true = ranking.lookup(*answers, np.maximum(picks, 0)) >= 0
        shown.popular.append(seen[picks >= 0])
        shown.popular_true.append(true[picks >= 0])


class _Outcomes:
    """Features of shown recommendations and whether they came true."""

    def __init__(self):
        self.model, self.true, self.popular, self.popular_true = [], [], [], []

    def fit(self, ridge: float):
        results = []
        for features, outcomes, squares in (
            (self.model, self.true, SQUARES),
            (self.popular, self.popular_true, POPULAR_SQUARES),
        ):
            happened = np.concatenate(outcomes) if outcomes else np.zeros(0, bool)
            enough = happened.sum() >= FEWEST_OUTCOMES
            results.append(
                ranking.fit_probability(np.concatenate(features), happened, ridge, squares)
                if enough
                else None
            )
        return tuple(results)


def order_probabilities(values, scores, candidates, known, order, order_known) -> np.ndarray:
    """The chance of each candidate to be the one, float32 (baskets, candidates), 0 where none.

    known : bool (baskets), the customer has a history. Without weights the scores decide.
    """
    logits = np.log(np.maximum(scores, 1e-9))
    for weights, rows in ((order, ~known), (order_known or order, known)):
        if weights is not None and rows.any():
            inside = values if rows.all() else values[rows]
            fresh = weights.logit(inside[..., : len(weights.mean)])
            if rows.all():
                logits = fresh
            else:
                logits[rows] = fresh
    return ranking.choice_probabilities(logits, candidates >= 0)

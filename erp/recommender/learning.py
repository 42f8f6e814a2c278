"""What a model learns from its newest sales: how to order candidates and how sure to be.

The newest part of the sales is kept away from the similarities. Half of its sales teach the order
of the candidates: one product of each basket is hidden, and the one that was hidden should come
first. The other half teach the probabilities: of a product that is recommended to a known customer,
that her next sale holds it; where the customer is unknown, that it is in the hidden half of a
basket of which the other half was shown. Where they are few, each half teaches both, and what is
recommended to one is ordered by what the other taught (cross-fitting); the order that is kept is
then learned from all of them. The final similarities are fitted on all sales.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from threadpoolctl import threadpool_limits

from erp.memory import give_back
from erp.recommender import history as habits
from erp.recommender import logistic, mutual, popularity, regression
from erp.recommender.candidates import BASKET_FEATURES, FEATURES, Candidates, item_facts
from erp.recommender.history import no_history
from erp.recommender.kernel import SEEN, Kernel
from erp.recommender.sampling import (
    Csr,
    half_hidden,
    holds,
    keys_of,
    line_keys,
    next_sales,
    one_hidden,
    split,
    take,
    uniform,
)
from erp.recommender.similarity import Similarity, basket_weights, fit_similarity

CHUNK = 4000  # baskets at once
CHOICES = 3000  # baskets that teach an order, at most
TURNS = 4  # in which each basket hides another product or half, where baskets are few
TRIED = 30_000  # baskets that are looked at for it, at most
OUTCOMES = 5000  # sales of a half that teach a probability, at most
FEW = 2 * OUTCOMES  # newest sales up to which each half teaches both
PURPOSES = ("which", "order", "hidden", "half", "next")  # of a draw
SHOWN = 8  # recommendations per basket that teach the probabilities
POPULAR_SALES = 2000  # that teach the probabilities of bestsellers, and all with few candidates
SQUARES = [  # features of a recommendation whose products count for its probability
    FEATURES.index(name)
    for name in ("similarity", "basket_size", "popularity", "frequency", "habit")
] + [len(FEATURES), len(FEATURES) + 1]
POPULAR_SQUARES = [2, 5]  # not of the share, which is far from what is learned where little sells
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

    order: logistic.Weights | None = None
    order_known: logistic.Weights | None = None
    half: logistic.Weights | None = None
    next_sale: logistic.Weights | None = None
    half_popular: logistic.Weights | None = None
    next_popular: logistic.Weights | None = None


def similarities(baskets, settings) -> Similarity:
    """The similarities of some baskets under the ModelSettings, nothing learned on top of them."""
    return fit_similarity(
        baskets,
        item_exponent=settings.item_exponent,
        size_exponent=settings.size_exponent,
        shrink=settings.shrink,
        half_life_months=settings.recency_halflife_months,
        min_support=settings.min_support,
        top=settings.top_sim_per_item,
        threads=settings.threads,
    )


def fit_parts(baskets, settings, categories, store_top: int = 100):
    """Similarity, popularity and item facts of some baskets."""
    similarity = similarities(baskets, settings)
    similarity = regression.fitted(similarity, item_weights(baskets, settings), settings)
    common = mutual.commonest(similarity.sales)
    similarity = mutual.fitted(
        similarity, common, mutual.counted(baskets, common), settings.min_support
    )
    sold = popularity.fit_popularity(baskets, settings.popularity_halflife_days, store_top)
    facts = item_facts(sold.shares, similarity.sales, categories)
    return similarity, sold, facts


def item_weights(baskets, settings) -> np.ndarray:
    """Float64 weighted sales of each item, as the similarities count them."""
    sizes = baskets.sizes
    exponent, half_life = settings.size_exponent, settings.recency_halflife_months
    weights = np.repeat(basket_weights(sizes, baskets.times, exponent, half_life), sizes)
    return np.bincount(baskets.items, weights, len(baskets.item_ids))


def slice_start(sales: int, fraction: float = 0.1, fewest: int = 1500) -> int:
    """Where the slice begins: the newest `fraction`, or more of few sales, at most the half."""
    return sales - min(sales // 2, max(int(sales * fraction), fewest))


def learn(
    baskets,
    settings,
    categories: list[str | None],
    start: int | None = None,
    parts=None,
    newest: int | None = None,
) -> Heads:
    """Heads from the newest part of the baskets; all None where there are too few.

    Parameters
    ----------
    settings : ModelSettings
    categories : per item code
    start, parts, newest : where the newest part begins, what `fit_parts` made of the sales before
        it, and how many sales that part has, if that is known: then the baskets may lack sales
        that are not looked at
    """
    if start is None:
        start = slice_start(len(baskets))
        if start < FEWEST_SALES:
            return Heads()
    lab = _Laboratory(baskets, start, settings, categories, parts)
    sales = np.arange(start, len(baskets))
    few = (newest or len(sales)) <= FEW
    of_one = lab.draws(sales, "which") < 0.5
    one, other = sales[of_one], sales[~of_one]
    teach = (sales, one, other) if few else (one,)
    # one BLAS thread from here on: a limit of each fit's own would end with the first that is done
    with threadpool_limits(1), ThreadPoolExecutor(settings.threads) as pool:
        orders = pool.map(lambda job: lab.learn_order(*job), product(teach, (False, True)))
        taught = [Heads(order, next(orders)) for order in orders]
        asked = [(other, taught[1]), (one, taught[2])] if few else [(other, taught[0])]
        half = pool.submit(lab.learn_half, asked)
        next_sale, next_popular = lab.learn_next(asked)
        half, half_popular = half.result()
    return replace(
        taught[0],
        half=half,
        next_sale=next_sale or half,
        half_popular=half_popular,
        next_popular=next_popular or half_popular,
    )


def draws(keys: np.ndarray, purpose: str, seed: int) -> np.ndarray:
    """A number in [0, 1) for each key of a sale, another one for each purpose and seed."""
    return uniform(keys, len(PURPOSES) * seed + PURPOSES.index(purpose))


def popular_features(shares, by_category, sizes, found, baskets) -> np.ndarray:
    """Features of recommendations by category or popularity, float32 (..., 6).

    The last one tells baskets that lead to few candidates, as all do that are answered so: what is
    bought with rare products is seldom a bestseller.

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
            np.asarray(np.asarray(found) < SHOWN, np.float32),
        ],
        axis=-1,
    )


Asked = list[tuple[np.ndarray, Heads]]  # sales, and the order of what is recommended to them


class _Laboratory:
    """The parts fitted before the slice, and baskets of the slice scored with them."""

    def __init__(self, baskets, start, settings, categories, parts=None):
        self.baskets, self.settings, self.start = baskets, settings, start
        self.keys = keys_of(baskets.sale_ids[start:])
        parts = parts or fit_parts(baskets.between(0, start), settings, categories, store_top=0)
        self.similarity, self.sold, self.facts = parts
        give_back()
        self.reach = Candidates(self.similarity, self.facts)
        items = len(baskets.item_ids)
        names, no_category = np.arange(items, dtype=np.int32), np.zeros(items, np.int32)
        self.view = (self.similarity.sales > 0, names, no_category)

    def draws(self, sales: np.ndarray, purpose: str) -> np.ndarray:
        """A number in [0, 1) for each of these sales of the slice, by its id."""
        return draws(self.keys[sales - self.start], purpose, self.settings.seed)

    def drawn(self, sales: np.ndarray, purpose: str) -> np.ndarray:
        """The same sales in an order by their ids."""
        return sales[np.argsort(self.draws(sales, purpose), kind="stable")]

    def histories(self, sales: np.ndarray) -> habits.HistoryRows:
        return habits.rows_before(self.baskets, sales, self.settings.personal_halflife_days)

    def learn_order(self, sales, known: bool):
        """Weights of the conditional logit, from hiding one product of each basket."""
        sales = sales[self.baskets.sizes[sales] >= 2]
        if known:
            sales = sales[self.baskets.customers[sales] >= 0]
        sales = self.drawn(sales, "order")[:TRIED]
        width = len(FEATURES) if known else BASKET_FEATURES
        kept, right, present, total = [], [], [], 0
        chunks = range(0, len(sales), CHUNK)
        for turn, first in product(range(TURNS), chunks):
            chunk = np.sort(sales[first : first + CHUNK])
            history = self.histories(chunk) if known else no_history(len(chunk))
            if known:
                some = np.flatnonzero(np.diff(history.indptr) > 0)
                chunk, history = chunk[some], history[some]
            indptr, items = take(self.baskets, chunk)
            hidden = one_hidden((self.draws(chunk, "hidden") + turn / TURNS) % 1, indptr)
            shown, (_, answers) = split(indptr, items, hidden)
            many = self.reach.many(self.settings.candidates)
            found = self.reach.find(shown, history, self.view[0], many)
            match = found.codes == answers[:, None]
            rows = np.flatnonzero(match.any(axis=1))
            kept.append(found.values[rows][..., :width])
            right.append(match[rows].argmax(axis=1))
            present.append(found.codes[rows] >= 0)
            total += len(rows)
            if total >= CHOICES:
                break
        if total < FEWEST_CHOICES * TURNS:  # the same baskets again are no more to learn from
            return None
        return logistic.fit_choice(
            np.concatenate(kept),
            np.concatenate(right),
            np.concatenate(present),
            self.settings.order_ridge,
            guess=FEATURES.index("score"),
        )

    def learn_half(self, asked: Asked):
        """Probabilities for unknown customers: half of each basket shown."""
        several = self.baskets.sizes >= 2
        fewest = min(int(several[sales].sum()) for sales, _ in asked)
        turns = min(TURNS, max(OUTCOMES // max(fewest, 1), 1))
        shown = _Outcomes(self)
        for (sales, heads), turn in product(asked, range(turns)):
            kernel = Kernel(self.reach, heads)
            for chunk in self.chunks(sales[several[sales]], "half"):
                indptr, items = take(self.baskets, chunk)
                lines = line_keys(self.keys[chunk - self.start], indptr)
                half = half_hidden(uniform(lines, TURNS * self.settings.seed + turn), indptr)
                basket, answers = split(indptr, items, half)
                shown.add(kernel, basket, no_history(len(chunk)), answers)
        return shown.fit(self.settings.confidence_ridge, turns)

    def learn_next(self, asked: Asked):
        """Probabilities for known customers: what the next sale of each held."""
        following = next_sales(self.baskets)
        shown = _Outcomes(self)
        for sales, heads in asked:
            kernel = Kernel(self.reach, heads)
            for chunk in self.chunks(sales[following[sales] >= 0], "next"):
                answers = take(self.baskets, following[chunk])
                basket, history = take(self.baskets, chunk), self.histories(chunk)
                shown.add(kernel, basket, history, answers)
        return shown.fit(self.settings.confidence_ridge)

    def chunks(self, sales: np.ndarray, purpose: str) -> Iterator[np.ndarray]:
        """At most OUTCOMES of the sales, drawn by their ids, CHUNK at once and in their order."""
        drawn = self.drawn(sales, purpose)[:OUTCOMES]
        for first in range(0, len(drawn), CHUNK):
            yield np.sort(drawn[first : first + CHUNK])


class _Outcomes:
    """What would have been recommended, and whether it came true."""

    def __init__(self, lab: _Laboratory):
        self.lab = lab
        self.best = np.argsort(-lab.sold.shares, kind="stable")[:50].tolist()
        self.shelves: dict[int, list[int]] = {0: []}
        self.rows = 0
        self.model: list[np.ndarray] = []
        self.true: list[np.ndarray] = []
        self.popular: list[np.ndarray] = []
        self.popular_true: list[np.ndarray] = []

    def add(self, kernel: Kernel, basket: Csr, history, answers: Csr) -> None:
        """Show the baskets' recommendations; `answers` holds what would be right, as csr."""
        rows = len(basket[0]) - 1
        seen = np.zeros((rows, SHOWN, SEEN), np.float32)
        answer = kernel.answer(
            basket, history, np.zeros(rows, bool), self.lab.view, self.lab.settings, SHOWN, seen
        )
        real = answer.picked >= 0
        self.model.append(seen[real])
        self.true.append(holds(*answers, np.maximum(answer.picked, 0))[real])
        some = answer.found < SHOWN
        some[: max(POPULAR_SALES - self.rows, 0)] = True
        self._add_popular(np.flatnonzero(some), basket, history, answer.found, answers)
        self.rows += rows

    def _add_popular(self, some, basket: Csr, history, found, answers: Csr) -> None:
        """The bestsellers of a category of the basket, and of the whole, for some baskets."""
        (indptr, items), facts, shares = basket, self.lab.facts, self.lab.sold.shares
        sizes = np.diff(indptr)
        picks = np.full((len(sizes), 6), -1, np.int64)
        for row in some.tolist():
            size = int(sizes[row])
            inside = items[indptr[row] : indptr[row] + size].tolist()
            category = int(facts.category[inside[0]]) if inside else 0
            for half, shelf in enumerate((self._shelf(category), self.best)):
                free = [item for item in shelf if item not in inside][:3]
                picks[row, 3 * half : 3 * half + len(free)] = free
        shape = picks.shape
        seen = popular_features(
            shares[np.maximum(picks, 0)],
            np.broadcast_to(np.arange(6) < 3, shape),
            np.broadcast_to(sizes[:, None], shape),
            np.broadcast_to(found[:, None], shape),
            np.broadcast_to(history.baskets[:, None], shape),
        )
        self.popular.append(seen[picks >= 0])
        self.popular_true.append(holds(*answers, np.maximum(picks, 0))[picks >= 0])

    def _shelf(self, category: int) -> list[int]:
        if category not in self.shelves:
            members = np.flatnonzero(self.lab.facts.category == category)
            best = np.argsort(-self.lab.sold.shares[members], kind="stable")[:20]
            self.shelves[category] = members[best].tolist()
        return self.shelves[category]

    def fit(self, ridge: float, turns: int = 1):
        """Weights for the model's recommendations and for bestsellers, None where too few.

        turns : how often each basket was shown; again it is no more to learn from
        """
        results = []
        for features, outcomes, squares in (
            (self.model, self.true, SQUARES),
            (self.popular, self.popular_true, POPULAR_SQUARES),
        ):
            happened = np.concatenate(outcomes) if outcomes else np.zeros(0, bool)
            enough = happened.sum() >= FEWEST_OUTCOMES * turns
            results.append(
                logistic.fit_probability(np.concatenate(features), happened, ridge, squares)
                if enough
                else None
            )
        return tuple(results)

"""Candidates and their features beside the plain definition, on random data."""

import numpy as np
import pytest

from erp.recommender.candidates import ENOUGH, FEATURES, Candidates, ItemFacts
from erp.recommender.history import HistoryRows, no_history
from erp.recommender.similarity import NOT_TOLD, Similarity

ITEMS, COMMON, ROWS, MANY = 40, 30, 25, 12


@pytest.fixture(scope="module")
def made():
    """Sparse random similarities and strengths, facts, baskets of up to six products, histories."""
    random = np.random.default_rng(3)
    dense = np.where(random.random((ITEMS, ITEMS)) < 0.2, random.random((ITEMS, ITEMS)), 0)
    dense = dense.astype(np.float32)
    np.fill_diagonal(dense, 0)
    strong = dense * random.random((ITEMS, ITEMS)).astype(np.float32)
    rows, columns = np.nonzero(dense)
    similarity = Similarity(
        np.searchsorted(rows, np.arange(ITEMS + 1)),
        columns.astype(np.int32),
        dense[rows, columns],
        strong[rows, columns],
        np.full(len(rows), 7, np.int32),
        np.ones(ITEMS, np.int32),
        random.permutation(ITEMS)[:COMMON].astype(np.int32),
        (random.random((COMMON, COMMON)) - 0.4).astype(np.float32),
    )
    categories = random.integers(0, 4, ITEMS).astype(np.int32)  # 0: none
    facts = ItemFacts(
        random.random(ITEMS).astype(np.float32), random.random(ITEMS).astype(np.float32),
        categories, 4,
    )  # fmt: skip
    baskets = [
        np.sort(random.choice(ITEMS, size, replace=False)) for size in random.integers(0, 7, ROWS)
    ]
    owned = [np.sort(random.choice(ITEMS, 5, replace=False)) for _ in range(ROWS)]
    history = HistoryRows(
        np.arange(0, 5 * ROWS + 1, 5),
        np.concatenate(owned).astype(np.int32),
        random.random((5 * ROWS, 3)).astype(np.float32),
        random.random(ROWS).astype(np.float32),
    )
    active = random.random(ITEMS) < 0.9
    mutual = np.zeros((ITEMS, ITEMS), np.float32)
    mutual[np.ix_(similarity.common, similarity.common)] = similarity.mutual
    weights = dense, strong, mutual
    return Candidates(similarity, facts), weights, facts, baskets, history, active


def packed(baskets):
    indptr = np.concatenate(([0], np.cumsum([len(basket) for basket in baskets])))
    return indptr, np.concatenate(baskets).astype(np.int32)


def test_candidates_are_the_best_by_strength_and_habit(made):
    """B / sqrt(n) + P of active products outside of the basket, best first; then bestsellers."""
    reach, (_, strong, _), facts, baskets, history, active = made
    found = reach.find(packed(baskets), history, active, MANY)
    for row, basket in enumerate(baskets):
        own = np.zeros(ITEMS)
        pairs = slice(history.indptr[row], history.indptr[row + 1])
        own[history.items[pairs]] = history.frequencies[pairs, 1]
        scores = strong[basket].sum(axis=0) / np.sqrt(max(len(basket), 1)) + own
        scores[basket], scores[~active] = 0, 0
        best = np.argsort(-scores, kind="stable")[: min(MANY, np.count_nonzero(scores))]
        assert best.tolist() == found.codes[row][: len(best)].tolist()
        assert pytest.approx(scores[best], rel=1e-5) == found.scores[row][: len(best)]
        assert (own[best] > 0).tolist() == found.own[row][: len(best)].tolist()
        joined = np.argsort(-facts.popularity, kind="stable")
        joined = joined[(scores[joined] == 0) & active[joined] & ~np.isin(joined, basket)]
        joined = joined[: MANY - len(best) if len(best) >= ENOUGH else 0].tolist()
        nobody = [-1] * (MANY - len(best) - len(joined))
        assert joined + nobody == found.codes[row][len(best) :].tolist()
        assert not found.scores[row][len(best) :].any()


def test_features_say_what_their_names_say(made):
    """Recomputed one by one."""
    reach, (dense, _, mutual), facts, baskets, history, active = made
    found = reach.find(packed(baskets), history, active, MANY)
    for row, basket in enumerate(baskets):
        pairs = slice(history.indptr[row], history.indptr[row + 1])
        owned, frequencies = history.items[pairs], history.frequencies[pairs]
        for place, item in enumerate(found.codes[row].tolist()):
            if item < 0:
                break
            seen = dict(zip(FEATURES, found.values[row, place].tolist(), strict=True))
            category = facts.category[item]
            held = frequencies[owned == item].sum(axis=0) if item in owned else np.zeros(3)
            alike = category > 0
            size = max(len(basket), 1)
            expected = {
                "similarity": np.log(dense[basket, item].sum() / size + 1e-3),
                "place": np.log(place + 1),
                "basket_size": np.log(size),
                "popularity": facts.popularity[item],
                "trend": facts.trend[item],
                "same_category": np.log1p(alike * (facts.category[basket] == category).sum()),
                "score": np.log(found.scores[row, place] + 1e-3),
                "mutual": np.log(max(mutual[basket, item].sum(), 0) + 1e-3),
                "frequency": np.log(held[1] + 3e-3),
                "frequency_short": np.log(held[0] + 3e-3),
                "frequency_long": np.log(held[2] + 3e-3),
                "habit": np.log1p(history.baskets[row]),
                "category_frequency": np.log(
                    alike * frequencies[facts.category[owned] == category, 1].sum() + 1e-2
                ),
            }
            assert pytest.approx(expected, rel=1e-4, abs=1e-5) == seen


def test_one_basket_leaves_nothing_behind_for_the_next(made):
    """Each basket alone gets what it gets among others."""
    reach, _, _, baskets, history, active = made
    together = reach.find(packed(baskets), history, active, MANY)
    for row, basket in enumerate(baskets):
        alone = reach.find(packed([basket]), history[np.array([row])], active, MANY)
        assert together.codes[row].tolist() == alone.codes[0].tolist()
        assert (together.values[row] == alone.values[0]).all()


def test_a_stranger_has_no_habits(made):
    """Without a history the basket alone decides, and an empty one has no candidates."""
    reach, (_, strong, _), _, baskets, _, active = made
    found = reach.find(packed(baskets), no_history(ROWS), active, MANY)
    assert not found.own.any()
    for row, basket in enumerate(baskets):
        reachable = set(np.flatnonzero(strong[basket].sum(axis=0) * active)) - set(basket)
        assert min(MANY, len(reachable)) == np.count_nonzero(found.scores[row] > 0)
        assert len(basket) or (found.codes[row] < 0).all()


def test_a_basket_leaves_nothing_behind_for_the_next():
    """Neither of its pairs nor of those that have a strength and no similarity."""
    similarity = Similarity(
        np.array([0, 1, 1, 2]),
        np.array([1, 1], np.int32),
        np.array([0, 0.5], np.float32),
        np.array([0.9, 0.25], np.float32),
        np.full(2, 7, np.int32),
        np.ones(3, np.int32),
        *NOT_TOLD,
    )
    facts = ItemFacts(np.zeros(3, np.float32), np.zeros(3, np.float32), np.zeros(3, np.int32), 1)
    found = Candidates(similarity, facts).find(
        packed([[0], [2]]), no_history(2), np.ones(3, bool), MANY
    )
    assert [[-1], [1]] == found.codes[:, :1].tolist()
    assert 0.25 == found.scores[1, 0]


@pytest.mark.parametrize(
    "strengths",
    [
        lambda random: 10.0 ** random.uniform(-12, 3, 5_000),  # of many magnitudes
        lambda random: np.where(np.arange(5_000) == 77, 1e30, random.random(5_000)),  # one far off
        lambda random: random.integers(1, 4, 5_000),  # equal ones: the lower code is first
    ],
)
def test_the_best_of_thousands(strengths):
    """However the scores lie, the best are found, in their order."""
    strong = strengths(np.random.default_rng(5)).astype(np.float32)
    many = len(strong)
    similarity = Similarity(
        np.concatenate(([0], np.full(many + 1, many))),  # the first product leads to all others
        np.arange(1, many + 1, dtype=np.int32),
        np.ones(many, np.float32),
        strong,
        np.full(many, 7, np.int32),
        np.ones(many + 1, np.int32),
        np.zeros(0, np.int32),
        np.zeros((0, 0), np.float32),
    )
    facts = ItemFacts(*np.zeros((2, many + 1), np.float32), np.zeros(many + 1, np.int32), 1)
    everything = np.ones(many + 1, bool)
    found = Candidates(similarity, facts).find(
        packed([np.zeros(1, np.int32)]), no_history(1), everything, 60
    )
    best = np.argsort(-strong, kind="stable")[:60]
    assert (best + 1).tolist() == found.codes[0].tolist()
    assert strong[best].tolist() == found.scores[0].tolist()

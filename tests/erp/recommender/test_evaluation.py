"""Metrics, calibration and peers on data whose answer is known."""

import math

import numpy as np
import pytest

from erp.recommender import calibration, evaluation, fit_baskets, peers
from erp.recommender.evaluation import Trial
from erp.recommender.sampling import take
from tests.basket_samples import baskets_of


def trial_of(shown, hidden, sales=None):
    sizes = [len(basket) for basket in shown]
    return Trial(
        np.arange(len(shown)) if sales is None else np.array(sales),
        np.concatenate(([0], np.cumsum(sizes))),
        np.array([code for basket in shown for code in basket], np.int32),
        (np.arange(len(shown) + 1), np.array(hidden, np.int32)),
    )


def test_ranks_and_their_metrics_by_hand():
    """Hidden products at place 1, at place 7 and nowhere."""
    codes = np.tile(np.arange(10, dtype=np.int32), (3, 1))
    ranks = evaluation.ranks_of(codes, trial_of([[20]] * 3, [0, 6, 15]))
    assert [1, 7, 0] == ranks.tolist()
    found = evaluation.ranking_metrics(ranks)
    expected = {
        "hit@5": 1 / 3,
        "hit@10": 2 / 3,
        "MRR@10": (1 + 1 / 7) / 3,
        "nDCG@10": (1 + 1 / math.log2(8)) / 3,
    }
    assert expected == pytest.approx({name: each.value for name, each in found.items()})


def test_variety_by_hand():
    """Two of four sold products are shown; each was in a quarter of the sales: 2 bits."""
    codes = np.array([[0, 1], [1, -1]], np.int32)
    assert {"coverage": 0.5, "novelty": 2.0} == evaluation.variety_metrics(
        codes, np.array([2, 2, 5, 1, 0]), 8
    )


def test_repeats_are_what_the_customer_bought_in_an_earlier_sale():
    """Not in this sale, not later, not by another customer, and nobody's are not counted."""
    data = baskets_of([["a"], ["b"], ["a", "c"], ["d"], ["a"]], ["x", "y", "x", "x", None])
    purchases = evaluation.Purchases(data)
    codes = np.array([[0, 1, 2, 3, -1]] * 5, np.int32)
    assert [
        [False] * 5,
        [False] * 5,
        [True, False, False, False, False],
        [True, False, True, False, False],
        [False] * 5,
    ] == purchases.before(np.arange(5), codes).tolist()


def test_hits_on_repeats_and_on_new_products_are_told_apart():
    """A repeat found, a new product missed; the anonymous sale counts in neither."""
    data = baskets_of([["a", "b"], ["a", "b"], ["c", "b"], ["a", "b"]], ["x", "x", "x", None])
    trial = trial_of([[1], [1], [1]], [0, 2, 0], sales=[1, 2, 3])
    codes = np.array([[0], [0], [0]], np.int32)
    found = evaluation.repeat_metrics(
        codes, evaluation.ranks_of(codes, trial), trial, evaluation.Purchases(data)
    )
    assert (1.0, 1.0, 0.0) == (
        found["repeats"],
        found["hit@10 repeat"].value,
        found["hit@10 new"].value,
    )


def test_a_model_of_other_data_is_asked_in_its_own_codes():
    """Products, habits and answers go by their ids: the same sales, whatever else there is."""
    sales = [["m", "n"], ["o", "p"], ["m", "q"], ["r", "s"]] * 30
    customers = ["x", "y", "x", "z"] * 30
    theirs, ours = (
        baskets_of(more + sales, [None] * len(more) + customers) for more in ([], [["a", "b"]])
    )
    model = fit_baskets(theirs)
    places = np.arange(40, 80)
    shown = [
        Trial(at, *take(data, at), take(data, at))
        for data, at in ((theirs, places), (ours, places + 1))
    ]
    expected = evaluation.ask(model, theirs, shown[0], 5, known=True)
    found = evaluation.ask(model, ours, shown[1], 5, known=True)
    assert expected == found


def said(chance, happened, size=3, source="model", store=0):
    count = len(chance)
    return calibration.Said(
        np.array(chance), np.array(happened, bool), np.full(count, size),
        np.full(count, source), np.full(count, store),
    )  # fmt: skip


def test_what_is_true_has_no_error_and_what_tells_apart_has_skill():
    """10 % and 50 %, both true: skill is the variance between them over that of the outcomes."""
    what = said([0.1] * 50 + [0.5] * 50, [n % 10 == 0 for n in range(50)] + [0, 1] * 25)
    found = calibration.calibration(what, bins=2)
    assert 0 == pytest.approx(found["error"])
    assert 0.04 / (0.3 * 0.7) == pytest.approx(found["skill"])


def test_a_constant_is_calibrated_and_has_no_skill():
    """Which is why error and skill are told together."""
    found = calibration.calibration(said([0.25] * 100, [1, 0, 0, 0] * 25), bins=1)
    assert (0, 0) == pytest.approx((found["error"], found["skill"]))


def test_too_sure_is_an_error():
    """80 % said, 20 % happened."""
    found = calibration.calibration(said([0.8] * 50, [1, 0, 0, 0, 0] * 10))
    assert 0.6 == pytest.approx(found["error"])
    assert found["skill"] < 0


def test_the_error_of_what_is_true_is_told_beside_the_error():
    """Outcomes drawn with the very probabilities that were said have the error `by_chance`."""
    random = np.random.default_rng(0)
    chance = random.uniform(0.05, 0.4, 2000)
    draws = [said(chance, random.random(2000) < chance) for _ in range(100)]
    errors = [calibration.calibration(what)["error"] for what in draws]
    by_chance = calibration.calibration(draws[0])["by_chance"]
    assert np.mean(errors) == pytest.approx(by_chance, rel=0.1)


def test_calibration_is_told_by_size_source_and_store():
    """Each part has the rows that belong to it."""
    many = calibration.FEWEST
    what = said([0.5] * many, [0, 1] * (many // 2), size=12, source="popular", store=1)
    parts = calibration.calibration_by(what, ["north", "south"])
    assert {"size 10+", "source popular", "store south"} == parts.keys()
    assert {many} == {part["recommendations"] for part in parts.values()}


SALES = [["a", "b"], ["a", "b"], ["a", "c"], ["b", "c", "d"], ["d"]]


@pytest.fixture(scope="module")
def skewed():
    """300 sales of twelve products, the first ones much commoner: as baskets and as a matrix."""
    draw = np.random.default_rng(8)
    rate = 0.9 / np.arange(1, 13)
    sales = [
        [f"p{code:02d}" for code in np.flatnonzero(draw.random(12) < rate)] for _ in range(300)
    ]
    data = baskets_of([basket or ["p00"] for basket in sales])
    held = np.zeros((len(data), 12))
    held[np.repeat(np.arange(len(data)), data.sizes), data.items] = 1
    return data, held


SHOWN = [[5, 7, 10], *([a, b] if a != b else [a] for a in range(12) for b in range(a, 12))]


def best_and_found(codes, weights):
    """Of each row the largest sums of the basket's rows of weights, and those of its products."""
    for basket, row in zip(SHOWN, codes, strict=True):
        scores = weights[basket].sum(axis=0)
        scores[basket] = 0
        best = np.sort(scores)[::-1][: evaluation.DEPTH]
        yield best[best > 0], scores[row[row >= 0]]


def test_sar_sums_jaccard_similarities(skewed):
    """Sales with both over sales with either, written out."""
    data, held = skewed
    both = held.T @ held
    weights = both / (np.diag(both)[:, None] + np.diag(both) - both)
    np.fill_diagonal(weights, 0)
    codes = peers.sar_jaccard(data, trial_of(SHOWN, [0] * len(SHOWN)))
    for best, found in best_and_found(codes, weights):
        assert best == pytest.approx(found, rel=1e-4)


def test_ease_is_the_closed_form_of_the_paper(skewed):
    """The order of the scores is that of x B with B written out in full precision."""
    data, held = skewed
    inverse = np.linalg.inv(held.T @ held + 2.0 * np.eye(12))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    codes = peers.ease(data, trial_of(SHOWN, [0] * len(SHOWN)), ridge=2.0)
    for best, found in best_and_found(codes, weights):
        assert best == pytest.approx(found, rel=1e-4)


def test_popularity_leaves_out_the_basket():
    """Most sold first: a and b 3 times, c and d 2 times."""
    codes = peers.most_popular(baskets_of(SALES), trial_of([[0], []], [0, 0]))
    assert [[1, 2, 3, -1], [0, 1, 2, 3]] == codes[:, :4].tolist()


def test_without_implicit_its_peers_are_left_out_with_a_word(monkeypatch):
    """It is a dependency of development alone."""
    monkeypatch.setitem(__import__("sys").modules, "implicit.nearest_neighbours", None)
    found, left_out = peers.all_peers(baskets_of(SALES * 3), trial_of([[0]], [1]))
    assert {"popularity", "plain cosine", "SAR Jaccard", "EASE"} == found.keys()
    assert "not installed" in left_out["implicit"]


def test_without_memory_ease_is_left_out_with_a_word(monkeypatch):
    """Its matrix has all pairs of products."""
    monkeypatch.setattr(peers, "EASE_SHARE", 0.0)
    found, left_out = peers.all_peers(baskets_of(SALES * 3), trial_of([[0]], [1]))
    assert "EASE" not in found
    assert "memory" in left_out["EASE"]

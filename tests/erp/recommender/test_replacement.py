"""A worse model is kept out, an equal or better one gets in."""

import random

import pytest

from erp import decisions
from erp.recommender import ModelSettings, fit_baskets, replacement
from erp.recommender.catalogue import Catalogue
from tests.basket_samples import baskets_of

GOOD = ModelSettings()
BLIND = ModelSettings(min_support=10**6)  # no pair is bought so often: bestsellers remain


def shop(sales):
    """Pairs that always go together, by thirty customers."""
    draw = random.Random(5)
    pairs = [(f"p{n:02d}", f"q{n:02d}") for n in range(40)]
    chosen = [draw.choice(pairs) for _ in range(sales)]
    return baskets_of(chosen, [f"c{draw.randrange(30)}" for _ in chosen])


@pytest.fixture(scope="module")
def sales():
    return shop(2_000)


@pytest.fixture(scope="module")
def good(sales):
    """A good model that has not seen the newest fifth of the sales."""
    return fit_baskets(sales.between(0, 1_600), None, GOOD)


def decided(sales, candidate, before, margin=0.02):
    asked = replacement.contest(sales, before)
    return replacement.judge(sales, Catalogue(), candidate, before, asked, margin)


def test_a_worse_candidate_is_kept_out(sales, good):
    """The model in service, which has not seen the newest fifth, is asked as it is."""
    made = decided(sales, BLIND, good)
    assert (False, "worse", "as it is") == (made.replaced, made.reason, made.compared)
    assert 1.0 == made.in_service
    assert made.candidate < 0.6
    assert made.high < 1 - made.margin
    assert 400 == made.asked
    assert 1_600 == made.learned_from


def test_a_better_candidate_gets_in(sales):
    """The same the other way round."""
    made = decided(sales, GOOD, fit_baskets(sales.between(0, 1_600), None, BLIND))
    assert (True, "not worse", "as it is") == (made.replaced, made.reason, made.compared)
    assert made.low > 1


def test_an_equal_one_gets_in(sales, good):
    """New sales and the same settings: as good, hence newer is better."""
    made = decided(sales, GOOD, good)
    assert (True, 1.0, 1.0) == (made.replaced, made.candidate, made.in_service)


def test_a_model_that_saw_the_slice_is_compared_by_its_settings(sales):
    """Asked as it is it would have an advantage; fitted anew it has none."""
    before = fit_baskets(sales, None, GOOD)
    worse, equal = decided(sales, BLIND, before), decided(sales, GOOD, before)
    assert [False, True] == [worse.replaced, equal.replaced]
    assert {"fitted anew"} == {worse.compared, equal.compared}
    assert 1_500 == worse.learned_from  # of 2,000: the slice has 500 at least


def test_the_candidate_that_is_compared_never_saw_the_slice(sales, monkeypatch):
    """Whatever is fitted ends before the first sale that is asked about."""
    fitted_on = []

    def fit(past, *rest):
        fitted_on.append(len(past))
        return fit_baskets(past, *rest)

    monkeypatch.setattr(replacement, "fit_baskets", fit)
    before = fit_baskets(sales, None, BLIND)
    asked = replacement.contest(sales, before)
    replacement.judge(sales, Catalogue(), GOOD, before, asked)
    assert [1_500, 1_500] == fitted_on
    assert asked.trial.sales.min() >= 1_500


def test_the_margin_is_how_much_worse_it_may_be(sales, good):
    """A candidate that finds about half is let in by a margin of 90 %."""
    assert decided(sales, BLIND, good, margin=0.9).replaced


def test_too_few_sales_keep_what_serves(good):
    """A source that lost its sales must not replace a good model."""
    made = decided(shop(30), GOOD, good)
    assert (False, "too few sales", None) == (made.replaced, made.reason, made.candidate)
    assert "too few" in replacement.in_words(made)


def test_a_decision_is_kept_beside_the_model(tmp_path, sales, good):
    """Written whole, read back the same; one that cannot be read is none."""
    model = tmp_path / "new" / "item_sim.pkl"
    made = decided(sales, BLIND, good)
    decisions.write(model, made)
    assert made == decisions.read(model)
    assert ["item_sim.decision.json"] == [file.name for file in model.parent.iterdir()]
    decisions.path_of(model).write_text("{")
    assert decisions.read(model) is None
    assert decisions.read(tmp_path / "other.pkl") is None

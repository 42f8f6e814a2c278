"""The recommender on data whose right answer is known."""

import datetime as dt
import random

import numpy as np
import pandas as pd
import polars as pl
import pytest

from erp import recommender
from erp.contract import RecommendedProduct
from erp.recommender.catalogue import Catalogue

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


def frames(baskets, *, customers=None, days=None, quantity=1):
    """Sales and lines of lists of product ids, one a day unless `days` says when."""
    sales, lines = [], []
    for number, basket in enumerate(baskets):
        day = number if days is None else days[number]
        sales.append(
            {
                "sale_id": f"s{number}",
                "sale_datetime": START + dt.timedelta(days=day),
                "customer_id": customers[number] if customers else None,
                "store_id": "1",
            }
        )
        lines += [
            {"sale_id": f"s{number}", "product_id": product, "quantity": quantity}
            for product in basket
        ]
    schema = {"sale_id": str, "sale_datetime": pl.Datetime("us", "UTC")}
    schema |= {"customer_id": str, "store_id": str}
    return pl.DataFrame(lines), pl.DataFrame(sales, schema=schema)


def fitted(baskets, products=None, *, model=None, **options):
    lines, sales = frames(baskets, **options)
    return recommender.fit(lines, sales, products, **(model or {}))


def ids(recommendations):
    return [one["product_id"] for one in recommendations]


PAIRS = [["bread", "butter"], ["pasta", "sauce"], ["tea", "milk"]] * 10


@pytest.fixture(scope="module")
def shop():
    """A shop of 30 products and 600 sales by 40 customers, with habits and pairs."""
    rng = random.Random(4)
    baskets, customers = [], []
    for _ in range(600):
        customer = rng.randrange(40)
        basket = {f"p{customer % 10}"} if rng.random() < 0.7 else set()
        first = rng.randrange(30)
        basket |= {f"p{first}"} | ({f"p{(first + 1) % 30}"} if rng.random() < 0.8 else set())
        baskets.append(sorted(basket))
        customers.append(f"c{customer}")
    lines, sales = frames(baskets, customers=customers, days=[i / 8 for i in range(600)])
    products = [
        {"product_id": f"p{i}", "name": f"Product {i}", "category": f"k{i % 3}", "active": True}
        for i in range(30)
    ]
    return recommender.fit(lines, sales, products)


def test_products_always_bought_together_recommend_each_other():
    """What is always bought with a product comes first."""
    model = fitted(PAIRS)
    assert "butter" == ids(model.recommend(["bread"]))[0]
    assert "pasta" == ids(model.recommend(["sauce"]))[0]


def test_a_product_that_everybody_buys_does_not_swamp():
    """A bag in every basket does not hide what really goes together."""
    model = fitted([[*pair, "bag"] for pair in PAIRS])
    assert "butter" == ids(model.recommend(["bread"]))[0]


def test_an_old_habit_fades():
    """What was bought together lately beats what was bought together long ago."""
    baskets = [["coffee", "cake"]] * 10 + [["coffee", "muffin"]] * 10
    model = fitted(baskets, days=[*range(10), *range(900, 910)])
    assert ["muffin", "cake"] == ids(model.recommend(["coffee"], n=2))


def test_a_big_basket_counts_less():
    """A pair bought alone is closer than a pair among many others."""
    crowd = [f"x{i}" for i in range(20)]
    model = fitted([["a", "b"], ["a", "c", *crowd]] * 10)
    assert "b" == ids(model.recommend(["a"]))[0]


def test_the_order_of_the_basket_does_not_matter(shop):
    """The same products in another order, or twice, get the same answer."""
    answer = shop.recommend(["p1", "p5", "p9"])
    assert ids(answer) == ids(shop.recommend(["p9", "p1", "p5", "p1"]))


def test_returns_count_for_nothing():
    """A returned pair is no sign that two products go together."""
    lines, sales = frames(PAIRS)
    back, _ = frames([["bread", "sauce"]] * 30, quantity=-1)
    model = recommender.fit(pl.concat([lines, back]), sales)
    assert ["butter"] == ids(model.similar_items("bread"))
    assert 60 == model.counts["lines_returned"]


@pytest.mark.parametrize("kind", [str, int, float, lambda i: f" ñ,{i}:\n"])
def test_ids_may_have_any_form(kind):
    """Numbers, text with spaces and commas: an id is its text."""
    baskets = [[kind(1), kind(2)], [kind(3), kind(4)]] * 10
    model = fitted(baskets)
    want = "2" if kind in (int, float) else kind(2)
    assert want == ids(model.recommend([kind(1)]))[0]


def test_pandas_with_gaps_in_numeric_ids_is_understood():
    """A column of numbers with gaps turns into floats in pandas; 17850.0 is customer 17850."""
    sales = pd.DataFrame(
        {
            "sale_id": range(8),
            "sale_datetime": pd.date_range("2025-01-01", periods=8),
            "customer_id": [17850.0, None] * 4,
        }
    )
    lines = pd.DataFrame({"sale_id": [i // 2 for i in range(16)], "product_id": [7, 8] * 8})
    model = recommender.fit(lines, sales)
    assert {"17850": 0} == model.customers.history.rows
    assert 1 == model.counts["customers"]


def test_a_line_without_a_sale_is_left_out_and_counted():
    """Lines whose header is missing teach nothing."""
    lines, sales = frames(PAIRS)
    model = recommender.fit(lines, sales.slice(1))
    assert 2 == model.counts["lines_without_sale"]
    assert 29 == model.counts["sales"]


def test_a_recommendation_has_the_fields_of_the_contract(shop):
    """Field for field, with types that JSON and BSON know."""
    for one in shop.recommend(["p1"], customer="c3"):
        assert RecommendedProduct.__struct_fields__ == tuple(one)
        assert isinstance(one["support"], int)
        assert isinstance(one["relevancia"], float)
        assert isinstance(one["confidence_percentage"], float)


def test_rankings_and_percentages_follow_the_contract(shop):
    """The first has 100 % relevance, ranks go from 1, percentages fall."""
    answer = shop.recommend(["p1", "p2"], n=4)
    assert [1, 2, 3, 4] == [one["ranking"] for one in answer]
    assert [100, 75, 50, 25] == [one["ranking_percentage"] for one in answer]
    assert 100 == answer[0]["relevancia_percentage"]
    scores = [one["relevancia"] for one in answer]
    assert sorted(scores, reverse=True) == scores
    assert all(0 < one["confidence_percentage"] < 100 for one in answer)


@pytest.mark.parametrize("basket", [[], ["p1"], ["unknown"], [f"p{i}" for i in range(28)]])
@pytest.mark.parametrize("customer", [None, "c1", "a stranger"])
def test_there_are_always_n_products_that_are_not_in_the_basket(shop, basket, customer):
    """As many as asked for, or all that are left."""
    for n in (1, 5, 12):
        answer = ids(shop.recommend(basket, customer, n))
        left = 30 - len(set(basket) & set(shop.item_ids))
        assert min(n, left) == len(answer) == len(set(answer))
        assert set(answer).isdisjoint(basket)


def test_shares_add_up_to_one_hundred_and_name_products_of_the_basket(shop):
    """The reasons are the basket's products, the strongest first."""
    basket = ["p1", "p4", "p7"]
    answer = shop.recommend(basket)
    with_reason = [one for one in answer if one["because_of"]]
    assert with_reason
    for one in with_reason:
        shares = [why["share"] for why in one["because_of"]]
        assert pytest.approx(100) == sum(shares)
        assert sorted(shares, reverse=True) == shares
        assert {why["product_id"] for why in one["because_of"]} <= set(basket)


def test_support_is_the_number_of_sales_that_hold_both():
    """Counted, not weighted."""
    model = fitted([*PAIRS, ["bread", "butter", "tea"]])
    first = model.recommend(["bread"])[0]
    assert ("butter", 11) == (first["product_id"], first["support"])


def test_inactive_products_are_not_recommended():
    """A product that is no longer sold is never offered, and another takes its place."""
    products = [
        {"product_id": key, "name": key, "category": "food", "active": key != "butter"}
        for pair in PAIRS[:3]
        for key in pair
    ]
    model = fitted(PAIRS, products)
    assert "butter" not in ids(model.recommend(["bread"]))
    assert 4 == len(model.recommend(["bread"]))


@pytest.mark.parametrize("word", ["falso", "No ", "0.0", "F", False, 0])
def test_what_is_not_active_is_read_as_the_producer_reads_it(word):
    """A catalogue of a CSV file has the words as they stand there."""
    catalogue = Catalogue.from_products([{"product_id": "p", "active": word}])
    assert not catalogue.products["p"].active


def test_the_catalogue_can_be_replaced_and_updated_without_training():
    """Names, activity and new products take effect with the next recommendation."""
    model = fitted(PAIRS)
    catalogue = Catalogue.from_products(
        {"product_id": key, "name": key.upper()} for pair in PAIRS[:3] for key in pair
    )
    model.use(catalogue)
    assert "BUTTER" == model.recommend(["bread"])[0]["product_name"]
    catalogue.update([{"_id": "butter", "name": "Butter", "active": False}, {"_id": "jam"}])
    answer = ids(model.recommend(["bread"], n=5))
    assert "butter" not in answer
    assert "jam" == answer[-1]
    catalogue.update([{"_id": "butter", "name": "Butter", "active": True}])
    assert "Butter" == model.recommend(["bread"])[0]["product_name"]


def test_two_products_of_one_name_are_recommended_once():
    """No duplicates by name, whatever the case."""
    products = [{"product_id": key, "name": "Same" if key in ("b", "c") else key} for key in "abcd"]
    products[2]["name"] = "SAME"
    model = fitted([["a", "b", "c", "d"]] * 10, products)
    assert 2 == len(model.recommend(["a"], n=3))


def test_some_products_are_never_recommended():
    """Postage and bags, by id, name or category."""
    model = fitted([[*pair, "POST"] for pair in PAIRS], model={"never_recommend": ("post",)})
    assert "POST" not in ids(model.recommend(["bread"], n=6))


def test_a_category_can_be_capped():
    """At most so many of a category while there are others."""
    products = [
        {"product_id": f"d{i}", "name": f"d{i}", "category": "drinks"} for i in range(5)
    ] + [{"product_id": f"f{i}", "name": f"f{i}", "category": "food"} for i in range(5)]
    baskets = [["d0", "d1", "d2", "d3", "d4"], ["f0", "f1", "f2", "f3", "f4"]] * 10
    model = fitted(baskets, products, model={"max_per_category": 2})
    categories = [one["category"] for one in model.recommend(["d0"], n=4)]
    assert (2, 2) == (categories.count("drinks"), categories.count("food"))
    assert 6 == len(model.recommend(["d0"], n=6))


def test_an_unknown_product_is_answered_by_its_category():
    """A new product's category says what sells beside it."""
    products = [
        {"product_id": key, "name": key, "category": "bakery" if key[0] == "b" else "other"}
        for key in ("bread", "butter", "pasta", "sauce", "tea", "milk", "brioche")
    ]
    model = fitted(PAIRS, products)
    answer = model.recommend(["brioche"], n=3)
    assert {"bread", "butter"} == set(ids(answer)[:2])
    assert ["category", "category", "popular"] == [one["source"] for one in answer]


def test_a_customers_own_habits_count(shop):
    """What she buys again and again is offered to her."""
    for customer, habit in (("c7", "p7"), ("c3", "p3")):
        place = [
            ids(shop.recommend(["p20"], customer=who, n=29)).index(habit)
            for who in (customer, "c1", None)
        ]
        assert place[0] < 3
        assert place[0] < place[1]
        assert place[0] <= place[2]


def known_of(model, customer):
    """A customer's frequencies at the middle half-life, by product."""
    found = model.customers.frequencies([customer], np.full(1, model.customers.history.origin))
    return dict(zip(found.items.tolist(), found.frequencies[:, 1].tolist(), strict=True))


def test_observed_sales_count_once():
    """A sale delivered twice changes the history once, one of the training not at all."""
    model = fitted(PAIRS, customers=["c"] * 30)
    when = START + dt.timedelta(days=31)
    assert not model.observe("s3", "c", ["tea"], when)
    assert model.observe("new", "c", ["tea"], when)
    once = known_of(model, "c")
    assert not model.observe("new", "c", ["tea"], when)
    assert once == known_of(model, "c")
    assert model.observe("new", "c", ["tea", "milk"], when)
    assert sum(known_of(model, "c").values()) > sum(once.values())
    assert len(once) == 6


def test_a_sale_that_could_not_be_added_is_not_remembered(monkeypatch):
    """It counts when it comes again; one without a time is as new as the newest before it."""
    model = fitted(PAIRS)
    when = START + dt.timedelta(days=40)
    sales = [("timed", "c", ["tea"], when), ("timeless", "d", ["tea"], None)]
    with monkeypatch.context() as broken:
        broken.setattr(type(model.customers.history), "_merged", None)
        with pytest.raises(TypeError):
            model.observe_many(sales)
    assert 2 == model.observe_many(sales)
    assert 0 == model.observe_many([sales[0], ("timeless", "d", ["tea"], when)])
    assert known_of(model, "c") == known_of(model, "d")


def test_observed_sales_move_to_a_newer_model():
    """A model that is replaced hands over the sales it saw."""
    old, new = fitted(PAIRS), fitted(PAIRS)
    old.observe("later", "anna", ["tea"], START + dt.timedelta(days=40))
    assert 1 == new.observe_from(old)
    assert 0 == new.observe_from(old)
    assert "tea" in ids(new.recommend([], customer="anna"))


def test_a_twin_that_observed_nothing_shares_all_but_that():
    """It knows the customers of the training, none of the later sales, and answers the same."""
    model = fitted(PAIRS, customers=["c"] * 30)
    trained = known_of(model, "c")
    model.observe("later", "c", ["tea"], START + dt.timedelta(days=40))
    twin = model.unobserved()
    assert trained == known_of(twin, "c") != known_of(model, "c")
    assert (model.version, model.recommend(["milk"])) == (twin.version, twin.recommend(["milk"]))
    assert not twin.observe("s3", "c", ["tea"])
    assert twin.observe("later", "c", ["tea"], START + dt.timedelta(days=40))
    assert 0 == twin.observe_from(model)


def test_many_baskets_get_the_answers_of_each(shop):
    """In their order, whatever the batch."""
    baskets = [[f"p{i % 30}", f"p{(i * 7) % 30}"] for i in range(60)] + [[]]
    customers = [f"c{i % 50}" if i % 3 else None for i in range(61)]
    together = shop.recommend_many(baskets, customers, 5)
    for basket, customer, answer in zip(baskets, customers, together, strict=True):
        assert ids(shop.recommend(basket, customer)) == ids(answer)


def test_popularity_answers_before_there_is_a_model():
    """What sold most comes first, and a catalogue alone is enough."""
    model = recommender.popular({"a": 5, "b": 9, "c": 1})
    assert "popularity" == model.algo
    assert ["b", "c"] == ids(model.recommend(["a"]))
    model.use(Catalogue.from_products([{"product_id": "z", "name": "Z"}]))
    assert ["z"] == ids(model.recommend(["a"], customer="x"))


def test_no_sales_at_all_is_no_error():
    """Fit on nothing answers from the catalogue."""
    lines, sales = frames([["a"]])
    model = recommender.fit(lines.clear(), sales.clear(), [{"product_id": "a", "name": "A"}])
    assert ["a"] == ids(model.recommend([]))
    assert [] == recommender.popular({}).recommend(["a"])


def test_a_saved_model_gives_the_same_answers(shop, tmp_path):
    """Save and load change nothing, the version included."""
    version = shop.save(tmp_path / "item_sim.pkl")
    loaded = recommender.load(tmp_path / "item_sim.pkl")
    assert version == loaded.version
    assert shop.recommend(["p1", "p2"], "c3") == loaded.recommend(["p1", "p2"], "c3")
    assert shop.recommend([], "c3") == loaded.recommend([], "c3")
    assert shop.similar_items("p1", 3) == loaded.similar_items("p1", 3)


def test_a_bestseller_beside_rare_products_is_not_called_likely():
    """Whoever buys what nobody else buys never takes milk, though half of all others do."""
    rng = random.Random(8)
    baskets = []
    for number in range(4000):
        rare = number % 5 == 0
        usual = [f"p{rng.randrange(12)}", f"p{rng.randrange(12)}"]
        usual += ["milk"] if rng.random() < 0.5 else []
        baskets.append([f"r{number}", f"r{number}b"] if rare else sorted(set(usual)))
    model = fitted(baskets, days=[i / 40 for i in range(4000)])
    best = model.recommend(["never sold"], n=5)
    assert {"popular"} == {one["source"] for one in best}
    assert max(one["confidence_percentage"] for one in best) < 5
    usual = model.recommend(["p1"], n=5)
    said = [one["confidence_percentage"] for one in usual]
    assert 6 < min(said) <= max(said) < 13  # a chance of one in eleven

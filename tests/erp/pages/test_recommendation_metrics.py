"""Figures of recommendations, and what customers bought after them."""

from datetime import UTC, datetime, timedelta

import pytest

from erp.pages.recommendation_lookups import active_products, customer_names, of_sale_or_customer
from erp.pages.recommendation_metrics import (
    HORIZON,
    FollowUp,
    calibration,
    follow_up,
    summarize,
    trained_at,
)
from tests.recommendation_samples import START, document, recommendation, recommended


def test_summary_counts_every_product_and_every_answer():
    """Sources by how common they are, versions from the last answer on."""
    first = recommendation(1, model_version="old", complete=False)
    second = recommendation(
        2,
        model_version="new",
        latency_ms=99.0,
        recommendations=[
            recommended("r1-1", 1, source="popular", confidence_percentage=50.0),
            recommended("other", 2, source="model"),
        ],
    )
    summary = summarize([second, first])
    assert (2, 7, 6) == (summary.answers, summary.products, summary.distinct_products)
    assert {"model": 6, "popular": 1} == summary.by_source
    assert ["new", "old"] == list(summary.versions)
    assert 1 == summary.incomplete
    assert [99.0, 11.0] == summary.latency_ms.tolist()
    assert 50.0 == summary.confidence[0]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("20260131T120000Z-0123abcd", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("20261331T120000Z", None),
        ("popular", None),
        ("", None),
    ],
)
def test_the_age_of_a_model_is_in_its_version(version, expected):
    """Other versions have no age, and break nothing."""
    assert expected == trained_at(version)


@pytest.fixture
def bought(database):
    """Store what a customer bought so long after START: `bought("s9", "c1", days=1, ["a"])`."""

    def store(sale_id, customer, days, products, quantity=1.0, items_count=None):
        database.sales.insert_one(
            {"_id": sale_id, "sale_id": sale_id, "customer_id": customer,
             "sale_datetime": START + timedelta(days=days),
             "items_count": len(products) if items_count is None else items_count}
        )  # fmt: skip
        if products:
            database.sales_items.insert_many(
                [
                    {"_id": f"{sale_id}:{n}", "sale_id": sale_id, "line_n": n, "product_id": p,
                     "quantity": quantity}
                    for n, p in enumerate(products, 1)
                ]
            )  # fmt: skip

    return store


def answer(sale_id=1, customer="c1", products=("a", "b")):
    return recommendation(
        sale_id,
        customer_id=customer,
        timestamp=START,
        recommendations=[recommended(p, n) for n, p in enumerate(products, 1)],
    )


def test_the_next_sale_and_later_ones_are_told_apart(database, bought):
    """`a` came with the next sale, `b` with the one after."""
    bought("n1", "c1", 2, ["x", "a"])
    bought("n2", "c1", 9, ["b"])
    assert [("a", True, True), ("b", False, True)] == [
        (product, f.bought_next, f.bought_later)
        for product, f in zip("ab", follow_up(database, [answer()]), strict=True)
    ]


def test_neither_the_sale_itself_nor_one_before_nor_one_after_the_horizon_counts(database, bought):
    """Nor one of another customer."""
    bought("s1", "c1", 0, ["a"])
    bought("n0", "c1", -1, ["a"])
    bought("n1", "c1", HORIZON.days + 1, ["a"])
    bought("n2", "c2", 1, ["a"])
    assert [] == follow_up(database, [answer()])


def test_a_return_is_not_a_purchase(database, bought):
    """Negative quantities say that it was brought back."""
    bought("n1", "c1", 1, ["a", "b"], quantity=-1.0)
    bought("n2", "c1", 2, ["a"])
    assert [] == follow_up(database, [answer()])


def test_an_unknown_customer_cannot_be_followed(database, bought):
    """And breaks nothing."""
    bought("n1", None, 1, ["a"])
    assert [] == follow_up(database, [answer(customer=None)])


def test_a_sale_without_its_count_is_looked_into(database, bought):
    """As far as sales usually go."""
    bought("n1", "c1", 1, ["a"], items_count=0)
    assert [True, False] == [f.bought_next for f in follow_up(database, [answer()])]


def test_calibration_sets_what_happened_beside_what_was_said():
    """In bands of as many products each."""
    said = [FollowUp("s", "model", 10.0, n % 10 == 0, False) for n in range(50)]
    said += [FollowUp("s", "model", 40.0, n % 5 < 2, False) for n in range(50)]
    low, high = calibration(said, bands=2)
    assert (50, 10.0, 10.0) == low
    assert (50, 40.0, 40.0) == high


def test_a_few_products_make_one_band():
    """A share of three products would mean nothing."""
    assert 1 == len(calibration([FollowUp("s", "model", float(n), False, False) for n in range(9)]))
    assert [] == calibration([])


def test_names_catalogue_and_older_recommendations_come_from_mongodb(database):
    """A product that does not say whether it is active is."""
    database.products.insert_many([{"_id": "1", "active": False}, {"_id": "2"}, {"_id": "3"}])
    database.customers.insert_many(
        [{"_id": "c1", "first_name": "Ana", "last_name": "Ruiz"}, {"_id": "c2", "age": 30}]
    )
    assert 2 == active_products(database)
    assert {"c1": "Ana Ruiz", "c2": None, "c3": None} == customer_names(
        database, ["c1", "c2", "c3"]
    )


def test_a_sale_or_a_customer_is_found_in_mongodb(database):
    """A sale by its number; of a customer the newest, and what cannot be read is left out."""
    made = [recommendation(n, customer_id="c1") for n in range(5)]
    database.recommendations.insert_many([document(each) for each in made])
    database.recommendations.insert_one({"_id": "bad", "customer_id": "c1"})
    assert [made[3]] == of_sale_or_customer(database, "s3", 10)
    assert [made[4], made[3]] == of_sale_or_customer(database, "c1", 2)
    assert [] == of_sale_or_customer(database, "bad", 10)
    assert [] == of_sale_or_customer(database, "nobody", 10)

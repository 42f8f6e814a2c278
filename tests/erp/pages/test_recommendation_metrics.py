"""Figures of recommendations, and what of them is looked up."""

from datetime import UTC, datetime

import pytest

from erp.pages.recommendation_lookups import active_products, customer_names, of_sale_or_customer
from erp.pages.recommendation_metrics import summarize, trained_at
from tests.recommendation_samples import document, recommendation, recommended


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

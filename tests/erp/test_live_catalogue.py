"""The products in memory follow those of the database."""

from datetime import UTC, datetime, timedelta

import pytest

from erp.live_catalogue import LiveCatalogue

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def products(database):
    """The collection with two products."""
    database.products.insert_many(
        [
            {"_id": "a", "name": "Apple", "category": "Fruit", "active": True, "stored_at": NOON},
            {"_id": "b", "stored_at": NOON},
        ]
    )
    return database.products


def test_products_are_read_with_what_is_known_of_them(products):
    """A product without a name or category is in the catalogue all the same."""
    catalogue = LiveCatalogue(products)
    assert catalogue.refresh()
    assert {
        "a": {"name": "Apple", "category": "Fruit", "active": True},
        "b": {},
    } == catalogue.products


def test_stamped_change_is_seen_by_the_next_look(products):
    """What the sink stored since the last look is read without reading everything."""
    catalogue = LiveCatalogue(products)
    catalogue.refresh()
    assert not catalogue.refresh()
    later = NOON + timedelta(hours=1)
    products.update_one({"_id": "a"}, {"$set": {"active": False, "stored_at": later}})
    products.insert_one({"_id": "c", "name": "Cherry", "stored_at": later})
    assert catalogue.refresh()
    assert {"name": "Apple", "category": "Fruit", "active": False} == catalogue.products["a"]
    assert {"name": "Cherry"} == catalogue.products["c"]


def test_deletion_is_seen_when_everything_is_read(products):
    """A deleted product leaves the catalogue with the next full reading."""
    catalogue = LiveCatalogue(products)
    catalogue.refresh()
    products.delete_one({"_id": "b"})
    catalogue._full_at = 0
    assert catalogue.refresh()
    assert ["a"] == list(catalogue.products)

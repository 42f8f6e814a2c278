"""The catalogue follows the products of the database."""

from datetime import UTC, datetime, timedelta

import pytest

from erp.recommender.catalogue import Catalogue, Product
from erp.service.live_catalogue import LiveCatalogue

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


@pytest.fixture
def live(products):
    """A catalogue that has read the two products."""
    following = LiveCatalogue(products, Catalogue())
    following.refresh()
    return following


def test_products_are_read_with_what_is_known_of_them(live):
    """A product without a name or category is in the catalogue all the same."""
    expected = {"a": Product("Apple", "Fruit", True), "b": Product(None, None, True)}
    assert expected == live.catalogue.products


def test_stamped_change_is_seen_by_the_next_look(live, products):
    """What the sink stored since the last look is read without reading everything."""
    later = NOON + timedelta(hours=1)
    products.update_one({"_id": "a"}, {"$set": {"active": False, "stored_at": later}})
    products.insert_one({"_id": "c", "name": "Cherry", "stored_at": later})
    live.refresh()
    assert Product("Apple", "Fruit", False) == live.catalogue.get("a")
    assert Product("Cherry", None, True) == live.catalogue.get("c")


def test_unstamped_change_is_seen_when_everything_is_read(live, products):
    """A deleted product is no longer offered, a changed one is as it is, after a full reading."""
    products.delete_one({"_id": "b"})
    products.update_one({"_id": "a"}, {"$set": {"name": "Pear"}})
    live._full_at = 0
    live.refresh()
    assert not live.catalogue.get("b").active
    assert "Pear" == live.catalogue.get("a").name

"""Batches of deliveries on a real database: what is stored, what stood, what is refused."""

from datetime import UTC, datetime, timedelta

from erp.contract import PRODUCTS
from erp.sink import store
from erp.sink.store import Origin, Store, Write

MANY = 3 * store.PART + 1
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def product(number, offset, **fields):
    """The delivery of a product, later by its offset."""
    key = f"p{number}"
    origin = Origin("erp.products", 0, offset, MOMENT + timedelta(seconds=offset))
    return Write(PRODUCTS, key, {"_id": key, "product_id": key} | fields, origin)


def test_a_batch_of_several_parts_is_told_apart_delivery_by_delivery(database):
    """New, newer than what stands, older, and no document at all, in each of the parts."""
    every = range(0, MANY, store.PART // 2)
    standing = Store(database)
    standing.apply([product(n, 5, name="old") for n in every])
    standing.apply([product(n + 1, 9, name="newest") for n in every])
    too_large = {n + 2 for n in every}
    batch = [
        product(n, 7, name="new", stock=1 << 64 if n in too_large else 1) for n in range(MANY + 2)
    ]
    outcome = standing.apply(batch)
    names = {each["_id"]: each["name"] for each in database.products.find()}
    assert {"new": MANY + 2 - 2 * len(every), "newest": len(every)} == {
        name: list(names.values()).count(name) for name in set(names.values())
    }
    assert {f"p{n + 1}" for n in every} == {key for key, name in names.items() if name == "newest"}
    assert {f"p{n}" for n in too_large} == {each.write.key for each in outcome.refusals}
    assert {"OverflowError"} == {each.error_class.split("-")[1] for each in outcome.refusals}
    assert MANY + 2 - 2 * len(every) == outcome.stored
    assert len(every) == outcome.superseded

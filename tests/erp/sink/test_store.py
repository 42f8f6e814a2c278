"""Batches of deliveries on a real database: what is stored, what stood, what is refused."""

from datetime import UTC, datetime, timedelta

import pytest

from erp.contract import DELETIONS, PRODUCTS, SALES_ITEMS
from erp.dead_letters import DeadLetter
from erp.sink import store
from erp.sink.deliveries import Reader
from erp.sink.replay import store_again
from erp.sink.store import Store
from erp.sink.writes import Origin, Write

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


def tombstone(write, offset):
    """What deletes this document, later by its offset; of a line all of its sale."""
    origin = Origin(write.origin.topic, 0, offset, MOMENT + timedelta(seconds=offset))
    key = write.key.partition(":")[0] if write.table is SALES_ITEMS else write.key
    return Write(write.table, key, None, origin)


def line(number, offset):
    """The delivery of a line of the sale s1, later by its offset."""
    key = f"s1:{number}"
    origin = Origin("erp.sales_items", 0, offset, MOMENT + timedelta(seconds=offset))
    document = {"_id": key, "sale_id": "s1", "line_n": number, "product_id": "p"}
    return Write(SALES_ITEMS, key, document, origin)


def names(collection):
    """The names of what stands, by `_id`."""
    return {each["_id"]: each.get("name") for each in collection.find()}


def elsewhere(write, partition, seconds):
    """The same delivery from another partition, at another time."""
    moment = MOMENT + timedelta(seconds=seconds)
    return write._replace(origin=write.origin._replace(partition=partition, timestamp=moment))


def test_another_unique_index_refuses_and_is_not_taken_for_the_key(database):
    """What it keeps out is told, with the index, and not counted as standing already."""
    database.products.create_index("ean", unique=True)
    ours = Store(database)
    outcome = ours.apply([product(1, 1, ean="4006"), product(2, 2, ean="4006")])
    assert ["mongodb-11000"] == [each.error_class for each in outcome.refusals]
    assert "ean" in outcome.refusals[0].reason
    assert (1, 0) == (outcome.stored, outcome.superseded)


def test_the_version_before_a_refused_one_is_stored(database):
    """Whether they come in one batch or in two."""
    bad = {"stock": 1 << 64}
    versions = [
        *(product(1, 1, name="first"), product(1, 2, name="second")),
        *(product(1, 3, **bad), product(1, 4, **bad)),
    ]
    ours = Store(database)
    outcome = ours.apply(versions)
    assert {"p1": "second"} == names(database.products)
    assert {3, 4} == {each.write.origin.offset for each in outcome.refusals}
    assert 1 == outcome.stored


def test_within_a_batch_the_newest_counts_in_whatever_order_they_come(database):
    """Of two partitions, of which the key moved from one to the other, the later."""
    new, old = product(1, 5, name="new"), product(1, 900, name="old")
    ours = Store(database)
    ours.apply([elsewhere(new, 4, 50), elsewhere(old, 0, 10)])
    assert {"p1": "new"} == names(database.products)
    ours.apply([elsewhere(tombstone(new, 6), 4, 60), elsewhere(old, 0, 20)])
    assert {} == names(database.products)
    newest = elsewhere(product(1, 8, name="newest"), 4, 80)
    ours.apply([newest, elsewhere(tombstone(old, 901), 0, 30)])
    assert {"p1": "newest"} == names(database.products)


@pytest.mark.parametrize("swap", [False, None])
def test_what_another_copy_deleted_meanwhile_is_not_brought_back(database, swap):
    """Of a batch that was half written when its copy was frozen; what is newer stays."""
    woken = Store(database, swap)
    batch = [product(1, 1), product(2, 2), product(3, 3), line(1, 4), product(4, 5)]
    Store(database).apply([tombstone(product(1, 0), 6), tombstone(line(1, 0), 7)])
    Store(database).apply([tombstone(product(3, 0), 8), product(3, 9, name="new")])
    woken.apply(batch)
    woken.undo_deleted(batch)
    assert {"p2": None, "p3": "new", "p4": None} == names(database.products)
    assert {} == names(database.sales_items)


def letter(write, value):
    """A delivery as it waits among the dead letters."""
    origin = write.origin
    return DeadLetter(
        stage="sink", topic=origin.topic, partition=origin.partition, offset=origin.offset,
        timestamp=origin.timestamp, error_class="mongodb-121", reason="a rule that was wrong",
        time=MOMENT, key=write.key.partition(":")[0].encode(), value=value,
    )  # fmt: skip


def test_a_dead_letter_is_stored_unless_something_came_after_it(database):
    """A newer version, or a tombstone, even of what never stood or of the whole sale."""
    ours, reader = Store(database), Reader("erp.")
    deleted, stale, good = product(1, 5), product(2, 5), product(3, 5)
    ours.apply([tombstone(deleted, 6), product(2, 7, name="newer"), tombstone(good, 4)])
    ours.apply([line(1, 5), tombstone(line(1, 6), 8)])
    letters = [
        letter(each, f'{{"product_id": "{each.key}", "name": "late"}}'.encode())
        for each in (deleted, stale, good)
    ]
    text = '{{"sale_id": "s1", "line_n": {}, "product_id": "p", "quantity": 1}}'
    letters += [letter(line(n, at), text.format(n).encode()) for n, at in ((2, 7), (3, 9))]
    again, outcome = store_again(reader, ours, letters)
    assert [] == again
    assert {"p2": "newer", "p3": "late"} == names(database.products)
    assert {"s1:3"} == set(names(database.sales_items))
    assert 2 == outcome.stored


def test_a_tombstone_that_comes_again_leaves_the_note_of_a_later_one(database):
    """Otherwise what stood between them could come back."""
    ours, first = Store(database), product(1, 5)
    ours.apply([first, tombstone(first, 6)])
    ours.apply([tombstone(first, 9)])
    ours.apply([tombstone(first, 6)])
    [note] = database[DELETIONS].find({"_id": "products:p1"})
    assert 9 == note["kafka"]["offset"]

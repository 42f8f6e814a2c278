"""The questions of the live page against a real wire MongoDB."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from erp.pages import live_sales
from erp.pages.live_sales import Filters, Totals, Window

MADRID = ZoneInfo("Europe/Madrid")
NOON = datetime(2017, 3, 14, 12, 0, tzinfo=UTC)


def sale(sale_id, minutes, **fields):
    """A sale so many minutes after NOON."""
    moment = NOON + timedelta(minutes=minutes)
    return {"_id": sale_id, "sale_id": sale_id, "sale_datetime": moment, **fields}


@pytest.fixture
def sales(database):
    """A handful of sales; some lack a store, a customer, an amount."""
    database.sales.insert_many(
        [
            sale("a", 0, store_id="1", customer_id="x", payment_type="cash", total_amount=10.0),
            sale("b", 1, store_id="1", customer_id="x", payment_type="card", total_amount=20.5),
            sale("c", 1, store_id="2", customer_id="y", payment_type="card", total_amount=-5.0),
            sale("d", 59, payment_type="card", total_amount=7.0, items_count=3),
            sale("e", 61, store_id="2"),
        ]
    )
    return database


HOUR = Window(NOON, NOON + timedelta(minutes=60))
DAY = Window(NOON, NOON + timedelta(hours=12))


def ids(found):
    return [each["sale_id"] for each in found]


def test_the_newest_sale_is_the_clock_of_the_data(sales):
    """What counts is when sales were made, not when they came."""
    assert "e" == live_sales.newest_sale(sales, NOON + timedelta(days=400))["sale_id"]


def test_a_sale_of_the_future_does_not_set_the_clock(sales):
    """A slip of the pen in a date does not empty the page."""
    sales.sales.insert_one(sale("slip", 50 * 365 * 24 * 60))
    assert "e" == live_sales.newest_sale(sales, NOON + timedelta(days=400))["sale_id"]


def test_sales_of_the_future_alone_set_the_clock(sales):
    """Something is shown rather than nothing."""
    assert "e" == live_sales.newest_sale(sales, NOON - timedelta(days=1))["sale_id"]


@pytest.mark.parametrize("known", [NOON, NOON + timedelta(minutes=61), NOON + timedelta(days=3)])
def test_what_is_known_of_the_clock_changes_no_answer(sales, known):
    """Also when the sale that was the newest has been deleted."""
    assert "e" == live_sales.newest_sale(sales, NOON + timedelta(days=400), known)["sale_id"]


def test_no_sale_no_clock(database):
    """An empty collection is an answer, not an error."""
    assert live_sales.newest_sale(database, NOON) is None


def test_both_ends_of_a_window_belong_to_it(sales):
    """A sale of the very last moment is shown at once."""
    window = Window(NOON, NOON + timedelta(minutes=59))
    assert ["d", "b", "c", "a"] == sorted(
        ids(live_sales.newest_sales(sales, Filters(), window, 10)), key="dbca".index
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), {"a", "b", "c", "d", "e"}),
        (Filters(stores=("1",)), {"a", "b"}),
        (Filters(stores=("2", None)), {"c", "d", "e"}),
        (Filters(payments=("card",)), {"b", "c", "d"}),
        (Filters(payments=(None,)), {"e"}),
        (Filters(least=7.0), {"a", "b", "d"}),
        (Filters(most=7.0), {"c", "d"}),
        (Filters(least=0.0, most=15.0), {"a", "d"}),
        (Filters(stores=("1",), payments=("card",), least=1.0), {"b"}),
    ],
)
def test_filters_keep_what_they_say(sales, filters, expected):
    """Stores, payments and amounts, and a sale that lacks one of them."""
    assert expected == set(ids(live_sales.newest_sales(sales, filters, DAY, 10)))


def test_the_newest_sales_come_first_and_no_more_than_asked(sales):
    """The table on the page is bounded."""
    assert ["e", "d"] == ids(live_sales.newest_sales(sales, Filters(), DAY, 2))


def test_key_figures_of_two_windows(sales):
    """Returns count in the amount, a sale without a customer is no customer."""
    sales.sales.insert_many(
        [
            sale("p", -24 * 60, customer_id="x", total_amount=100.0, items_count=2),
            sale("q", -24 * 60 + 61, customer_id="z", total_amount=1.0),
        ]
    )
    now, before = live_sales.compare(sales, Filters(), HOUR, HOUR.shifted(1, MADRID))
    assert Totals(tickets=4, amount=32.5, customers=2, lines=3) == now
    assert Totals(tickets=1, amount=100.0, customers=1, lines=2) == before


def test_key_figures_of_nothing_are_zero(database):
    """There is no average ticket without a ticket."""
    totals = live_sales.compare(database, Filters(), HOUR, HOUR.shifted(1, MADRID))
    assert (Totals(), Totals()) == totals
    assert totals[0].average is None


def test_the_same_hours_are_those_of_the_wall():
    """The day after the clocks went forward is compared from midnight to the same time."""
    today = Window(
        datetime(2017, 3, 27, 0, 0, tzinfo=MADRID), datetime(2017, 3, 27, 9, 30, tzinfo=MADRID)
    )
    before = today.shifted(2, MADRID)  # the clocks went forward on the 26th
    assert datetime(2017, 3, 24, 23, 0, tzinfo=UTC) == before.start
    assert datetime(2017, 3, 25, 8, 30, tzinfo=UTC) == before.end


def test_sales_by_slot_and_store(sales):
    """Slots of a minute for an hour; a store without a name is one of its own."""
    rows = live_sales.by_slot_and_store(sales, Filters(), HOUR)
    found = {(row["slot"], row["store_id"]): (row["tickets"], row["amount"]) for row in rows}
    minute = timedelta(minutes=1)
    assert {
        (NOON, "1"): (1, 10.0),
        (NOON + minute, "1"): (1, 20.5),
        (NOON + minute, "2"): (1, -5.0),
        (NOON + 59 * minute, None): (1, 7.0),
    } == found


@pytest.mark.parametrize(("hours", "minutes"), [(1, 1), (3, 1), (24, 5), (168, 30)])
def test_slots_get_longer_with_the_window(hours, minutes):
    """So that a chart of a week has as many points as one of an hour."""
    assert minutes == live_sales.slot_minutes(Window(NOON, NOON + timedelta(hours=hours)))


def test_stores_and_payments_on_offer(sales):
    """Everything that can be filtered by, what is missing too; not how one paid long ago."""
    assert {"1", "2"} == set(live_sales.stores(sales)) - {None}
    assert {"cash", "card", None} == set(live_sales.payments(sales, NOON))
    assert set() == set(live_sales.payments(sales, NOON + timedelta(days=100)))


@pytest.mark.parametrize("items_count", [None, 0, 1, 2, 5, 300])
def test_a_sale_opens_with_all_its_lines_whatever_its_count_says(sales, items_count):
    """Lines in order, names from the catalogue, a product without a name without one."""
    sales.sales.update_one({"_id": "a"}, {"$set": {"items_count": items_count}})
    lines = [("a", 2, "p2"), ("a", 1, "p1"), ("a:1", 1, "p3"), ("b", 1, "p1")]
    sales.sales_items.insert_many(
        [
            {"_id": f"{s}:{n}", "sale_id": s, "line_n": n, "product_id": p, "net_amount": 1.0}
            for s, n, p in lines
        ]
    )
    sales.products.insert_one({"_id": "p1", "product_id": "p1", "name": "Té", "category": "Tés"})
    sales.customers.insert_one({"_id": "x", "customer_id": "x", "first_name": "Ana"})
    sales.recommendations.insert_one({"_id": "a", "sale_id": "a", "recommendations": []})
    opened = live_sales.one_sale(sales, "a")
    assert [(1, "Té", "Tés"), (2, None, None)] == [
        (line["line_n"], line["product_name"], line["category"]) for line in opened["lines"]
    ]
    assert "Ana" == opened["customer"]["first_name"]
    assert [] == opened["recommendation"]["recommendations"]


def test_a_sale_with_nothing_but_its_header_opens(sales):
    """Its lines, customer and recommendations may come later."""
    opened = live_sales.one_sale(sales, "d")
    assert (None, [], None) == (opened["customer"], opened["lines"], opened["recommendation"])


def test_an_unknown_sale_is_none(sales):
    """A link to a sale that was deleted is no error."""
    assert live_sales.one_sale(sales, "nothing") is None

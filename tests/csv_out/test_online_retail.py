"""Every cleaning rule of Online Retail, tried on a tiny dirty table."""

import polars as pl
import pytest

from csv_out import online_retail
from csv_out.tables import Prepared

GOOD = {
    "InvoiceNo": "536365",
    "StockCode": "00042A",
    "Description": "RED  MUG",
    "Quantity": "6",
    "InvoiceDate": "2010-12-01 08:26:00",
    "UnitPrice": "2.55",
    "CustomerID": "01785",
    "Country": "France",
}


def clean(*changes: dict[str, str | None]) -> Prepared:
    """The tables of a good line and of one more for each change to it."""
    rows = [GOOD, *(GOOD | change for change in changes)]
    return online_retail.load(
        pl.DataFrame(rows, schema=dict.fromkeys(online_retail.COLUMNS, pl.String))
    )


def count(tables: Prepared, rule: str) -> int:
    """What the rule dropped or put right."""
    return next(
        c.changed if c.dropped is None else c.dropped for c in tables.counts if c.rule == rule
    )


def rows(tables: Prepared, name: str) -> list[dict]:
    """The rows of a table without the fields that are absent."""
    return [
        {field: value for field, value in row.items() if value is not None}
        for row in tables.frames[name].rows(named=True)
    ]


def test_a_good_line_arrives_field_by_field() -> None:
    """One line makes a product, a customer, a sale and its line; ids stay text as written."""
    tables = clean()
    assert [
        {"product_id": "00042A", "name": "Red Mug", "unit_price": 2.55, "active": True}
    ] == rows(tables, "products")
    assert [{"customer_id": "01785", "country": "France"}] == rows(tables, "customers")
    assert [
        {
            "sale_id": "536365",
            "sale_datetime": "2010-12-01T08:26:00",
            "customer_id": "01785",
            "items_count": 1,
            "gross_amount": 15.3,
            "total_amount": 15.3,
        }
    ] == rows(tables, "sales")
    assert [
        {
            "sale_id": "536365",
            "line_n": 1,
            "product_id": "00042A",
            "quantity": "6",
            "unit_price": 2.55,
            "gross_amount": 15.3,
            "net_amount": 15.3,
        }
    ] == rows(tables, "sales_items")


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("exact duplicate", {}),
        ("exact duplicate", {"StockCode": "00042a "}),
        ("no invoice or product", {"InvoiceNo": " "}),
        ("no invoice or product", {"StockCode": None}),
        ("unreadable time", {"InvoiceDate": "yesterday"}),
        ("unreadable time", {"InvoiceDate": None}),
        ("not a product", {"StockCode": "POST"}),
        ("not a product", {"StockCode": "DOT"}),
        ("not a product", {"StockCode": "m"}),
        ("not a product", {"StockCode": "D", "InvoiceNo": "C536379", "Quantity": "-1"}),
        ("not a product", {"StockCode": "BANK CHARGES"}),
        ("not a product", {"StockCode": "AMAZONFEE", "UnitPrice": "-1"}),
        ("not a product", {"StockCode": "gift_0001_20"}),
        ("not a product", {"StockCode": "B", "InvoiceNo": "A563186", "UnitPrice": "-11062.06"}),
        ("bad quantity", {"Quantity": "six"}),
        ("bad quantity", {"Quantity": "NaN"}),
        ("bad quantity", {"Quantity": "1e400"}),
        ("bad quantity", {"Quantity": "0"}),
        ("stock correction", {"Quantity": "-3"}),
        ("stock correction", {"InvoiceNo": "C536379"}),
        ("bad price", {"UnitPrice": "0.0"}),
        ("bad price", {"UnitPrice": "-2.55"}),
        ("bad price", {"UnitPrice": "free"}),
        ("bad price", {"UnitPrice": "inf"}),
        ("bad price", {"UnitPrice": None}),
    ],
)
def test_a_bad_line_is_dropped_and_counted_once(rule: str, change: dict) -> None:
    """The rule counts the line, no other rule does, and only the good line is left."""
    tables = clean(change)
    assert 1 == count(tables, rule)
    assert 1 == sum(c.dropped or 0 for c in tables.counts)
    assert ["00042A"] == tables.frames["sales_items"]["product_id"].to_list()
    assert ["536365"] == tables.frames["sales"]["sale_id"].to_list()


def test_lines_read_less_dropped_are_lines_written() -> None:
    """A line that breaks several rules is counted by the first alone."""
    tables = clean(
        {"StockCode": "POST", "Quantity": "0", "UnitPrice": "x"}, {"Quantity": "0"}, {}, {}
    )
    dropped = sum(c.dropped or 0 for c in tables.counts)
    assert (5, 4, 1) == (tables.lines_in, dropped, tables.frames["sales_items"].height)


def test_codes_that_differ_in_case_are_one_product() -> None:
    """Codes are written in capitals; the lines that were not are counted."""
    tables = clean({"StockCode": "00042a", "Quantity": "1"})
    assert ["00042A", "00042A"] == tables.frames["sales_items"]["product_id"].to_list()
    assert 1 == count(tables, "code in another case")
    assert 1 == tables.frames["products"].height


def test_a_cancellation_is_a_sale_of_its_own_with_negative_amounts() -> None:
    """C536379 stays beside 536365: a return, counted in amounts."""
    tables = clean({"InvoiceNo": "C536379", "Quantity": "-2", "InvoiceDate": "2010-12-02 10:00:00"})
    sale = rows(tables, "sales")[1]
    line = rows(tables, "sales_items")[1]
    assert ("C536379", "01785", -5.1) == (
        sale["sale_id"],
        sale["customer_id"],
        sale["total_amount"],
    )
    assert ("-2", 2.55, -5.1) == (line["quantity"], line["unit_price"], line["net_amount"])
    assert 1 == count(tables, "cancellation")


@pytest.mark.parametrize("missing", ["", None, "nan"])
def test_a_missing_customer_stays_absent(missing: str | None) -> None:
    """The sale is kept without a customer, and no customer is made up for it."""
    tables = clean({"InvoiceNo": "536366", "CustomerID": missing})
    assert ["01785", None] == tables.frames["sales"]["customer_id"].to_list()
    assert ["01785"] == tables.frames["customers"]["customer_id"].to_list()
    assert 1 == count(tables, "no customer")


def test_a_customer_written_as_a_decimal_is_the_same_one() -> None:
    """17850.0 is 17850."""
    tables = clean(
        {"InvoiceNo": "1", "CustomerID": "17850.0"}, {"InvoiceNo": "2", "CustomerID": "17850"}
    )
    assert ["01785", "17850"] == tables.frames["customers"]["customer_id"].to_list()
    assert 1 == count(tables, "customer as a decimal")


def test_an_invoice_with_two_time_stamps_has_the_earliest() -> None:
    """The sale's time is the first of its lines, wherever that line stands."""
    tables = clean({"StockCode": "2", "InvoiceDate": "2010-12-01 08:25:00"})
    assert ["2010-12-01T08:25:00"] == tables.frames["sales"]["sale_datetime"].to_list()
    assert 1 == count(tables, "two time stamps")


def test_a_product_with_several_descriptions_has_the_commonest() -> None:
    """Two RED MUG against one DAMAGED; of two that are as common the first of the alphabet."""
    more = [
        {"InvoiceNo": "1", "Description": "DAMAGED"},
        {"InvoiceNo": "2", "Description": "RED MUG "},
        {"InvoiceNo": "3", "Description": ""},
    ]
    assert ["Red Mug"] == clean(*more).frames["products"]["name"].to_list()
    assert 1 == count(clean(*more), "several descriptions")
    assert ["Damaged"] == clean(more[0]).frames["products"]["name"].to_list()


def test_products_of_one_name_are_told_apart_by_their_codes() -> None:
    """No two products share a name."""
    tables = clean({"StockCode": "7"})
    assert ["Red Mug (00042A)", "Red Mug (7)"] == tables.frames["products"]["name"].to_list()
    assert 2 == count(tables, "shared name")


def test_a_customer_of_several_countries_has_the_commonest() -> None:
    """Unspecified is no country."""
    tables = clean(
        {"InvoiceNo": "1", "Country": "Unspecified"},
        {"InvoiceNo": "2", "Country": "Unspecified"},
        {"InvoiceNo": "3", "Country": "Spain"},
        {"InvoiceNo": "4", "Country": "Spain"},
    )
    assert ["Spain"] == tables.frames["customers"]["country"].to_list()
    assert 1 == count(tables, "several countries")


def test_amounts_round_half_cents_away_from_zero() -> None:
    """1.005 is 1.01, and -1.005 is -1.01, though neither is a binary fraction."""
    tables = clean(
        {"InvoiceNo": "2", "Quantity": "1", "UnitPrice": "1.005"},
        {"InvoiceNo": "C3", "Quantity": "-1", "UnitPrice": "1.005"},
        {"InvoiceNo": "4", "Quantity": "7", "UnitPrice": "1.6"},
    )
    amounts = tables.frames["sales_items"].select("sale_id", "net_amount").rows()
    assert {"536365": 15.3, "2": 1.01, "C3": -1.01, "4": 11.2} == dict(amounts)


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("12/31/2010 8:26", "2010-12-31T08:26:00"),
        ("31/12/2010 8:26", "2010-12-31T08:26:00"),
        ("31.12.2010 08:26", "2010-12-31T08:26:00"),
        ("2010-12-31T08:26:59", "2010-12-31T08:26:59"),
        ("2010-12-31 08:26", "2010-12-31T08:26:00"),
    ],
)
def test_times_are_read_in_the_format_of_the_file(written: str, time: str) -> None:
    """The format that reads most of the file is the file's."""
    source = pl.DataFrame(
        [GOOD | {"InvoiceDate": written}], schema=dict.fromkeys(online_retail.COLUMNS, pl.String)
    )
    assert [time] == online_retail.load(source).frames["sales"]["sale_datetime"].to_list()


def test_sales_and_lines_are_in_order_of_time() -> None:
    """Sales by time whatever the order of the file; an invoice's lines as in the file."""
    tables = clean(
        {"InvoiceNo": "1", "StockCode": "9", "InvoiceDate": "2010-11-30 10:00:00"},
        {"StockCode": "8"},
        {"InvoiceNo": "1", "StockCode": "7", "InvoiceDate": "2010-11-30 10:00:00"},
    )
    assert ["1", "536365"] == tables.frames["sales"]["sale_id"].to_list()
    assert [
        ("1", 1, "9"),
        ("1", 2, "7"),
        ("536365", 1, "00042A"),
        ("536365", 2, "8"),
    ] == tables.frames["sales_items"].select("sale_id", "line_n", "product_id").rows()

"""Rows against the contract: what is read, what is refused and why, what the message says."""

import json

import polars as pl
import pytest

from erp import contract
from erp.contract import ID_LENGTH_MAX, PRODUCTS, SALES, SALES_ITEMS
from erp.ingest import rows
from erp.ingest.csv_reader import LINE
from erp.ingest.values import DateOrder, Decimal, Forms


def check(table, given, forms=None, largest=None):
    """Check one row or several, each a dict of text."""
    given = [given] if isinstance(given, dict) else given
    names = dict.fromkeys(name for row in given for name in row)
    columns = {name: pl.Series([row.get(name) for row in given], dtype=pl.String) for name in names}
    frame = pl.DataFrame({LINE: pl.int_range(2, 2 + len(given), eager=True), **columns})
    return rows.check(table, frame, forms or Forms(), largest)


def values_of(checked):
    return [json.loads(value) for value in checked.messages["value"]]


def reasons_of(checked):
    return [fault.reason for fault in checked.faults]


def price(text, decimal=Decimal.POINT, given=False):
    """The number that a price is read as, or the reason why it is not."""
    checked = check(PRODUCTS, {"product_id": "1", "unit_price": text}, Forms(decimal, given))
    return (
        values_of(checked)[0]["unit_price"] if checked.messages.height else reasons_of(checked)[0]
    )


def sold_at(text, order=None, time_zone="UTC"):
    """The moment that a text is read as, or the reason why it is not."""
    orders = {"sale_datetime": order} if order else {}
    forms = Forms(date_orders=orders, time_zone=time_zone)
    checked = check(SALES, {"sale_id": "1", "sale_datetime": text}, forms)
    if checked.messages.height:
        return values_of(checked)[0]["sale_datetime"]
    return reasons_of(checked)[0]


def test_a_whole_row_becomes_the_record_of_the_contract():
    """Every column in its type; ids stay text; the message decodes as the contract's record."""
    given = {
        "sale_id": "00042",
        "sale_datetime": "2024-02-29T10:30:00+02:00",
        "customer_id": "7",
        "payment_type": "card",
        "store_id": "012",
        "items_count": "3",
        "gross_amount": "10.50",
        "discount_header": "0",
        "tax": "",
        "total_amount": "-1e1",
    }
    checked = check(SALES, given | {"tax": None})
    expected = given | {
        "sale_datetime": "2024-02-29T08:30:00Z",
        "items_count": 3,
        "gross_amount": 10.5,
        "discount_header": 0.0,
        "tax": None,
        "total_amount": -10.0,
    }
    assert [expected] == values_of(checked)
    assert ["00042"] == checked.messages["key"].to_list()
    record = contract.msgspec.json.decode(checked.messages["value"][0], type=SALES.record)
    assert "012" == record.store_id


def test_columns_that_a_file_lacks_are_null():
    """What is not there is absent, never 0."""
    (value,) = values_of(check(PRODUCTS, {"product_id": "1"}))
    assert {None} == {value[name] for name in PRODUCTS.columns[1:]}


BLANKS = [None, " ", "    ", "\t ", "\u00a0", "\u2028"]  # of Unicode's the last breaks no line


@pytest.mark.parametrize("blank", BLANKS)
def test_required_values_must_be_there(blank):
    """An empty or blank key refuses the row and names its column."""
    checked = check(SALES_ITEMS, {"sale_id": "1", "line_n": "1", "product_id": blank})
    assert [(2, "product_id", "missing_value")] == [
        (fault.line, fault.column, fault.reason) for fault in checked.faults
    ]


@pytest.mark.parametrize("blank", BLANKS)
def test_a_required_number_or_time_must_be_there(blank):
    """Whatever the blank, of which Unicode has many."""
    line = {"sale_id": "1", "line_n": blank, "product_id": "1"}
    assert ["missing_value"] == reasons_of(check(SALES_ITEMS, line))
    assert ["missing_value"] == reasons_of(check(SALES, {"sale_id": "1", "sale_datetime": blank}))


@pytest.mark.parametrize("blank", BLANKS)
def test_what_is_blank_is_absent(blank):
    """A column of a fixed width has blanks for a sale without a customer: no customer, not one."""
    sales = [
        {"sale_id": "1", "sale_datetime": "2024-02-29", "customer_id": c} for c in (blank, "a b ")
    ]
    checked = check(SALES, sales)
    assert [None, "a b "] == [value["customer_id"] for value in values_of(checked)]
    assert [] == checked.faults


def test_a_bad_row_leaves_its_neighbours_alone():
    """Only the row at fault is missing, and its fault has line, column and value."""
    given = [{"product_id": f"{n}", "unit_price": "x" if n == 1 else f"{n}"} for n in range(3)]
    checked = check(PRODUCTS, given)
    assert ["0", "2"] == checked.messages["key"].to_list()
    assert [(3, "unit_price", "x", "not_a_number")] == checked.faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1.0),
        (" 1.5 ", 1.5),
        ("+.5", 0.5),
        ("-3.", -3.0),
        ("1e3", 1000.0),
        ("0.1", 0.1),
        ("1,234.56", 1234.56),
        ("1,234", "ambiguous_number"),
        ("1,234,567", 1234567.0),
        ("1.234.567", "other_decimal_mark"),
        ("0,125", "other_decimal_mark"),
        ("1,5", "other_decimal_mark"),
        ("NaN", "not_finite"),
        ("-inf", "not_finite"),
        ("Infinity", "not_finite"),
        ("1e400", "not_finite"),
        ("0x10", "not_a_number"),
        ("1_000", "not_a_number"),
        ("12 EUR", "not_a_number"),
        ("\u0661", "not_a_number"),  # an Arabic digit
    ],
)
def test_numbers_with_a_decimal_point(text, expected):
    """One reading or none: what is not certain is refused by name."""
    assert expected == price(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,5", 1.5),
        ("7", 7.0),
        ("-1.234.567,8", -1234567.8),
        ("1,234", 1.234),
        ("1,5e3", 1500.0),
        ("1.234", "ambiguous_number"),
        ("1.234.567", 1234567.0),
        ("0.125", "other_decimal_mark"),
        ("12.5", "other_decimal_mark"),
        ("1,2,3", "not_a_number"),
    ],
)
def test_numbers_with_a_decimal_comma(text, expected):
    """Where the file has decimal commas, a point is at most a mark of thousands."""
    assert expected == price(text, Decimal.COMMA)


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("12.900", Decimal.COMMA, 12900.0),
        ("12.9", Decimal.COMMA, "other_decimal_mark"),
        ("12,900", Decimal.POINT, 12900.0),
        ("12.900", Decimal.POINT, 12.9),
    ],
)
def test_where_the_decimal_mark_is_given_the_other_groups_thousands(text, decimal, expected):
    """Somebody's word leaves one reading."""
    assert expected == price(text, decimal, given=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,5", 1.5),
        ("1.5", 1.5),
        ("1.234.567", 1234567.0),
        ("1.234", "mixed_decimal_mark"),
        ("1,234", "mixed_decimal_mark"),
    ],
)
def test_numbers_of_a_file_that_mixes_both_marks(text, expected):
    """Certain ones are read, those with two readings are refused."""
    assert expected == price(text, Decimal.MIXED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("3.0", 3),
        ("3.5", "not_an_integer"),
        ("-9223372036854775808", "not_an_integer"),
        ("9007199254740993", "not_an_integer"),  # 2^53 + 1, which a JSON reader may round
        ("x", "not_a_number"),
        ("nan", "not_finite"),
    ],
)
def test_whole_numbers(text, expected):
    """A fraction of zero is a whole number, any other is refused."""
    checked = check(SALES_ITEMS, {"sale_id": "1", "line_n": text, "product_id": "1"})
    got = values_of(checked)[0]["line_n"] if checked.messages.height else reasons_of(checked)[0]
    assert expected == got


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("No", False),
        ("1", True),
        ("Sí", True),
        (None, None),
        ("x", "not_a_boolean"),
    ],
)
def test_truth_values(text, expected):
    """The usual words of English and Spanish."""
    checked = check(PRODUCTS, {"product_id": "1", "active": text})
    got = values_of(checked)[0]["active"] if checked.messages.height else reasons_of(checked)[0]
    assert expected == got


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-01T10:20:30", "2024-03-01T10:20:30Z"),
        ("2024-03-01 10:20:30", "2024-03-01T10:20:30Z"),
        ("2024-03-01T10:20", "2024-03-01T10:20:00Z"),
        ("2024-03-01", "2024-03-01T00:00:00Z"),
        ("20240301", "2024-03-01T00:00:00Z"),
        ("2024/3/1 9:05", "2024-03-01T09:05:00Z"),
        ("2024-03-01T10:20:30.5", "2024-03-01T10:20:30.500Z"),
        ("2024-03-01 10:20:30.1234567", "2024-03-01T10:20:30.123456Z"),
        ("2024-03-01T10:20:30Z", "2024-03-01T10:20:30Z"),
        ("2024-03-01T10:20:30-05:30", "2024-03-01T15:50:30Z"),
        ("2024-03-01T10:20:30 +0200", "2024-03-01T08:20:30Z"),
        ("2024-03-01T00:00:00+23:59", "2024-02-29T00:01:00Z"),
        ("2024-03-01T00:00:00-23", "2024-03-01T23:00:00Z"),
        ("2024-03-01T00:00:00+24:00", "not_a_date"),
        ("2024-03-01T00:00:00-0160", "not_a_date"),
        ("2024-03-01T00:00:00+99:99", "not_a_date"),
        ("31/12/2024 23:59", "2024-12-31T23:59:00Z"),
        ("12-31-2024", "2024-12-31T00:00:00Z"),
        ("5.5.2024", "2024-05-05T00:00:00Z"),
        ("31/12/2024 11:59 PM", "2024-12-31T23:59:00Z"),
        ("31/12/2024 6:05 p. m.", "2024-12-31T18:05:00Z"),
        ("31/12/2024 6:05:07\u202fa.\u00a0m.", "2024-12-31T06:05:07Z"),
        ("31/12/2024 12:05 a.m.", "2024-12-31T00:05:00Z"),
        ("3/4/2024", "ambiguous_date"),
        ("2024-02-30", "not_a_date"),
        ("2024-03-01T24:00:00", "not_a_date"),
        ("2024-03-01T10:20:60", "not_a_date"),
        ("1-ene-2024", "2024-01-01T00:00:00Z"),
        ("09/Sept./2024 6:05 PM", "2024-09-09T18:05:00Z"),
        ("31 DICIEMBRE 2024", "2024-12-31T00:00:00Z"),
        ("30-feb-2024", "not_a_date"),
        ("1-xyz-2024", "not_a_date"),
        ("5-martes-2024", "not_a_date"),
        ("31/12/24", "short_year"),
        ("01-MAR-24 10:20", "short_year"),
        ("24-03-01T10:20:30", "short_year"),
        ("31-12-24T10:20:30", "short_year"),
        ("+2024-03-01T10:20:30", "not_a_date"),
        ("2024-03-01T1:2:3", "not_a_date"),
        ("32/13/2024", "not_a_date"),
        ("31/12/2024 13:05 PM", "not_a_date"),
        ("yesterday", "not_a_date"),
        ("0000-01-01", "date_out_of_range"),
        ("0001-01-01T00:00:00+01:00", "date_out_of_range"),
    ],
)
def test_dates_of_the_usual_forms(text, expected):
    """ISO 8601 and what exports write instead; two readings are none."""
    assert expected == sold_at(text)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (DateOrder.DAY_FIRST, "2024-04-03T00:00:00Z"),
        (DateOrder.MONTH_FIRST, "2024-03-04T00:00:00Z"),
        (DateOrder.MIXED, "mixed_date_order"),
    ],
)
def test_the_order_of_the_column_decides(order, expected):
    """3/4/2024 is in April, in March or nowhere."""
    assert expected == sold_at("3/4/2024", order)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-01T12:00:00", "2024-07-01T10:00:00Z"),
        ("2024-01-01T12:00:00", "2024-01-01T11:00:00Z"),
        ("2024-10-27T02:30:00", "local_time_twice"),
        ("2024-03-31T02:30:00", "local_time_never"),
        ("2024-10-27T02:30:00+01:00", "2024-10-27T01:30:00Z"),
    ],
)
def test_times_without_an_offset_are_local_to_the_business(text, expected):
    """Madrid's summer and winter; the hours that its clock shows twice or never are refused."""
    assert expected == sold_at(text, time_zone="Europe/Madrid")


def test_one_slow_value_does_not_change_the_others():
    """A column with one odd date reads the ordinary ones as it would without it."""
    given = ["2024-03-01T10:20:30", "31/12/2024", "2024-03-01T10:20:31.25"]
    checked = check(SALES, [{"sale_id": "1", "sale_datetime": text} for text in given])
    assert ["2024-03-01T10:20:30Z", "2024-12-31T00:00:00Z", "2024-03-01T10:20:31.250Z"] == [
        value["sale_datetime"] for value in values_of(checked)
    ]


def test_ids_have_a_length():
    """In characters, not bytes; other text has none."""
    long = "ñ" * (ID_LENGTH_MAX + 1)
    sale = {"sale_id": "1", "sale_datetime": "2024-02-29", "customer_id": long[1:]}
    assert [] == reasons_of(check(SALES, sale | {"payment_type": long}))
    for name in ("sale_id", "customer_id", "store_id"):
        assert ["id_too_long"] == reasons_of(check(SALES, sale | {name: long}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "not_an_id") for text in ("NULL", "\\N", "nan", "N/A", "#N/D", "---", "8,41E+12")),
        *((text, "repeated_header") for text in ("product_id", " Product_ID", "\ufeffproduct_id")),
        ("\ufeff12", "invalid_characters"),
        *((text, None) for text in ("N", "nullable", "a-1", "12E", "1E5", "-1", "Nan-1", "00123")),
    ],
)
def test_what_programs_write_in_the_place_of_an_id_is_refused(text, reason):
    """All that a spreadsheet or a database knew no id of would be one product otherwise."""
    named = {"product_id": "1", "name": text, "category": text}
    assert [] == reasons_of(check(PRODUCTS, named))
    assert [reason] * bool(reason) == reasons_of(check(PRODUCTS, {"product_id": text}))


def test_a_message_over_the_limit_is_refused():
    """The limit counts key and value."""
    row = {"product_id": "1", "name": "x" * 1000}
    assert ["message_too_large"] == reasons_of(check(PRODUCTS, row, largest=1_000))
    assert [] == reasons_of(check(PRODUCTS, row, largest=2_000))


def test_text_survives_json():
    """Quotes, newlines, control characters and other scripts arrive as they were."""
    name = 'a "b"\\ \n\t\x01 ñ 漢 \u2028 🧀'
    assert name == values_of(check(PRODUCTS, {"product_id": "1", "name": name}))[0]["name"]

"""The first look at a file: forms of numbers and dates, and keys that come more than once."""

import pytest

from erp.contract import PRODUCTS, SALES, SALES_ITEMS
from erp.ingest import csv_files, csv_survey
from erp.ingest.csv_load import load
from erp.ingest.csv_survey import Survey
from erp.ingest.tickets import Selection
from erp.ingest.values import DateOrder, Decimal


@pytest.fixture
def survey(tmp_path):
    """Write a file and survey it."""

    def survey(table, text, **overruled):
        path = tmp_path / f"{table.name}.csv"
        path.write_text(text)
        file = csv_files.describe(path, table)
        *_, found = csv_survey.survey(file, "UTC", **overruled)
        return file, found

    return survey


def loaded(file, found: Survey):
    """Keys that are sent, and the faults, of a file."""
    parts = list(load(file, found, Selection(), 10_000))
    keys = [key for part in parts for key in part.messages["key"]]
    return keys, [fault for part in parts for fault in part.faults]


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (["2024-03-04", "2024-13-04"], DateOrder.UNKNOWN),
        (["3/4/2024", "4/3/2024"], DateOrder.UNKNOWN),
        (["3/4/2024", "13/4/2024"], DateOrder.DAY_FIRST),
        (["3/4/2024 10:00", "4/13/2024 10:00"], DateOrder.MONTH_FIRST),
        (["13/4/2024", "4/13/2024"], DateOrder.MIXED),
        (["13/4/2024", "99/99/9999"], DateOrder.DAY_FIRST),
        (["4/13/2024", "0/0/0000", "31/0/2024", "13/13/2024"], DateOrder.MONTH_FIRST),
        (["3/4/2024", "32/1/2024", "0/31/2024"], DateOrder.UNKNOWN),
    ],
)
def test_the_whole_column_tells_the_order_of_dates(survey, dates, expected):
    """One date that can only be read one way decides for all; two that differ for none."""
    rows = "".join(f"{n},{date}\n" for n, date in enumerate(dates))
    _, found = survey(SALES, "sale_id,sale_datetime\n" + "9,2024-01-01\n" * 30_000 + rows)
    assert expected == found.forms.date_orders["sale_datetime"]


def test_what_a_person_says_overrules_the_file(survey):
    """--date-order and --decimal win over what the file shows."""
    _, found = survey(
        SALES,
        "sale_id;sale_datetime;tax\n1;13/4/2024;1,5\n",
        decimal=Decimal.POINT,
        date_order=DateOrder.MONTH_FIRST,
    )
    assert Decimal.POINT == found.forms.decimal
    assert DateOrder.MONTH_FIRST == found.forms.date_orders["sale_datetime"]


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        (["1", "1.234"], Decimal.POINT),
        (["1.5", "2"], Decimal.POINT),
        (["1,5", "1.234"], Decimal.COMMA),
        (["1.234,5"], Decimal.COMMA),
        (["1.234.567", "1.234"], Decimal.COMMA),
        (["1,234,567", "1,234"], Decimal.POINT),
        (["1,5", "0.125"], Decimal.MIXED),
        (["0,125"], Decimal.COMMA),
        (["1234,567"], Decimal.COMMA),
        (["1,5", "1.5"], Decimal.MIXED),
        (["1,5", "1,234,567"], Decimal.MIXED),
    ],
)
def test_the_whole_file_tells_the_decimal_mark(survey, prices, expected):
    """A number that can only be read one way decides, in semicolons and in quotes."""
    rows = "".join(f"{n};{price}\n" for n, price in enumerate(prices))
    _, found = survey(PRODUCTS, "product_id;unit_price\n" + rows)
    assert expected == found.forms.decimal
    rows = "".join(f'{n},"{price}"\n' for n, price in enumerate(prices))
    _, found = survey(PRODUCTS, "product_id,unit_price\n" + rows)
    assert expected == found.forms.decimal


@pytest.mark.parametrize(
    ("prices", "given", "expected"),
    [
        (["12.900", "450"], None, True),
        (["12.900", "4.5"], None, False),
        (["12.900", "0.125"], None, False),
        (["12.900", "4,5"], None, False),  # refused
        (["12.900", "450"], Decimal.COMMA, False),
        (["450"], None, False),
    ],
)
def test_points_that_may_group_thousands_are_told(survey, caplog, prices, given, expected):
    """Prices in whole pesos, say; whose word is asked for."""
    rows = "".join(f"{n};{price}\n" for n, price in enumerate(prices))
    survey(PRODUCTS, "product_id;unit_price\n" + rows, decimal=given)
    assert expected == ("products.csv: 1.234 is read as a fraction" in caplog.text)


def test_of_rows_with_one_key_the_first_is_sent(survey):
    """However far apart the rows are; the later ones are faults with their key."""
    many = "".join(f"{n},x\n" for n in range(100_000))
    file, found = survey(PRODUCTS, "product_id,name\n" + many + "7,y\n99999,z\n7,again\n")
    keys, faults = loaded(file, found)
    assert [f"{n}" for n in range(100_000)] == keys
    assert [(100_002, "7"), (100_003, "99999"), (100_004, "7")] == [
        (fault.line, fault.value) for fault in faults
    ]
    assert {"duplicate_key"} == {fault.reason for fault in faults}


def test_a_row_that_is_refused_does_not_stand_in_the_way_of_its_key(survey):
    """Where the first row of a key is broken, the next good one is sent."""
    file, found = survey(PRODUCTS, "product_id,unit_price\n1,x\n1,5\n1,6\n")
    keys, faults = loaded(file, found)
    assert ["1"] == keys
    assert [(2, "not_a_number"), (4, "duplicate_key")] == [
        (fault.line, fault.reason) for fault in faults
    ]


def test_the_key_of_a_line_is_its_sale_and_number(survey):
    """Lines of one sale differ by number, and 1 and 11 of a sale 1 are not 11 and 1 of another."""
    file, found = survey(SALES_ITEMS, "sale_id,line_n,product_id\n1,11,p\n11,1,p\n1,1,p\n1,11,q\n")
    keys, faults = loaded(file, found)
    assert ["1", "11", "1"] == keys
    assert [(5, "sale_id,line_n", "1,11", "duplicate_key")] == faults

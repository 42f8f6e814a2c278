"""One run of the processor: its figures, their form and their stamp."""

import re
from datetime import UTC, datetime

import msgspec
import pytest

from erp import contract
from erp.processor import aggregates
from erp.processor.snapshots import read, read_facts, read_stamp
from tests.processor_runs import MADRID, SCRIPT, by_id, compute, known_shop, put_sale
from tests.processor_shop import RandomShop, Shop, count


@pytest.fixture
def shop(database):
    """Two stores, three sales on two days, with the figures that the tests have by hand."""
    return known_shop(database)


@pytest.mark.usefixtures("shop")
def test_days_of_a_shop_with_known_answers(database, run_script):
    """A day is the business zone's; returns lower it; absent amounts come from the others."""
    compute(run_script)

    days = by_id(database, contract.DAILY_SALES)

    assert {"2024-03-01", "2024-03-02"} == days.keys()
    friday, saturday = days["2024-03-01"], days["2024-03-02"]
    assert (1, 2, 3.0, 4.1, 0.5, 3.6, 0.4) == tuple(
        friday[f] for f in ("tickets", "lines", "units", "gross", "discount", "net", "tax")
    )
    assert (4, 23) == (friday["weekday"], friday["by_hour"][0]["key"])
    # the return -1.5, the unknown product 9.0, and the header without lines 20.0 less 5.0
    assert (2, 2, 2.0, 27.5, 5.0, 5.0, 22.5, 11.25) == tuple(
        saturday[f]
        for f in (
            "tickets", "lines", "units", "gross", "discount", "header_discount", "net",
            "average_ticket",
        )
    )  # fmt: skip
    assert (1, 1, 1, 1, 1.0, 1.5) == tuple(
        saturday[f]
        for f in (
            "customers", "anonymous_tickets", "tickets_without_lines", "return_lines",
            "returned_units", "returned",
        )
    )  # fmt: skip
    assert [0, 0, 1, 1] == saturday["ticket_histogram"][:4]
    assert 2 == sum(saturday["ticket_histogram"])


@pytest.mark.usefixtures("shop")
def test_entities_of_a_shop_with_known_answers(database, run_script):
    """Stores, products, customers and categories of the same shop have the figures by hand."""
    compute(run_script)

    stores = by_id(database, contract.STORES)
    products = by_id(database, contract.TOP_PRODUCTS)
    customers = by_id(database, contract.CUSTOMER_ANALYSIS)
    categories = by_id(database, contract.CATEGORIES)

    assert (1, 22.5, 0.862069) == tuple(stores["south"][f] for f in ("rank", "net", "share"))
    assert (1.0, 0.5) == tuple(products["bread"][f] for f in ("revenue", "margin"))
    assert (1, 9.0, None, "") == tuple(
        products["nobody knows"][f] for f in ("rank", "revenue", "name", "category")
    )
    assert ["ana"] == list(customers)
    assert (2, 11.1, 0, "2024-03-01", "2024-03-02", "Bakery") == tuple(
        customers["ana"][f]
        for f in (
            "frequency", "monetary", "recency", "first_purchase", "last_purchase",
            "favourite_category",
        )
    )  # fmt: skip
    assert {"": 9.0, "Bakery": 1.0, "Dairy": 1.1} == {k: c["net"] for k, c in categories.items()}


@pytest.mark.usefixtures("shop")
def test_documents_have_the_fields_that_are_written_down(database, run_script):
    """Those of erp.processor.aggregates, each in its type, and no others."""
    compute(run_script)

    for name, described in {
        contract.DAILY_SALES: aggregates.DailySales,
        contract.STORES: aggregates.Store,
        contract.TOP_PRODUCTS: aggregates.TopProduct,
        contract.CUSTOMER_ANALYSIS: aggregates.CustomerRow,
        contract.CATEGORIES: aggregates.Category,
    }.items():
        documents = read(database, name)
        found = msgspec.convert(documents, list[described], strict=True)
        assert documents == msgspec.to_builtins(found)


@pytest.mark.usefixtures("shop")
def test_stamp_says_up_to_where(database, run_script):
    """The stamp has the newest sale, the days, the counts, and the lines without a sale apart."""
    before = datetime.now(UTC).replace(microsecond=0)

    compute(run_script)

    stamp = read_stamp(database)
    assert ("3", "2024-03-01", "2024-03-02") == (stamp.up_to_sale, stamp.first_day, stamp.last_day)
    assert (3, 4, 1) == (stamp.sales, stamp.lines, stamp.orphan_lines)
    assert before <= stamp.computed_at <= datetime.now(UTC)


@pytest.mark.usefixtures("shop")
def test_facts_answer_for_the_page(database, run_script):
    """The facts of a range hold its tickets and lines, in cents, with the ids a page filters by."""
    compute(run_script)

    sales, lines = read_facts(database, "2024-03-02", "2024-03-02")

    assert [("2", 750), ("3", 1500)] == sales.select("sale_id", "net").rows()
    assert [("bread", "Bakery", -150), ("nobody knows", "", 900)] == sorted(
        lines.select("product_id", "category", "net").cast({"product_id": str}).rows()
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_every_figure_equals_a_second_count(seed, database, run_script, tmp_path):
    """A random shop's figures equal those that pandas and Decimal count from its CSV files."""
    shop = RandomShop(database, seed)
    shop.open()
    shop.write_csv(tmp_path / "csv")

    compute(run_script)

    for collection, expected in count(tmp_path / "csv", MADRID).items():
        found = by_id(database, collection)
        assert expected.keys() == found.keys(), collection
        for key, row in expected.items():
            assert row == {field: found[key][field] for field in row}, (collection, key)


def test_first_run_on_an_empty_database_and_the_next(database, run_script):
    """Nothing sold gives empty collections and a stamp; the next run has what was sold since."""
    compute(run_script)
    assert (0, None) == (read_stamp(database).sales, read_stamp(database).last_day)

    shop = Shop(database)
    put_sale(shop, "1", 10, total_amount=5.0)
    compute(run_script)

    assert (1, 5.0) == (read_stamp(database).sales, read(database, contract.STORES)[0]["net"])


def test_no_database_is_one_line(run_script):
    """Without MongoDB it ends with exit 1 and says what to do."""
    done = run_script(
        SCRIPT, "--once", MONGO_URI="mongodb://127.0.0.1:9", STARTUP_TIMEOUT_SECONDS=0
    )

    assert 1 == done.returncode
    assert re.search(r"^error: MongoDB does not answer at 127.0.0.1:9", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


def test_a_mode_is_required(run_script):
    """Neither --once nor --watch is a usage error."""
    assert 2 == run_script(SCRIPT).returncode

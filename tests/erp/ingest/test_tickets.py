"""Choosing sales with their lines, and putting them in the order of their time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from erp.contract import PRODUCTS, SALES, SALES_ITEMS
from erp.ingest.tickets import Selection, TicketBook

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def sales(*minutes):
    """Sales named by their minutes after noon, to the whole minute."""
    moments = [NOON + timedelta(minutes=int(minute)) for minute in minutes]
    return pl.DataFrame({"sale_id": [f"{minute}" for minute in minutes], "sale_datetime": moments})


def lines(*pairs):
    """Lines as (sale_id, line_n)."""
    return pl.DataFrame(list(pairs), schema=["sale_id", "line_n"], orient="row")


def messages(rows, key="sale_id"):
    values = ["/".join(map(str, row)) for row in rows.iter_rows()]
    return pl.DataFrame({"key": rows[key], "value": values})


def test_without_a_wish_everything_is_wanted():
    """No mask at all, so that nothing is spent on it."""
    selection = Selection()
    assert selection.everything
    assert selection.choose(SALES, sales(1)) is None


def test_sales_from_since_until_before_until_and_their_lines():
    """The first moment is in, the last is out; lines follow their sale."""
    selection = Selection(NOON + timedelta(minutes=1), NOON + timedelta(minutes=3))
    assert [False, True, True] == selection.choose(SALES, sales(0, 1, 2)).to_list()
    assert [False] == selection.choose(SALES, sales(3)).to_list()
    wanted = selection.choose(SALES_ITEMS, lines(("3", 1), ("2", 1), ("1", 9), ("x", 1)))
    assert [False, True, True, False] == wanted.to_list()


def test_the_times_may_be_of_any_zone():
    """Rows are in UTC; --since and --until without an offset are in the shop's own time."""
    zone = ZoneInfo("America/New_York")
    selection = Selection(NOON.astimezone(zone), (NOON + timedelta(minutes=2)).astimezone(zone))
    assert [False, True, True, False] == selection.choose(SALES, sales(-1, 0, 1, 2)).to_list()


def test_the_catalogue_is_whole_whatever_the_selection():
    """Products and customers know no time."""
    assert Selection(since=NOON).choose(PRODUCTS, sales(1)) is None


def test_the_limit_counts_over_blocks():
    """The first N sales that the times allow, over all blocks and files."""
    selection = Selection(since=NOON, limit=3)
    assert [False, True, True] == selection.choose(SALES, sales(-1, 5, 4)).to_list()
    assert [True, False] == selection.choose(SALES, sales(1, 2)).to_list()
    assert [False] == selection.choose(SALES, sales(3)).to_list()


def test_a_selection_without_sales_has_no_lines():
    """Lines of a selection that chose nothing are not wanted."""
    assert [False] == Selection(since=NOON).choose(SALES_ITEMS, lines(("1", 1))).to_list()


@pytest.fixture
def book(tmp_path):
    """Filled from two files of each table; the second has the sale 30 and one of its lines anew."""
    book = TicketBook(tmp_path / "tickets")
    for rows in (sales(30, 10.2), sales(20, 10.1, 30)):
        book.add_sales(rows, messages(rows))
    for file, rows in enumerate(
        (lines(("10.2", 2), ("30", 1), ("30", 2)), lines(("10.2", 1), ("none", 1), ("30", 2)))
    ):
        book.add_lines(rows, messages(rows.with_columns(file=file)))
    book.close_input()
    yield book
    book.close()


def test_tickets_come_by_time_with_their_lines_by_number(book):
    """Whatever the order of the files; sales of one moment stay in the order of the files."""
    tickets = list(book.tickets())
    assert ["10.2", "10.1", "20", "30"] == [ticket.sale_id for ticket in tickets]
    assert [["10.2/1/1", "10.2/2/0"], [], []] == [ticket.lines for ticket in tickets[:3]]
    assert NOON + timedelta(minutes=10) == tickets[0].moment


def test_what_stands_in_two_files_comes_once_as_the_last_one_has_it(book):
    """Exports that overlap are one sale and one of each of its lines."""
    (last,) = book.tickets(skip=3)
    assert ("30", ["30/1/0", "30/2/1"]) == (last.sale_id, last.lines)


def test_tickets_can_go_on_after_some_and_end_at_a_limit(book):
    """`skip` and `limit` count from the first sale."""
    assert ["10.1", "20"] == [ticket.sale_id for ticket in book.tickets(skip=1, limit=3)]
    assert [] == list(book.tickets(skip=3, limit=2))
    assert 4 == len(book)


def test_the_last_moment_of_the_calendar_is_told_to_the_microsecond(tmp_path):
    """As exports write 'never': 9999-12-31 23:59:59.9999999."""
    never = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    rows = pl.DataFrame({"sale_id": ["1"], "sale_datetime": [never]})
    book = TicketBook(tmp_path / "tickets")
    book.add_sales(rows, messages(rows))
    book.close_input()
    assert [never] == [ticket.moment for ticket in book.tickets()]
    book.close()

"""Collecting the lines of sales that wait: when a sale can be answered, and from what."""

import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from pymongo.errors import AutoReconnect

from erp.contract import SALES_ITEMS, Sale, SaleItem, document
from erp.service import baskets
from erp.service.baskets import AGENDA_SLACK, Basket, Line, WaitingSales
from tests.waiting import PATIENCE, until

DAY = datetime(2024, 5, 1, tzinfo=UTC)


def sale(sale_id="s", items_count=None):
    """A sale's header."""
    return Sale(sale_id, DAY, items_count=items_count)


def lines(*numbers):
    """Lines as a look finds them."""
    return {number: Line(f"p{number}", 1.0, 2.0) for number in numbers}


def learn(basket, found, now=0.0, quiet=1.0):
    """One look at a basket that finds these line numbers among those it asks for."""
    asked = basket.wanted()
    return basket.learn(asked, lines(*(n for n in found if n in asked)), now, quiet)


def waiting(database, deadline=60.0, quiet=60.0, pauses=(0.0, 0.0)):
    """Waiting sales over the test's own lines; by default every one is always due."""
    return WaitingSales(database[SALES_ITEMS.name], deadline, quiet, pauses)


def store(database, sale_id, numbers):
    """Store lines of a sale, as the sink does."""
    items = [SaleItem(sale_id, number, f"p{number}", 1.0) for number in numbers]
    database[SALES_ITEMS.name].insert_many([document(SALES_ITEMS, item) for item in items])


def answered(sales):
    """Look until something can be answered; sale id to sorted line numbers and completeness."""
    found = until(lambda: sales.collect(1000), pause=0.001)
    sales.remove(found)
    return {b.sale.sale_id: (sorted(b.lines), b.complete) for b in found}


def test_complete_at_once_when_every_line_is_there():
    """A look that finds as many lines as the header says, and no further one, is enough."""
    basket = Basket(sale(items_count=3), 0)
    assert [1, 2, 3, 4] == basket.wanted()
    assert "answer" == learn(basket, [1, 2, 3])
    assert basket.complete


def test_missing_lines_only_are_asked_again():
    """After a look that found some lines only the others are asked for."""
    basket = Basket(sale(items_count=4), 0, deadline=9)
    assert "wait" == learn(basket, [1, 3])
    assert [2, 4, 5] == basket.wanted()


def test_a_few_lines_scout_while_none_comes():
    """Between thorough looks only the first missing lines and the last one are asked for."""
    basket = Basket(sale(items_count=100), 0, deadline=9)
    learn(basket, [])
    basket.thorough = False
    assert [1, 2, 100] == basket.wanted()
    assert "again" == learn(basket, range(1, 101))


def test_count_too_small_is_found_out():
    """More lines than the header says are all found, by following their numbers upwards."""
    basket = Basket(sale(items_count=2), 0, deadline=9)
    assert "again" == learn(basket, range(1, 41))
    while (verdict := learn(basket, range(1, 41))) == "again":
        pass
    assert "wait" == verdict
    assert "answer" == learn(basket, range(1, 41), now=1.0)
    assert (40, True) == (len(basket.lines), basket.complete)


@pytest.mark.parametrize("count", [None, 0, -3])
def test_unknown_count_is_complete_after_a_quiet_while(count):
    """Without a usable count a sale is complete once nothing new came for the quiet time."""
    basket = Basket(sale(items_count=count), 0, deadline=9)
    assert "wait" == learn(basket, [1, 2, 3])
    assert "wait" == learn(basket, [1, 2, 3], now=0.9)
    assert "answer" == learn(basket, [1, 2, 3], now=1.0)
    assert basket.complete


def test_gap_in_unknown_count_waits_for_the_deadline():
    """A line number that is missing in the middle is not taken for completeness."""
    basket = Basket(sale(), 0, deadline=9)
    assert "wait" == learn(basket, [1, 2, 4], now=0)
    assert "wait" == learn(basket, [1, 2, 4], now=8)
    assert "answer" == learn(basket, [1, 2, 4], now=9)
    assert not basket.complete


def test_count_too_large_is_answered_at_the_deadline():
    """Lines that never come hold a sale until its deadline, whatever number is claimed."""
    basket = Basket(sale(items_count=10**30), 0, deadline=9)
    assert 501 == len(basket.wanted())
    assert "wait" == learn(basket, [1, 2])
    assert "answer" == learn(basket, [1, 2], now=9)
    assert ([1, 2], False) == (sorted(basket.lines), basket.complete)


def test_answered_sale_is_improved_once_late_lines_settle():
    """An answered sale is answered again when more lines came and a quiet time passed."""
    basket = Basket(sale(items_count=5), 0, lines=lines(1), answered=1, deadline=99)
    assert "wait" == learn(basket, [])
    assert "wait" == learn(basket, [2, 3], now=10)
    assert "answer" == learn(basket, [], now=11)
    assert basket.improved
    assert not basket.complete


def test_sale_that_seemed_complete_asks_for_the_line_behind_the_last_only():
    """Of a sale answered from all its lines one further line is asked for; if it exists, all."""
    basket = Basket(sale(items_count=2), 0, answered=2, was_complete=True, deadline=99)
    assert [3] == basket.wanted()
    assert "wait" == learn(basket, [1, 2])
    assert not basket.improved
    while (verdict := learn(basket, range(1, 5), now=10)) == "again":
        pass
    assert ("wait", [1, 2, 3, 4]) == (verdict, sorted(basket.lines))
    assert "answer" == learn(basket, range(1, 5), now=11)
    assert (True, True) == (basket.improved, basket.complete)


def test_sale_that_seemed_complete_and_was_is_not_improved():
    """When no further line came until the end, the answer stands."""
    basket = Basket(sale(items_count=2), 0, answered=2, was_complete=True, deadline=9)
    assert "answer" == learn(basket, [1, 2], now=9)
    assert not basket.improved


def test_sales_that_were_let_go_are_not_kept_for_their_next_look(database):
    """However many sales come and go, what is planned for them is struck out."""
    sales = waiting(database, pauses=(60.0, 60.0))
    for number in range(5_000):
        basket = Basket(sale(f"s{number}"), 0)
        sales.add(basket)
        sales.remove([basket])
    assert len(sales._agenda) <= AGENDA_SLACK + 1


def test_sale_that_is_complete_does_not_wait_for_others(database):
    """One look returns the sales that are complete; the others stay."""
    sales = waiting(database)
    store(database, "whole", [1, 2])
    store(database, "part", [1])
    for sale_id in ("part", "whole", "none"):
        sales.add(Basket(sale(sale_id, 2), 0))
    assert {"whole": ([1, 2], True)} == answered(sales)
    assert 2 == len(sales)
    store(database, "part", [2])
    assert {"part": ([1, 2], True)} == answered(sales)


def test_many_sales_and_a_thousand_lines(database):
    """Lines are found of more sales and more lines than one query asks for."""
    sales = waiting(database)
    store(database, "big", range(1, 1001))
    sales.add(Basket(sale("big", 1000), 0))
    for number in range(60):
        store(database, f"small:{number}", range(1, 6))
        sales.add(Basket(sale(f"small:{number}", 5), 0))
    seen = {}
    while len(seen) < 61:
        seen |= answered(sales)
    assert (list(range(1, 1001)), True) == seen.pop("big")
    assert {f"small:{number}": ([1, 2, 3, 4, 5], True) for number in range(60)} == seen


def test_unknown_sale_is_answered_without_lines(database):
    """A sale of which no line ever comes is answered at its deadline, from nothing."""
    sales = waiting(database, deadline=0.05)
    sales.add(Basket(sale("empty", 2), 0))
    assert {"empty": ([], False)} == answered(sales)


@pytest.fixture
def clock(monkeypatch):
    """A clock that shows what the test sets."""
    shown = SimpleNamespace(now=0.0)
    monkeypatch.setattr(baskets, "time", SimpleNamespace(monotonic=lambda: shown.now))
    return shown


def looks(sales, clock, end):
    """When sales were looked at."""
    moments = []
    while (moment := sales.next_look()) is not None and moment < end:
        clock.now = moment
        moments.append(moment)
        assert [] == sales.collect(1000)
    return moments


def test_looks_at_a_sale_without_lines_become_rarer(database, clock):
    """Each pause is half as long again as the one before, up to the longest; the deadline ends."""
    sales = waiting(database, deadline=20, pauses=(1.0, 4.0))
    sales.add(Basket(sale(items_count=2), 0))
    assert [0, 1, 2.5, 4.75, 8.125, 12.125, 16.125] == looks(sales, clock, 20)
    assert 20 == sales.next_look()


def test_line_that_comes_is_followed_by_quick_looks(database, clock):
    """News is looked into at once, and the pauses begin anew."""
    sales = waiting(database, deadline=100, pauses=(1.0, 4.0))
    sales.add(Basket(sale(items_count=100), 0))
    looks(sales, clock, 12)
    store(database, "s", [1])
    assert [12.125, 12.125, 13.125, 14.625] == looks(sales, clock, 16)


def test_crowd_of_sales_is_looked_at_more_slowly(database, clock, monkeypatch):
    """However many wait, no more than so many looks are planned in a second."""
    monkeypatch.setattr(baskets, "LOOKS_PER_SECOND", 10)
    sales = waiting(database, deadline=1_000, pauses=(0.01, 0.01))
    for number in range(50):
        sales.add(Basket(sale(f"s{number}", 1), 0))
    assert [0, 5, 10, 15] == looks(sales, clock, 19)


def test_newer_header_takes_the_place(database):
    """A header that comes again while the sale waits replaces it; the older is not needed."""
    sales = waiting(database)
    store(database, "s", [1, 2])
    assert [] == sales.add(Basket(sale(items_count=9), 0, ["first"]))
    assert ["first"] == sales.add(Basket(sale(items_count=2), 0, ["second"]))
    (basket,) = sales.collect(10)
    assert (["second"], 2) == (basket.sources, basket.sale.items_count)


def test_newer_header_does_not_move_the_deadline(database):
    """However often a header is sent again, the sale is answered when the first one was due."""
    sales = waiting(database, deadline=0.5)
    store(database, "s", [1])
    end = time.monotonic() + PATIENCE
    while not (found := sales.collect(10)) and time.monotonic() < end:
        sales.add(Basket(sale(items_count=9), 0))
        time.sleep(0.1)
    assert [([1], False)] == [(sorted(basket.lines), basket.complete) for basket in found]


def test_nothing_is_due_after_removal(database):
    """A sale that was let go is not looked up again."""
    sales = waiting(database)
    basket = Basket(sale(items_count=2), 0)
    sales.add(basket)
    sales.remove([basket])
    assert sales.next_look() is None
    assert [] == sales.collect(10, everyone=True)


def test_full_line_is_kept(database):
    """Of a line its product, quantity and amount are kept; what is absent is None."""
    items = database[SALES_ITEMS.name]
    items.insert_one(document(SALES_ITEMS, SaleItem("s", 1, "a", -2.0, net_amount=-3.5)))
    items.insert_one(document(SALES_ITEMS, SaleItem("s", 2, "b")))
    sales = waiting(database)
    sales.add(Basket(sale(items_count=2), 0))
    (basket,) = sales.collect(10)
    assert {1: Line("a", -2.0, -3.5), 2: Line("b", None, None)} == basket.lines


def test_a_line_without_a_product_is_no_line(database):
    """Another program may have stored it; its sale is answered from the others at the deadline."""
    store(database, "s", [1])
    database[SALES_ITEMS.name].insert_one({"_id": "s:2", "sale_id": "s", "line_n": 2})
    sales = waiting(database, deadline=0.1)
    sales.add(Basket(sale(items_count=2), 0))
    assert {"s": ([1], False)} == answered(sales)


def test_look_ahead_is_ended_by_the_next_collect(database):
    """What was asked ahead is answered without another question, but for what was let go."""
    store(database, "whole", [1, 2])
    store(database, "gone", [1])
    store(database, "newer", [1])
    sales = waiting(database)
    for sale_id, count in (("whole", 2), ("gone", 1), ("newer", 1)):
        sales.add(Basket(sale(sale_id, count), 0))
    sales.look_ahead(1000)
    sales.discard("gone")
    again = Basket(sale("newer", 1), 0)
    sales.add(again)
    assert sales.next_look() <= time.monotonic()
    assert ["whole"] == [basket.sale.sale_id for basket in sales.collect(1000)]
    assert [again] == sales.collect(1000)


def test_look_ahead_that_fails_is_due_again(database, monkeypatch):
    """An outage during the look is raised by the collect that ends it, and nothing is lost."""
    store(database, "s", [1])
    sales = waiting(database)
    sales.add(Basket(sale("s", 1), 0))
    with monkeypatch.context() as broken:

        def away(*_):
            raise AutoReconnect("away")

        broken.setattr(sales, "_find", away)
        sales.look_ahead(1000)
        with pytest.raises(AutoReconnect):
            sales.collect(1000)
    assert ["s"] == [basket.sale.sale_id for basket in sales.collect(1000)]


def test_an_outage_that_two_tell_of_moves_a_deadline_once(database):
    """Who reads lines and who stores answers wait for the same database."""
    sales = waiting(database)
    basket = Basket(sale(), 0)
    sales.add(basket)
    now = basket.deadline
    for since, end in ((now, now + 5), (now + 1, now + 6), (now + 2, now + 3), (now + 6, now + 6)):
        sales.extend(since, end)
    assert pytest.approx(now + 6) == basket.deadline


def test_a_line_that_another_writer_left_is_the_same_when_it_is_read_again(database):
    """It may have NaN, which equals nothing, or a list, which cannot be hashed."""
    fields = {"sale_id": "s", "line_n": 1, "product_id": "p1", "quantity": float("nan")}
    database[SALES_ITEMS.name].insert_one({"_id": "s:1", **fields, "net_amount": [1]})
    seen = set()
    for _ in range(2):
        sales = waiting(database, quiet=0.0)
        sales.add(Basket(sale(items_count=1), 0))
        [found] = until(lambda sales=sales: sales.collect(10), pause=0.001)
        seen.add(found.fingerprint)
    assert 1 == len(seen)

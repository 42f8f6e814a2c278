"""Sales that were answered, and what is known of them after a restart."""

from datetime import UTC, datetime, timedelta

import pytest
from pymongo.errors import PyMongoError

from erp.contract import RECOMMENDATIONS, SALES, Sale, document
from erp.service import late_lines
from erp.service.baskets import Basket, Line
from erp.service.late_lines import Followed, Recall, answered, not_answered_better

DAY = datetime(2024, 5, 1, tzinfo=UTC)


def basket(sale_id, lines, items_count=None, complete=False):
    """A sale of which so many lines were found."""
    found = {number: Line(f"p{number}", 1.0) for number in range(1, lines + 1)}
    made = Basket(Sale(sale_id, DAY, items_count=items_count), 0, lines=found)
    made.complete = complete
    return made


def answer(database, sale_id, lines, complete, seconds_ago=1, **header):
    """Store the answer to a sale from so many lines."""
    database[RECOMMENDATIONS].replace_one(
        {"_id": sale_id},
        {
            "customer_id": None,
            "store_id": None,
            "payment_type": None,
            "timestamp": DAY,
            "complete": complete,
            "created_at": datetime.now(UTC) - timedelta(seconds=seconds_ago),
            "latency_ms": 5.0,
            "basket_products": [{"product_id": f"p{n}"} for n in range(lines)],
        }
        | header,
        upsert=True,
    )


@pytest.fixture
def header(database):
    """Store the header of a sale."""

    def store(sale_id, items_count=None):
        database[SALES.name].insert_one(
            document(SALES, Sale(sale_id, DAY, items_count=items_count))
        )

    return store


def test_incomplete_sale_is_followed_with_the_lines_it_has(database):
    """Only what is missing is looked up again."""
    followed = Followed(database.sales_items, 60)
    followed.add(basket("s", 2, items_count=4))
    (known,) = followed.incomplete
    assert ([1, 2], 2, False) == (sorted(known.lines), known.answered, known.was_complete)
    assert [3, 4, 5] == known.wanted()


def test_complete_sale_is_followed_by_its_number_of_lines(database):
    """Its lines are let go; whether there is one more is all that is asked."""
    followed = Followed(database.sales_items, 60)
    followed.add(basket("s", 2, items_count=2, complete=True))
    (known,) = followed.complete
    assert ({}, [3]) == (known.lines, known.wanted())


def test_nothing_is_followed_when_late_lines_are_not_wanted(database):
    """With LATE_LINES_SECONDS of zero the first answer is the last."""
    followed = Followed(database.sales_items, 0)
    followed.add(basket("s", 2))
    followed.add(basket("s", 2), replaced=True)
    assert [0, 0, 0] == [len(kind) for kind in followed.kinds]


def test_oldest_is_given_up_when_too_many_are_followed(database, monkeypatch):
    """What is followed is bounded, each kind for itself."""
    monkeypatch.setattr(late_lines, "FOLLOWED_MAX", 3)
    followed = Followed(database.sales_items, 60)
    for number in range(5):
        followed.add(basket(f"part{number}", 1))
        followed.add(basket(f"whole{number}", 1, complete=True))
        followed.add(basket(f"again{number}", 1, complete=True), replaced=True)
    assert ["part2", "part3", "part4"] == [each.sale.sale_id for each in followed.incomplete]
    assert ["whole2", "whole3", "whole4"] == [each.sale.sale_id for each in followed.complete]
    assert ["again2", "again3", "again4"] == [each.sale.sale_id for each in followed.corrected]


def test_room_after_too_many_incomplete_sales_is_told_once(database, monkeypatch):
    """After an outage of the sinks all of them are recalled, as many at a time as are followed."""
    monkeypatch.setattr(late_lines, "FOLLOWED_MAX", 4)
    followed = Followed(database.sales_items, 60)
    for number in range(3):
        followed.add(basket(f"part{number}", 1))
        followed.add(basket(f"whole{number}", 1, complete=True))
    assert not followed.has_room_again()
    for number in range(6):
        followed.add(basket(f"part{number}", 1))
    for number in range(2, 4):
        assert not followed.has_room_again()
        followed.discard(f"part{number}")
    assert [True, False] == [followed.has_room_again() for _ in range(2)]


def test_sale_is_discarded_whatever_kind_it_is(database):
    """A sale that is deleted or sent again is not followed any more."""
    followed = Followed(database.sales_items, 60)
    followed.add(basket("part", 1))
    followed.add(basket("whole", 1, complete=True))
    followed.add(basket("again", 1, complete=True), replaced=True)
    for sale_id in ("part", "whole", "again", "unknown"):
        followed.discard(sale_id)
    assert [0, 0, 0] == [len(kind) for kind in followed.kinds]


def test_answers_are_read_back_after_a_restart(database, header):
    """The newest answers of both kinds come back with their headers, older ones do not."""
    for sale_id, lines, complete, age in (
        ("part", 1, False, 1),
        ("whole", 2, True, 1),
        ("earlier part", 1, False, 100),
        ("earlier whole", 2, True, 100),
        ("old", 1, False, 1_000),
        ("headless", 1, False, 1),
    ):
        answer(database, sale_id, lines, complete, age)
        if sale_id != "headless":
            header(sale_id, items_count=2)
    found = answered(database[RECOMMENDATIONS], database[SALES.name], 600)
    known = {each.sale.sale_id: (each.answered, each.was_complete, each.wanted()) for each in found}
    assert {
        "part": (1, False, [1, 2, 3]),
        "whole": (2, True, [1, 2, 3]),  # it may have been corrected a moment ago
        "earlier part": (1, False, [1, 2, 3]),
        "earlier whole": (2, True, [3]),
    } == known


def test_answers_read_back_are_bounded(database, header, monkeypatch):
    """After a restart the newest come first, at most so many of each kind."""
    monkeypatch.setattr(late_lines, "RECALLED", 2)
    monkeypatch.setattr(late_lines, "FOLLOWED_MAX", 1)
    for number in range(4):
        for kind, complete in (("part", False), ("whole", True)):
            answer(database, f"{kind}{number}", 1, complete, seconds_ago=10 - number)
            header(f"{kind}{number}")
    found = answered(database[RECOMMENDATIONS], database[SALES.name], 60)
    assert ["part3", "whole3", "whole2"] == [each.sale.sale_id for each in found]


@pytest.mark.parametrize(
    ("stored", "found", "better"),
    [
        (None, (2, True), False),  # the sale was deleted meanwhile
        ((2, False), (2, False), False),  # another copy said as much
        ((2, False), (3, False), True),
        ((2, False), (2, True), True),  # now known to be all
        ((2, True), (2, True), False),
        ((2, True), (3, True), True),  # it was no whole basket
        ((2_000, True), (2_500, True), False),  # more than an answer shows
    ],
)
def test_only_a_better_answer_replaces_one(database, stored, found, better):
    """More lines than the answer in the collection shows, or the word that these are all."""
    if stored is not None:
        answer(database, "s", *stored)
    candidate = basket("s", found[0], complete=found[1])
    assert ([candidate] if better else []) == not_answered_better(
        database[RECOMMENDATIONS], [candidate]
    )


@pytest.mark.parametrize(
    "corrected",
    [
        {"customer_id": "c2"},
        {"store_id": "st2"},
        {"payment_type": "card"},
        {"timestamp": DAY + timedelta(seconds=1)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_answer_to_a_newer_header_is_not_replaced(database, corrected):
    """A sale that another copy has answered again, corrected, is that copy's."""
    answer(database, "s", 2, False, **corrected)
    assert [] == not_answered_better(database[RECOMMENDATIONS], [basket("s", 3)])


def test_recall_is_tried_again_until_the_database_answers(database, header, stack, monkeypatch):
    """An outage just when another copy died costs time only; what was read is not read again."""
    answer(database, "part", 1, complete=False)
    header("part")
    recall = Recall(database[RECOMMENDATIONS], database[SALES.name], 60)
    recall.read()
    assert recall.found.empty()
    recall.want()
    monkeypatch.setattr(late_lines, "READ_TIMEOUT", 0.5)
    stack.mongo.freeze()
    try:
        with pytest.raises(PyMongoError):
            recall.read()
    finally:
        stack.mongo.thaw()
    for _ in range(2):
        recall.read()
    assert ["part"] == [each.sale.sale_id for each in recall.found.get_nowait()]
    assert recall.found.empty()


@pytest.fixture
def corrected(database, monkeypatch):
    """A sale of lines 1 and 2 that was answered in the place of another; looked at without end."""
    monkeypatch.setattr(late_lines, "QUIET", 0)
    monkeypatch.setattr(late_lines, "PAUSES", (0, 0))
    database.sales_items.insert_many(stored(n) for n in (1, 2))
    followed = Followed(database.sales_items, 60)
    followed.add(basket("s", 2, items_count=2, complete=True), replaced=True)
    return followed


def stored(number, **changed):
    """A line as the sink stores it."""
    line = {"_id": f"s:{number}", "product_id": f"p{number}", "quantity": 1.0} | changed
    return line | {"sale_id": "s", "line_n": number}


def improved(followed):
    """What a look finds worth another answer, after as many as it takes to see all lines."""
    while not (seen := followed.corrected.collect(10)):
        pass
    better = [each for each in seen if each.improved]
    followed.let_go(each for each in seen if each not in better)
    return [([line.product_id for line in each.lines.values()], each.complete) for each in better]


def test_corrected_sale_is_looked_at_again_and_again_without_news(corrected):
    """As long as its lines are those it was answered from, no other answer is due."""
    for _ in range(3):
        assert [] == improved(corrected)
    assert 1 == len(corrected.corrected)


@pytest.mark.parametrize(
    "changed",
    [{"product_id": "other"}, {"quantity": 2.0}, {"net_amount": 9.5}],
    ids=lambda changed: next(iter(changed)),
)
def test_corrected_line_makes_another_answer_due(corrected, database, changed):
    """Another product, quantity or amount, though the number of lines is the same."""
    database.sales_items.replace_one({"_id": "s:2"}, stored(2, **changed))
    assert [(["p1", changed.get("product_id", "p2")], True)] == improved(corrected)


def test_line_that_was_deleted_leaves_a_corrected_sale(corrected, database):
    """Its header still counts it: the answer is incomplete, but does not show it."""
    database.sales_items.delete_one({"_id": "s:2"})
    assert [(["p1"], False)] == improved(corrected)


def test_line_that_was_added_comes_to_a_corrected_sale(corrected, database):
    """Also beyond the number that its header says."""
    database.sales_items.insert_one(stored(3))
    assert [(["p1", "p2", "p3"], True)] == improved(corrected)


def test_corrected_sale_is_recalled_only_under_another_header(corrected):
    """What the collection says of it is no news, unless another copy answered a newer header."""
    (before,) = corrected.corrected
    corrected.recall(basket("s", 0))
    assert [before] == list(corrected.corrected)
    assert 0 == len(corrected.incomplete)
    newer = Basket(Sale("s", DAY, customer_id="c2"), 0, answered=1)
    corrected.recall(newer)
    assert 0 == len(corrected.corrected)
    assert [newer] == list(corrected.incomplete)


def test_corrected_sale_is_let_go_of_at_the_end(corrected):
    """It is followed for as long as any other."""
    (followed,) = corrected.corrected
    followed.deadline = 0
    assert [] == improved(corrected)
    assert 0 == len(corrected.corrected)


def test_corrected_sale_that_another_copy_answered_is_not_answered_again(database):
    """The answer in the collection is compared line by line."""
    found = basket("s", 2, complete=True)
    found.answered_as = 0
    lines = [{"product_id": f"p{n}", "quantity": 1.0, "net_amount": None} for n in (1, 2)]
    answer(database, "s", 0, True, basket_products=lines)
    assert [] == not_answered_better(database[RECOMMENDATIONS], [found])
    lines[1]["quantity"] = 2.0
    answer(database, "s", 0, True, basket_products=lines)
    assert [found] == not_answered_better(database[RECOMMENDATIONS], [found])

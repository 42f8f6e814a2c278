"""Answers as they are published: one for each sale, and each a message that fits."""

from datetime import UTC, datetime

import msgspec

from erp.contract import Sale
from erp.recommender.catalogue import Catalogue
from erp.service.baskets import Basket, Line
from erp.service.composer import compose
from erp.service.sale_answers import BASKET_LINES_MAX, MESSAGE_BYTES_MAX, nothing_known

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def basket(sale_id="s", lines=1, customer=None):
    """A sale of so many lines."""
    sale = Sale(sale_id, NOON, customer_id=customer)
    return Basket(sale, 0, lines={n: Line(f"p{n}", 1.0) for n in range(1, lines + 1)})


def composed(baskets, score=None, catalogue=None):
    """The answers, and what was refused: sale and reason."""
    refused = []
    given = compose(
        baskets,
        score or (lambda some: nothing_known(some, catalogue or Catalogue())),
        lambda basket, kind, _: refused.append((basket.sale.sale_id, kind)),
    )
    return given, refused


def test_an_answer_too_large_for_a_message_shows_fewer_lines():
    """As many as fit; the document shows the same, and a smaller answer all of them."""
    names = [{"_id": f"p{n}", "name": "x" * 600} for n in range(1, BASKET_LINES_MAX + 1)]
    catalogue = Catalogue.from_products(names)
    (large, small), refused = composed([basket("l", 3_000), basket("s", 900)], None, catalogue)
    assert [] == refused
    assert 0.99 * MESSAGE_BYTES_MAX < len(large.message["value"]) <= MESSAGE_BYTES_MAX
    told = msgspec.json.decode(large.message["value"])["basket_products"]
    assert told == large.document["basket_products"]
    assert [f"p{n}" for n in range(1, len(told) + 1)] == [each["product_id"] for each in told]
    assert 900 == len(small.document["basket_products"])


def test_an_answer_too_large_without_a_line_is_refused():
    """A header of nearly a megabyte leaves no room; its neighbour is answered."""
    given, refused = composed([basket("s"), basket("l", customer="c" * MESSAGE_BYTES_MAX)])
    assert (["s"], [("l", "too-large")]) == ([a.basket.sale.sale_id for a in given], refused)


def test_a_sale_that_can_have_no_answer_is_refused_by_itself(caplog):
    """Neither scoring nor anything else: a dead letter; many of them are told of once."""

    def score(baskets):
        if any(each.sale.sale_id.startswith("odd") for each in baskets):
            raise LookupError
        return nothing_known(baskets, Catalogue())

    baskets = [basket(f"{kind}{n}") for n in range(3) for kind in ("odd", "s")]
    given, refused = composed(baskets, score)
    assert ["s0", "s1", "s2"] == [each.basket.sale.sale_id for each in given]
    assert [(f"odd{n}", "not-scored") for n in range(3)] == refused
    assert 1 == caplog.text.count("a sale can have no answer: LookupError")

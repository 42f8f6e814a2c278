"""Facts packed into documents and back."""

from datetime import UTC, date, datetime

import polars as pl

from erp.processor import packed
from erp.processor.facts import LINES, TICKETS


def _facts(sales, lines_each):
    tickets = pl.DataFrame(
        [
            {
                "sale": number,
                "sale_id": f"s{number}",
                "day": date(2024, 1, 1 + number % 2) if number else None,
                "minute": number,
                "time": datetime(2024, 1, 1, tzinfo=UTC),
                "store_id": "n",
                "payment_type": "",
                "customer_id": "",
                "header_discount": 0,
                "tax": number,
            }
            for number in range(sales)
        ],
        schema=TICKETS,
    )
    lines = pl.DataFrame(
        [
            {"sale": sale, "line_n": n, "product_id": f"p{n}", "category": "", "subcategory": "",
             "units": 1000, "gross": n, "discount": 0, "net": n}
            for sale in range(sales)
            for n in range(lines_each)
        ],
        schema=LINES,
    )  # fmt: skip
    return tickets, lines


def _rows(tickets, lines):
    joined = lines.join(tickets.select("sale", "sale_id"), on="sale").drop("sale")
    return set(tickets.drop("sale").rows()), set(joined.rows())


def test_round_trip_in_bounded_parts(monkeypatch):
    """A busy day is split over several documents, and what comes back is what went in."""
    monkeypatch.setattr(packed, "ROWS_A_PART", 10)
    facts = _facts(sales=12, lines_each=4)

    documents = list(packed.pack(*facts))

    first, second = ([f"2024-01-0{day}/00{part}" for part in range(3)] for day in (1, 2))
    assert [*first, *second, "orphans/000"] == [document["_id"] for document in documents]
    assert _rows(*facts) == _rows(*packed.unpack(documents))


def test_sales_without_lines_are_bounded_too(monkeypatch):
    """Headers alone fill parts as well."""
    monkeypatch.setattr(packed, "ROWS_A_PART", 5)

    documents = list(packed.pack(*_facts(sales=21, lines_each=0)))

    assert 5 == len(documents)
    assert 21 == packed.unpack_tickets(documents).height


def test_nothing():
    """No facts, no documents, and empty frames of the same columns from none."""
    tickets, lines = packed.unpack([])

    assert (TICKETS.keys(), LINES.keys()) == (tickets.schema.keys(), lines.schema.keys())
    assert [] == list(packed.pack(tickets, lines))

"""What became of recommendations, on purchases whose answer is known."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from erp.processor.acceptance import ANSWERS, OFFERS, PURCHASES, added, follow, grouped

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def answers(*rows):
    """Answers to sales at START of (customer, control)."""
    made = [
        (n, f"s{n}", customer, START, "v1", control) for n, (customer, control) in enumerate(rows)
    ]
    return pl.DataFrame(made, ANSWERS, orient="row")


def offers(*rows):
    """Offers of (answer, product, ranking, source, confidence)."""
    return pl.DataFrame(list(rows), OFFERS, orient="row")


def purchases(*rows):
    """Purchases of (sale, customer, days after START, product)."""
    made = [(sale, who, START + timedelta(days=days), what) for sale, who, days, what in rows]
    return pl.DataFrame(made, PURCHASES, orient="row")


ONE = answers(("ana", False))
TWO_OFFERS = offers((0, "a", 1, "model", 20.0), (0, "b", 2, "popular", 5.0))


def flags(found):
    """(accepted, returned, next) by product."""
    return {
        row["product_id"]: (row["accepted"], row["returned"], row["next"])
        for row in found.iter_rows(named=True)
    }


def test_the_next_sale_and_later_ones_are_told_apart():
    """`a` came with the next sale, `b` with the one after."""
    later = purchases(("n1", "ana", 2, "x"), ("n1", "ana", 2, "a"), ("n2", "ana", 9, "b"))
    expected = {"a": (True, True, True), "b": (True, True, False)}
    assert expected == flags(follow(ONE, TWO_OFFERS, later, 30))


@pytest.mark.parametrize(
    "purchase",
    [("s0", "ana", 0, "a"), ("p", "ana", -1, "a"), ("n", "ana", 30.01, "a"), ("n", "eva", 1, "a")],
)
def test_neither_that_sale_nor_an_earlier_one_nor_one_too_late_nor_anothers_counts(purchase):
    """Nobody came back."""
    nothing = (False, False, False)
    assert {"a": nothing, "b": nothing} == flags(follow(ONE, TWO_OFFERS, purchases(purchase), 30))


def test_the_last_moment_counts():
    """Thirty days to the second."""
    found = follow(ONE, TWO_OFFERS, purchases(("n", "ana", 30, "a")), 30)
    assert (True, True, True) == flags(found)["a"]


def test_the_control_group_is_kept_apart():
    """It counts in `arm` alone; days add up."""
    both = answers(("ana", False), ("eva", True))
    offered = offers((0, "a", 1, "model", 20.0), (1, "b", 1, "popular", 4.0))
    followed = follow(both, offered, purchases(("n", "ana", 1, "a")), 30)
    found = grouped(followed.with_columns(day=pl.lit(START.date())))[START.date()]
    day = [{name: getattr(group, name) for name in group.__struct_fields__} for group in found]
    total = {(g.by, g.key): (g.answers, g.hits, g.products, g.accepted) for g in added([day, day])}
    one = (2, 2, 2, 2)
    assert {
        ("arm", "control"): (2, 0, 2, 0),
        ("arm", "model"): one,
        ("rank", "1"): one,
        ("source", "model"): one,
        ("confidence", "20-30"): one,
        ("version", "v1"): one,
    } == total

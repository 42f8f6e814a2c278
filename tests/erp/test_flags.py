"""Numbers on the command line: what is refused, and in which words."""

from argparse import ArgumentTypeError

import pytest

from erp import flags


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (flags.whole, "1", 1),
        (flags.port, "0", 0),
        (flags.port, "65535", 65_535),
        (flags.positive, "0.5", 0.5),
        (flags.not_negative, "0", 0),
        (flags.share, "0.99", 0.99),
    ],
)
def test_a_number_in_its_range_is_taken(kind, text, number):
    """The ends of the ranges included."""
    assert number == kind(text)


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (flags.whole, ["0", "-3", "1.5", "many", ""]),
        (flags.port, ["65536", "-1", "http"]),
        (flags.positive, ["0", "-1", "nan", "inf", "1e400", "soon"]),
        (flags.not_negative, ["-0.1", "nan", "inf"]),
        (flags.share, ["1", "-0.1", "nan"]),
    ],
)
def test_anything_else_is_refused_by_its_own_words(kind, texts):
    """None of them would mean anything, and an infinite wait is no wait for something."""
    for text in texts:
        with pytest.raises(ArgumentTypeError, match=f"^{text} is not a "):
            kind(text)

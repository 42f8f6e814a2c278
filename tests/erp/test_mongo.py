"""Connecting to MongoDB: what is said when it can't be."""

import pytest

from erp import mongo
from erp.process import Failure


@pytest.mark.parametrize(
    "rest",
    ["Secr3t/w0rd@localhost:27017/erp", "Secr3t:w0rd@localhost", "Secr3t%w0rd@h", "Secr3t?w0rd@h"],
)
def test_an_unescaped_password_is_explained_and_not_shown(rest):
    """Also the part of it that the driver takes for a database or an option."""
    with pytest.raises(Failure, match="must be escaped") as raised:
        mongo.connect(f"mongodb://admin:{rest}", "erp", timeout=0)
    assert "w0rd" not in str(raised.value)
    assert "Secr3t" not in str(raised.value)


def test_a_mistake_without_a_password_is_quoted():
    """The driver says best what it can't read."""
    with pytest.raises(Failure, match="Port"):
        mongo.connect("mongodb://localhost:port", "erp", timeout=0)

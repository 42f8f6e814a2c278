"""Waiting for MongoDB in the main loop."""

import time
from datetime import UTC, datetime

import pytest
from pymongo.errors import AutoReconnect

from erp.contract import SALES_ITEMS, Sale
from erp.metrics import Health
from erp.service.baskets import Basket, WaitingSales
from erp.service.outages import Patience


class Member:
    """A member of a group that counts its signs of life."""

    stays = 0

    def stay(self, seconds):
        """As the source's."""
        self.stays += 1
        time.sleep(seconds)


@pytest.fixture
def sales(database):
    """One sale that waits, half a second before its deadline."""
    made = WaitingSales(database[SALES_ITEMS.name], 0.5, 60, (0.0, 0.0))
    made.add(Basket(Sale("s", datetime(2024, 5, 1, tzinfo=UTC), items_count=1), 0))
    return made


def test_deadlines_have_moved_before_the_first_look_after_an_outage(sales, stop):
    """However long the database was away, a sale that waits has as much time left as before."""
    tries = []

    def look():
        tries.append(time.monotonic())
        if len(tries) < 4:
            raise AutoReconnect("away")
        return sales.collect(10)

    member = Member()
    patience = Patience(member, sales, stop, Health([]))
    assert [] == patience.outlast(look, "looking")
    assert member.stays > 0
    (basket,) = sales
    away = tries[-1] - tries[0]
    assert away > 1
    assert basket.deadline > tries[0] + away


def test_look_that_took_longer_than_the_deadline_is_not_the_last(sales, monkeypatch):
    """The database may come back while it is asked: what was asked in time is asked once more."""
    find = sales._find

    def slowly(asked):
        time.sleep(0.7)
        return find(asked)

    monkeypatch.setattr(sales, "_find", slowly)
    assert [] == sales.collect(10)
    sales.look_ahead(10)
    assert ["s"] == [basket.sale.sale_id for basket in sales.collect(10)]

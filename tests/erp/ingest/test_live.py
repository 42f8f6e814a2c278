"""The pace at which the shop is replayed."""

from datetime import timedelta

import polars as pl
import pytest

from erp.contract import SALES
from erp.ingest import live
from erp.ingest.live import LONGEST_PAUSE, pace, play
from erp.ingest.tickets import TicketBook
from tests.erp.ingest.jobs import a_job

HOUR = timedelta(hours=1)


class Clock:
    """A Stop and a clock: waiting lets the time pass at once."""

    requested = False

    def __init__(self):
        self.now, self.waits = 1_000.0, []

    def monotonic(self):
        return self.now

    def wait(self, seconds):
        self.waits.append(round(seconds))
        self.now += seconds


class Taken:
    """A Delivery that takes everything."""

    def send(self, _table, keys, _values):
        return len(keys)

    def confirm(self):
        return True

    confirm_now_and_then = confirm


@pytest.fixture
def waits(tmp_path, monkeypatch):
    """Play sales of some moments; the seconds between them."""

    def waits(speed, *moments):
        book, clock = TicketBook(tmp_path / "tickets"), Clock()
        rows = pl.DataFrame({"sale_id": moments, "sale_datetime": moments}).with_columns(
            pl.col("sale_datetime").str.to_datetime("%Y-%m-%d %H:%M", time_zone="UTC")
        )
        book.add_sales(rows, rows.select(key="sale_id", value="sale_id"))
        book.close_input()
        job = a_job(tables=(SALES,), stop=clock, delivery=Taken())
        monkeypatch.setattr(live, "time", clock)
        play(job, book, pace(speed, 0), None)
        book.close()
        assert len(moments) == job.counts(SALES).sent
        return clock.waits

    return waits


def test_the_pace_follows_the_clock_of_the_shop_or_the_number_of_the_sale():
    """Sixty times as fast is a minute for an hour; two a second put the seventh at 3.5 s."""
    assert 60.0 == pace(60, 10)(7, HOUR)
    assert 3.5 == pace(None, 2)(7, HOUR)
    assert 0.0 == pace(None, 0)(7, HOUR)


def test_a_sale_long_before_the_others_does_not_hold_them_up_for_ever(waits, caplog):
    """A date that stands for 'unknown' costs the longest pause; after it the pace is as before."""
    moments = ("0001-01-01 00:00", "2024-03-01 10:00", "2024-03-01 10:01", "2024-03-01 10:03")
    assert [LONGEST_PAUSE, 60, 120] == waits(1, *moments)
    assert "--since leaves out" in caplog.text


def test_a_pause_that_a_shop_may_make_is_kept(waits):
    """A closed night at the shop's own pace."""
    assert [12 * 3600] == waits(1, "2024-03-01 20:00", "2024-03-02 08:00")

"""The pace at which the shop is replayed."""

from datetime import timedelta

from erp.ingest.live import pace

HOUR = timedelta(hours=1)


def test_the_pace_follows_the_clock_of_the_shop_or_the_number_of_the_sale():
    """Sixty times as fast is a minute for an hour; two a second put the seventh at 3.5 s."""
    assert 60.0 == pace(60, 10)(7, HOUR)
    assert 3.5 == pace(None, 2)(7, HOUR)
    assert 0.0 == pace(None, 0)(7, HOUR)

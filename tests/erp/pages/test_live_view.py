"""What one look at the live sales computes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from erp.pages import live_charts, live_view
from erp.pages.live_sales import Filters, Window
from erp.pages.live_view import OTHERS, Period

MADRID = ZoneInfo("Europe/Madrid")
KOLKATA = ZoneInfo("Asia/Kolkata")  # half an hour off the full hour
NOW = datetime(2017, 7, 2, 21, 30, tzinfo=UTC)  # 23:30 in Madrid


def slot(moment, store="1", tickets=1, amount=1.0):
    return {"slot": moment, "store_id": store, "tickets": tickets, "amount": amount}


def test_today_begins_at_midnight_of_the_business():
    """A sale at 23:30 local belongs to that day."""
    window = live_view.window_of(Period("today"), NOW, MADRID)
    assert Window(datetime(2017, 7, 1, 22, 0, tzinfo=UTC), NOW) == window


def test_last_minutes_count_from_the_newest_sale():
    """Whatever the clock on the wall says."""
    window = live_view.window_of(Period("minutes", 45), NOW, MADRID)
    assert Window(NOW - timedelta(minutes=45), NOW) == window


def test_a_range_is_in_the_business_time_zone_and_may_be_given_backwards():
    """As a person writes it."""
    period = Period("range", start=datetime(2017, 7, 1, 8), end=datetime(2017, 6, 30, 20))  # noqa: DTZ001
    assert Window(
        datetime(2017, 6, 30, 18, tzinfo=UTC), datetime(2017, 7, 1, 6, tzinfo=UTC)
    ) == live_view.window_of(period, NOW, MADRID)


def test_no_window_is_longer_than_a_week():
    """What is asked of the database every few seconds is bounded."""
    period = Period("range", start=datetime(2016, 1, 1), end=datetime(2017, 1, 1))  # noqa: DTZ001
    window = live_view.window_of(period, NOW, MADRID)
    assert timedelta(days=7) == window.end - window.start
    assert live_view.too_long(period)


def test_hours_without_a_sale_stand_in_the_chart():
    """Time runs on while nobody buys."""
    window = Window(NOW - timedelta(hours=3), NOW)
    hours, by_store, others = live_view.hourly([slot(NOW)], window, MADRID, "tickets", 5)
    assert [20, 21, 22, 23] == [hour.hour for hour in hours]
    assert {"1": [0, 0, 0, 1]} == by_store
    assert 0 == others


def test_the_hour_is_the_one_on_the_wall_in_zones_of_half_hours():
    """15:40 UTC is 21:10 in Kolkata."""
    moment = datetime(2017, 7, 2, 15, 40, tzinfo=UTC)
    hours, by_store, _ = live_view.hourly(
        [slot(moment)], Window(moment, moment), KOLKATA, "tickets", 5
    )
    assert [21] == [hour.hour for hour in hours]
    assert {"1": [1]} == by_store


def test_small_stores_are_summed():
    """The largest have a colour, the rest is one series, and nothing is lost."""
    slots = [slot(NOW, str(n), amount=float(n)) for n in range(1, 9)]
    _, by_store, others = live_view.hourly(slots, Window(NOW, NOW), MADRID, "amount", 3)
    assert ["8", "7", "6", OTHERS] == list(by_store)
    assert 5 == others
    assert 36.0 == sum(sum(values) for values in by_store.values())


def test_one_store_more_than_colours_is_not_called_others():
    """“1 other store” would help nobody."""
    slots = [slot(NOW, str(n)) for n in range(4)]
    _, by_store, others = live_view.hourly(slots, Window(NOW, NOW), MADRID, "amount", 3)
    assert 4 == len(by_store)
    assert 0 == others


def test_tickets_per_minute_are_a_rate():
    """Slots of five minutes show a fifth of their tickets."""
    start = NOW - timedelta(hours=10)
    moments, rates = live_view.per_minute(
        [slot(start, tickets=10), slot(start, "2", tickets=5)], Window(start, NOW), MADRID
    )
    assert 3.0 == rates[0]
    assert 3.0 == sum(rates)
    assert 121 == len(moments)


def test_ticks_stand_at_round_times():
    """A chart of a week has the days, one of a day has hours."""
    week = [datetime(2017, 7, 1, 5) + timedelta(minutes=30 * n) for n in range(336)]  # noqa: DTZ001
    places, texts = live_charts.time_ticks(week, lambda day: f"{day:%d}")
    assert ["02", "03", "04", "05", "06", "07", "08"] == texts
    assert 38 == places[0]
    day = [datetime(2017, 7, 1) + timedelta(minutes=5 * n) for n in range(288)]  # noqa: DTZ001
    assert ["00:00", "04:00", "08:00", "12:00", "16:00", "20:00"] == live_charts.time_ticks(
        day, lambda _: "day"
    )[1]
    one = [datetime(2017, 7, 1, 9, 7)]  # noqa: DTZ001
    assert ["09:07"] == live_charts.time_ticks(one, lambda _: "day")[1]


def test_one_look_holds_everything_a_refresh_shows(database):
    """Window, key figures and table agree with each other."""
    database.sales.insert_many(
        [
            {"_id": str(n), "sale_id": str(n), "sale_datetime": NOW - timedelta(hours=12 * n),
             "store_id": "1", "customer_id": "x", "total_amount": 2.0 + n}
            for n in range(3)
        ]
    )  # fmt: skip
    view = live_view.load(database, Filters(), Period("today"), 1, "Europe/Madrid", NOW)
    assert "0" == view.newest["sale_id"]
    assert 3 == view.sales_stored
    assert ["0", "1"] == [sale["sale_id"] for sale in view.sales]
    assert (2, 5.0) == (view.today.tickets, view.today.amount)
    assert (1, 4.0) == (view.before.tickets, view.before.amount)
    assert 5.0 == sum(row["amount"] for row in view.slots)


def test_no_sale_no_view(database):
    """The page then says what to start."""
    assert live_view.load(database, Filters(), Period(), 1, "UTC", NOW) is None

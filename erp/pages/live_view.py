"""One look at the live sales: which span of time, its key figures, and the series of its charts."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pymongo.database import Database

from erp import contract
from erp.pages import live_sales
from erp.pages.live_sales import LONGEST_WINDOW, Document, Filters, Totals, Window

TABLE_SALES = 100  # newest sales shown
FUTURE = timedelta(days=1)  # a sale dated later than this is a slip of the pen

Measure = Literal["amount", "tickets"]
Kind = Literal["today", "minutes", "week", "range"]


class Period(NamedTuple):
    """What the reader asked for: `today`, the last `minutes`, the last `week`, or a `range`.

    `start` and `end` (of a range) are wall-clock times of the business, without a zone.
    """

    kind: Kind = "today"
    minutes: int = 60
    start: datetime | None = None
    end: datetime | None = None


class View(NamedTuple):
    """What one refresh shows."""

    newest: Document  # the sale that is the data's "now"
    sales_stored: int
    window: Window
    slots: list[Document]  # of `by_slot_and_store`
    sales: list[Document]  # the newest of the window
    today_window: Window
    today: Totals
    before_window: Window
    before: Totals


def figures(
    database: Database[Document],
    filters: Filters,
    days_before: int,
    timezone: str,
    wall_clock: datetime,
    known: datetime | None = None,
) -> View | None:
    """The key figures alone, with no slots and no sales; None when there is no sale.

    Parameters
    ----------
    days_before : today is compared with the same hours so many days before.
    known : see `live_sales.newest_sale`.
    """
    newest = live_sales.newest_sale(database, wall_clock + FUTURE, known)
    if newest is None:
        return None
    zone = ZoneInfo(timezone)
    today = window_of(Period("today"), newest["sale_datetime"], zone)
    before = today.shifted(days_before, zone)
    totals = live_sales.compare(database, filters, today, before)
    return View(
        newest=newest,
        sales_stored=database[contract.SALES.name].estimated_document_count(),
        window=today,
        slots=[],
        sales=[],
        today_window=today,
        today=totals[0],
        before_window=before,
        before=totals[1],
    )


def load(
    database: Database[Document],
    filters: Filters,
    period: Period,
    days_before: int,
    timezone: str,
    wall_clock: datetime,
    known: datetime | None = None,
) -> View | None:
    """Everything that one refresh shows; None when there is no sale. See `figures`."""
    found = figures(database, filters, days_before, timezone, wall_clock, known)
    if found is None:
        return None
    window = window_of(period, found.newest["sale_datetime"], ZoneInfo(timezone))
    return found._replace(
        window=window,
        slots=live_sales.by_slot_and_store(database, filters, window),
        sales=live_sales.newest_sales(database, filters, window, TABLE_SALES),
    )


def window_of(period: Period, now: datetime, zone: ZoneInfo) -> Window:
    """The span that a period means when the data's clock says `now`; at most LONGEST_WINDOW."""
    if period.kind == "minutes":
        start, end = now - timedelta(minutes=period.minutes), now
    elif period.kind == "week":
        start, end = now - timedelta(days=7), now
    elif period.kind == "range" and period.start and period.end:
        start, end = sorted(
            moment.replace(tzinfo=zone).astimezone(UTC) for moment in (period.start, period.end)
        )
    else:
        midnight = datetime.combine(now.astimezone(zone), time(), zone)
        start, end = midnight.astimezone(UTC), now
    return Window(max(start, end - LONGEST_WINDOW), end)


def too_long(period: Period) -> bool:
    """True when the reader's range is longer than what is shown of it."""
    if period.kind != "range" or not period.start or not period.end:
        return False
    return abs(period.end - period.start) > LONGEST_WINDOW


def hourly(
    slots: Sequence[Document], window: Window, zone: ZoneInfo, measure: Measure, most: int
) -> tuple[list[datetime], dict[Any, list[float]], int]:
    """The measure by hour of the wall and by store.

    Returns
    -------
    hours : every hour of the window, local, with or without a sale.
    by_store : store_id -> one value for each hour, the `most` largest stores, the largest first.
    others : number of further stores; their sum stands in `by_store` under `OTHERS`.
    """
    hours = _steps(window, zone, 60)
    place = {hour: index for index, hour in enumerate(hours)}
    totals: dict[Any, float] = defaultdict(float)
    for slot in slots:
        totals[slot["store_id"]] += slot[measure]
    ranked = sorted(totals, key=lambda store: (-totals[store], str(store)))
    shown = ranked[:most] if len(ranked) > most + 1 else ranked
    by_store: dict[Any, list[float]] = {store: [0.0] * len(hours) for store in shown}
    if len(shown) < len(ranked):
        by_store[OTHERS] = [0.0] * len(hours)
    for slot in slots:
        store = slot["store_id"] if slot["store_id"] in by_store else OTHERS
        index = place.get(_local(slot["slot"], zone, 60))
        if index is not None:
            by_store[store][index] += slot[measure]
    return hours, by_store, len(ranked) - len(shown)


class _Others:
    """The stores that have no colour of their own."""

    def __repr__(self) -> str:
        return "OTHERS"


OTHERS = _Others()


def per_minute(
    slots: Sequence[Document], window: Window, zone: ZoneInfo
) -> tuple[list[datetime], list[float]]:
    """Tickets per minute in every slot of the window, local times."""
    minutes = live_sales.slot_minutes(window)
    moments = _steps(window, zone, minutes)
    tickets: dict[datetime, int] = defaultdict(int)
    for slot in slots:
        tickets[_local(slot["slot"], zone, minutes)] += slot["tickets"]
    return moments, [tickets[moment] / minutes for moment in moments]


def _steps(window: Window, zone: ZoneInfo, minutes: int) -> list[datetime]:
    """The beginnings of all steps of so many minutes that the window touches, without a zone."""
    step = timedelta(minutes=minutes)
    moment, last = _local(window.start, zone, minutes), _local(window.end, zone, minutes)
    return [moment + step * n for n in range((last - moment) // step + 1)]


def _local(moment: datetime, zone: ZoneInfo, minutes: int) -> datetime:
    local = moment.astimezone(zone).replace(tzinfo=None)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    step = timedelta(minutes=minutes)
    return midnight + (local - midnight) // step * step

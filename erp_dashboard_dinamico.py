"""Live sales on screen: the collection `sales` of MongoDB asked directly, every few seconds.

Reads MongoDB: sales; and, for a sale that the reader opens, its lines, product names, customer
and recommendations. Writes nothing. People watch it while the sink (erp_kafka_to_mongo.py) runs.

    python erp_dashboard_dinamico.py              # http://127.0.0.1:8502
    streamlit run erp_dashboard_dinamico.py --server.port 8502
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pymongo
import streamlit as st
from pymongo.database import Database
from pymongo.errors import PyMongoError

from config import Settings
from erp import mongo
from erp.pages import charts, live_charts, live_sales, live_view, page, sale_panel
from erp.pages.formats import Formats
from erp.pages.live_sales import Filters
from erp.pages.live_view import Period, View

PORT = 8502
ANSWER_SECONDS = 5  # for MongoDB to answer one refresh
INTERVALS = [2, 5, 10, 30, 60]  # seconds between two refreshes
EVERY = 5  # the one to begin with
STORES_IN_COLOUR = 7


def main() -> None:
    """Draw the page: filters at the side, then the part that refreshes by itself."""
    settings = Settings.load()
    t, fmt = page.set_up(settings, "live_title", "⚡")
    database = page.database(settings, t)
    zone = ZoneInfo(settings.business_timezone)
    page.from_url(URL_READERS)
    try:
        now = _now(database, settings)
        offered = _options(database, settings.mongo_database)
    except PyMongoError as error:
        if not page.away(error):
            raise
        address = mongo.address(settings.mongo_uri.get_secret_value())
        page.stop_with(t, "mongo_away", address=address)
    if now is None:
        page.stop_with(t, "live_empty")
    period = _choose_period(t, fmt, now.astimezone(zone))
    filters = _choose_filters(t, offered)
    every, days_before = _choose_rhythm(t)
    _share(settings, period, filters, st.session_state["every"])
    page.head(t("live_title"))
    ask = partial(_look, database, settings, filters, period, days_before)

    @st.fragment(run_every=every)
    def live() -> None:
        page.guard(partial(_refresh, settings, t, fmt, ask, every))

    live()
    if sale_id := st.session_state.get("sale"):
        sale_panel.show(t, fmt, sale_id, partial(_one_sale, database, sale_id), _close)


# --- what is asked ---------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def _clock(_database_name: str) -> dict[str, datetime]:
    """The data's clock as last seen, shared by all readers; it spares the server work."""
    return {}


def _now(database: Database, settings: Settings) -> datetime | None:
    clock = _clock(settings.mongo_database)
    with pymongo.timeout(ANSWER_SECONDS):
        newest = live_sales.newest_sale(
            database, datetime.now(UTC) + live_view.FUTURE, clock.get("now")
        )
    return newest and newest["sale_datetime"]


@st.cache_data(ttl=60, max_entries=4, show_spinner=False)
def _options(_database: Database, database_name: str) -> tuple[list, list]:
    del database_name  # tells the caches apart
    with pymongo.timeout(ANSWER_SECONDS):
        return live_sales.stores(_database), live_sales.payments(_database)


def _look(
    database: Database, settings: Settings, filters: Filters, period: Period, days_before: int
) -> tuple[View | None, datetime]:
    return _shared_look(
        database, settings.mongo_database, filters, period, days_before, settings.business_timezone
    )


@st.cache_data(ttl=1, max_entries=32, show_spinner=False)
def _shared_look(
    _database: Database,
    database_name: str,
    filters: Filters,
    period: Period,
    days_before: int,
    timezone: str,
) -> tuple[View | None, datetime]:
    """One look for all readers who ask the same within a second, and when it was."""
    clock = _clock(database_name)
    wall_clock = datetime.now(UTC)
    with pymongo.timeout(ANSWER_SECONDS):
        view = live_view.load(
            _database, filters, period, days_before, timezone, wall_clock, clock.get("now")
        )
    if view is not None:
        clock["now"] = view.newest["sale_datetime"]
    return view, wall_clock


def _one_sale(database: Database, sale_id: str) -> dict[str, Any] | None:
    with pymongo.timeout(ANSWER_SECONDS):
        return live_sales.one_sale(database, sale_id)


# --- what the reader chooses -----------------------------------------------------------------


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


def _whole(default: int, least: int, most: int, values: list[str]) -> int:
    value = _first(values) or ""
    return min(max(int(value), least), most) if value.isascii() and value.isdigit() else default


def _interval(values: list[str]) -> int:
    value = _whole(EVERY, 1, INTERVALS[-1], values)
    return value if value in INTERVALS else EVERY


def _number(values: list[str]) -> float | None:
    try:
        return float(_first(values) or "")
    except ValueError:
        return None


def _moment(values: list[str]) -> datetime | None:
    try:
        return datetime.fromisoformat(_first(values) or "").replace(tzinfo=None)
    except ValueError:
        return None


def _named(values: list[str]) -> list[str | None]:
    return [value or None for value in values]


KINDS = ["today", "minutes", "week", "range"]
EARLIEST, LATEST = datetime(1970, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001  wall-clock times
LONGEST_MINUTES = 7 * 24 * 60

URL_READERS = {
    "period": lambda values: _first(values) if _first(values) in KINDS else "today",
    "minutes": partial(_whole, 60, 1, LONGEST_MINUTES),
    "from": _moment,
    "to": _moment,
    "stores": _named,
    "payments": _named,
    "least": _number,
    "most": _number,
    "every": _interval,
    "sale": _first,
}


def _choose_period(t: page.Text, fmt: Formats, now: datetime) -> Period:
    side = st.sidebar
    names = {kind: t(f"live_{kind}") for kind in KINDS}
    kind = side.selectbox(t("live_period"), KINDS, format_func=names.__getitem__, key="period")
    if kind == "minutes":
        minutes = side.number_input(
            t("live_how_many"), min_value=1, max_value=LONGEST_MINUTES, step=15, key="minutes"
        )
        return Period("minutes", int(minutes))
    if kind != "range":
        return Period(kind)
    today = now.replace(tzinfo=None, second=0, microsecond=0)
    for key, otherwise in (("from", today.replace(hour=0, minute=0)), ("to", today)):
        chosen = st.session_state.get(key)
        if chosen is None or not EARLIEST <= chosen <= LATEST:
            st.session_state[key] = otherwise
    picker = {
        "value": None,
        "required": True,
        "format": fmt.date_picker,
        "step": 300,
        "min_value": EARLIEST,
        "max_value": LATEST,
    }
    start = side.datetime_input(t("live_from"), key="from", **picker)
    end = side.datetime_input(t("live_to"), key="to", **picker)
    period = Period("range", start=start, end=end + timedelta(seconds=59))
    if live_view.too_long(period):
        side.info(t("live_too_long"), icon=":material/info:")
    return period


def _choose_filters(t: page.Text, offered: tuple[list, list]) -> Filters:
    side = st.sidebar
    stores, payments = (
        sorted({*values, *st.session_state.get(key, [])}, key=_natural)
        for key, values in zip(("stores", "payments"), offered, strict=True)
    )
    chosen_stores = side.multiselect(
        t("stores"),
        stores,
        format_func=lambda store: t("live_no_store") if store is None else store,
        key="stores",
        placeholder=t("live_all_stores"),
    )
    chosen_payments = side.multiselect(
        t("payments"),
        payments,
        format_func=lambda payment: t("live_no_payment") if payment is None else payment,
        key="payments",
        placeholder=t("live_all_payments"),
    )
    left, right = side.columns(2)
    amount = {"value": None, "step": 10.0, "format": "%.2f", "placeholder": t("live_any")}
    least = left.number_input(t("live_least"), key="least", **amount)
    most = right.number_input(t("live_most"), key="most", **amount)
    return Filters(tuple(chosen_stores), tuple(chosen_payments), least, most)


def _natural(value: str | None) -> tuple[int, int, str]:
    """Numbers by size before names; nothing comes last."""
    if value is None:
        return 2, 0, ""
    return (0, int(value), value) if value.isascii() and value.isdigit() else (1, 0, value)


def _choose_rhythm(t: page.Text) -> tuple[int | None, int]:
    """Seconds between two refreshes (None: paused), and how many days before to compare with."""
    side = st.sidebar
    days = {1: t("live_yesterday"), 7: t("live_last_week")}
    days_before = side.segmented_control(
        t("live_compare"),
        list(days),
        default=1,
        format_func=days.__getitem__,
        required=True,
        key="days",
    )
    every = side.select_slider(
        t("live_every"),
        INTERVALS,
        format_func=lambda n: t("live_seconds", n=n),
        key="every",
    )
    paused = side.toggle(t("live_pause"), key="paused")
    return (None if paused else every), days_before


def _share(settings: Settings, period: Period, filters: Filters, every: int) -> None:
    """Keep what is chosen in the URL."""
    values: dict[str, list[Any]] = {
        "period": [period.kind] if period.kind != "today" else [],
        "minutes": [period.minutes] if period.kind == "minutes" else [],
        "stores": [store or "" for store in filters.stores],
        "payments": [payment or "" for payment in filters.payments],
        "least": [] if filters.least is None else [filters.least],
        "most": [] if filters.most is None else [filters.most],
        "every": [every] if every != EVERY else [],
        "sale": [st.session_state["sale"]] if st.session_state.get("sale") else [],
    }
    if period.kind == "range":
        values["from"] = [period.start.isoformat(timespec="minutes")]
        values["to"] = [period.end.isoformat(timespec="minutes")]
    page.to_url(values, settings.page_language)


def _open(sale_id: str) -> None:
    st.session_state["sale"] = sale_id
    st.session_state["opened"] = st.session_state.get("opened", 0) + 1  # unmarks the row
    st.session_state["open_now"] = True


def _close() -> None:
    st.session_state["sale"] = None


# --- what refreshes --------------------------------------------------------------------------


def _refresh(settings: Settings, t: page.Text, fmt: Formats, ask: Any, every: int | None) -> None:
    """One refresh: ask, or show what was last read when MongoDB is away."""
    if st.session_state.pop("open_now", False):
        st.rerun()  # the opened sale is drawn outside of what refreshes
    question = ask.args
    try:
        view, read_at = ask()
        st.session_state["last_look"] = (question, view, read_at)
        is_away = False
    except PyMongoError as error:
        if not page.away(error):
            raise
        is_away = True
        asked, view, read_at = st.session_state.get("last_look", (None, None, None))
        if asked != question:
            view = None
    address = mongo.address(settings.mongo_uri.get_secret_value())
    if view is None:
        if is_away:
            st.warning(t("mongo_away", address=address), icon=":material/power_off:")
        else:
            st.rerun()  # emptied: the page says what to start
        return
    if is_away:
        st.warning(
            t("live_away", address=address, time=fmt.time(read_at)), icon=":material/power_off:"
        )
    else:
        st.empty()
    _status(t, fmt, view, read_at, is_away, every)
    _key_figures(t, fmt, view)
    _charts(t, fmt, view, ZoneInfo(settings.business_timezone))
    _newest(t, fmt, view)


def _status(
    t: page.Text, fmt: Formats, view: View, read_at: datetime, is_away: bool, every: int | None
) -> None:
    newest, moment = view.newest, view.newest["sale_datetime"]
    previous = st.session_state.get("stored", view.sales_stored)
    st.session_state["stored"] = view.sales_stored
    new = view.sales_stored - previous
    parts = [t("live_newest", moment=fmt.moment(moment))]
    stored_at = newest.get("stored_at")
    if stored_at is not None:
        parts.append(t("live_arrived", ago=fmt.ago((read_at - stored_at).total_seconds())))
    parts.append(t("live_stored", n=fmt.number(view.sales_stored)))
    if new > 0:
        parts.append(t("live_new", n=fmt.number(new)))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if is_away:
            st.badge(t("live_away_short"), icon=":material/power_off:", color="red")
        elif every is None:
            st.badge(t("live_paused"), icon=":material/pause:", color="gray")
        else:
            st.badge(t("live_on"), icon=":material/sensors:", color="green")
        if abs((read_at - moment).total_seconds()) > 86_400:
            st.badge(
                t("live_replay"),
                icon=":material/history:",
                color="gray",
                help=t("live_replay_help"),
            )
        st.caption(page.plain(" · ".join(parts)))


def _key_figures(t: page.Text, fmt: Formats, view: View) -> None:
    now, before = view.today, view.before
    per_ticket = [x.lines / x.tickets if x.tickets else None for x in (now, before)]
    figures = [
        ("live_sales_amount", now.amount, before.amount, fmt.money, fmt.money_short),
        ("live_tickets", now.tickets, before.tickets, fmt.number, fmt.number),
        ("live_average", now.average, before.average, fmt.money, fmt.money),
        ("live_customers", now.customers, before.customers, fmt.number, fmt.number),
        ("live_lines", *per_ticket, *[partial(fmt.number, digits=1)] * 2),
    ]
    st.caption(
        t(
            "live_day",
            day=fmt.day(fmt.local(view.today_window.end).date()),
            start=fmt.time(view.today_window.start),
            end=fmt.time(view.today_window.end),
            before=fmt.day(fmt.local(view.before_window.end).date()),
        )
    )
    with st.grid("auto", min_column_width=170):
        for name, value, base, write, write_short in figures:
            change = live_view.change(value, base)
            st.metric(
                t(name),
                write(value),
                fmt.change(change) if change is not None else None,
                delta_description=write_short(base) if change is not None else None,
                help=t("live_before", value=write(base)),
                delta_color="off" if change == 0 else "normal",
                border=True,
            )


def _charts(t: page.Text, fmt: Formats, view: View, zone: ZoneInfo) -> None:
    tickets = sum(slot["tickets"] for slot in view.slots)
    amount = sum(slot["amount"] for slot in view.slots)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.subheader(t("live_by_hour"), anchor=False)
        measures = {"amount": t("live_amount"), "tickets": t("live_tickets")}
        measure = st.segmented_control(
            t("live_measure"),
            list(measures),
            default="amount",
            format_func=measures.__getitem__,
            required=True,
            key="measure",
            label_visibility="collapsed",
        )
        if tickets:
            page.chart(_by_hour(t, fmt, view, zone, measure), "by_hour", alt=t("live_by_hour"))
        else:
            st.info(t("live_nothing"), icon=":material/filter_alt:")
    with right:
        st.subheader(t("live_rate"), anchor=False)
        st.caption(
            t(
                "live_window",
                start=fmt.moment(view.window.start),
                end=fmt.moment(view.window.end),
                tickets=fmt.number(tickets),
                amount=fmt.money(amount),
            ).replace("$", "\\$")
        )
        if tickets:
            page.chart(_rate(t, fmt, view, zone), "rate", alt=t("live_rate"))


def _by_hour(t: page.Text, fmt: Formats, view: View, zone: ZoneInfo, measure: Any) -> Any:
    hours, by_store, others = live_view.hourly(
        view.slots, view.window, zone, measure, STORES_IN_COLOUR
    )
    write = fmt.money if measure == "amount" else fmt.number
    several_days = hours[0].date() != hours[-1].date()
    labels = [_slot_label(fmt, hour, several_days) for hour in hours]
    series, hover, grey = {}, {}, None
    for store, values in by_store.items():
        name = _store_name(t, store, others)
        grey = charts.label(name) if store is live_view.OTHERS else grey
        series[charts.label(name)] = values
        hover[charts.label(name)] = [
            f"{charts.full(name)}<br>{label}<br><b>{write(value)}</b>"
            for label, value in zip(labels, values, strict=True)
        ]
    return live_charts.stacked(hours, series, hover, grey, fmt.day_month, fmt.separators)


def _rate(t: page.Text, fmt: Formats, view: View, zone: ZoneInfo) -> Any:
    moments, rates = live_view.per_minute(view.slots, view.window, zone)
    several_days = moments[0].date() != moments[-1].date()
    labels = [_slot_label(fmt, moment, several_days) for moment in moments]
    hover = [
        f"{label}<br><b>{t('live_rate_point', n=fmt.number(rate, digits=2))}</b>"
        for label, rate in zip(labels, rates, strict=True)
    ]
    return live_charts.rate(moments, rates, hover, fmt.day_month, fmt.separators)


def _slot_label(fmt: Formats, moment: datetime, with_day: bool) -> str:
    clock = f"{moment:%H:%M}"
    return f"{fmt.day_month(moment.date())} {clock}" if with_day else clock


def _store_name(t: page.Text, store: Any, others: int) -> str:
    if store is live_view.OTHERS:
        return t("live_others", n=others)
    return t("live_no_store") if store is None else t("live_store", name=store)


def _newest(t: page.Text, fmt: Formats, view: View) -> None:
    st.subheader(t("live_newest_sales"), anchor=False)
    if not view.sales:
        return
    st.caption(t("live_click"))
    frame = pd.DataFrame(view.sales).set_index("sale_id", drop=False)
    frame["sale_datetime"] = [fmt.local(sale["sale_datetime"]) for sale in view.sales]
    page.table(
        frame,
        {
            "sale_datetime": (t("live_time"), "moment"),
            "sale_id": (t("sale"), "text"),
            "store_id": (t("store"), "text"),
            "customer_id": (t("customer"), "text"),
            "payment_type": (t("payment"), "text"),
            "items_count": (t("live_lines_n"), "number"),
            "total_amount": (t("live_total"), "money"),
        },
        fmt,
        key=f"newest_{st.session_state.get('opened', 0)}",
        on_click=_open,
        height=420,
    )


if __name__ == "__main__":
    page.open_or_serve(main, __file__, __doc__, port=PORT)

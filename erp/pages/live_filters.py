"""What the reader of the live page chooses: widgets in the sidebar, kept in the URL."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import streamlit as st

from erp.pages import live_view, page, side_bar
from erp.pages.formats import Formats
from erp.pages.live_sales import Filters
from erp.pages.live_view import Kind, Period

EVERY = 5  # the one to begin with
KINDS: tuple[Kind, ...] = ("today", "minutes", "week", "range")
EARLIEST, LATEST = datetime(1970, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001  wall-clock times
LONGEST_MINUTES = 7 * 24 * 60


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


def _whole(default: int, least: int, most: int, values: list[str]) -> int:
    value = _first(values) or ""
    return min(max(int(value), least), most) if value.isascii() and value.isdigit() else default


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


URL_READERS: page.UrlReaders = {
    "period": lambda values: _first(values) if _first(values) in KINDS else "today",
    "minutes": partial(_whole, 60, 1, LONGEST_MINUTES),
    "from": _moment,
    "to": _moment,
    "stores": side_bar.named,
    "payments": side_bar.named,
    "least": _number,
    "most": _number,
    "every": partial(side_bar.interval, EVERY),
    "sale": _first,
}


def choose_period(t: page.Text, fmt: Formats, now: datetime) -> Period:
    """Draw the choice of a span of time; `now` is the data's, in the business time zone."""
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
    picker: dict[str, Any] = {
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


def chosen_filters() -> Filters:
    """The filters as the URL has them, without drawing anything."""
    state = st.session_state
    return Filters(tuple(state["stores"]), tuple(state["payments"]), state["least"], state["most"])


def choose_filters(t: page.Text, offered: tuple[list[str | None], ...]) -> Filters:
    """Draw the filters; `offered` are the stores and the payment types."""
    stores, payments = offered
    chosen_stores = side_bar.choose_stores(t, stores)
    words = t("payments"), t("live_no_payment"), t("live_all_payments")
    chosen_payments = side_bar.choose_named("payments", words, payments)
    left, right = st.sidebar.columns(2)
    amount: dict[str, Any] = {
        "value": None,
        "step": 10.0,
        "format": "%.2f",
        "placeholder": t("live_any"),
    }
    least = left.number_input(t("live_least"), key="least", **amount)
    most = right.number_input(t("live_most"), key="most", **amount)
    return Filters(tuple(chosen_stores), tuple(chosen_payments), least, most)


def choose_rhythm(t: page.Text) -> tuple[int | None, int]:
    """Seconds between two refreshes (None: paused), and how many days before to compare with."""
    days = {1: t("live_yesterday"), 7: t("live_last_week")}
    days_before = st.sidebar.segmented_control(
        t("live_compare"),
        list(days),
        default=1,
        format_func=days.__getitem__,
        required=True,
        key="days",
    )
    return side_bar.choose_interval(t), days_before


def save(period: Period, filters: Filters, every: int, language: str) -> None:
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
    if period.start and period.end:
        values["from"] = [period.start.isoformat(timespec="minutes")]
        values["to"] = [period.end.isoformat(timespec="minutes")]
    page.to_url(values, language)

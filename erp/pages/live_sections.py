"""The parts of the live page that refresh: how fresh it is, key figures, charts, newest sales."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from erp.pages import charts, live_charts, live_view, page
from erp.pages.formats import Formats, Number, change_from
from erp.pages.live_view import View

STORES_IN_COLOUR = 7

Write = Callable[[Number], str]


def status(
    t: page.Text, fmt: Formats, view: View, read_at: datetime, is_away: bool, every: int | None
) -> None:
    """Whether it refreshes, how old the newest sale is, how many came since the last look."""
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
            st.badge(t("paused"), icon=":material/pause:", color="gray")
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


def key_figures(t: page.Text, fmt: Formats, view: View) -> None:
    """The day of the newest sale against the same hours of a day before."""
    now, before = view.today, view.before
    lines_now, lines_before = (x.lines / x.tickets if x.tickets else None for x in (now, before))
    decimal = partial(fmt.number, digits=1)
    figures: list[tuple[str, Number, Number, Write, Write]] = [
        ("live_sales_amount", now.amount, before.amount, fmt.money, fmt.money_short),
        ("live_tickets", now.tickets, before.tickets, fmt.number, fmt.number),
        ("live_average", now.average, before.average, fmt.money, fmt.money),
        ("live_customers", now.customers, before.customers, fmt.number, fmt.number),
        ("live_lines", lines_now, lines_before, decimal, decimal),
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
    with st.grid("auto", min_column_width=165):
        for name, value, base, write, write_short in figures:
            more = change_from(base, value)
            st.metric(
                t(name),
                write(value),
                fmt.change(more) if more is not None else None,
                delta_description=write_short(base) if more is not None else None,
                help=t("live_before", value=write(base)),
                delta_color="off" if more == 0 else "normal",
                delta_arrow="off" if more == 0 else "auto",
                border=True,
            )


def over_time(t: page.Text, fmt: Formats, view: View, zone: ZoneInfo) -> None:
    """Sales by hour and store, tickets per minute."""
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
    return t("no_store") if store is None else t("live_store", name=store)


def newest(t: page.Text, fmt: Formats, view: View, on_click: Callable[[str], None]) -> None:
    """A table of the newest sales; `on_click` gets the sale_id of the row that is selected."""
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
        on_click=on_click,
        height=420,
    )

"""The parts of the history page: what is drawn of a Report, and what a click on it does."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import polars as pl
import streamlit as st

from erp.pages import charts, history_filters, page
from erp.pages.formats import Formats, Number
from erp.pages.history_report import Report
from erp.pages.sales_history import Step, View, net_over_time, ratio
from erp.pages.texts import TEXTS

RANKED = 12  # bars of a ranking
RANKED_PRODUCTS = 22  # bars of the ranking of products, which has the height of two charts
TILES = 24  # tiles of a treemap; of more, most would be too small for a name on a telephone


class Look(NamedTuple):
    """How and for whom things are drawn."""

    t: page.Text
    fmt: Formats
    products: dict[str, str]  # id -> name
    version: str  # of what is shown: a chart of another version forgets what was clicked

    def measure(self, name: str, value: float | None) -> str:
        """A value of one of history_filters.MEASURES, in words."""
        if name in ("net", "average_ticket"):
            return self.fmt.money(value)
        return self.fmt.number(value, digits=1 if name == "units" else 0)


MEASURE_TEXTS = {
    "net": "net_sales",
    "tickets": "tickets",
    "units": "units",
    "average_ticket": "average_ticket",
    "customers": "buyers",
}


def segment_name(segment: str | None, t: page.Text) -> str:
    """An RFM segment in the reader's language."""
    key = f"segment_{segment}"
    return t(key) if key in TEXTS else segment or t("unknown")


# --- key figures and trend -------------------------------------------------------------------


def key_figures(report: Report, look: Look) -> None:
    """Six figures, each with its change against the period before and its course."""
    t, fmt = look.t, look.fmt
    figures, changes, sparks = report.figures, report.changes, report.sparks
    shown: tuple[tuple[str, str, Callable[[Number], str], Literal["normal", "inverse"]], ...] = (
        ("net_sales", "net", fmt.money_short, "normal"),
        ("tickets", "tickets", fmt.number, "normal"),
        ("average_ticket", "average_ticket", fmt.money, "normal"),
        ("units", "units", fmt.number, "normal"),
        ("buyers", "customers", fmt.number, "normal"),
        ("discount", "discount_share", fmt.percent, "inverse"),
    )
    with st.container(key="key-figures"):
        for column, (label, name, write, color) in zip(st.columns(6), shown, strict=True):
            change = changes[name]
            with column.container(border=True):
                st.metric(
                    t(label),
                    write(figures[name]),
                    None if change is None else fmt.change(change),
                    delta_color="off" if change == 0 else color,
                    delta_arrow="off" if change == 0 else "auto",
                    help=fmt.money(figures["net"]) if name == "net" else None,
                )
                if course := _course(sparks, name):
                    page.spark(course)
    before = report.view_before
    note = (
        t("compared", first=fmt.day(before.first), last=fmt.day(before.last))
        if before
        else t("not_compared")
    )
    st.caption(f"{note} {t('lines_only')}" if report.view.of_lines else note)


def totals(total: dict[str, float], t: page.Text, fmt: Formats) -> None:
    """The key figures that the sums of days are enough for, in the same places."""
    shown = (
        ("net_sales", fmt.money_short(total["net"])),
        ("tickets", fmt.number(total["tickets"])),
        ("average_ticket", fmt.money(ratio(total["net"], total["tickets"]))),
        ("units", fmt.number(total["units"])),
        ("buyers", "…"),
        ("discount", fmt.percent(ratio(total["discount"], total["gross"]))),
    )
    with st.container(key="key-figures-meanwhile"):
        for column, (label, value) in zip(st.columns(6), shown, strict=True):
            column.container(border=True).metric(t(label), value)


def _course(sparks: pl.DataFrame, name: str) -> list[float] | None:
    if name not in sparks.columns or sparks.height < 2:
        return None
    return [value or 0.0 for value in sparks[name]]


@st.fragment
def trend(report: Report, look: Look, save: Callable[[], None]) -> None:
    """A measure over time by day, week or month, with its moving average.

    `save` puts into the URL what the reader chose.
    """
    t, state = look.t, st.session_state
    st.subheader(t("trend"))
    state["shown_step"] = state["step"] or _fitting_step(report.view.days)
    with st.container(horizontal=True, key="trend-controls"):
        measure = st.segmented_control(
            t("measure"), history_filters.MEASURES, key="measure", required=True,
            format_func=lambda name: t(MEASURE_TEXTS[name]), label_visibility="collapsed",
        )  # fmt: skip
        st.segmented_control(
            t("by"), history_filters.STEPS, key="shown_step", required=True,
            format_func=lambda step: t(f"step_{step}"), label_visibility="collapsed",
            on_change=lambda: state.update(step=state["shown_step"]),
        )  # fmt: skip
    measure = measure or "net"
    save()
    step: Step = state["shown_step"]
    with st.container(key="trend"):
        _trend_chart(report.over_time(step), step, measure, look)


def first_trend(days: pl.DataFrame, view: View, look: Look) -> None:
    """The course of net sales, which the sums of days are enough for."""
    step = _fitting_step(view.days)
    st.subheader(look.t("trend"))
    _trend_chart(net_over_time(days, view, step), step, "net", look)


def _trend_chart(frame: pl.DataFrame, step: Step, measure: str, look: Look) -> None:
    t, fmt = look.t, look.fmt
    names = [_step_name(start, step, look) for start in frame["start"]]
    hover = [
        f"<b>{name}</b><br>{t(MEASURE_TEXTS[measure])}: {look.measure(measure, value)}"
        for name, value in zip(names, frame[measure], strict=True)
    ]
    ticks = [fmt.month(day) if step == "month" else fmt.day_month(day) for day in frame["start"]]
    figure = charts.trend(
        frame["start"].cast(pl.String), frame[measure], frame[f"{measure}_average"], hover,
        (t(MEASURE_TEXTS[measure]), t(f"moving_{step}")), ticks, fmt.separators,
    )  # fmt: skip
    page.chart(figure, f"trend-{look.version}-{step}-{measure}", t("trend"))


def _fitting_step(days: int) -> Step:
    return "day" if days <= 100 else "week" if days <= 800 else "month"


def _step_name(start: Any, step: Step, look: Look) -> str:
    if step == "month":
        return look.fmt.month(start)
    day = look.fmt.day(start)
    return (
        f"{look.fmt.weekday(start.weekday())} {day}"
        if step == "day"
        else (look.t("week_of", day=day))
    )


# --- stores, categories, products ------------------------------------------------------------


def _hover(name: str, row: dict[str, Any], look: Look) -> str:
    """The figures of a store, category, product or payment type."""
    t, fmt = look.t, look.fmt
    lines = [
        f"<b>{charts.full(name)}</b>",
        f"{t('net_sales')}: {fmt.money(row['net'])} ({fmt.percent(row.get('share'))})",
        f"{t('tickets')}: {fmt.number(row['tickets'])}",
        f"{t('units')}: {fmt.number(row['units'], 1)}",
    ]
    if row.get("average_ticket") is not None:
        lines.append(f"{t('average_ticket')}: {fmt.money(row['average_ticket'])}")
    if row.get("change") is not None:
        lines.append(f"{t('change')}: {fmt.change(row['change'])}")
    return "<br>".join(lines)


def _ranking(
    frame: pl.DataFrame,
    key: str,
    names: Sequence[str],
    kind: str,
    title: str,
    look: Look,
    most: int = RANKED,
    width: int = charts.LABEL,
) -> None:
    """Bars of the first rows; a click narrows the page to one."""
    t = look.t
    top = frame.head(most)
    st.subheader(t(title))
    st.caption(
        f"{t('top_of', shown=top.height, total=look.fmt.number(frame.height))} · {t('click_note')}"
    )
    rows = top.rows(named=True)
    hover = [_hover(name, row, look) for name, row in zip(names, rows, strict=False)]
    figure = charts.ranking(
        names[: top.height], top["net"], hover, top[key], look.fmt.separators, width
    )
    with st.container(key=f"chart-{kind}"):
        page.chart(
            figure, f"{kind}-{look.version}", t(title), lambda i: history_filters.toggle(kind, i)
        )


def stores(report: Report, look: Look) -> None:
    """The ranking of the stores and their Pareto curve."""
    t, fmt, frame = look.t, look.fmt, report.stores
    left, right = st.columns(2, gap="large")
    names = [store_name(store, t) for store in frame["store_id"]]
    with left:
        _ranking(frame, "store_id", names, "stores", "store_ranking", look)
    with right:
        st.subheader(t("pareto"))
        enough = frame.filter(pl.col("cumulative") < 0.8).height + 1
        st.caption(
            t("pareto_note", stores=fmt.number(min(enough, frame.height)),
              total=fmt.number(frame.height), share=fmt.percent(enough / frame.height, 0))
        )  # fmt: skip
        hover = [
            f"{_hover(name, row, look)}<br>{t('cumulative')}: {fmt.percent(row['cumulative'])}"
            for name, row in zip(names, frame.rows(named=True), strict=True)
        ]
        figure = charts.pareto(names, frame["net"], frame["cumulative"], hover, fmt.separators)
        page.chart(figure, f"pareto-{look.version}", t("pareto"))


def store_name(store: str, t: page.Text) -> str:
    """A store as it is shown; a bare number gets the word before it."""
    name = history_filters.shown(store, t)
    return f"{t('store')} {name}" if name.isdecimal() else name


def categories(report: Report, look: Look) -> None:
    """Categories as tiles, or the subcategories of the one that is chosen."""
    t, chosen = look.t, report.view.categories
    if len(chosen) == 1:
        name = page.plain(history_filters.shown(chosen[0], t))
        st.subheader(f"{t('subcategory_tiles')}: {name}")
        _tiles(report.subcategories, "subcategory", look)
    else:
        st.subheader(t("category_tiles"))
        _tiles(report.categories, "category", look)


def payments(report: Report, look: Look) -> None:
    """The payment types."""
    frame = report.payments
    names = [history_filters.shown(each, look.t) for each in frame["payment_type"]]
    _ranking(frame, "payment_type", names, "payments", "payment_split", look)


def _tiles(frame: pl.DataFrame, key: str, look: Look) -> None:
    """The largest as tiles; a click on a category narrows the page to it."""
    t, fmt = look.t, look.fmt
    clickable = key == "category"
    top = frame.filter(pl.col("net") > 0).head(TILES)
    if top.is_empty():
        st.info(t("history_no_match"))
        return
    total = float(frame["net"].sum())
    words = t(
        "tiles_note",
        shown=top.height,
        total=fmt.number(frame.height),
        share=fmt.percent(float(top["net"].sum()) / total if total > 0 else None),
    )
    st.caption(f"{words} · {t('click_note')}" if clickable else words)
    names = [history_filters.shown(each, t) for each in top[key]]
    hover = [
        _hover(name, row | {"share": row["net"] / total if total > 0 else None}, look)
        for name, row in zip(names, top.rows(named=True), strict=True)
    ]
    figure = charts.tiles(names, top["net"], hover, top[key], fmt.separators)

    def narrow(category: str) -> None:
        history_filters.toggle("categories", category)

    with st.container(key="chart-categories"):
        page.chart(
            figure,
            f"categories-{look.version}",
            t("category_tiles"),
            narrow if clickable else None,
        )


def products(report: Report, look: Look) -> None:
    """The best-selling products."""
    frame = report.products
    top = frame.head(RANKED_PRODUCTS).rows(named=True)
    names = [row["name"] or row["product_id"] for row in top]
    _ranking(frame, "product_id", names, "products", "top_products", look, RANKED_PRODUCTS, 36)


# --- when and how much -----------------------------------------------------------------------


def week(report: Report, look: Look) -> None:
    """Tickets by weekday and hour."""
    t, fmt = look.t, look.fmt
    st.subheader(t("week_heat"))
    cells = {(row["weekday"], row["hour"]): row for row in report.week.rows(named=True)}
    hours = range(min(h for _, h in cells), max(h for _, h in cells) + 1)
    values, hover = [], []
    for weekday in range(7):
        row = [cells.get((weekday, hour), {"tickets": 0, "net": 0.0}) for hour in hours]
        values.append([cell["tickets"] for cell in row])
        hover.append(
            [
                f"<b>{t('hour_of', weekday=fmt.weekday(weekday, 'wide'), hour=hour)}</b>"
                f"<br>{t('tickets')}: {fmt.number(cell['tickets'])}"
                f"<br>{t('net_sales')}: {fmt.money(cell['net'])}"
                for hour, cell in zip(hours, row, strict=True)
            ]
        )
    figure = charts.heatmap(
        [str(hour) for hour in hours], [fmt.weekday(day) for day in range(7)], values, hover,
        fmt.separators,
    )  # fmt: skip
    with st.container(key="chart-week"):
        page.chart(figure, f"week-{look.version}", t("week_heat"))


def ticket_sizes(report: Report, look: Look) -> None:
    """How many tickets are how large."""
    t, fmt = look.t, look.fmt
    st.subheader(t("ticket_sizes"))
    names, hover = [], []
    for row in report.ticket_sizes.rows(named=True):
        name = _size_name(row["from_"], row["to"], fmt, t)
        names.append(name)
        hover.append(
            f"<b>{name}</b><br>{t('tickets')}: {fmt.number(row['tickets'])}"
            f" ({fmt.percent(row['share'])})"
        )
    figure = charts.columns(
        names, report.ticket_sizes["tickets"], hover,
        fmt.separators,
    )  # fmt: skip
    page.chart(figure, f"sizes-{look.version}", t("ticket_sizes"))


def _size_name(low: float | None, high: float | None, fmt: Formats, t: page.Text) -> str:
    if low is None:
        return t("below_zero")
    if high is None:
        return f"{fmt.number(low, 2)} +"
    return f"{fmt.number(low, 2)}–{fmt.number(high, 2)}"


# --- customers -------------------------------------------------------------------------------


def segments(report: Report, look: Look) -> None:
    """Customers by RFM segment."""
    t, fmt = look.t, look.fmt
    st.subheader(t("segments"))
    frame = report.segments
    names = [segment_name(each, t) for each in frame["segment"]]
    hover = [
        f"<b>{name}</b><br>{t('customers')}: {fmt.number(row['customers'])}"
        f"<br>{t('net_sales')}: {fmt.money(row['net'])} ({fmt.percent(row['share'])})"
        f"<br>{t('average_ticket')}: {fmt.money(row['average_ticket'])}"
        for name, row in zip(names, frame.rows(named=True), strict=True)
    ]
    figure = charts.ranking(names, frame["net"], hover, frame["segment"], fmt.separators)
    page.chart(figure, f"segments-{look.version}", t("segments"))


def top_customers(report: Report, look: Look) -> None:
    """The customers who bought most."""
    t, fmt = look.t, look.fmt
    st.subheader(t("top_customers"))
    top = report.customers.head(100).with_columns(
        customer=pl.coalesce("name", "customer_id"),
        segment=pl.Series([segment_name(s, t) for s in report.customers.head(100)["segment"]]),
    )
    columns: dict[str, tuple[str, page.Kind]] = {
        "customer": (t("customer"), "text"),
        "net": (t("net_sales"), "money"),
        "tickets": (t("tickets"), "number"),
        "segment": (t("segment"), "text"),
        "last_purchase": (t("last_purchase"), "date"),
    }
    page.table(top.to_pandas(), columns, fmt, f"top-customers-{look.version}", height=380)

"""The tables of the history page: on the screen, as CSV, and all of them in one workbook."""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any, NamedTuple

import polars as pl
import streamlit as st

from erp.pages import export, history_filters, page
from erp.pages.history_report import Report
from erp.pages.history_sections import Look, segment_name

_FIGURES: dict[str, tuple[str, page.Kind]] = {  # field -> (text, kind)
    "rank": ("rank", "number"),
    "net": ("net_sales", "money"),
    "share": ("share", "percent"),
    "cumulative": ("cumulative", "percent"),
    "change": ("change", "percent"),
    "tickets": ("tickets", "number"),
    "average_ticket": ("average_ticket", "money"),
    "lines": ("lines", "number"),
    "units": ("units", "decimal"),
    "discount": ("discount", "money"),
    "customers": ("buyers", "number"),
    "margin": ("margin", "money"),
    "margin_share": ("margin_share", "percent"),
}


class Table(NamedTuple):
    """A table of the page and what its columns are."""

    name: str  # a key of the texts
    frame: pl.DataFrame
    columns: dict[str, tuple[str, page.Kind]]  # field -> (heading, kind)


def _days(report: Report, look: Look) -> Table:
    over_time = report.over_time("day").drop(pl.selectors.ends_with("_average"))
    return _table("days", over_time, {"start": ("date", "date")}, look)


def _stores(report: Report, look: Look) -> Table:
    return _table("stores", report.stores, {"store_id": ("store", "text")}, look)


def _payments(report: Report, look: Look) -> Table:
    return _table("payments", report.payments, {"payment_type": ("payment", "text")}, look)


def _categories(report: Report, look: Look) -> Table:
    return _table("categories", report.categories, _CATEGORY, look)


def _subcategories(report: Report, look: Look) -> Table:
    keys = {**_CATEGORY, "subcategory": ("subcategory", "text")}
    return _table("subcategories", report.subcategories, keys, look)


def _products(report: Report, look: Look) -> Table:
    return _table("products", report.products, _PRODUCT, look)


def _customers(report: Report, look: Look) -> Table:
    segments = [segment_name(each, look.t) for each in report.customers["segment"]]
    named = report.customers.with_columns(segment=pl.Series(segments, dtype=pl.String))
    return _table("customers", named, _CUSTOMER, look)


TABLES: dict[str, Callable[[Report, Look], Table]] = {  # key of the texts -> how it is made
    "days": _days,
    "stores": _stores,
    "payments": _payments,
    "categories": _categories,
    "subcategories": _subcategories,
    "products": _products,
    "customers": _customers,
}

_CATEGORY: dict[str, tuple[str, page.Kind]] = {"category": ("category", "text")}
_PRODUCT: dict[str, tuple[str, page.Kind]] = {
    "product_id": ("product_id", "text"),
    "name": ("product", "text"),
    **_CATEGORY,
}
_CUSTOMER: dict[str, tuple[str, page.Kind]] = {
    "customer_id": ("customer", "text"),
    "name": ("name", "text"),
    "segment": ("segment", "text"),
    "recency": ("recency", "number"),
    "first_purchase": ("first_purchase", "date"),
    "last_purchase": ("last_purchase", "date"),
    "favourite_category": ("favourite_category", "text"),
    "favourite_store": ("favourite_store", "text"),
}


def _table(
    name: str, frame: pl.DataFrame, keys: dict[str, tuple[str, page.Kind]], look: Look
) -> Table:
    wanted = {**keys, **{field: of for field, of in _FIGURES.items() if field in frame.columns}}
    columns = {field: (look.t(text), kind) for field, (text, kind) in wanted.items()}
    texts = [field for field, (_, kind) in keys.items() if kind == "text" and field != "name"]
    shown = frame.select(list(columns)).with_columns(pl.col(texts).replace("", look.t("unknown")))
    return Table(name, shown, columns)


def as_file(table: Table) -> pl.DataFrame:
    """The table with the reader's headings; amounts to the cent."""
    return table.frame.with_columns(
        pl.col(field).round(6 if kind == "percent" else 2)
        for field, (_, kind) in table.columns.items()
        if kind in ("money", "percent", "decimal")
    ).rename({field: heading for field, (heading, _) in table.columns.items()})


def as_csv(table: Table) -> bytes:
    """The same as a CSV file."""
    return export.to_csv(as_file(table))


@st.fragment
def draw(report: Report, look: Look, day: date) -> None:
    """Every table under a tab of its own, with its CSV; the one that is open is computed."""
    t, number = look.t, look.fmt.number
    st.subheader(t("raw_data"))
    tabs = st.tabs([t(name) for name in TABLES], key="tables", on_change="rerun")
    for tab, (name, make) in zip(tabs, TABLES.items(), strict=True):
        if not tab.open:
            continue
        with tab, st.container(key=f"table-{name}"):
            table = make(report, look)
            shown = table.frame.head(page.TABLE_ROWS)
            key = f"table-{name}-{look.version}"
            page.table(shown.to_pandas(), table.columns, look.fmt, key, height=420)
            if table.frame.height > shown.height:
                total = number(table.frame.height)
                st.caption(t("first_rows", shown=number(shown.height), total=total))
            st.download_button(
                t("download_csv"),
                partial(as_csv, table),
                file_name=f"{t('file_history')}_{t(name).lower()}_{day}.csv".replace(" ", "_"),
                mime=export.CSV_TYPE,
                on_click="ignore",
                icon=":material/download:",
                key=f"csv-{name}",
            )


def workbook(report: Report, look: Look, about: dict[str, Any]) -> bytes:
    """The whole view as an Excel workbook; its first sheet says what it is a view of."""
    t, fmt = look.t, look.fmt
    cover = [
        (t("history_title"), ""),
        *about.items(),
        *(("", chip) for chip in history_filters.chips(report.view, t, fmt, look.products)),
        ("", ""),
        (t("net_sales"), report.figures["net"]),
        *((t(name), report.figures[name]) for name in ("tickets", "units", "average_ticket")),
        (t("buyers"), report.figures["customers"]),
        (t("discount_share"), report.figures["discount_share"]),
    ]
    sheets = {t(name): as_file(make(report, look)) for name, make in TABLES.items()}
    return export.to_excel(sheets, cover, t("view_sheet"))

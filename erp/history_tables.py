"""The tables of the history page: on the screen, as CSV, and all of them in one workbook."""

from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

import polars as pl
import streamlit as st

from erp import export, history_filters, page
from erp.history_report import Report
from erp.history_sections import Look, segment_name

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


def tables(report: Report, look: Look) -> Iterator[Table]:
    """All tables of the view, one by one."""
    t = look.t
    over_time = report.over_time("day").drop(pl.selectors.ends_with("_average"))
    yield _table("days", over_time, {"start": ("date", "date")}, look)
    yield _table("stores", report.stores, {"store_id": ("store", "text")}, look)
    yield _table("payments", report.payments, {"payment_type": ("payment", "text")}, look)
    yield _table("categories", report.categories, {"category": ("category", "text")}, look)
    keys = {"category": ("category", "text"), "subcategory": ("subcategory", "text")}
    yield _table("subcategories", report.subcategories, keys, look)
    keys = {"product_id": ("product_id", "text"), "name": ("product", "text"), **_CATEGORY}
    yield _table("products", report.products, keys, look)
    named = report.customers.with_columns(
        segment=pl.Series(
            [segment_name(each, t) for each in report.customers["segment"]], dtype=pl.String
        )
    )
    yield _table("customers", named, _CUSTOMER, look)


_CATEGORY: dict[str, tuple[str, page.Kind]] = {"category": ("category", "text")}
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


def draw(report: Report, look: Look, day: date) -> None:
    """Every table under a tab of its own, with its CSV."""
    t = look.t
    st.subheader(t("raw_data"))
    every = list(tables(report, look))
    for tab, table in zip(st.tabs([t(each.name) for each in every]), every, strict=True):
        with tab, st.container(key=f"table-{table.name}"):
            page.table(
                table.frame.head(page.TABLE_ROWS).to_pandas(), table.columns, look.fmt,
                f"table-{table.name}-{look.version}", height=420,
            )  # fmt: skip
            if table.frame.height > page.TABLE_ROWS:
                number = look.fmt.number
                st.caption(t("first_rows", shown=page.TABLE_ROWS, total=number(table.frame.height)))
            st.download_button(
                t("download_csv"),
                lambda table=table: export.to_csv(as_file(table)),
                file_name=f"{t('file_history')}_{t(table.name).lower()}_{day}.csv".replace(
                    " ", "_"
                ),
                mime=export.CSV_TYPE,
                on_click="ignore",
                icon=":material/download:",
                key=f"csv-{table.name}",
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
    sheets = {t(each.name): as_file(each) for each in tables(report, look)}
    return export.to_excel(sheets, cover, t("view_sheet"))

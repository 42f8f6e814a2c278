"""One sale in a dialog: header, lines with their names, and what was recommended."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st
from pymongo.errors import PyMongoError

from erp.pages import page
from erp.pages.formats import Formats

Sale = dict[str, Any]


def show(
    t: page.Text,
    fmt: Formats,
    sale_id: str,
    load: Callable[[], Sale | None],
    on_dismiss: Callable[[], None],
) -> None:
    """Open the dialog; `load` gives a document of `live_sales.one_sale`."""

    @st.dialog(
        f"{t('live_sale_title')} {page.plain(sale_id)}", width="large", on_dismiss=on_dismiss
    )
    def opened() -> None:
        page.guard(lambda: _content(t, fmt, sale_id, load))

    opened()


def _content(t: page.Text, fmt: Formats, sale_id: str, load: Callable[[], Sale | None]) -> None:
    try:
        sale = load()
    except PyMongoError as error:
        if not page.away(error):
            raise
        st.warning(t("live_sale_away"), icon=":material/power_off:")
        return
    if sale is None:
        st.info(t("live_sale_unknown", sale=page.plain(sale_id)), icon=":material/search_off:")
        return
    _header(t, fmt, sale)
    st.subheader(t("live_basket"), anchor=False)
    _lines(t, fmt, sale["lines"])
    st.subheader(t("live_recommended"), anchor=False)
    _recommendations(t, fmt, sale["recommendation"])


def _header(t: page.Text, fmt: Formats, sale: Sale) -> None:
    page.chips(
        [
            fmt.moment(sale["sale_datetime"]),
            f"{t('customer')}: {customer_name(sale, t)}",
            f"{t('store')}: {sale.get('store_id') or t('unknown')}",
            f"{t('payment')}: {sale.get('payment_type') or t('unknown')}",
        ]
    )
    amounts = [
        ("live_gross", "gross_amount"),
        ("live_discount", "discount_header"),
        ("live_tax", "tax"),
        ("live_total", "total_amount"),
    ]
    with st.container(horizontal=True, gap="small"):
        for name, field in amounts:
            st.metric(t(name), fmt.money(sale.get(field)), width=150)


def customer_name(sale: Sale, t: page.Text) -> str:
    """The customer's name and id, as far as they are known."""
    customer = sale.get("customer") or {}
    names = (customer.get("first_name"), customer.get("last_name"))
    name = " ".join(part for part in names if part)
    identifier = sale.get("customer_id")
    if not identifier:
        return t("unknown")
    return f"{name} ({identifier})" if name else identifier


def _lines(t: page.Text, fmt: Formats, lines: list[Sale]) -> None:
    if not lines:
        st.info(t("live_no_lines"), icon=":material/hourglass_empty:")
        return
    frame = pd.DataFrame(lines)
    frame["product_name"] = [line["product_name"] or line["product_id"] for line in lines]
    page.table(
        frame,
        {
            "product_name": (t("product"), "text"),
            "category": (t("category"), "text"),
            "quantity": (t("quantity"), "decimal"),
            "unit_price": (t("live_unit_price"), "money"),
            "line_discount": (t("live_discount"), "money"),
            "net_amount": (t("live_net"), "money"),
        },
        fmt,
        key="sale_lines",
    )


def _recommendations(t: page.Text, fmt: Formats, recommendation: Sale | None) -> None:
    if not recommendation or not recommendation.get("recommendations"):
        st.info(t("live_not_recommended"), icon=":material/hourglass_empty:")
        return
    found = recommendation["recommendations"]
    frame = pd.DataFrame(found)
    frame["product_name"] = [r.get("product_name") or r["product_id"] for r in found]
    frame["confidence"] = (frame["confidence_percentage"] / 100).round(3)
    frame["relevance"] = (frame["relevancia_percentage"] / 100).round(2)
    frame["because"] = [
        ", ".join(str(b.get("product_name") or b["product_id"]) for b in r.get("because_of") or [])
        for r in found
    ]
    page.table(
        frame,
        {
            "ranking": (t("live_rank"), "number"),
            "product_name": (t("product"), "text"),
            "category": (t("category"), "text"),
            "confidence": (t("live_confidence"), "bar"),
            "relevance": (t("live_relevance"), "bar"),
            "because": (t("live_because"), "text"),
        },
        fmt,
        key="sale_recommendations",
    )

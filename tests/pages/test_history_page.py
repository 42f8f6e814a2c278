"""The history page in a real browser, over aggregates that the processor made of a small shop.

Every figure is compared with plain sums over the sales that were put into MongoDB.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest

from config import Settings
from erp.pages.formats import Formats
from tests import apps
from tests.environments import environment
from tests.pages.history_shop import HTML_STORE, SCRIPT_NAME, STORES, Shop
from tests.pages.history_view import SCRIPT, assert_shows, clear, click_bar
from tests.pages.served import PageServer, Visit

SECTIONS = [
    "Evolución",
    "Tiendas que más venden",
    "Pareto de tiendas",
    "Categorías",
    "Productos que más venden",
    "Cuándo se compra",
    "Tamaño de los tickets",
    "Segmentos de clientes (RFM)",
    "Mejores clientes",
    "Formas de pago",
]


def test_everything_is_shown(server: PageServer, visit: Callable[..., Visit], shop: Shop) -> None:
    """Key figures are the sums of the sales, every section is drawn, names are text."""
    opened = visit(server)
    assert_shows(opened, shop.figures())
    words = opened.text()
    for section in SECTIONS:
        assert section in words
    assert 9 == opened.page.locator(".js-plotly-plot").count()
    assert "Calculado hace" in words
    charts = opened.page.locator('[data-testid="stPlotlyChart"]').all_inner_texts()
    assert any("<b onmouseover" in chart for chart in charts)
    assert any("=HYPERLINK" in chart for chart in charts)
    assert 0 == opened.page.locator("[onmouseover], [onerror], img[src='x']").count()


LINKS = {
    "a range and a store without a name": (
        "stores=∅&range=2025-01-01..2025-03-31",
        {"store_id": "", "last": date(2025, 3, 31)},
    ),
    "a category that is markup": (
        f"categories={quote(SCRIPT_NAME)}",
        {"category": SCRIPT_NAME},
    ),
    "category, store and payment": (
        f"categories=∅&stores={quote(HTML_STORE)}&payments={quote('=1+1')}",
        {"category": "", "store_id": HTML_STORE, "payment_type": "=1+1"},
    ),
    "a product": ("products=P1", {"product": "P1"}),
    "nonsense": ("range=nonsense&stores=nowhere&step=eon&lang=xx", {}),
}


@pytest.mark.parametrize(("parameters", "view"), LINKS.values(), ids=LINKS)
def test_a_link_shows_its_view(
    parameters: str,
    view: dict[str, Any],
    shop: Shop,
    page_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A view can be shared: its address alone brings the same figures; nonsense is ignored."""
    fmt = Formats("es_ES", "EUR", "UTC")
    tickets, net = shop.figures(**view)
    with apps.opened(SCRIPT, environment(page_settings), monkeypatch) as app:
        for name, value in parse_qsl(parameters):
            app.query_params[name] = value
        app.run()
        shown = {each.label: each.value for each in app.metric}
    assert fmt.number(tickets) == shown["Tickets"]
    assert fmt.money_short(net / 100) == shown["Ventas netas"]


def test_filters_narrow_and_are_kept_in_the_address(
    server: PageServer, visit: Callable[..., Visit], shop: Shop
) -> None:
    """Month, store and payment narrow the page; a reload and the way back keep the view."""
    opened = visit(server)
    opened.choose("Mes", "mar 2025")
    march = {"first": date(2025, 3, 1), "last": date(2025, 3, 31)}
    assert_shows(opened, shop.figures(**march))
    assert ["2025-03-01..2025-03-31"] == opened.query()["range"]
    opened.choose("Tiendas", "Centro")
    assert_shows(opened, shop.figures(**march, store_id="Centro"))
    opened.choose("Formas de pago", "card")
    narrow = shop.figures(**march, store_id="Centro", payment_type="card")
    assert_shows(opened, narrow)
    assert "frente al periodo anterior: 1 feb 2025" in opened.text()
    opened.page.reload()
    opened.settle()
    assert_shows(opened, narrow)
    opened.page.go_back()
    assert_shows(opened, shop.figures(**march, store_id="Centro"))
    clear(opened)
    assert_shows(opened, shop.figures())
    assert {} == opened.query()


def test_clicks_narrow_the_page(
    server: PageServer, visit: Callable[..., Visit], shop: Shop
) -> None:
    """A click on a store, a category or a product narrows the page to it; another widens it."""
    opened = visit(server)
    best = max(shop.categories.values(), key=lambda c: shop.figures(category=c)[1])
    click_bar(opened, "chart-categories", 0)
    assert_shows(opened, shop.figures(category=best))
    assert [best or "∅"] == opened.query()["categories"]
    clear(opened)
    stores = sorted(STORES, key=lambda s: -shop.figures(store_id=s or "")[1])
    click_bar(opened, "chart-stores", 1)
    assert_shows(opened, shop.figures(store_id=stores[1] or ""))
    click_bar(opened, "chart-stores", 0)
    assert_shows(opened, shop.figures())
    products = sorted(shop.categories, key=lambda p: -shop.figures(product=p)[1])
    click_bar(opened, "chart-products", 2)
    assert_shows(opened, shop.figures(product=products[2]))


def test_both_languages(server: PageServer, visit: Callable[..., Visit], shop: Shop) -> None:
    """The switch changes words and number formats, and keeps the view."""
    opened = visit(server, "?stores=7")
    english = opened.page.get_by_role("radio", name="English").or_(
        opened.page.get_by_role("button", name="English")
    )
    opened.insist(english.first.click, lambda: "lang" in opened.query())
    assert_shows(opened, shop.figures(store_id="7"), Formats("en", "EUR", "UTC"))
    words = opened.text()
    assert "Sales history" in words
    assert "Best-selling stores" in words
    assert "Historia" not in words
    assert ["en"] == opened.query()["lang"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fits_a_telephone(server: PageServer, visit: Callable[..., Visit], theme: str) -> None:
    """At 390 pixels nothing sticks out, and the theme is the system's."""
    opened = visit(server, width=390, theme=theme)
    wide = opened.page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    assert 390 == wide
    background = opened.page.evaluate(
        "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    )
    red = int(re.search(r"\d+", background)[0])
    assert (red > 200) == (theme == "light")

"""The history page in a real browser, over aggregates that the processor made of a small shop.

Every figure is compared with plain sums over the sales that were put into MongoDB.
"""

import csv
import io
import random
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import openpyxl
import pytest
from playwright.sync_api import expect
from pymongo.database import Database

from config import Settings
from erp.pages.formats import Formats
from tests.pages.served import PATIENCE, ROOT, Gate, PageServer, Visit, environment

SCRIPT = "erp_dashboard.py"
FIRST, LAST = date(2025, 1, 1), date(2025, 4, 30)

HTML_STORE = '<b onmouseover="alert(1)">Tienda</b> & "más"'
SCRIPT_NAME = "<script>alert('x')</script><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://example.com","x")'
LONG = "Producto de nombre larguísimo " * 7
EMOJI = "Café ☕ :smile: **gratis** $5$ 😀"

STORES = [HTML_STORE, "7", "Centro", None]
PAYMENTS = ["card", "cash", "=1+1", None]
CATEGORIES = ["Bebidas", SCRIPT_NAME, "@Ofertas", None]
PRODUCTS = [SCRIPT_NAME, FORMULA, LONG, EMOJI, None, "Pan", "Pan", "-Leche"]

Sale = dict
Lines = list[dict]


def make_shop(database: Database) -> tuple[list[Sale], dict[str, Lines], dict[str, str]]:
    """Fill MongoDB as the sink does; the sales, their lines, the category of each product."""
    draw = random.Random(7)
    products, categories = [], {}
    for number, name in enumerate(PRODUCTS):
        key = f"P{number}"
        category = CATEGORIES[number % len(CATEGORIES)]
        categories[key] = category or ""
        products.append(
            {"_id": key, "product_id": key, "name": name, "category": category,
             "subcategory": f"Sub {number % 3}", "unit_cost": 1.0 if number % 2 else None}
        )  # fmt: skip
    customers = [
        {"_id": f"C{n}", "customer_id": f"C{n}", "first_name": [FORMULA, "Ana", SCRIPT_NAME][n % 3],
         "last_name": f"Pérez {n}"}
        for n in range(30)
    ]  # fmt: skip
    sales, lines = [], {}
    for number in range(600):
        moment = datetime(2025, 1, 1, 8, tzinfo=UTC) + timedelta(
            days=number // 5, minutes=draw.randrange(720)
        )
        customer = f"C{draw.randrange(30)}" if draw.random() < 0.9 else None
        sale = {
            "_id": f"S{number}", "sale_id": f"S{number}", "sale_datetime": moment,
            "customer_id": customer, "payment_type": draw.choice(PAYMENTS),
            "store_id": draw.choices(STORES, [4, 3, 2, 1])[0], "tax": 0.5,
            "discount_header": 0.25 if number % 10 == 0 else None,
        }  # fmt: skip
        sales.append(sale)
        lines[sale["sale_id"]] = []
        for line in range(1, draw.randrange(1, 5) + 1):
            units = -1 if draw.random() < 0.03 else draw.randrange(1, 4)
            cents = draw.randrange(50, 2_000) * units
            lines[sale["sale_id"]].append(
                {"_id": f"S{number}:{line}", "sale_id": f"S{number}", "line_n": line,
                 "product_id": f"P{draw.randrange(len(PRODUCTS))}", "quantity": float(units),
                 "gross_amount": cents / 100, "line_discount": 0.0, "net_amount": cents / 100}
            )  # fmt: skip
    database["products"].insert_many([_known(each) for each in products])
    database["customers"].insert_many(customers)
    add_sales(database, sales, lines)
    return sales, lines, categories


def add_sales(database: Database, sales: list[Sale], lines: dict[str, Lines]) -> None:
    database["sales"].insert_many([_known(sale) for sale in sales])
    database["sales_items"].insert_many([line for each in lines.values() for line in each])


def _known(document: dict) -> dict:
    stored = {name: value for name, value in document.items() if value is not None}
    return stored | {"stored_at": datetime.now(UTC)}


def process(settings: Settings) -> None:
    """Run the processor once, over everything."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "mongo_data_processor_completo.py"), "--once"],
        cwd=ROOT,
        env=environment(settings),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert 0 == done.returncode, done.stderr


class Shop:
    """The sales of the test, and what a view of them must show."""

    def __init__(self, database: Database) -> None:
        self.sales, self.lines, self.categories = make_shop(database)

    def figures(
        self,
        first: date = FIRST,
        last: date = LAST,
        category: str | None = None,
        product: str | None = None,
        **header: str | None,
    ) -> tuple[int, int]:
        """Tickets and net in cents, by hand."""
        tickets = net = 0
        for sale in self.sales:
            if not first <= sale["sale_datetime"].date() <= last:
                continue
            if any((sale[name] or "") != value for name, value in header.items()):
                continue
            counted = [
                line
                for line in self.lines[sale["sale_id"]]
                if category in (None, self.categories[line["product_id"]])
                and product in (None, line["product_id"])
            ]
            if not counted:
                continue
            tickets += 1
            net += sum(round(line["net_amount"] * 100) for line in counted)
            if category is None and product is None:
                net -= round((sale["discount_header"] or 0) * 100)
        return tickets, net


@pytest.fixture(scope="module")
def shop(page_database: Database, page_settings: Settings) -> Shop:
    """A shop whose sales the processor has summed up."""
    made = Shop(page_database)
    process(page_settings)
    return made


@pytest.fixture
def server(page_server: Callable[..., PageServer], shop: Shop) -> PageServer:  # noqa: ARG001
    return page_server(SCRIPT)


def metrics(visit: Visit) -> dict[str, str]:
    """The key figures as they are written on the page."""
    found = visit.page.locator('[data-testid="stMetric"]').all()
    return {
        each.locator('[data-testid="stMetricLabel"]').inner_text().strip(): each.locator(
            '[data-testid="stMetricValue"]'
        )
        .inner_text()
        .strip()
        for each in found
    }


def assert_shows(visit: Visit, expected: tuple[int, int], fmt: Formats | None = None) -> None:
    """The page comes to show these tickets and this net."""
    fmt = fmt or Formats("es_ES", "EUR", "UTC")
    tickets, net = expected
    labels = {"es": ("Tickets", "Ventas netas"), "en": ("Tickets", "Net sales")}
    tickets_label, net_label = labels[fmt.locale.language]
    shown = visit.page.get_by_test_id("stMetric").filter(
        has=visit.page.get_by_text(tickets_label, exact=True)
    )
    number = re.compile(rf"(^|\s){re.escape(fmt.number(tickets))}(\s|$)")
    expect(shown.first).to_have_text(number, use_inner_text=True, timeout=PATIENCE * 1000)
    visit.settle()
    found = metrics(visit)
    assert fmt.number(tickets) == found[tickets_label]
    assert fmt.money_short(net / 100) == found[net_label]


def query(visit: Visit) -> dict[str, list[str]]:
    return parse_qs(urlsplit(visit.page.url).query)


def click_bar(visit: Visit, chart: str, number: int) -> None:
    """Click a bar of a chart, counted from the first."""
    bar = visit.page.locator(f".st-key-{chart} .bars .point path").nth(number)
    bar.scroll_into_view_if_needed()
    visit.page.wait_for_timeout(300)
    box = bar.bounding_box()
    visit.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.page.wait_for_timeout(400)
    visit.settle()


def choose(visit: Visit, label: str, option: str) -> None:
    """Pick an option of a select box of the sidebar by its words."""
    visit.page.get_by_role("combobox", name=re.compile(f"^{label}|{label}$|{label}")).first.click()
    visit.page.get_by_role("option", name=option, exact=True).click()
    visit.page.keyboard.press("Escape")
    visit.page.wait_for_timeout(400)
    visit.settle()


def download(visit: Visit, key: str) -> bytes:
    """The file that a download button gives."""
    with visit.page.expect_download() as started:
        visit.page.locator(f".st-key-{key} button").click()
    return Path(started.value.path()).read_bytes()


# --- what is shown ---------------------------------------------------------------------------


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


LINKS = [
    ("stores=∅&range=2025-01-01..2025-03-31", {"store_id": "", "last": date(2025, 3, 31)}),
    (f"categories={quote(SCRIPT_NAME)}", {"category": SCRIPT_NAME}),
    (
        f"categories=∅&stores={quote(HTML_STORE)}&payments={quote('=1+1')}",
        {"category": "", "store_id": HTML_STORE, "payment_type": "=1+1"},
    ),
    ("products=P1", {"product": "P1"}),
    ("range=nonsense&stores=nowhere&step=eon&lang=xx", {}),
]


def test_a_link_shows_its_view(server: PageServer, visit: Callable[..., Visit], shop: Shop) -> None:
    """A view can be shared: its address alone brings the same figures; nonsense is ignored."""
    opened = visit(server)
    for parameters, view in LINKS:
        opened.page.goto(f"{server.url}/?{parameters}")
        opened.settle()
        assert_shows(opened, shop.figures(**view))


def test_filters_narrow_and_are_kept_in_the_address(
    server: PageServer, visit: Callable[..., Visit], shop: Shop
) -> None:
    """Month, store and payment narrow the page; a reload and the way back keep the view."""
    opened = visit(server)
    choose(opened, "Mes", "mar 2025")
    march = {"first": date(2025, 3, 1), "last": date(2025, 3, 31)}
    assert_shows(opened, shop.figures(**march))
    assert ["2025-03-01..2025-03-31"] == query(opened)["range"]
    choose(opened, "Tiendas", "Centro")
    assert_shows(opened, shop.figures(**march, store_id="Centro"))
    choose(opened, "Formas de pago", "card")
    narrow = shop.figures(**march, store_id="Centro", payment_type="card")
    assert_shows(opened, narrow)
    assert "frente al periodo anterior: 1 feb 2025" in opened.text()
    opened.page.reload()
    opened.settle()
    assert_shows(opened, narrow)
    opened.page.go_back()
    opened.page.wait_for_timeout(500)
    opened.settle()
    assert_shows(opened, shop.figures(**march, store_id="Centro"))
    opened.page.locator(".st-key-clear button").click()
    opened.page.wait_for_timeout(400)
    opened.settle()
    assert_shows(opened, shop.figures())
    assert {} == query(opened)


def test_clicks_narrow_the_page(
    server: PageServer, visit: Callable[..., Visit], shop: Shop
) -> None:
    """A click on a store, a category or a product narrows the page to it; another widens it."""
    opened = visit(server)
    best = max(shop.categories.values(), key=lambda c: shop.figures(category=c)[1])
    click_bar(opened, "chart-categories", 0)
    assert_shows(opened, shop.figures(category=best))
    assert [best or "∅"] == query(opened)["categories"]
    opened.page.locator(".st-key-clear button").click()
    opened.page.wait_for_timeout(400)
    opened.settle()
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
    opened.page.get_by_role("radio", name="English").or_(
        opened.page.get_by_role("button", name="English")
    ).first.click()
    opened.page.wait_for_timeout(400)
    opened.settle()
    assert_shows(opened, shop.figures(store_id="7"), Formats("en", "EUR", "UTC"))
    words = opened.text()
    assert "Sales history" in words
    assert "Best-selling stores" in words
    assert "Historia" not in words
    assert ["en"] == query(opened)["lang"]


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


# --- exports ---------------------------------------------------------------------------------


def test_csv_has_what_the_database_has(
    server: PageServer, visit: Callable[..., Visit], page_database: Database
) -> None:
    """The exported stores and products are those of the collections; no cell is a formula."""
    opened = visit(server)
    open_table(opened, "Tiendas")
    rows = read_csv(download(opened, "csv-stores"))
    wanted = {each["_id"]: each for each in page_database["store_analysis"].find()}
    assert {key or "(sin dato)" for key in wanted} == {row["Tienda"] for row in rows}
    for row in rows:
        store = wanted["" if row["Tienda"] == "(sin dato)" else row["Tienda"]]
        assert store["net"] == float(row["Ventas netas"])
        assert store["tickets"] == int(row["Tickets"])
        assert store["customers"] == int(row["Clientes distintos"])
        assert store["rank"] == int(row["Puesto"])
    open_table(opened, "Productos")
    rows = read_csv(download(opened, "csv-products"))
    sold = {each["_id"]: each for each in page_database["top_products"].find()}
    assert set(sold) == {row["Código"] for row in rows}
    for row in rows:
        product = sold[row["Código"]]
        assert product["revenue"] == float(row["Ventas netas"])
        assert product["margin"] == (float(row["Margen"]) if row["Margen"] else None)
        name = product["name"] or ""
        assert (f"'{name}" if name[:1] in "=-@" and name else name) == row["Producto"]


def open_table(visit: Visit, name: str) -> None:
    visit.page.get_by_role("tab", name=name, exact=True).click()
    visit.page.wait_for_timeout(400)
    visit.settle()


def read_csv(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_excel_has_the_view(server: PageServer, visit: Callable[..., Visit], shop: Shop) -> None:
    """The workbook holds the view that is looked at, in every sheet; formulas stay text."""
    opened = visit(server, "?range=2025-03-01..2025-03-31&stores=Centro")
    book = openpyxl.load_workbook(io.BytesIO(download(opened, "excel")))
    assert ["Vista", "Días", "Tiendas", "Formas de pago", "Categorías", "Subcategorías",
            "Productos", "Clientes"] == book.sheetnames  # fmt: skip
    view = {"first": date(2025, 3, 1), "last": date(2025, 3, 31), "store_id": "Centro"}
    tickets, net = shop.figures(**view)
    for sheet in ("Días", "Tiendas", "Formas de pago"):
        total = sums(book[sheet])
        assert (tickets, net) == (total["Tickets"], round(total["Ventas netas"] * 100))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert [] == [cell.coordinate for cell in cells if cell.data_type == "f"]
    assert FORMULA in {cell.value for cell in cells}
    assert "Tienda: Centro" in {cell.value for cell in cells}


def sums(sheet: openpyxl.worksheet.worksheet.Worksheet) -> dict[str, float]:
    rows = list(sheet.iter_rows(values_only=True))
    totals: dict[str, float] = defaultdict(float)
    for row in rows[1:]:
        for name, value in zip(rows[0], row, strict=True):
            if isinstance(value, int | float):
                totals[name] += value
    return totals


# --- services come and go --------------------------------------------------------------------


def test_empty_database_says_what_to_start_and_fills_itself(
    page_server: Callable[..., PageServer],
    visit: Callable[..., Visit],
    page_settings: Settings,
    page_database: Database,
) -> None:
    """Without aggregates the page names the programs to run, and shows them when they ran."""
    name = f"{page_settings.mongo_database}_empty"
    database = page_database.client[name]
    try:
        opened = visit(page_server(SCRIPT, MONGO_DATABASE=name))
        assert "mongo_data_processor_completo.py --once" in opened.text()
        shop = Shop(database)
        process(page_settings.model_copy(update={"mongo_database": name}))
        opened.page.wait_for_selector('[data-testid="stMetric"]')
        opened.settle()
        assert_shows(opened, shop.figures())
        sale = shop.sales[0] | {"_id": "NEW", "sale_id": "NEW", "discount_header": None}
        line = shop.lines["S0"][0] | {"_id": "NEW:1", "sale_id": "NEW"}
        shop.sales.append(sale)
        shop.lines["NEW"] = [line]
        add_sales(database, [sale], {"NEW": [line]})
        process(page_settings.model_copy(update={"mongo_database": name}))
        tickets = Formats("es_ES", "EUR", "UTC").number(len(shop.sales))
        opened.page.wait_for_function(
            f"document.body.innerText.includes('Tickets\\n{tickets}')"
            f" || document.body.innerText.includes('Tickets\\n\\n{tickets}')"
        )
        opened.settle()
        assert_shows(opened, shop.figures())
    finally:
        page_database.client.drop_database(name)


def test_goes_on_while_mongodb_is_away(
    server: PageServer,
    page_server: Callable[..., PageServer],
    visit: Callable[..., Visit],
    mongo_gate: Gate,
    shop: Shop,
) -> None:
    """What was read stays on the page, with a word; a page that read nothing says what to do."""
    opened = visit(server)
    mongo_gate.shut()
    try:
        opened.page.get_by_text("MongoDB no responde: se muestra lo último").wait_for()
        choose(opened, "Tiendas", "Centro")
        assert_shows(opened, shop.figures(store_id="Centro"))
        fresh = visit(page_server(SCRIPT, CURRENCY="USD"))
        assert "MongoDB no responde en 127.0.0.1" in fresh.text()
        assert "make up" in fresh.text()
    finally:
        mongo_gate.open()
    fresh.page.wait_for_selector('[data-testid="stMetric"]')
    opened.page.get_by_text("MongoDB no responde").wait_for(state="detached")
    opened.settle()
    assert_shows(opened, shop.figures(store_id="Centro"))

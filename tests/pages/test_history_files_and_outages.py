"""What the history page gives away as files, and what it does while services come and go."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path

import openpyxl
from pymongo.database import Database

from config import Settings
from erp.pages.formats import Formats
from tests.pages.history_shop import FORMULA, Shop, add_sales, process
from tests.pages.history_view import SCRIPT, assert_shows
from tests.pages.served import Gate, PageServer, Visit


def download(visit: Visit, key: str) -> bytes:
    """The file that a download button gives."""
    with visit.page.expect_download() as started:
        visit.page.locator(f".st-key-{key} button").click()
    return Path(started.value.path()).read_bytes()


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
    tab = visit.page.get_by_role("tab", name=name, exact=True)
    visit.insist(tab.click, lambda: tab.get_attribute("aria-selected") == "true")


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
        opened.choose("Tiendas", "Centro")
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

"""The page of live sales in a real browser, on a real stack."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import expect
from pymongo import MongoClient

from tests.waiting import PATIENCE, until

SCRIPT = "erp_dashboard_dinamico.py"
QUICK = "?every=2"  # seconds between two refreshes
expect.set_options(timeout=PATIENCE * 1000)
NOON = datetime(2017, 3, 14, 12, 0, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)> =1+1 **b** $x$ \N{WOMAN} " + "w" * 160
METRIC = '[data-testid="stMetric"]'
DIALOG = '[role="dialog"]'
NOTE_WHAT_PASSES = """words => {
    const look = () => { window.passed ||= document.body.textContent.includes(words) };
    new MutationObserver(look).observe(
        document.body, {subtree: true, childList: true, characterData: true});
}"""


def sale(number, minutes, **fields):
    """Sale `number`, made so many minutes after NOON."""
    moment = NOON + timedelta(minutes=minutes)
    made = {"_id": str(number), "sale_id": str(number), "sale_datetime": moment,
            "customer_id": "c1", "store_id": "1", "payment_type": "efectivo", "items_count": 2,
            "gross_amount": 12.0, "discount_header": 2.0, "tax": 1.0, "total_amount": 10.0,
            "stored_at": datetime.now(UTC)}  # fmt: skip
    return made | fields


@pytest.fixture(scope="module", autouse=True)
def shop(page_database):
    """A day of sales, the day before, a sale with everything that belongs to it."""
    sales = [sale(n, -n) for n in range(1, 41)]  # 10 each, in the 40 minutes before NOON
    sales += [sale(100, 0, store_id="2", payment_type="tarjeta", total_amount=99.5)]
    sales += [sale(200 + n, -24 * 60 - n) for n in range(1, 21)]
    sales += [sale(300, -3 * 24 * 60, store_id=HOSTILE, payment_type=HOSTILE, total_amount=5.0)]
    page_database.sales.insert_many(sales)
    page_database.sales_items.insert_many(
        [
            {"_id": f"100:{n}", "sale_id": "100", "line_n": n, "product_id": f"p{n}",
             "quantity": 2.0, "unit_price": 5.0, "line_discount": 0.0, "net_amount": 10.0}
            for n in (1, 2)
        ]
    )  # fmt: skip
    page_database.products.insert_many(
        [
            {"_id": "p1", "product_id": "p1", "name": "Leche entera", "category": "Lácteos"},
            {"_id": "p2", "product_id": "p2", "name": HOSTILE, "category": HOSTILE},
        ]
    )
    page_database.customers.insert_one({"_id": "c1", "first_name": "Ana", "last_name": HOSTILE})
    page_database.recommendations.insert_one(
        {"_id": "100", "sale_id": "100", "recommendations": [
            {"product_id": "p9", "product_name": "Pan de molde", "category": "Pan", "ranking": 1,
             "relevancia_percentage": 100.0, "confidence_percentage": 31.0, "source": "model",
             "because_of": [{"product_id": "p1", "product_name": "Leche entera", "share": 100.0}]}
        ]}
    )  # fmt: skip
    return page_database


def metrics(visit):
    """Label -> value of the key figures."""
    return {
        each.locator('[data-testid="stMetricLabel"]').inner_text().strip(): (
            each.locator('[data-testid="stMetricValue"]').inner_text().replace("\xa0", " ")
        )
        for each in visit.page.locator(METRIC).all()
    }


def wait_for_metric(visit, label, value):
    """Wait until a key figure says so; the page refreshes by itself."""
    metric = visit.page.locator(METRIC, has_text=label)
    expect(metric).to_contain_text(re.compile(re.escape(value).replace(r"\ ", r"\s")))


def expect_in_window(visit, words):
    """Wait until the page says so of the chosen period."""
    expect(visit.page.get_by_text(re.compile(r", tickets: \d+$"))).to_have_text(
        re.compile(re.escape(words).replace(r"\ ", r"\s") + "$")
    )


def open_newest(visit):
    """Select the first row of the table."""
    table = visit.page.locator('[data-testid="stDataFrame"]').first

    def click():
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        visit.page.mouse.click(box["x"] + 17, box["y"] + 35 + 17)

    visit.insist(click, lambda: "sale" in visit.query())
    visit.page.wait_for_selector(f'{DIALOG} [data-testid="stDataFrame"]')


def test_an_empty_database_says_what_to_start(page_server, visit, stack):
    """And the page goes on by itself when the first sale comes."""
    with MongoClient(stack.mongo_uri) as client:
        opened = visit(page_server(SCRIPT, MONGO_DATABASE="live_of_nobody"))
        assert "Todavía no hay ninguna venta" in opened.text()
        assert "erp_kafka_to_mongo.py" in opened.text()
        client["live_of_nobody"].sales.insert_one(sale(1, 0))
        wait_for_metric(opened, "Tickets", "1")
        client.drop_database("live_of_nobody")


def test_today_is_shown_against_the_same_hours_of_the_day_before(page_server, visit):
    """By the data's own clock, which stands still since 2017."""
    opened = visit(page_server(SCRIPT))
    shown = metrics(opened)
    assert "499,50 €" == shown["Ventas del día"]
    assert "41" == shown["Tickets"]
    assert "12,18 €" == shown["Ticket medio"]
    assert "14 mar 2017" in opened.text()
    assert "mismas horas del 13 mar 2017" in opened.text()
    assert "reloj de los datos" in opened.text()
    assert "+149,8" in opened.text()  # 499.50 against 200
    expect(opened.page.locator(".js-plotly-plot")).to_have_count(2)


SHARED_VIEWS = {
    "?period=minutes&minutes=10": "199,50 €, tickets: 11",
    "?period=week&most=50": "605,00 €, tickets: 61",
    "?period=range&from=2017-03-13T11:45&to=2017-03-13T11:49&stores=1": "50,00 €, tickets: 5",
    "?stores=1&stores=2&payments=tarjeta&least=50": "99,50 €, tickets: 1",
}


def test_a_view_can_be_shared_by_its_address(page_server, visit):
    """Every filter is in it, and counts."""
    opened = visit(page_server(SCRIPT))
    for address, expected in SHARED_VIEWS.items():
        opened.page.goto(opened.server.url + "/" + address)
        opened.settle()
        expect_in_window(opened, expected)
        assert parse_qs(address.lstrip("?")).keys() == opened.query().keys()


def test_filters_are_chosen_on_the_page(page_server, visit):
    """Store, payment, amount and the last minutes; the address follows."""
    opened = visit(page_server(SCRIPT))
    page = opened.page
    opened.choose("Tiendas", "1")
    expect_in_window(opened, ", tickets: 40")
    assert ["1"] == opened.query()["stores"]
    opened.enter("Importe mínimo", "11")
    expect(page.get_by_text("Ninguna venta cumple los filtros")).to_be_visible()
    opened.enter("Importe mínimo", "")
    expect_in_window(opened, ", tickets: 40")
    opened.choose("Periodo", "Últimos minutos de datos")
    opened.enter("Minutos", "5")
    expect_in_window(opened, ", tickets: 5")
    assert {"period": ["minutes"], "minutes": ["5"], "stores": ["1"]} == opened.query()


def test_a_new_sale_shows_within_one_refresh_unless_the_reader_pauses(shop, page_server, visit):
    """The figures and the count of what is new; the page does not jump."""
    opened = visit(page_server(SCRIPT), QUICK)
    page = opened.page
    place = page.get_by_test_id("stMain").evaluate("e => { e.scrollTop = 300; return e.scrollTop }")
    assert place > 0
    page.evaluate(NOTE_WHAT_PASSES, "+1 desde la última lectura")
    try:
        shop.sales.insert_one(sale(900, 1, store_id="2", total_amount=1.5))
        wait_for_metric(opened, "Tickets", "42")
        page.wait_for_function("window.passed")
        assert place == page.get_by_test_id("stMain").evaluate("e => e.scrollTop")
        opened.insist(page.get_by_text("Pausar").click, page.get_by_text("En pausa").is_visible)
        shop.sales.insert_one(sale(901, 1))
        page.wait_for_timeout(3_000)  # more than one refresh
        assert "42" == metrics(opened)["Tickets"]
        opened.insist(page.get_by_text("Pausar").click, page.get_by_text("En vivo").is_visible)
        wait_for_metric(opened, "Tickets", "43")
    finally:
        shop.sales.delete_many({"_id": {"$in": ["900", "901"]}})


def test_a_sale_opens_with_its_lines_and_recommendations(page_server, visit):
    """It stays open while the page refreshes, can be shared and closed; a lost one says so."""
    opened = visit(page_server(SCRIPT), QUICK)
    page, dialog = opened.page, opened.page.locator(DIALOG)
    open_newest(opened)
    expect(dialog).to_contain_text("Venta 100")
    expect(dialog).to_contain_text(f"Ana {HOSTILE} (c1)")
    expect(dialog).to_contain_text("99,50")
    assert ["100"] == opened.query()["sale"]
    page.wait_for_timeout(3_000)  # more than one refresh
    cells = dialog.locator("[role=gridcell]")
    wanted = {"Leche entera", "Lácteos", "Pan de molde", HOSTILE}
    until(lambda: wanted <= set(cells.all_text_contents()))
    opened.insist(lambda: page.keyboard.press("Escape"), lambda: "sale" not in opened.query())
    expect(dialog).to_have_count(0)
    page.goto(f"{opened.server.url}/?sale=100")
    expect(dialog).to_contain_text("Venta 100")
    page.goto(f"{opened.server.url}/?sale=*nothing*")
    expect(dialog).to_contain_text("No hay ninguna venta *nothing*")


def test_names_of_stores_and_payments_are_text(page_server, visit):
    """HTML, Markdown, formulas, emoji and 200 characters, in filters, charts and tables."""
    opened = visit(page_server(SCRIPT), "?period=week")
    legend = opened.page.locator(".legendtext")
    until(lambda: any("<img src=x" in text for text in legend.all_text_contents()))
    hostile = opened.page.get_by_role("option", name=re.compile("onerror"))
    opened.insist(opened.page.get_by_label("Tiendas").click, hostile.is_visible)
    assert 0 == opened.page.locator("img[src='x']").count()


def test_the_page_speaks_english_and_fits_a_phone_in_the_dark(page_server, visit):
    """Words, numbers, dates; at 390 pixels nothing sticks out."""
    opened = visit(page_server(SCRIPT), "?lang=en", width=390, theme="dark", locale="en-GB")
    wait_for_metric(opened, "Sales of the day", "€499.50")
    assert "Newest sales" in opened.text()
    assert "14 Mar 2017" in opened.text()
    for spanish in ("Ventas", "Periodo", "Tiendas", "vivo"):
        assert spanish not in opened.text()
    main = opened.page.get_by_test_id("stMain")
    assert main.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert max(each.bounding_box()["width"] for each in opened.page.locator(METRIC).all()) <= 390


def test_the_language_is_switched_on_the_page(page_server, visit):
    """The address remembers it."""
    opened = visit(page_server(SCRIPT))
    opened.insist(opened.page.get_by_text("English").click, lambda: "lang" in opened.query())
    expect(opened.page.get_by_role("heading", name="Live sales")).to_be_visible()
    opened.settle()
    assert ["en"] == opened.query()["lang"]


def test_an_outage_is_said_and_the_page_goes_on_by_itself(shop, page_server, visit, mongo_gate):
    """What was last read stays on the screen meanwhile; no secret is on it."""
    opened = visit(page_server(SCRIPT), QUICK)
    mongo_gate.shut()
    try:
        expect(opened.page.get_by_text("Sin conexión")).to_be_visible()
        assert "41" == metrics(opened)["Tickets"]
        assert f"127.0.0.1:{mongo_gate.port}" in opened.text()
        fresh = visit(page_server(SCRIPT))
        expect(fresh.page.get_by_text("MongoDB no responde")).to_be_visible()
        shop.sales.insert_one(sale(902, 1))
    finally:
        mongo_gate.open()
    for each in (opened, fresh):
        wait_for_metric(each, "Tickets", "42")
        expect(each.page.get_by_text("En vivo", exact=False).last).to_be_visible()
        expect(each.page.get_by_text("Sin conexión")).to_have_count(0)
    shop.sales.delete_one({"_id": "902"})

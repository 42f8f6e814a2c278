"""The page of recommendations in a real browser, on a real stack."""

import re
from datetime import timedelta

import pytest
from confluent_kafka.admin import AdminClient
from playwright.sync_api import expect

from erp.contract import BasketProduct
from erp.kafka import ensure_topics
from erp.outbox import Outbox
from erp.processor.acceptance import Group, Performance
from erp.processor.performance import as_document
from tests.recommendation_samples import START, document, message, recommendation, recommended
from tests.waiting import PATIENCE, until

SCRIPT = "print_recommendations_consumer.py"
QUICK = "?every=2"  # seconds between two refreshes
HOSTILE = "<img src=x onerror=alert(1)> =1+1 **b** $x$ \N{WOMAN} " + "w" * 160
CARD = ".reco-card"
expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def send(page_settings):
    """Publish recommendations as the service does."""
    topic = f"{page_settings.topic_prefix}recommendations"
    admin = AdminClient(page_settings.kafka)
    ensure_topics(page_settings.kafka, [topic], 3, 1)

    def sending(*made):
        outbox = Outbox(page_settings.kafka)
        outbox.send(topic, [message(each) for each in made])
        assert 0 == outbox.flush(30)

    yield sending
    admin.delete_topics([topic])[topic].result(30)


@pytest.fixture(scope="module", autouse=True)
def shop(page_database, send):
    """20 answers in Kafka, of which one has hostile names; customers; what became of older ones."""
    made = [recommendation(n) for n in range(1, 20)]
    hostile = recommendation(
        20,
        customer_id="c9",
        store_id="9",
        complete=False,
        basket_products=[BasketProduct("b2", HOSTILE, HOSTILE, 1.0, 2.5)],
        recommendations=[recommended("p", product_name=HOSTILE, category=HOSTILE)],
    )
    send(*made, hostile)
    page_database.customers.insert_one(
        {"_id": "c9", "customer_id": "c9", "first_name": "Íñigo", "last_name": "Ruiz"}
    )
    page_database.products.insert_many([{"_id": f"p{n}"} for n in range(200)])
    page_database.recommendations.insert_one(
        document(recommendation(500, customer_id="old", created_at=START - timedelta(days=90)))
    )
    arms = [
        Group(by, key, answers=90, hits=9, products=450, accepted=30, returned=300, next=24,
              said=30.0)
        for by, key in (("arm", "model"), ("confidence", "7.5-10"), ("rank", "1"))
    ]  # fmt: skip
    performance = Performance(30, START, "2017-01-01", "2017-11-19", 3, arms)
    page_database.recommendation_performance.insert_one({"_id": "all", **as_document(performance)})
    return page_database


def titles(visit):
    """The sales on the cards, in their order."""
    return visit.page.locator(f"{CARD} .reco-top b").all_inner_texts()


def search(visit, words):
    visit.enter("Buscar venta, cliente o producto", words)


def view(visit, name):
    choice = visit.page.get_by_test_id("stMain").get_by_role("radio", name=name)
    visit.insist(choice.click, choice.is_checked)


def test_nothing_yet_says_what_to_start(page_server, visit):
    """An empty Kafka and an empty MongoDB."""
    opened = visit(page_server(SCRIPT, TOPIC_PREFIX="nobody.", MONGO_DATABASE="nobody"))
    expect(opened.page.get_by_text("Todavía no hay recomendaciones")).to_be_visible()
    assert "reco_service_stream.py" in opened.text()


def test_each_sale_is_a_card_with_everything_that_is_known(page_server, visit):
    """The newest first; Kafka is named as the source; names are text."""
    opened = visit(page_server(SCRIPT))
    expect(opened.page.get_by_text("Kafka, en directo")).to_be_visible()
    card = opened.page.locator(CARD).first
    expect(card).to_contain_text("Venta s20")
    for expected in ("Íñigo Ruiz (c9)", "Tienda: 9", "card", HOSTILE[:40],
                     "cesta incompleta", "Confianza", "Relevancia", "Ranking", "porque lleva",
                     "ventas con ambos: 12"):  # fmt: skip
        expect(card).to_contain_text(expected)
    assert ["Venta s20", "Venta s19", "Venta s18"] == titles(opened)[:3]
    assert 0 == opened.page.locator("img[src='x']").count()
    widths = card.locator(".reco-fill.confidence").evaluate_all(
        "all => all.map(e => e.style.width)"
    )
    assert ["24%"] == widths
    third = opened.page.get_by_role("button", name="Page 3")
    opened.insist(third.click, lambda: titles(opened)[:1] == ["Venta s4"])


def test_search_finds_sales_customers_and_products(page_server, visit):
    """By number or by name, without accents; and in MongoDB what is older."""
    opened = visit(page_server(SCRIPT))
    cards = opened.page.locator(CARD)
    for words, expected in {
        "s7": ["Venta s7"],
        "inigo": ["Venta s20"],
        "product r12-3": ["Venta s12"],
        "r13-1": ["Venta s13"],
        "c3": ["Venta s17", "Venta s10", "Venta s3"],
        "old": ["Venta s500"],
    }.items():
        search(opened, words)
        expect(cards).to_have_count(len(expected))
        expect(cards.first).to_contain_text(expected[0])
        assert expected == titles(opened)
        assert [words] == opened.query()["q"]
    search(opened, "<b>nothing")
    expect(opened.page.get_by_text("Ninguna recomendación cumple")).to_be_visible()


def test_stores_and_order(page_server, visit):
    """A filter by store, the oldest first."""
    opened = visit(page_server(SCRIPT))
    opened.choose("Tiendas", "2")
    expect(opened.page.locator(CARD)).to_have_count(7)
    expect(opened.page.locator(CARD).first).to_contain_text("Venta s19")
    oldest = opened.page.get_by_text("más antiguas")
    opened.insist(oldest.click, lambda: titles(opened)[:1] == ["Venta s1"])


def test_new_answers_come_by_themselves_after_clearing_and_the_beginning_brings_all_back(
    send, page_server, visit
):
    """Within one refresh."""
    opened = visit(page_server(SCRIPT), QUICK)
    clear = opened.page.get_by_role("button", name="Limpiar")
    opened.insist(clear.click, opened.page.get_by_text("Limpio.").is_visible)
    send(recommendation(21))
    expect(opened.page.locator(CARD)).to_have_count(1)
    assert ["Venta s21"] == titles(opened)
    back = opened.page.get_by_role("button", name="Volver al principio")
    opened.insist(back.click, lambda: 8 == opened.page.locator(CARD).count())
    assert ["Venta s21", "Venta s20"] == titles(opened)[:2]
    assert "21 en memoria" in opened.text()


def test_figures_of_the_model(page_server, visit):
    """Distributions, sources, coverage, latency, age, and what was bought later."""
    opened = visit(page_server(SCRIPT), "?view=model")
    page = opened.page
    expect(page.locator(".js-plotly-plot")).to_have_count(5)
    words = opened.text().replace("\xa0", " ")
    for expected in ("Confianza media", "Cobertura del catálogo", "Latencia mediana",
                     "Edad del modelo", "20171201T120000Z-0123abcd", "modelo · 100,0 %",
                     "¿Sirvieron?", "3 sin cliente conocido", "19 nov 2017"):  # fmt: skip
        assert expected in words
    hit = page.get_by_test_id("stMetric").filter(has_text="Acierto en la compra siguiente")
    expect(hit).to_contain_text(re.compile(r"8,0\s%"))
    expect(hit).to_contain_text(re.compile(r"media: 10,0\s%"))


def test_the_debug_panel_shows_partitions_and_no_secret(page_server, visit):
    """Offsets, lag, problems; and who reads: one consumer without a group."""
    opened = visit(page_server(SCRIPT))
    view(opened, "Depuración")
    expect(opened.page.get_by_text("sin grupo")).to_be_visible()
    cells = opened.page.locator("[role=gridcell]")
    until(lambda: {"0", "1", "2"} <= set(cells.all_text_contents()[:15]))
    headings = opened.page.locator("[role=columnheader]")
    until(lambda: {"Partición", "Leído hasta", "Retraso"} <= set(headings.all_text_contents()))


def test_one_consumer_serves_all_visitors_and_joins_no_group(page_server, visit, page_settings):
    """Nothing is left on the brokers."""
    server = page_server(SCRIPT)
    for _ in range(3):
        visit(server)
    admin = AdminClient(page_settings.kafka)  # its answers end with it
    groups = admin.list_consumer_groups().result(60).valid
    mine = [g.group_id for g in groups if page_settings.topic_prefix in g.group_id]
    assert [] == mine


def test_the_page_speaks_english_on_a_phone_in_the_dark(page_server, visit):
    """No Spanish word is left, and nothing sticks out."""
    opened = visit(page_server(SCRIPT), "?lang=en", width=390, theme="dark", locale="en-GB")
    expect(opened.page.locator(CARD).first).to_contain_text("Sale s2")
    words = opened.text()
    assert "Kafka, live" in words
    for spanish in ("Venta", "Confianza", "Tienda", "memoria"):
        assert spanish not in words
    main = opened.page.get_by_test_id("stMain")
    assert main.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_mongodb_stands_in_while_kafka_is_away_and_both_away_is_said(
    shop, page_server, visit, stack, mongo_gate, send
):
    """A badge says which; everything goes on by itself."""
    opened = visit(page_server(SCRIPT), QUICK)
    expect(opened.page.get_by_text("Kafka, en directo")).to_be_visible()
    shop.recommendations.insert_one(document(recommendation(30)))
    stack.kafka.freeze()
    try:
        expect(opened.page.get_by_text("MongoDB, de respaldo")).to_be_visible()
        expect(opened.page.locator(CARD).first).to_contain_text("Venta s30")
        mongo_gate.shut()
        expect(opened.page.get_by_text("Sin conexión")).to_be_visible()
        expect(opened.page.get_by_text("Ni Kafka")).to_be_visible()
        expect(opened.page.locator(CARD).first).to_contain_text("Venta s30")
    finally:
        stack.kafka.thaw()
        mongo_gate.open()
    expect(opened.page.get_by_text("Kafka, en directo")).to_be_visible()
    send(recommendation(31))
    expect(opened.page.locator(CARD).first).to_contain_text("Venta s31")

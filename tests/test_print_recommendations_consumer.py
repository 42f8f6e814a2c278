"""The page of recommendations as a program, and what it says without a browser."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import streamlit as st
from pymongo.database import Database
from streamlit.testing.v1 import AppTest

from config import Settings
from erp import decisions
from erp.decisions import Decision
from erp.kafka import ensure_topics
from erp.outbox import Outbox
from erp.processor.catch_up import recompute
from erp.processor.performance import Acceptance
from local_stack.stack import free_ports
from tests import apps
from tests.processor_shop import Shop
from tests.recommendation_samples import START, document, message, recommendation


@pytest.fixture
def app(run_script: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The page under the test's settings, without a browser."""
    with apps.opened(
        "print_recommendations_consumer.py", run_script.environment(), monkeypatch
    ) as opened:
        yield opened


@pytest.fixture
def answered(settings: Settings) -> None:
    """Ten recommendations in Kafka."""
    topic = f"{settings.topic_prefix}recommendations"
    ensure_topics(settings.kafka, [topic], 3, 1)
    outbox = Outbox(settings.kafka)
    outbox.send(topic, [message(recommendation(n)) for n in range(10)])
    assert 0 == outbox.flush(30)


@pytest.fixture
def performance(database: Database) -> None:
    """Two answers of the model, one of the control group: half, and none, were right."""
    shop = Shop(database)
    for number, customer in enumerate(["ana", "bob", "eva"]):
        for sale, days, product in ((f"{number}", 0, "x"), (f"later{number}", 3, f"r{number}-1")):
            moment = START + timedelta(days=days)
            shop.put("sales", sale_id=sale, sale_datetime=moment, customer_id=customer)
            bought = product if customer == "ana" else "x"
            shop.put("sales_items", sale_id=sale, line_n=1, product_id=bought, quantity=1.0)
        made = document(recommendation(number, customer_id=customer, timestamp=START))
        database.recommendations.insert_one({**made, "control": customer == "eva"})
    shop.put("sales", sale_id="end", sale_datetime=START + timedelta(days=9))
    recompute(database, "UTC")
    Acceptance(database, 7, "UTC").update()


def words(app: AppTest) -> str:
    """What the page says in Markdown and HTML."""
    pieces = [*app.markdown, *app.caption, *app.info, *app.warning, *app.get("html")]
    return "\n".join(
        str(getattr(piece, "value", "")) or str(getattr(piece.proto, "body", ""))
        for piece in pieces
    )


def test_help_is_the_docstring(run_script: Any) -> None:
    """--help says what the page reads and how it is opened, and shows the port."""
    done = run_script("print_recommendations_consumer.py", "--help")
    assert 0 == done.returncode
    assert "erp.recommendations" in done.stdout
    assert "(default: 8503)" in done.stdout


@pytest.mark.usefixtures("answered")
def test_the_page_needs_no_mongodb(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka alone feeds it; names and figures that MongoDB would give are left out."""
    monkeypatch.setenv("MONGO_URI", f"mongodb://someone:secret@127.0.0.1:{free_ports(1)[0]}")
    for view in ("cards", "model", "debug"):
        app.query_params["view"] = view
        app.run()
        assert not app.exception
        assert not app.error
        assert "Kafka, en directo" in words(app)
        assert "secret" not in words(app)


def test_the_page_needs_no_kafka(
    app: AppTest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB stands in, and the badge says so."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_ports(1)[0]}")
    database.recommendations.insert_one(document(recommendation(1)))
    app.run()
    assert not app.exception
    assert "MongoDB, de respaldo" in words(app)
    assert "1 en memoria" in words(app)


def test_the_page_needs_neither(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is away and what to start, without the password."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_ports(1)[0]}")
    monkeypatch.setenv("MONGO_URI", f"mongodb://someone:secret@127.0.0.1:{free_ports(1)[0]}")
    app.run()
    assert not app.exception
    assert "Ni Kafka (127.0.0.1:" in app.warning[0].value
    assert "make up" in app.warning[0].value
    assert "secret" not in words(app)


def test_wrong_settings_of_kafka_are_a_sentence(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The details are in the log."""
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "carrier-pigeon")
    app.run()
    assert not app.exception
    assert 1 == len(app.error)


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize(
    "address",
    [
        {"q": "<b>*x*" * 100},
        {"stores": "nowhere"},
        {"view": "secrets"},
        {"every": "0"},
        {"view": "model", "q": "nothing of that name"},
    ],
)
def test_an_address_that_was_tampered_with_breaks_nothing(
    app: AppTest, address: dict[str, str]
) -> None:
    """What makes no sense finds nothing, or is as if it were not there."""
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    assert not app.error
    assert "10 en memoria" in words(app)


def metrics(app: AppTest) -> dict[str, tuple[str, str]]:
    """Value and what stands below it, by name; with plain spaces."""
    return {
        each.label: tuple(text.replace("\xa0", " ") for text in (each.value, each.delta))
        for each in app.metric
    }


@pytest.mark.usefixtures("answered", "performance")
def test_the_page_tells_whether_it_helped(app: AppTest) -> None:
    """What the processor counted, with intervals, beside the control group."""
    app.query_params["view"] = "model"
    app.run()
    assert not app.exception
    found = metrics(app)
    assert ("10,0 %", "95 %: de 1,8 % a 40,4 %") == found["Aceptación"]
    assert "50,0 %" == found["Ventas con algún acierto"][0]
    assert "+50 puntos" == found["Ventaja sobre el control"][0]
    assert ("10,0 %", "confianza media: 11,0 %") == found["Acierto en la compra siguiente"]
    assert "hasta 7 d después" in words(app)
    for kind, keys in {
        "arm": ["control: solo populares", "modelo"],
        "source": ["modelo"],
        "rank": list("12345"),
        "version": ["20171201T120000Z-0123abcd"],
    }.items():
        app.session_state["accepted_by"] = kind
        app.run()
        assert keys == app.dataframe[-1].value["key"].tolist()


@pytest.mark.usefixtures("answered")
def test_what_is_not_known_yet_is_said(app: AppTest, database: Database) -> None:
    """No processor so far, then one whose days have not passed."""
    app.query_params["view"] = "model"
    app.run()
    assert "Nadie ha mirado todavía" in words(app)
    recompute(database, "UTC")
    Acceptance(database, 7, "UTC").update()
    st.cache_data.clear()
    app.run()
    assert "7 días de ventas" in words(app)


@pytest.mark.usefixtures("answered")
def test_the_last_training_is_shown(app: AppTest, settings: Settings) -> None:
    """What was decided, why, and by which figures."""
    app.query_params["view"] = "model"
    app.run()
    assert "entrenamiento" not in words(app)
    made = Decision(
        replaced=False,
        reason="worse",
        compared="as it is",
        decided_at=START,
        margin=0.02,
        sales=5_000,
        asked=1_000,
        candidate=0.1,
        in_service=0.2,
        ratio=0.5,
        low=0.4,
        high=0.6,
    )
    decisions.write(settings.model_path, made)
    app.run()
    said = words(app).replace("\xa0", " ")
    assert "siguió el modelo de antes porque el nuevo es peor." in said
    assert "el nuevo encuentra entre diez el 10,0 % y el de antes el 20,0 %: 0,5 veces" in said
    first = Decision(
        replaced=True, reason="no model", compared="nothing", decided_at=START, margin=0, sales=9
    )
    decisions.write(settings.model_path, first)
    app.run()
    assert "el modelo nuevo entró en servicio porque no había otro." in words(app)

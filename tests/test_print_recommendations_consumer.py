"""The page of recommendations as a program, and what it says without a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from pymongo.database import Database
from streamlit.testing.v1 import AppTest

from config import Settings
from erp.kafka import Outbox, ensure_topics
from local_stack.stack import free_ports
from tests.recommendation_samples import document, message, recommendation

SCRIPT = Path(__file__).resolve().parent.parent / "print_recommendations_consumer.py"


@pytest.fixture
def app(run_script: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The page under the test's settings, without a browser."""
    for name, value in run_script.environment().items():
        if name.lower() in Settings.model_fields:
            monkeypatch.setenv(name, value)
    yield AppTest.from_file(str(SCRIPT), default_timeout=30)
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def answered(settings: Settings) -> None:
    """Ten recommendations in Kafka."""
    topic = f"{settings.topic_prefix}recommendations"
    ensure_topics(settings.kafka, [topic], 3, 1)
    outbox = Outbox(settings.kafka)
    outbox.send(topic, [message(recommendation(n)) for n in range(10)])
    assert 0 == outbox.flush(30)


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

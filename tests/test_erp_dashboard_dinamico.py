"""The page of live sales as a program, and what it says without a browser."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database
from streamlit.proto.Metric_pb2 import Metric
from streamlit.testing.v1 import AppTest

from local_stack.stack import free_ports
from tests import apps


@pytest.fixture
def app(run_script: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The page under the test's settings, without a browser."""
    with apps.opened("erp_dashboard_dinamico.py", run_script.environment(), monkeypatch) as opened:
        yield opened


def sell(database: Database, number: int, moment: datetime, **fields: Any) -> None:
    """Store a sale of 10."""
    made = {"_id": str(number), "sale_id": str(number), "sale_datetime": moment,
            "store_id": "1", "total_amount": 10.0, "stored_at": datetime.now(UTC)}  # fmt: skip
    database.sales.insert_one(made | fields)


def figures(app: AppTest) -> dict[str, str]:
    """Label -> value of the key figures."""
    return {each.label: each.value.replace("\xa0", " ") for each in app.metric}


def test_help_is_the_docstring(run_script: Any) -> None:
    """--help says what the page reads and how it is opened, and shows the port."""
    done = run_script("erp_dashboard_dinamico.py", "--help")
    assert 0 == done.returncode
    assert "Reads MongoDB: sales" in done.stdout
    assert "(default: 8502)" in done.stdout


def test_no_database_is_a_friendly_page(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away is named without the password."""
    monkeypatch.setenv("MONGO_URI", f"mongodb://someone:secret@127.0.0.1:{free_ports(1)[0]}")
    app.run()
    assert not app.exception
    assert "MongoDB no responde en 127.0.0.1" in app.warning[0].value
    assert "secret" not in app.warning[0].value


def test_today_is_the_day_of_the_newest_sale_in_the_business_time_zone(
    app: AppTest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """23:30 in Madrid counts for that day, 00:30 for the next."""
    monkeypatch.setenv("BUSINESS_TIMEZONE", "Europe/Madrid")
    sell(database, 1, datetime(2017, 7, 1, 21, 30, tzinfo=UTC))
    sell(database, 2, datetime(2017, 7, 1, 22, 30, tzinfo=UTC))
    sell(database, 3, datetime(2017, 7, 2, 21, 30, tzinfo=UTC))
    app.run().run()  # the key figures, then everything
    assert not app.exception
    assert ("2", "20,00 €") == (figures(app)["Tickets"], figures(app)["Ventas del día"])


def test_an_arrow_says_which_way_a_figure_went(app: AppTest, database: Database) -> None:
    """As many tickets as the day before have none."""
    noon = datetime(2017, 7, 2, 12, tzinfo=UTC)
    sell(database, 1, noon, total_amount=25.0)
    sell(database, 2, noon - timedelta(days=1))
    app.run().run()  # the key figures, then everything
    arrows = {each.label: each.proto.direction for each in app.metric}
    assert (Metric.UP, Metric.NONE) == (arrows["Ventas del día"], arrows["Tickets"])


def test_a_sale_of_just_now_is_no_replay(app: AppTest, database: Database) -> None:
    """The clock of the data is then the one on the wall."""
    sell(database, 1, datetime.now(UTC) - timedelta(seconds=5))
    app.run().run()  # the key figures, then everything
    assert not any("reloj de los datos" in each.value for each in app.markdown)
    assert any("llegó hace" in each.value for each in app.caption)


def test_currency_and_language_are_settings(
    app: AppTest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shop in dollars whose people read English."""
    monkeypatch.setenv("CURRENCY", "USD")
    monkeypatch.setenv("PAGE_LANGUAGE", "en")
    sell(database, 1, datetime(2017, 7, 1, 12, tzinfo=UTC), total_amount=1234.5)
    app.run().run()  # the key figures, then everything
    assert "$1,234.50" == figures(app)["Sales of the day"]


@pytest.mark.parametrize(
    "address",
    [
        {"period": "yesterday"},
        {"period": "minutes", "minutes": "0"},
        {"period": "minutes", "minutes": "²"},
        {"period": "minutes", "minutes": "9" * 400},
        {"period": "range"},
        {"period": "range", "from": "soon", "to": "2017-07-01T10:00+09:00"},
        {"period": "range", "from": "0001-01-01T00:00", "to": "9999-12-31T23:59"},
        {"least": "nan", "most": "inf"},
        {"least": "1e400"},
        {"stores": "", "payments": "*x*"},
        {"every": "3"},
        {"sale": "a:1:*"},
        {"lang": "xx"},
    ],
)
def test_an_address_that_was_tampered_with_breaks_nothing(
    app: AppTest, database: Database, address: dict[str, str]
) -> None:
    """What makes no sense is as if it were not there."""
    sell(database, 1, datetime(2017, 7, 1, 12, tzinfo=UTC))
    for name, value in address.items():
        app.query_params[name] = value
    app.run().run()  # the key figures, then everything
    assert not app.exception
    assert not app.error
    assert "Tickets" in figures(app)


def test_fields_that_are_missing_break_nothing(app: AppTest, database: Database) -> None:
    """A sale with nothing but its key and its moment."""
    moment = datetime(2017, 7, 1, 12, tzinfo=UTC)
    database.sales.insert_one({"_id": "1", "sale_id": "1", "sale_datetime": moment})
    app.query_params["sale"] = "1"
    app.run().run()  # the key figures, then everything
    assert not app.exception
    assert not app.error
    assert ("1", "0,00 €") == (figures(app)["Tickets"], figures(app)["Ventas del día"])

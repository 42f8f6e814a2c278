"""The history page as a program, and what it says without a browser."""

import signal
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from local_stack.stack import free_ports
from tests import apps
from tests.waiting import PATIENCE


@pytest.fixture
def app(run_script: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The page under the test's settings, without a browser."""
    with apps.opened("erp_dashboard.py", run_script.environment(), monkeypatch) as opened:
        yield opened


def test_help_is_the_docstring(run_script: Any) -> None:
    """--help says what the page reads and how it is opened, and shows the port."""
    done = run_script("erp_dashboard.py", "--help")
    assert 0 == done.returncode
    assert "mongo_data_processor_completo.py" in done.stdout
    assert "(default: 8501)" in done.stdout


def test_is_served_until_told_to_stop(run_script: Any) -> None:
    """`python erp_dashboard.py` serves on 127.0.0.1 and ends with 0 when asked."""
    port = free_ports(1)[0]
    started = run_script.start("erp_dashboard.py", "--port", port)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and started.process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health"):
                break
        except OSError:
            time.sleep(0.2)
    else:
        pytest.fail(started.stderr)
    assert 0 == started.stop(signal.SIGTERM)
    assert "Traceback" not in started.stderr


def test_empty_database_is_a_friendly_page(app: AppTest) -> None:
    """Without aggregates the page says which programs to run, in the language of the settings."""
    app.run()
    assert not app.exception
    assert "Todavía no hay nada que mostrar" in app.warning[0].value
    assert "mongo_data_processor_completo.py --once" in app.warning[0].value


def test_empty_database_in_english(app: AppTest) -> None:
    """The language of a link wins over the one of the settings; one that is unknown does not."""
    app.query_params["lang"] = "en"
    app.run()
    assert "There is nothing to show yet" in app.warning[0].value
    app.query_params["lang"] = "xx"
    assert not app.run().exception


def test_no_database_is_a_friendly_page(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away is named without the password."""
    monkeypatch.setenv("MONGO_URI", f"mongodb://someone:secret@127.0.0.1:{free_ports(1)[0]}")
    app.run()
    assert not app.exception
    assert "MongoDB no responde en 127.0.0.1" in app.warning[0].value
    assert "secret" not in app.warning[0].value


def test_a_fault_is_told_without_its_traceback(
    app: AppTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody foresaw is logged whole and told in a sentence."""

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("erp.processor.snapshots.read_stamp", broken)
    app.run()
    assert not app.exception
    assert "Esta página ha encontrado un problema" in app.error[0].value
    assert "secret detail" not in app.error[0].value
    assert "secret detail" in caplog.text

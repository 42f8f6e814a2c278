"""Watching a folder: each file once, whatever becomes of it while it is read."""

import pytest

from erp.contract import PRODUCTS
from erp.ingest import batch
from erp.ingest.checkpoint import Checkpoint
from erp.ingest.rejects import Rejects
from erp.ingest.watch import watch
from tests.erp.ingest.jobs import a_job


class Steps:
    """A Stop that takes the next step after each look at the folder, and ends after the last."""

    requested = False

    def __init__(self, *steps):
        self._steps = list(steps)

    @property
    def due(self):
        return not self._steps

    def wait(self, _seconds):
        self._steps.pop(0)()

    def count(self, _files):
        pass


class Sent(list):
    """A Delivery that keeps the keys."""

    def send(self, _table, keys, _values):
        self.extend(keys)
        return len(keys)

    def confirm(self):
        return True

    confirm_now_and_then = confirm


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "csv_out"
    folder.mkdir()
    (folder / "products.csv").write_text("product_id\n1\n")
    return folder


@pytest.fixture
def look(folder, tmp_path):
    """Watch the folder, taking a step after each look; the keys that were sent."""
    state = Checkpoint()

    def look(*steps):
        rejects = Rejects(tmp_path / "rejects.csv")
        rejects.keep(state.rejects_bytes)
        job = a_job(
            stop=Steps(*steps),
            delivery=Sent(),
            state=state,
            rejects=rejects,
        )
        watch(job, folder)
        job.rejects.close()
        return job.delivery, job.counts(PRODUCTS)

    return look


def nothing():
    """A step that changes nothing."""


def test_a_file_that_goes_away_while_it_is_read_is_sent_when_it_is_back(
    folder, look, tmp_path, monkeypatch, caplog
):
    """The watch goes on and says so; back as it was the file is new."""
    path, elsewhere = folder / "products.csv", tmp_path / "elsewhere"

    def going(*asked):
        yield from survey(*asked)
        if not elsewhere.exists():
            path.rename(elsewhere)

    def back():
        assert "products.csv went away before it was sent" in caplog.text
        monkeypatch.setattr(batch, "survey", survey)
        elsewhere.rename(path)

    survey = batch.survey
    monkeypatch.setattr(batch, "survey", going)
    sent, counts = look(nothing, nothing, back, nothing, nothing)
    assert (["1"], {}) == (sent, counts.rejected)


def test_a_file_that_cannot_be_used_is_told_once_over_a_restart(folder, look, tmp_path):
    """And once more when it changed and still cannot."""
    path = folder / "products.csv"
    path.write_text("name\nx\n")
    for _ in range(2):
        _, counts = look(nothing, nothing)
        assert {"unusable_header": 1} == counts.rejected
        assert 2 == len((tmp_path / "rejects.csv").read_text().splitlines())
    path.write_text("name\nother\n")
    _, counts = look(nothing, nothing)
    assert {"unusable_header": 2} == counts.rejected


def test_a_file_that_was_mended_and_is_broken_again_is_told_again(folder, look):
    """What was told once was of another export."""
    path = folder / "products.csv"
    good = path.read_text()
    for text in ("name\nx\n", good, "name\nx\n"):
        path.write_text(text)
        _, counts = look(nothing, nothing)
    assert (1, {"unusable_header": 2}) == (counts.sent, counts.rejected)

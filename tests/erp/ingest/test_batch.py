"""Whole files to Kafka: what was taken is not sent again, wherever it was given up."""

import pytest

from erp.contract import PRODUCTS
from erp.ingest import batch, checkpoint, csv_files
from erp.ingest.batch import send_files
from erp.ingest.csv_files import UnusableFileError
from erp.ingest.rejects import Rejects
from tests.erp.ingest.jobs import a_job


class Stop:
    """Nobody asks to stop."""

    requested = False


class Impatient:
    """A Delivery that takes so many messages and no more."""

    def __init__(self, room):
        self.room, self.sent = room, []

    def send(self, _table, keys, _values):
        taken = keys.head(self.room)
        self.room -= len(taken)
        self.sent.extend(taken)
        return len(taken)

    def confirm_now_and_then(self):
        return True


@pytest.fixture
def resume(tmp_path):
    """Go on with products.csv from the checkpoint; the keys that were sent, and the counts."""
    path, state_path = tmp_path / "products.csv", tmp_path / "state.json"
    rows = (f"{n},{n if n % 9 else 'x'}\n" for n in range(90))
    path.write_text("product_id,unit_price\n" + "".join(rows))

    def resume(room):
        state = checkpoint.load(state_path, {})
        delivery = Impatient(room)
        rejects = Rejects(tmp_path / "rejects.csv")
        rejects.keep(state.rejects_bytes)
        job = a_job(
            stop=Stop(),
            delivery=delivery,
            state=state,
            rejects=rejects,
        )
        send_files(job, {PRODUCTS: [csv_files.describe(path, PRODUCTS)]}, (PRODUCTS,))
        job.rejects.close()
        checkpoint.save(state_path, state)
        return delivery.sent, job.counts(PRODUCTS)

    return resume


@pytest.mark.parametrize("reading", ["survey", "load"])
def test_a_file_that_changes_while_it_is_read_is_told(tmp_path, monkeypatch, reading):
    """Its dates could be read in the order of another content; it is not done then."""
    path = tmp_path / "products.csv"
    path.write_text("product_id,name\n1,a\n")
    read = getattr(batch, reading)

    def changed(*arguments):
        yield from read(*arguments)
        path.write_text("product_id,name\n1,a\n2,b\n")

    monkeypatch.setattr(batch, reading, changed)
    rejects = Rejects(tmp_path / "rejects.csv")
    job = a_job(stop=Stop(), delivery=Impatient(1_000), rejects=rejects)
    with pytest.raises(UnusableFileError, match="changed while it was read"):
        send_files(job, {PRODUCTS: [csv_files.describe(path, PRODUCTS)]}, (PRODUCTS,))
    assert (["1"] if reading == "load" else []) == job.delivery.sent
    assert not job.state.files["products:products.csv"].done


def test_a_block_that_was_taken_in_part_goes_on_behind_that_part(resume, tmp_path):
    """Each good row is sent once, each bad one told once, however often it was given up."""
    runs = [resume(room) for room in (7, 0, 30, 1_000, 1_000)]
    sent = [key for keys, _ in runs for key in keys]
    assert [f"{n}" for n in range(90) if n % 9] == sent
    assert [7, 7, 37, 80, 80] == [counts.sent for _, counts in runs]
    assert (90, {"not_a_number": 10}) == (runs[-1][1].read, runs[-1][1].rejected)
    assert 11 == len((tmp_path / "rejects.csv").read_text().splitlines())

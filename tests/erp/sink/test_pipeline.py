"""Batches on their way to the database."""

import threading
import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import Message

from erp.contract import SALES
from erp.sink.pipeline import Batch, Pipeline
from erp.sink.writes import Origin, Write


@pytest.fixture
def gate():
    """Opened at the end, so that no writer is left waiting."""
    opened = threading.Event()
    yield opened
    opened.set()


def test_a_batch_that_is_written_while_it_is_asked_for_is_no_error():
    """The writer may end at any moment of the question."""
    pipeline = Pipeline(lambda _: "stored")
    until = time.monotonic() + 1
    while time.monotonic() < until:
        pipeline.submit(batch := Batch())
        while (done := pipeline.finished()) is None:
            pass
        assert (batch, "stored") == done


def test_batches_come_back_in_order_and_only_when_written(gate):
    """One that is being written is waited for as long as asked, and holds up those behind it."""
    pipeline = Pipeline(lambda batch: gate.wait() and batch.writes)
    first, second = Batch(writes=[1]), Batch(writes=[2])
    pipeline.submit(first)
    assert not pipeline.full
    pipeline.submit(second)
    assert pipeline.full
    assert pipeline.finished() is None
    began = time.monotonic()
    assert pipeline.finished(0.2) is None
    assert time.monotonic() - began >= 0.2
    gate.set()
    assert [(first, [1]), (second, [2])] == [pipeline.finished(10), pipeline.finished(10)]
    assert pipeline.finished(10) is None


def test_what_a_write_raised_is_raised_also_if_it_is_a_timeout():
    """A server's timeout is not taken for a batch that is still being written."""

    def refuse(_):
        raise TimeoutError("the server")

    pipeline = Pipeline(refuse)
    pipeline.submit(Batch())
    with pytest.raises(TimeoutError, match="the server"):
        pipeline.finished(10)


def test_what_is_on_its_way_begins_with_its_oldest_message(gate):
    """Of each partition, over all batches, bad ones too; nothing is left of abandoned ones."""
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    pipeline = Pipeline(lambda _: gate.wait())
    for offsets in ([(0, 7), (1, 3), (0, 8)], [(0, 9), (2, 5)]):
        origins = [Origin("sales", *place, noon) for place in offsets]
        bad = [(Message("sales", partition=p, offset=4), "not-json", "") for p in (2, 3)]
        pipeline.submit(Batch([Write(SALES, "s", None, each) for each in origins], bad=bad))
    first = {("sales", 0): 7, ("sales", 1): 3, ("sales", 2): 4, ("sales", 3): 4}
    assert first == pipeline.places()
    pipeline.abandon()
    assert {} == pipeline.places()


def test_an_abandoned_batch_is_counted_and_forgotten(gate):
    """Nothing that follows is written or told."""
    written = []
    pipeline = Pipeline(lambda batch: gate.wait() and written.append(batch.writes))
    pipeline.submit(Batch(writes=["being written"]))
    pipeline.submit(Batch(writes=["waiting"]))
    assert 2 == pipeline.abandon()
    gate.set()
    assert pipeline.finished(0.2) is None
    assert ["waiting"] not in written

"""A copy that is frozen until another one has its partitions, and wakes with a batch in hand."""

import signal

import pytest

from erp.contract import RECOMMENDATIONS
from tests import service_shop, sink_shop
from tests.sink_shop import SALE
from tests.waiting import until
from tests.wire_proxy import RefusingProxy

SINK = "erp_kafka_to_mongo.py"


@pytest.fixture
def proxy(stack):
    """The way of the first copy to MongoDB, which may refuse its writes."""
    made = RefusingProxy("127.0.0.1", stack.mongo_port)
    yield made
    made.close()


@pytest.fixture
def frozen(proxy, run_script):
    """`frozen(script, joined, send)`: a copy that stopped with what `send` gave it in hand."""

    def start(script, joined, send):
        copy = run_script.start(script, MONGO_URI=proxy.uri)
        until(lambda: joined in copy.stderr)
        proxy.refusal = {"code": 10107, "codeName": "NotWritablePrimary"}
        send()
        until(lambda: proxy.refused)
        copy.process.send_signal(signal.SIGSTOP)
        proxy.refusal = None
        return copy

    yield start
    for each in run_script.started:
        if each.process.poll() is None:
            each.process.send_signal(signal.SIGCONT)


def test_service_that_wakes_publishes_nothing_that_another_copy_answered(
    settings, database, run_script, frozen, read_topic
):
    """The sale's one answer is that of the copy that took its partition over."""
    shop = service_shop.Shop(settings, database, run_script)
    shop.store("s", ["p1"])
    copy = frozen(service_shop.SCRIPT, "came, now [0, 1, 2]", lambda: shop.sell("s", 1))
    other = run_script.start(service_shop.SCRIPT)
    answers = shop.wait_for_sales("s")
    copy.process.send_signal(signal.SIGCONT)
    until(lambda: ", now []" in copy.stderr)
    assert [0, 0] == [each.stop() for each in (copy, other)]
    assert answers == shop.answers()
    assert 1 == len(read_topic(RECOMMENDATIONS))


def test_service_that_wakes_deletes_no_answer_that_another_copy_gave(
    settings, database, run_script, frozen, read_topic
):
    """The copy that took over read the tombstone, and the sale that was sent again behind it."""
    shop = service_shop.Shop(settings, database, run_script)
    copy = frozen(service_shop.SCRIPT, "came, now [0, 1, 2]", lambda: shop.send([("s", None)]))
    other = run_script.start(service_shop.SCRIPT)
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    answers = shop.wait_for_sales("s")
    copy.process.send_signal(signal.SIGCONT)
    until(lambda: ", now []" in copy.stderr)
    assert [0, 0] == [each.stop() for each in (copy, other)]
    assert answers == shop.answers()
    assert service_shop.latest(read_topic(RECOMMENDATIONS))["s"]


def test_service_that_wakes_improves_no_answer_that_another_copy_deleted(
    settings, database, run_script, frozen, read_topic
):
    """The copy that took over read the tombstone of a sale whose late lines were being answered."""
    shop = service_shop.Shop(settings, database, run_script)
    shop.sell("s", 2)
    done = run_script(service_shop.SCRIPT, "--max-messages", 1, BASKET_DEADLINE_SECONDS=0.2)
    assert 0 == done.returncode, done.stderr
    joined = "came, now [0, 1, 2]"
    copy = frozen(service_shop.SCRIPT, joined, lambda: shop.store("s", ["p1", "p2"]))
    other = run_script.start(service_shop.SCRIPT)
    shop.send([("s", None)])
    shop.wait_for(lambda answers: not answers)
    copy.process.send_signal(signal.SIGCONT)
    until(lambda: ", now []" in copy.stderr)
    assert [0, 0] == [each.stop() for each in (copy, other)]
    assert {} == shop.answers()
    assert {"s": None} == service_shop.latest(read_topic(RECOMMENDATIONS))


def test_sink_that_wakes_stores_nothing_that_was_deleted_meanwhile(
    settings, database, run_script, frozen
):
    """The copy that took over stored the sale and then its tombstone: it stays deleted."""
    shop = sink_shop.Shop(settings, run_script)
    copy = frozen(SINK, "reading 24 partitions", lambda: shop.send("sales", SALE))
    other = run_script.start(SINK)
    until(lambda: database["sales"].count_documents({}) == 1)
    shop.send("sales", (SALE["sale_id"], None))
    until(lambda: database["sales"].count_documents({}) == 0)
    copy.process.send_signal(signal.SIGCONT)
    until(lambda: copy.stderr.count("reading 24 partitions") + copy.stderr.count("12 part") == 2)
    assert [0, 0] == [each.stop() for each in (copy, other)]
    assert 0 == database["sales"].count_documents({})

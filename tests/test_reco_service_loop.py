"""The recommendation service's loop, a step at a time in the test's own process."""

import signal
import time
from threading import Event

import pytest
from confluent_kafka import TopicPartition
from pymongo.errors import AutoReconnect

from erp.contract import RECOMMENDATIONS, SALES
from erp.metrics import Health
from erp.process import Stop
from erp.service import late_lines
from reco_service_stream import Service
from tests.service_shop import PATIENCE, Shop, products


@pytest.fixture
def shop(settings, database):
    """A shop with one partition, whose topics, collections and groups no other test has."""
    return Shop(settings, database, scripts=None, partitions=1)


@pytest.fixture
def service(shop):
    """A service that has its partition; the signals are as before afterwards."""
    handlers = [(each, signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM)]
    made = Service(shop.settings, Stop(), shop.database, Health(["kafka", "mongo", "model"]))
    made.model.start()
    made.source.subscribe()
    turn_until(made, lambda: made.source.partitions)
    yield made
    made.source.close()
    for number, handler in handlers:
        signal.signal(number, handler)


@pytest.fixture
def hold_back(service, monkeypatch):
    """The answers are not stored before this is set."""
    go, store = Event(), service.publisher._store
    monkeypatch.setattr(service.publisher, "_store", lambda *batch: go.wait() and store(*batch))
    yield go
    go.set()


def turn_until(service, condition):
    """Go around until something holds."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        service.turn()


def away_twice(operation):
    """The operation, but for its first two calls."""
    outage = [AutoReconnect("away")] * 2

    def attempt(*arguments):
        if outage:
            raise outage.pop()
        return operation(*arguments)

    return attempt


def lose_and_regain(shop, service):
    """What the client does when the partition goes to another copy and comes back at once."""
    partition = TopicPartition(shop.prefix + SALES.name, 0)
    service.source._on_revoke(service.source._consumer, [partition])
    service.source._on_assign(service.source._consumer, [partition])


def test_signal_while_the_products_cannot_be_read_ends_it_in_peace(shop, monkeypatch, caplog):
    """At the start, too, MongoDB may be away when it is asked to end."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process keeps its own handlers
    stop = Stop()

    def start():
        stop._on_signal(signal.SIGTERM, None)
        raise AutoReconnect("away")

    made = Service(shop.settings, stop, shop.database, Health(["kafka", "mongo", "model"]))
    monkeypatch.setattr(made.model, "start", start)
    made.run()
    assert "MongoDB is away: what is in hand is read again at the next start" in caplog.messages


def test_idle_is_who_could_read_and_has_nothing_in_hand(shop, service, monkeypatch):
    """Neither while a sale waits for its lines, nor before the group gave it its partitions."""
    shop.sell("s", 1)
    turn_until(service, lambda: service.waiting)
    service.stop._idle_timeout = 0.3
    time.sleep(0.5)
    service.turn()
    assert not service.stop.due
    shop.store("s", ["p1"])
    turn_until(service, lambda: not service.waiting)
    turn_until(service, lambda: service.stop.due)
    monkeypatch.setattr(service.source, "joined", False)
    service.turn()
    assert not service.stop.due


def test_offset_of_a_partition_that_came_back_stays(shop, service, hold_back):
    """What was being published when the partition went is not ours: read again, it waits."""
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    turn_until(service, lambda: service.flight)
    lose_and_regain(shop, service)
    shop.database.sales_items.delete_many({"sale_id": "s"})
    while not service.waiting:
        service.accept(service.read())
    hold_back.set()
    service.land()
    assert 0 == len(service.improver.followed.complete)
    service.source.commit(wait=True)
    assert {0: 0} == shop.committed()
    shop.store("s", ["p2"])
    turn_until(service, lambda: not service.waiting)
    assert ["p2"] == products(shop.answers()["s"])
    service.source.commit(wait=True)
    assert {0: 1} == shop.committed()


def test_offset_of_a_sale_that_was_sent_again_while_published_stays(shop, service, hold_back):
    """The answer to the older header lets go of nothing that the newer one needs."""
    shop.store("s", ["p1"])
    shop.sell("s", 1, customer_id="old")
    turn_until(service, lambda: service.flight)
    shop.sell("s", 2, customer_id="new")
    while not any(basket.sale.customer_id == "new" for basket in service.waiting):
        service.accept(service.read())
    hold_back.set()
    service.land()
    service.source.commit(wait=True)
    assert {0: 1} == shop.committed()
    assert 0 == len(service.improver.followed.complete)
    shop.store("s", ["p1", "p2"])
    turn_until(service, lambda: not service.waiting)
    assert "new" == shop.answers()["s"]["customer_id"]
    service.source.commit(wait=True)
    assert {0: 2} == shop.committed()


def test_sale_of_a_partition_that_went_since_it_was_read_does_not_wait(shop, service):
    """To delete an answer takes time, in which the partition of the sales behind it may go."""
    shop.sell("s", 1)
    while not (messages := service.read()):
        pass
    lose_and_regain(shop, service)
    service.accept(messages)
    assert 0 == len(service.waiting)
    turn_until(service, lambda: service.waiting)


def test_sale_that_is_read_twice_is_looked_at_again_and_not_told_again(
    shop, service, read_topic, monkeypatch
):
    """After a crash answers are given anew; when the lines are the same, that is all."""
    monkeypatch.setattr(late_lines, "QUIET", 0.1)
    service.improver.followed = late_lines.Followed(shop.database.sales_items, 60)
    shop.store("s", ["p1", "p2"])

    def answered(times):
        return not service.waiting and times == len(read_topic(RECOMMENDATIONS))

    for times in (1, 2):  # it may be read and answered within one turn
        shop.sell("s", 2)
        turn_until(service, lambda times=times: answered(times))
    (followed,) = service.improver.followed.corrected
    turn_until(service, lambda: followed.pause > late_lines.PAUSES[0])
    assert 2 == len(read_topic(RECOMMENDATIONS))
    shop.store("s", ["p1", "p3"])
    service.improver.followed.corrected._schedule(followed, 0)
    turn_until(service, lambda: ["p1", "p3"] == products(shop.answers()["s"]))
    service.land()
    assert 3 == len(read_topic(RECOMMENDATIONS))


def test_late_lines_are_found_though_the_database_was_away_when_the_partition_came(
    shop, service, monkeypatch
):
    """What another copy answered is followed as soon as it can be read."""
    monkeypatch.setattr("erp.service.late_lines.answered", away_twice(late_lines.answered))
    shop.sell("late", 1)
    service.waiting._deadline = 0.1
    turn_until(service, lambda: "late" in shop.answers())
    service.land()
    service.improver.followed.discard("late")
    lose_and_regain(shop, service)
    chores = service.background
    while not chores._extra.empty():  # for the first partition, and for this one
        with pytest.raises(AutoReconnect):
            chores._extra.get()()
    chores._due = [0] * len(chores._due)
    chores._do_due()
    turn_until(service, lambda: any(kind.knows("late") for kind in service.improver.followed.kinds))


def test_more_incomplete_sales_than_are_followed_are_all_improved(shop, service, monkeypatch):
    """After an outage of the sink: those given up are recalled once there is room."""
    monkeypatch.setattr(late_lines, "FOLLOWED_MAX", 4)
    monkeypatch.setattr(late_lines, "QUIET", 0.1)
    monkeypatch.setattr(late_lines, "PAUSES", (0.1, 0.1))
    service.improver.followed = late_lines.Followed(shop.database.sales_items, 60)
    service.waiting._deadline = 0.1
    sales = [f"s{n}" for n in range(10)]
    for sale_id in sales:
        shop.sell(sale_id, 1)
    turn_until(service, lambda: len(shop.answers()) == len(sales) and not service.waiting)
    for sale_id in sales:
        shop.store(sale_id, ["p1"])

    def all_complete():
        service.improver.recall.read()  # as the thread beside the loop does
        return all(answer["complete"] for answer in shop.answers().values())

    turn_until(service, all_complete)
    assert {sale_id: ["p1"] for sale_id in sales} == {
        sale_id: products(answer) for sale_id, answer in shop.answers().items()
    }

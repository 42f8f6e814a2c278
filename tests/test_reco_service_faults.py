"""The recommendation service when things end, join and break: restarts, copies, outages."""

import json
import re
import signal
import time

import msgspec
import pytest

from erp.contract import RECOMMENDATIONS, Sale
from tests import waiting
from tests.service_shop import NOON, PATIENCE, SCRIPT, Shop, latest, owned, page, products
from tests.topics import limit_messages

GRACE = 10  # s that a supervisor waits after SIGTERM


@pytest.fixture
def shop(settings, database, run_script):
    """A shop whose topics, collections and groups no other test has."""
    return Shop(settings, database, run_script)


@pytest.fixture
def wide_shop(settings, database, run_script):
    """A shop whose topics have six partitions."""
    return Shop(settings, database, run_script, partitions=6)


def test_restart_in_the_middle_loses_and_doubles_nothing(shop, run_script, read_topic):
    """Killed twice and stopped once on its way, each sale has one document and message."""
    wanted = {}
    for n in range(300):
        sale_id = f"s{n}"
        wanted[sale_id] = [f"p{(n + m) % 30}" for m in range(1 + n % 4)]
        shop.store(sale_id, wanted[sale_id])
        shop.sell(sale_id, len(wanted[sale_id]))
        if n in (0, 100, 200):
            service = run_script.start(SCRIPT)
            shop.wait_for_sales("s0")
        if n in (99, 199):
            service.kill()
    shop.wait_for_sales(*wanted)
    assert 0 == service.stop()
    assert wanted == {key: products(answer) for key, answer in shop.answers().items()}
    told = latest(read_topic(RECOMMENDATIONS))
    assert wanted == {key: products(json.loads(value)) for key, value in told.items()}


def test_stop_leaves_waiting_sales_to_the_next_start(shop, run_script):
    """After SIGTERM a sale that waited is read again, and answered with all its lines."""
    service = run_script.start(SCRIPT)
    shop.sell("waits", 2)
    shop.store("goes", ["p1"])
    shop.sell("goes", 1)
    shop.wait_for_sales("goes")
    assert 0 == service.stop()
    assert {"goes"} == shop.answers().keys()
    shop.store("waits", ["p2", "p3"])
    again = run_script.start(SCRIPT)
    assert ["p2", "p3"] == products(shop.wait_for_sales("waits")["waits"])
    assert 0 == again.stop()


def test_copies_share_and_take_over(shop, run_script):
    """With two copies every sale is answered, also those that a killed copy was waiting for."""
    copies = [run_script.start(SCRIPT) for _ in range(2)]
    for copy in copies:
        shop.wait_for(lambda _, copy=copy: "came, now" in copy.stderr)
    waiting = [f"w{n}" for n in range(30)]
    for sale_id in waiting:
        shop.sell(sale_id, 1)
    for n in range(30):
        shop.store(f"s{n}", ["p1"])
        shop.sell(f"s{n}", 1)
    shop.wait_for_sales(*(f"s{n}" for n in range(30)))
    copies[0].kill()
    for sale_id in waiting:
        shop.store(sale_id, ["p2"])
    answers = shop.wait_for_sales(*waiting)
    assert all(answer["complete"] for answer in answers.values())
    assert 60 == len(answers)
    assert 0 == copies[1].stop()


def test_two_and_three_copies_share_the_work(wide_shop, run_script, read_topic):
    """Of six partitions each copy has its part, also when one joins: each sale is answered once."""
    shop, copies, count = wide_shop, [], 900

    def answered(copy):
        found = re.search(r'erp_reco_answers_total{kind="first"} (\d+)', page(copy, "metrics")[1])
        return int(found[1]) if found else 0

    for number in (2, 3):
        copies += [
            run_script.start(SCRIPT, "--metrics-port", 0) for _ in range(number - len(copies))
        ]
        shop.wait_for(lambda _: {6 // number} == {len(owned(copy)) for copy in copies})  # noqa: B023
        before = [answered(copy) for copy in copies]
        ids = [f"{number}-{n}" for n in range(count)]
        for sale_id in ids:
            shop.store(sale_id, ["p1"])
        sales = [Sale(sale_id, NOON, items_count=1) for sale_id in ids]
        shop.send([(sale.sale_id, msgspec.json.encode(sale)) for sale in sales])
        shop.wait_for_sales(*ids)
        shop.wait_for(lambda _: sum(map(answered, copies)) == sum(before) + count)  # noqa: B023
        shares = [answered(copy) - had for copy, had in zip(copies, before, strict=True)]
        assert all(abs(share - count / number) <= 0.2 * count / number for share in shares), shares
    assert [0, 0, 0] == [copy.stop() for copy in copies]
    messages = read_topic(RECOMMENDATIONS)
    assert (2 * count, 2 * count) == (len(shop.answers()), len(latest(messages)))
    assert 2 * count == len(messages)


def test_named_copy_that_restarts_moves_no_partition(wide_shop, run_script):
    """With CONSUMER_INSTANCE a rolling restart is not noticed by the others, and loses nothing."""
    shop = wide_shop
    copies = {
        name: run_script.start(SCRIPT, CONSUMER_INSTANCE=name) for name in ("one", "two", "three")
    }
    shop.wait_for(lambda _: {2} == {len(owned(copy)) for copy in copies.values()})
    before = {name: owned(copy) for name, copy in copies.items()}
    for name in ("one", "two", "three"):
        others = [copy for other, copy in copies.items() if other != name]
        told = [copy.stderr.count(", now [") for copy in others]
        assert 0 == copies[name].stop()
        ids = [f"{name}-{n}" for n in range(60)]
        for sale_id in ids:
            shop.store(sale_id, ["p1"])
            shop.sell(sale_id, 1)
        copies[name] = run_script.start(SCRIPT, CONSUMER_INSTANCE=name)
        shop.wait_for_sales(*ids)
        assert before[name] == owned(copies[name])
        assert told == [copy.stderr.count(", now [") for copy in others]
    assert 180 == len(shop.answers())
    assert [0, 0, 0] == [copy.stop() for copy in copies.values()]


def test_frozen_database_costs_time_only(shop, run_script, stack):
    """While MongoDB does not answer the service waits, says so, and goes on."""
    service = run_script.start(SCRIPT)
    shop.store("before", ["p1"])
    shop.sell("before", 1)
    shop.wait_for_sales("before")
    shop.store("during", ["p2"])
    value = msgspec.json.encode(Sale("during", NOON, items_count=1))
    stack.mongo.freeze()
    try:
        shop.send([("during", value)])
        shop.wait_for_log(service, "MongoDB is away")
    finally:
        stack.mongo.thaw()
    answers = shop.wait_for_sales("during")
    assert answers["during"]["complete"]
    assert 0 == service.stop()


def test_frozen_database_delays_a_deletion_and_nothing_else(shop, run_script, stack):
    """The service notices soon that an answer cannot be deleted for now, and deletes it later."""
    service = run_script.start(SCRIPT)
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    shop.wait_for_sales("s")
    stack.mongo.freeze()
    try:
        shop.send([("s", None)])
        waiting.until(lambda: "MongoDB is away, deleting an answer" in service.stderr, seconds=20)
    finally:
        stack.mongo.thaw()
    shop.wait_for(lambda answers: not answers)
    assert 0 == service.stop()


def test_frozen_kafka_costs_time_only(shop, run_script, stack, read_topic):
    """While Kafka does not answer the service waits, says so, and goes on."""
    service = run_script.start(SCRIPT, "--metrics-port", 0)
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    shop.wait_for_sales("s")
    shop.sell("held", 1)
    shop.wait_for(lambda _: "erp_reco_sales_total 2.0" in page(service, "metrics")[1].splitlines())
    stack.kafka.freeze()
    try:
        shop.store("held", ["p2"])
        shop.wait_for_log(service, "Kafka does not confirm")
    finally:
        stack.kafka.thaw()
    shop.wait_for_sales("held")
    until = time.monotonic() + PATIENCE
    while {"s", "held"} != latest(read_topic(RECOMMENDATIONS)).keys() and time.monotonic() < until:
        time.sleep(0.2)
    assert {"s", "held"} == latest(read_topic(RECOMMENDATIONS)).keys()
    assert 0 == service.stop()


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "not noticed yet"])
@pytest.mark.parametrize("server", ["kafka", "mongo"])
def test_sigterm_ends_in_time_while_a_server_is_away(shop, run_script, stack, server, noticed):
    """Asked to end while Kafka or MongoDB is frozen it ends, and the next one goes on as ever."""
    service = run_script.start(SCRIPT)
    for sale_id in ("done", "cut", "waits"):
        shop.sell(sale_id, 1)
    shop.store("done", ["p1"])
    shop.wait_for_sales("done")
    shop.wait_for(lambda _: {1} == set(shop.committed().values()) - {0})
    away = getattr(stack, server)
    if server == "kafka":
        away.freeze()
        shop.store("cut", ["p2"])
        problem = "Kafka does not confirm"
    else:
        shop.store("cut", ["p2"])
        away.freeze()
        problem = "MongoDB is away"
    try:
        if noticed:
            shop.wait_for_log(service, problem)
        service.process.send_signal(signal.SIGTERM)
        assert 0 == service.wait(GRACE)
    finally:
        away.thaw()
    shop.store("waits", ["p3"])
    again = run_script.start(SCRIPT)
    answers = shop.wait_for_sales("done", "cut", "waits")
    assert all(answer["complete"] for answer in answers.values())
    shop.wait_for(lambda _: shop.committed() == shop.ends())  # "cut" may have its answer already
    assert 0 == again.stop()
    assert shop.committed() == shop.ends(), again.stderr


def test_readyz_notices_a_server_that_is_away(shop, run_script, stack):
    """Also with nothing to do it says so while Kafka or MongoDB is away, then is ready again."""
    service = run_script.start(SCRIPT, "--metrics-port", 0)
    shop.wait_for_log(service, "came, now")

    def wait_for(expected):
        until = time.monotonic() + PATIENCE
        while expected != (found := page(service, "readyz")):
            assert time.monotonic() < until, found
            time.sleep(0.05)

    for name in ("kafka", "mongo"):
        wait_for((200, "ok\n"))
        server = getattr(stack, name)
        server.freeze()
        try:
            wait_for((503, f"{name}: does not answer\n"))
            shop.wait_for_log(service, f"erp.watch: {name} does not answer")
        finally:
            server.thaw()
    wait_for((200, "ok\n"))
    assert (200, "ok\n") == page(service, "healthz")
    assert 0 == service.stop()


def test_a_copy_that_cannot_go_on_leaves_its_sales_to_the_others_at_once(shop, run_script):
    """Kafka refuses its answers: exit 1, one line, and no member that is waited for."""
    limit_messages(shop.settings.kafka, shop.prefix + RECOMMENDATIONS, 100)
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    service = run_script.start(SCRIPT)
    assert 1 == service.wait()
    assert service.stderr.splitlines()[-1].startswith("error: Kafka refused 1 message")
    assert [] == shop.members()
    assert 0 == sum(shop.committed().values())

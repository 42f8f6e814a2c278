"""The recommendation service while everything around it breaks: one answer for each sale."""

import threading

import msgspec
import pytest

from erp.contract import RECOMMENDATIONS, Recommendation, Sale
from local_stack.stack import Stack, free_ports
from tests.service_shop import NOON, SCRIPT, Shop, latest, products

SALES = 160


@pytest.fixture
def stack(tmp_path):
    """Servers of its own, which may be killed."""
    with Stack(tmp_path / "stack", *free_ports(3), quick_start=True) as running:
        yield running


def test_one_whole_answer_for_each_sale_whatever_breaks(
    stack, settings, database, run_script, read_topic
):
    """Kill -9 of the service and of the broker, a freeze of the database, while sales come in."""
    shop = Shop(settings, database, run_script)
    service = run_script.start(SCRIPT)

    def kill_service():
        nonlocal service
        service.kill()
        service = run_script.start(SCRIPT)

    def kill_broker():
        stack.kafka.kill()
        stack.kafka.launch()
        stack.kafka.wait()

    def freeze_database():
        stack.mongo.freeze()
        try:
            shop.wait_for_log(service, "MongoDB is away")
        finally:
            stack.mongo.thaw()

    faults = {40: kill_service, 60: kill_broker, 100: freeze_database, 140: kill_service}
    breaking = []
    baskets = {f"s{n}": [f"p{(n + m) % 30}" for m in range(1 + n % 4)] for n in range(SALES)}
    for n, (sale_id, basket) in enumerate(baskets.items()):
        sale = Sale(sale_id, NOON, items_count=len(basket))
        shop.send([(sale_id, msgspec.json.encode(sale))])  # before its lines, as in life
        shop.store(sale_id, basket)
        if n == 10:
            shop.wait_for_sales("s0")
        if n in faults:
            for each in breaking:  # one after the other, beside the sales
                each.join()
            breaking = [threading.Thread(target=faults[n])]
            breaking[0].start()
    breaking[0].join()
    answers = shop.wait_for(lambda found: SALES == sum(a["complete"] for a in found.values()))
    assert 0 == service.stop()
    assert baskets == {sale_id: products(answer) for sale_id, answer in answers.items()}
    told = latest(read_topic(RECOMMENDATIONS))
    assert baskets.keys() == told.keys()
    for sale_id, answer in shop.answers().items():
        message = msgspec.json.decode(told[sale_id], type=Recommendation)
        assert msgspec.convert(answer, Recommendation) == message
    assert shop.committed() == shop.ends()

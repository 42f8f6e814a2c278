"""The recommendation service against a real Kafka and a wire MongoDB, as its own process."""

import json
import re
import signal
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from erp import kafka, recommender
from erp.contract import (
    DEAD_LETTER,
    PRODUCTS,
    RECOMMENDATIONS,
    SALES,
    SALES_ITEMS,
    Product,
    Recommendation,
    Sale,
    SaleItem,
    document,
)

SCRIPT = "reco_service_stream.py"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PATIENCE = 60  # s
GRACE = 10  # s that a supervisor waits after SIGTERM
TOP_N = 5


class Shop:
    """A shop of thirty products with some history, and what it hands to the service."""

    def __init__(self, settings, database, scripts, partitions=3):
        self.settings, self.database, self.scripts = settings, database, scripts
        self.prefix = settings.topic_prefix
        topics = [self.prefix + name for name in (SALES.name, RECOMMENDATIONS, DEAD_LETTER)]
        kafka.ensure_topics(settings.kafka, topics, partitions, 1)
        self.outbox = kafka.Outbox(settings.kafka)
        database[PRODUCTS.name].insert_many(
            [
                document(
                    PRODUCTS, Product(f"p{n}", f"Product {n}", f"Category {n % 4}", active=True)
                )
                for n in range(30)
            ]
        )
        for n in range(20):  # p0 sells best, p19 least
            self.store(f"history{n}", [f"p{m}" for m in range(20 - n)])

    def store(self, sale_id, products, first=1, quantity=1.0):
        """Store lines of a sale, as the sink does."""
        items = [
            SaleItem(sale_id, n, product, quantity, net_amount=2.5)
            for n, product in enumerate(products, first)
        ]
        self.database[SALES_ITEMS.name].insert_many([document(SALES_ITEMS, i) for i in items])

    def sell(self, sale_id, items_count=None, **fields):
        """Send a sale's header; also stored, as the sink does."""
        sale = Sale(sale_id, NOON, items_count=items_count, **fields)
        stored = document(SALES, sale)
        self.database[SALES.name].replace_one({"_id": sale_id}, stored, upsert=True)
        self.send([(sale_id, msgspec.json.encode(sale))])

    def send(self, messages):
        """Send keys and values to the topic of sales, confirmed."""
        topic = self.prefix + SALES.name
        self.outbox.send(topic, [{"key": key.encode(), "value": value} for key, value in messages])
        assert 0 == self.outbox.flush(PATIENCE)

    def answers(self):
        """The documents in the collection by sale."""
        return {answer["_id"]: answer for answer in self.database[RECOMMENDATIONS].find()}

    def wait_for(self, condition):
        """Wait until `condition(answers)` holds; the answers."""
        until = time.monotonic() + PATIENCE
        while not condition(answers := self.answers()):
            failed = [each for each in self.scripts.started if each.process.poll() in (1, 2)]
            assert not failed, failed[0].stderr
            logs = [each.stderr[-2000:] for each in self.scripts.started]
            assert time.monotonic() < until, f"answered: {sorted(answers)}\n" + "\n".join(logs)
            time.sleep(0.05)
        return answers

    def wait_for_log(self, service, words):
        """Wait until a service has said something; asks no server, which may be away."""
        until = time.monotonic() + PATIENCE
        while words not in service.stderr:
            assert time.monotonic() < until, service.stderr[-3000:]
            time.sleep(0.05)

    def committed(self):
        """What the service's group committed, partition to offset; 0 where nothing was."""
        with self._reader() as reader:
            found = reader.committed(self._partitions(reader), timeout=PATIENCE)
        return {each.partition: max(0, each.offset) for each in found}

    def ends(self):
        """The end of each partition of the sales."""
        with self._reader() as reader:
            return {
                each.partition: reader.get_watermark_offsets(each, timeout=PATIENCE)[1]
                for each in self._partitions(reader)
            }

    @contextmanager
    def _reader(self):
        group = {"group.id": f"{self.settings.consumer_group_prefix}recommender"}
        reader = Consumer(self.settings.kafka | group)
        try:
            yield reader
        finally:
            reader.close()

    def _partitions(self, reader):
        topic = self.prefix + SALES.name
        known = reader.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
        return [TopicPartition(topic, number) for number in known]

    def wait_for_sales(self, *sale_ids):
        """Wait until these sales have an answer; the answers."""
        return self.wait_for(lambda answers: set(sale_ids) <= answers.keys())


@pytest.fixture
def shop(settings, database, run_script):
    """A shop whose topics, collections and groups no other test has."""
    return Shop(settings, database, run_script)


@pytest.fixture
def wide_shop(settings, database, run_script):
    """A shop whose topics have six partitions."""
    return Shop(settings, database, run_script, partitions=6)


@pytest.fixture
def page():
    """Ask a service for a page, once it said where its metrics are: status and text."""

    def ask(service, name):
        address = service.stderr.split("metrics at ")[1].split("/metrics")[0]
        try:
            with urllib.request.urlopen(f"{address}/{name}", timeout=5) as answer:  # noqa: S310  loopback
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    return ask


def owned(service):
    """The partitions that a service said it has."""
    told = re.findall(r"partitions .*, now \[(.*)\]", service.stderr)
    return {int(number) for number in told[-1].split(", ") if number} if told else set()


def products(answer):
    """The product ids of a basket, in the order of its lines."""
    return [line["product_id"] for line in answer["basket_products"]]


def recommended(answer):
    """The product ids recommended, best first."""
    return [product["product_id"] for product in answer["recommendations"]]


def latest(messages):
    """Key to the value of its last message."""
    return {message.key().decode(): message.value() for message in messages}


def test_answer_is_the_same_in_topic_and_collection(shop, run_script, read_topic):
    """Every field of the contract is there, and the message says what the document says."""
    shop.store("s1", ["p1", "p2"])
    shop.sell("s1", 2, customer_id="c1", store_id="st1", payment_type="card")
    done = run_script(SCRIPT, "--max-messages", 1)
    assert 0 == done.returncode, done.stderr
    (message,) = read_topic(RECOMMENDATIONS)
    assert b"s1" == message.key()
    told = msgspec.json.decode(message.value(), type=Recommendation, strict=True)
    (stored,) = shop.answers().values()
    assert "s1" == stored.pop("_id")
    assert set(Recommendation.__struct_fields__) == stored.keys()
    assert told == msgspec.convert(stored, Recommendation)
    assert ("s1", "c1", "st1", "card") == (
        told.sale_id,
        told.customer_id,
        told.store_id,
        told.payment_type,
    )
    assert told.timestamp == NOON
    assert told.complete
    assert [
        ("p1", "Product 1", "Category 1", 1.0, 2.5),
        ("p2", "Product 2", "Category 2", 1.0, 2.5),
    ] == [msgspec.structs.astuple(line) for line in told.basket_products]
    given = told.recommendations
    assert list(range(1, TOP_N + 1)) == [product.ranking for product in given]
    assert [100.0, 80.0, 60.0, 40.0, 20.0] == [product.ranking_percentage for product in given]
    assert 100 == given[0].relevancia_percentage
    assert {"p1", "p2"}.isdisjoint(product.product_id for product in given)


def test_late_lines_hold_up_nobody_and_the_basket_is_full(shop, run_script):
    """A sale whose lines come seconds late gets its full basket; the one behind it goes first."""
    service = run_script.start(SCRIPT)
    shop.sell("slow", 3)
    shop.store("fast", ["p4"])
    shop.sell("fast", 1)
    shop.wait_for_sales("fast")
    time.sleep(5)
    assert {"fast"} == shop.answers().keys()
    shop.store("slow", ["p1", "p2", "p3"])
    answers = shop.wait_for_sales("slow")
    assert ["p1", "p2", "p3"] == products(answers["slow"])
    assert answers["slow"]["complete"]
    assert 0 == service.stop()


def test_deadline_then_one_improved_answer(shop, run_script, read_topic):
    """At the deadline a sale is answered from what is there, and once more when the rest came."""
    shop.store("part", ["p1"])
    shop.sell("part", 2)
    shop.sell("none", 1)
    service = run_script.start(SCRIPT, BASKET_DEADLINE_SECONDS=1)
    answers = shop.wait_for_sales("part", "none")
    assert (["p1"], False) == (products(answers["part"]), answers["part"]["complete"])
    assert ([], False) == (products(answers["none"]), answers["none"]["complete"])
    assert ["p0", "p1", "p2", "p3", "p4"] == recommended(answers["none"])
    assert {"popular"} == {each["source"] for each in answers["none"]["recommendations"]}
    shop.store("part", ["p2"], first=2)
    shop.store("none", ["p0"])
    answers = shop.wait_for(lambda a: a["part"]["complete"] and a["none"]["complete"])
    assert ["p1", "p2"] == products(answers["part"])
    assert ["p0"] == products(answers["none"])
    assert 0 == service.stop()
    messages = read_topic(RECOMMENDATIONS)
    assert ["none", "none", "part", "part"] == sorted(m.key().decode() for m in messages)
    assert all(json.loads(value)["complete"] for value in latest(messages).values())


def test_wrong_counts_and_late_lines_give_one_improved_answer(shop, run_script, read_topic):
    """Whatever the header says, lines that come after the answer improve it, once."""
    counts = {"missing": None, "less": 1, "same": 2, "more": 9}
    service = run_script.start(SCRIPT, BASKET_DEADLINE_SECONDS=1, BASKET_QUIET_SECONDS=0.2)
    for sale_id, items_count in counts.items():
        shop.store(sale_id, ["p1", "p2"])
        shop.sell(sale_id, items_count)
    for sale_id, first in shop.wait_for_sales(*counts).items():
        assert (["p1", "p2"], sale_id != "more") == (products(first), first["complete"])
        shop.store(sale_id, ["p3", "p4"], first=3)
    answers = shop.wait_for(lambda answers: all(len(products(a)) > 2 for a in answers.values()))
    for sale_id, better in answers.items():
        assert ["p1", "p2", "p3", "p4"] == products(better)
        assert (sale_id != "more") == better["complete"]
        assert {"p3", "p4"}.isdisjoint(recommended(better))
    assert 0 == service.stop()
    told = [json.loads(message.value()) for message in read_topic(RECOMMENDATIONS)]
    for sale_id in counts:
        assert [2, 4] == [len(products(each)) for each in told if each["sale_id"] == sale_id]


def test_late_line_of_a_complete_sale_is_found_after_a_restart(shop, run_script):
    """A sale that one process thought complete is improved by the next."""
    shop.store("late", ["p7"])
    shop.sell("late", 1)
    first = run_script.start(SCRIPT)
    assert shop.wait_for_sales("late")["late"]["complete"]
    first.kill()
    shop.store("late", ["p8"], first=2)
    second = run_script.start(SCRIPT)
    answers = shop.wait_for(lambda a: len(products(a["late"])) == 2)
    assert (["p7", "p8"], True) == (products(answers["late"]), answers["late"]["complete"])
    assert 0 == second.stop()


def test_late_lines_are_found_after_a_restart(shop, run_script):
    """A sale answered incomplete by one process is improved by the next."""
    shop.sell("late", 2)
    first = run_script.start(SCRIPT, BASKET_DEADLINE_SECONDS=0.2)
    shop.wait_for_sales("late")
    first.kill()
    shop.store("late", ["p7", "p8"])
    second = run_script.start(SCRIPT)
    answers = shop.wait_for(lambda a: a["late"]["complete"])
    assert ["p7", "p8"] == products(answers["late"])
    assert 0 == second.stop()


def test_odd_sales_each_have_their_answer(shop, run_script):
    """Wrong counts, a thousand lines, a return, unknown ids: all lines, never one lost or asked."""
    many = [f"p{n % 30}" for n in range(1000)]
    shop.database[PRODUCTS.name].update_one({"_id": "p5"}, {"$unset": {"name": "", "category": ""}})
    shop.store("missing", ["p1", "p2", "p3"])
    shop.store("small", [f"p{n}" for n in range(12)])
    shop.store("large", ["p1", "p2"])
    shop.store("thousand", many)
    shop.store("return", ["p3"])
    shop.store("return", ["p9"], first=2, quantity=-1.0)
    shop.store("unknown", ["no such product", "p4"])
    shop.store("nameless", ["p5"])
    shop.sell("missing")
    shop.sell("small", 1)
    shop.sell("large", 40)
    shop.sell("thousand", 1000)
    shop.sell("return", 2)
    shop.sell("unknown", 2, customer_id="nobody", store_id="nowhere")
    shop.sell("nameless", 1)
    done = run_script(
        SCRIPT, "--max-messages", 7, BASKET_DEADLINE_SECONDS=2, BASKET_QUIET_SECONDS=0.3
    )
    assert 0 == done.returncode, done.stderr
    answers = shop.answers()
    expected = {
        "missing": (["p1", "p2", "p3"], True),
        "small": ([f"p{n}" for n in range(12)], True),
        "large": (["p1", "p2"], False),
        "thousand": (many, True),
        "return": (["p3", "p9"], True),
        "unknown": (["no such product", "p4"], True),
        "nameless": (["p5"], True),
    }
    assert expected == {key: (products(a), a["complete"]) for key, a in answers.items()}
    for key, answer in answers.items():
        wanted = 0 if key == "thousand" else TOP_N  # every product is in that basket
        assert wanted == len(recommended(answer)), key
        assert set(recommended(answer)).isdisjoint(products(answer)), key
    assert -1.0 == answers["return"]["basket_products"][1]["quantity"]


def test_corrected_sale_replaces_its_answer(shop, run_script, read_topic):
    """A sale that is sent again has one document and one latest message: the newest."""
    shop.store("s", ["p1"])
    shop.sell("s", 1, customer_id="wrong")
    service = run_script.start(SCRIPT)
    shop.wait_for_sales("s")
    shop.sell("s", 1, customer_id="right")
    answers = shop.wait_for(lambda a: a["s"]["customer_id"] == "right")
    assert ["s"] == list(answers)
    assert 0 == service.stop()
    assert "right" == json.loads(latest(read_topic(RECOMMENDATIONS))["s"])["customer_id"]


def test_deleted_sale_loses_its_answer(shop, run_script, read_topic):
    """A tombstone deletes the document and is passed on."""
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    service = run_script.start(SCRIPT)
    shop.wait_for_sales("s")
    shop.send([("s", None)])
    shop.wait_for(lambda answers: not answers)
    assert 0 == service.stop()
    assert {"s": None} == latest(read_topic(RECOMMENDATIONS))


def test_poison_goes_to_the_dead_letters(shop, run_script, read_topic):
    """What is no sale is put aside with its bytes; the sales behind it are answered."""
    poison = [
        ("a", b"not json"),
        ("b", b"\xff\xfe"),
        ("c", b'{"sale_id": "c"}'),
        ("d", b'{"sale_id": "other", "sale_datetime": "2024-05-01T12:00:00Z"}'),
        ("e", b'{"sale_id": "e", "sale_datetime": "0001-01-01T00:00:00+14:00"}'),
    ]
    shop.send(poison)
    shop.store("good", ["p1"])
    shop.sell("good", 1)
    done = run_script(SCRIPT, "--max-messages", 6)
    assert 0 == done.returncode, done.stderr
    assert {"good"} == shop.answers().keys()
    letters = read_topic(DEAD_LETTER)
    assert dict(poison) == {letter.key().decode(): letter.value() for letter in letters}
    headers = dict(letters[0].headers())
    assert shop.prefix + SALES.name == headers["source_topic"].decode()


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


def test_two_and_three_copies_share_the_work(wide_shop, run_script, read_topic, page):
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


def test_full_waiting_room_stops_reading_and_forgets_nobody(shop, run_script):
    """With room for three, ten sales without lines and one with them are all answered."""
    for n in range(10):
        shop.sell(f"w{n}", 1)
    service = run_script.start(SCRIPT, WAITING_SALES_MAX=3, BASKET_DEADLINE_SECONDS=1)
    answers = shop.wait_for_sales(*(f"w{n}" for n in range(10)))
    assert {False} == {answer["complete"] for answer in answers.values()}
    assert 0 == service.stop()


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
        time.sleep(7)
    finally:
        stack.mongo.thaw()
    answers = shop.wait_for_sales("during")
    assert answers["during"]["complete"]
    assert "MongoDB is away" in service.stderr
    assert 0 == service.stop()


def test_frozen_kafka_costs_time_only(shop, run_script, stack, read_topic):
    """While Kafka does not answer the service waits, and goes on."""
    service = run_script.start(SCRIPT)
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    shop.wait_for_sales("s")
    shop.sell("held", 1)
    time.sleep(0.5)
    stack.kafka.freeze()
    try:
        shop.store("held", ["p2"])
        time.sleep(7)
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
    assert 0 == again.stop()
    assert shop.committed() == shop.ends()


def test_catalogue_change_is_followed(shop, run_script):
    """A new name is shown, and a product that is no longer sold is no longer recommended."""
    service = run_script.start(SCRIPT, CATALOGUE_POLL_SECONDS=0.1)
    shop.store("first", ["p1"])
    shop.sell("first", 1)
    assert "p5" in recommended(shop.wait_for_sales("first")["first"])
    changed = {"active": False, "stored_at": datetime.now(UTC) + timedelta(hours=1)}
    shop.database[PRODUCTS.name].update_one({"_id": "p5"}, {"$set": changed})
    changed = {"name": "Renamed", "stored_at": datetime.now(UTC) + timedelta(hours=1)}
    shop.database[PRODUCTS.name].update_one({"_id": "p1"}, {"$set": changed})

    def followed(answers):
        sale_id = f"s{len(answers)}"
        shop.store(sale_id, ["p1"])
        shop.sell(sale_id, 1)
        newest = shop.wait_for_sales(sale_id)[sale_id]
        return newest["basket_products"][0][
            "product_name"
        ] == "Renamed" and "p5" not in recommended(newest)

    shop.wait_for(followed)
    assert 0 == service.stop()


def trained(together):
    """A model in which `together` are always bought with each other, over other pairs."""
    pairs = [together] * 30 + [("p20", "p21"), ("p22", "p23")] * 15
    lines = [(f"t{n}", product) for n, pair in enumerate(pairs) for product in pair]
    return recommender.fit(
        {"sale_id": [sale for sale, _ in lines], "product_id": [product for _, product in lines]},
        {
            "sale_id": [f"t{n}" for n in range(len(pairs))],
            "sale_datetime": ["2024-04-01T10:00:00Z"] * len(pairs),
        },
    )


def test_model_is_followed_while_running(shop, run_script):
    """Without a model what sells is offered; a new model serves in seconds; a broken one never."""
    service = run_script.start(SCRIPT, MODEL_POLL_SECONDS=0.1)
    path = shop.settings.model_path

    def next_answer():
        sale_id = f"s{len(shop.answers())}"
        shop.store(sale_id, ["p1"])
        shop.sell(sale_id, 1)
        return shop.wait_for_sales(sale_id)[sale_id]

    def wait_for_version(version):
        shop.wait_for(lambda _: f"model {version} (item-cooccurrence" in service.stderr)
        answer = next_answer()
        assert version == answer["model_version"]
        return recommended(answer)[0]

    assert "popularity" == next_answer()["algo"]
    first, second = trained(("p1", "p28")), trained(("p1", "p29"))
    first.save(path)
    assert "p28" == wait_for_version(first.version)
    second.save(path)
    assert "p29" == wait_for_version(second.version)
    path.write_bytes(b"not a model")
    shop.wait_for(lambda _: "cannot be used" in service.stderr)
    assert second.version == next_answer()["model_version"]
    assert 0 == service.stop()


def test_customers_purchases_are_known_after_a_restart(shop, run_script):
    """What a customer bought since the model was trained is offered to her again."""
    trained(("p1", "p28")).save(shop.settings.model_path)
    for n in range(3):
        shop.store(f"old{n}", ["p21"])
        shop.sell(f"old{n}", 1, customer_id="regular")
    done = run_script(SCRIPT, "--max-messages", 3)
    assert 0 == done.returncode, done.stderr
    service = run_script.start(SCRIPT)
    shop.wait_for(lambda _: "3 sales since the model was trained" in service.stderr)
    shop.store("new", ["p1"])
    shop.sell("new", 1, customer_id="regular")
    assert {"p28", "p21"} == set(recommended(shop.wait_for_sales("new")["new"])[:2])
    assert 0 == service.stop()


def test_control_arm_is_marked_in_topic_and_collection(shop, run_script, read_topic):
    """With a control share of one every sale gets bestsellers, and both places say so."""
    trained(("p1", "p28")).save(shop.settings.model_path)
    shop.store("s", ["p1"])
    shop.sell("s", 1, customer_id="c")
    done = run_script(SCRIPT, "--max-messages", 1, CONTROL_SHARE=1)
    assert 0 == done.returncode, done.stderr
    stored, told = shop.answers()["s"], json.loads(latest(read_topic(RECOMMENDATIONS))["s"])
    assert (True, True) == (stored["control"], told["control"])
    assert {"popular"} == {product["source"] for product in stored["recommendations"]}


def test_new_only_answers_what_comes_from_now_on(shop, run_script):
    """With --new-only the first start skips what was sold before, a later start nothing."""
    shop.store("old", ["p1"])
    shop.sell("old", 1)
    service = run_script.start(SCRIPT, "--new-only")
    shop.wait_for(lambda _: "skipped 1 message" in service.stderr)
    shop.store("new", ["p2"])
    shop.sell("new", 1)
    shop.wait_for_sales("new")
    service.stop()
    shop.store("later", ["p3"])
    shop.sell("later", 1)
    again = run_script.start(SCRIPT, "--new-only")
    assert {"new", "later"} == shop.wait_for_sales("later").keys()
    assert 0 == again.stop()


def test_metrics_and_health(shop, run_script, page):
    """The metrics count what was done; the service says that it is alive and ready."""
    service = run_script.start(SCRIPT, "--metrics-port", 0)
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    shop.wait_for_sales("s")
    assert (200, "ok\n") == page(service, "healthz")
    assert (200, "ok\n") == page(service, "readyz")
    until = time.monotonic() + PATIENCE  # the answer is counted once Kafka confirmed it too
    given = 'erp_reco_recommendations_total{source="category"} 5.0'
    while given not in (counted := page(service, "metrics")[1].splitlines()):
        assert time.monotonic() < until, counted
        time.sleep(0.05)
    assert "erp_reco_sales_total 1.0" in counted
    assert "erp_reco_latency_seconds_count 1.0" in counted
    assert 0 == service.stop()


def test_readyz_notices_a_server_that_is_away(shop, run_script, stack, page):
    """Also with nothing to do it is not ready while Kafka or MongoDB is away, then ready again."""
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
        finally:
            server.thaw()
    wait_for((200, "ok\n"))
    assert (200, "ok\n") == page(service, "healthz")
    assert 0 == service.stop()

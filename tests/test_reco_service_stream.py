"""The recommendation service against a real Kafka and a wire MongoDB, as its own process."""

import json
import time

import msgspec
import pytest

from erp.contract import (
    DEAD_LETTER,
    PRODUCTS,
    RECOMMENDATIONS,
    SALES,
    SALES_ITEMS,
    Recommendation,
    Sale,
)
from tests import waiting
from tests.service_shop import (
    NOON,
    PATIENCE,
    SCRIPT,
    Shop,
    latest,
    page,
    products,
    recommended,
    trained,
)

TOP_N = 5


@pytest.fixture
def shop(settings, database, run_script):
    """A shop whose topics, collections and groups no other test has."""
    return Shop(settings, database, run_script)


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
    waiting.until(lambda: shop.committed() == shop.ends())
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
    waiting.until(lambda: shop.committed() == shop.ends())
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
    shop.store("s", ["p1", "p2", "p3"])
    shop.sell("s", 3, customer_id="wrong")
    service = run_script.start(SCRIPT)
    shop.wait_for_sales("s")
    shop.sell("s", 2, customer_id="right")  # before its lines, as in life
    shop.wait_for(lambda a: a["s"]["customer_id"] == "right")
    shop.store("s", ["p4", "p2"])
    shop.database[SALES_ITEMS.name].delete_one({"_id": "s:3"})
    answers = shop.wait_for(lambda a: products(a["s"]) == ["p4", "p2"])
    assert (["s"], True) == (list(answers), answers["s"]["complete"])
    assert 0 == service.stop()
    told = json.loads(latest(read_topic(RECOMMENDATIONS))["s"])
    assert ("right", ["p4", "p2"]) == (told["customer_id"], products(told))


def test_corrected_lines_are_found_after_a_restart(shop, run_script, read_topic):
    """A sale that was answered from its old lines by one process is looked at by the next."""
    for sale_id in ("s", "same"):
        shop.store(sale_id, ["p1", "p2"])
        shop.sell(sale_id, 2)
    first = run_script.start(SCRIPT)
    shop.wait_for_sales("s", "same")
    waiting.until(lambda: shop.committed() == shop.ends())
    first.kill()
    shop.store("s", ["p4", "p2"])
    second = run_script.start(SCRIPT)
    shop.wait_for(lambda a: products(a["s"]) == ["p4", "p2"])
    assert 0 == second.stop()
    told = [message.key().decode() for message in read_topic(RECOMMENDATIONS)]
    assert ["s", "s", "same"] == sorted(told)


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
    long = "x" * 112_000
    poison = [
        ("a", b"not json"),
        ("b", b"\xff\xfe"),
        ("c", b'{"sale_id": "c"}'),
        ("d", b'{"sale_id": "other", "sale_datetime": "2024-05-01T12:00:00Z"}'),
        ("e", b'{"sale_id": "e", "sale_datetime": "0001-01-01T00:00:00+14:00"}'),
        # some hundred such ids are more than a query of MongoDB can ask
        (long, msgspec.json.encode(Sale(long, NOON, items_count=300))),
    ]
    shop.send(poison)
    shop.store("good", ["p1"])
    shop.sell("good", 1)
    done = run_script(SCRIPT, "--max-messages", 1 + len(poison))
    assert 0 == done.returncode, done.stderr
    assert {"good"} == shop.answers().keys()
    letters = read_topic(DEAD_LETTER)
    assert dict(poison) == {letter.key().decode(): letter.value() for letter in letters}
    headers = dict(letters[0].headers())
    assert shop.prefix + SALES.name == headers["source_topic"].decode()


def test_deletion_of_nobody_knows_what_goes_to_the_dead_letters(shop, run_script, read_topic):
    """A tombstone without a key, or whose key is no text, is not passed on."""
    keys = [None, b"\xff"]
    shop.outbox.send(shop.prefix + SALES.name, [{"key": key, "value": None} for key in keys])
    shop.store("good", ["p1"])
    shop.sell("good", 1)
    done = run_script(SCRIPT, "--max-messages", 3)
    assert 0 == done.returncode, done.stderr
    assert ["good"] == [message.key().decode() for message in read_topic(RECOMMENDATIONS)]
    letters = read_topic(DEAD_LETTER)
    assert set(keys) == {letter.key() for letter in letters}
    assert {b"bad-key"} == {dict(letter.headers())["error_class"] for letter in letters}


def test_full_waiting_room_stops_reading_and_forgets_nobody(shop, run_script):
    """With room for three, three are read until their lines come; then all ten are answered."""
    sale_ids = [f"w{n}" for n in range(10)]
    for sale_id in sale_ids:
        shop.sell(sale_id, 1)
    service = run_script.start(SCRIPT, "--metrics-port", 0, WAITING_SALES_MAX=3)
    shop.wait_for_log(service, "came, now")
    waiting.until(lambda: "erp_reco_sales_total 3.0" in page(service, "metrics")[1].splitlines())
    time.sleep(1)  # in which a fourth would be read
    assert "erp_reco_sales_total 3.0" in page(service, "metrics")[1].splitlines()
    for sale_id in sale_ids:
        shop.store(sale_id, ["p1"])
    answers = shop.wait_for_sales(*sale_ids)
    assert {True} == {answer["complete"] for answer in answers.values()}
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


def test_metrics_and_health(shop, run_script):
    """The metrics count what was done; the service says that it is alive and ready."""
    service = run_script.start(SCRIPT, "--metrics-port", 0)
    shop.store("s", ["p1"])
    shop.sell("s", 1)
    shop.wait_for_sales("s")
    assert (200, "ok\n") == page(service, "healthz")
    waiting.until(lambda: (200, "ok\n") == page(service, "readyz"))  # it looks once a second
    until = time.monotonic() + PATIENCE  # the answer is counted once Kafka confirmed it too
    given = 'erp_reco_recommendations_total{source="category"} 5.0'
    while given not in (counted := page(service, "metrics")[1].splitlines()):
        assert time.monotonic() < until, counted
        time.sleep(0.05)
    assert "erp_reco_sales_total 1.0" in counted
    assert "erp_reco_latency_seconds_count 1.0" in counted
    assert 0 == service.stop()

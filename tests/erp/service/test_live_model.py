"""The model in service as it comes, goes and learns."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pymongo.errors import PyMongoError

from erp import recommender
from erp.contract import PRODUCTS, RECOMMENDATIONS, SALES_ITEMS, Product, Sale, SaleItem, document
from erp.metrics import Health
from erp.recommender import customers
from erp.recommender.model import Model
from erp.service import bestsellers, live_catalogue, live_model
from erp.service.baskets import Basket, Line
from erp.service.live_model import LiveModel
from erp.service.sale_answers import answers
from tests import waiting

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NAMES = "abcdef"


def fitted(pair, **settings):
    """A model in which two products are always bought together."""
    pairs = [pair] * 30 + [("e", "f")] * 20 + [("a", "b")] * 5
    lines = [(f"t{n}", product) for n, pair in enumerate(pairs) for product in pair]
    return recommender.fit(
        {"sale_id": [sale for sale, _ in lines], "product_id": [product for _, product in lines]},
        {
            "sale_id": [f"t{n}" for n in range(len(pairs))],
            "sale_datetime": ["2024-04-01T10:00:00Z"] * len(pairs),
        },
        **settings,
    )


def basket(sale_id="s", product="a", customer=None, hours=0):
    """A sale of one product, so many hours after noon."""
    sale = Sale(sale_id, NOON + timedelta(hours=hours), customer_id=customer)
    return Basket(sale, 0, lines={1: Line(product, 1.0)}, complete=True)


@pytest.fixture
def live(database, tmp_path):
    """A live model over six products; `live.path` is its file."""
    database[PRODUCTS.name].insert_many(
        [document(PRODUCTS, Product(key, key.upper(), active=True)) for key in NAMES]
    )
    made = LiveModel(tmp_path / "model.pkl", 2, [], database, Health(["model"]))
    made.path = tmp_path / "model.pkl"
    return made


def best(live, **fields):
    """The product offered first."""
    (answer,) = live.answers([basket(**fields)])
    return answer["recommendations"][0]["product_id"]


def test_empty_shop_is_answered_with_nothing(database, tmp_path):
    """Without model, products and sales there is an answer all the same."""
    live = LiveModel(tmp_path / "none.pkl", 2, [], database, Health([]))
    live.start()
    (answer,) = live.answers([basket()])
    assert ("none", "none", []) == (
        live.version,
        answer["model_version"],
        answer["recommendations"],
    )


def test_without_a_model_what_sells_is_offered(live, database):
    """The lines of the shop are counted."""
    items = [SaleItem(f"h{n}", 1, "c" if n else "d", 1.0) for n in range(3)]
    database[SALES_ITEMS.name].insert_many([document(SALES_ITEMS, each) for each in items])
    live.start()
    assert ("c", "d") == (best(live), best(live, product="c"))


def test_start_does_not_wait_for_what_sells_to_be_counted(live, database, monkeypatch, caplog):
    """However long counting takes, sales are answered meanwhile; the count is used when it ends."""
    database[SALES_ITEMS.name].insert_one(document(SALES_ITEMS, SaleItem("h", 1, "c", 1.0)))
    with monkeypatch.context() as patch:
        patch.setattr(bestsellers, "COUNT_TIMEOUT", 1e-9)
        patch.setattr(live_model, "START_PATIENCE", 0.1)
        live.start()
    (answer,) = live.answers([basket()])
    assert ("none", []) == (answer["model_version"], answer["recommendations"])
    assert "A" == answer["basket_products"][0]["product_name"]
    assert "what sells cannot be counted for now" in caplog.text
    assert "nothing is recommended yet" in caplog.text

    def counted():
        live.refresh()
        return live.version != "none"

    waiting.until(counted)
    assert "c" == best(live)


def test_a_model_does_not_wait_for_what_sells_to_be_counted(live, stack, monkeypatch):
    """It serves though the database has not answered how often each product was sold."""
    monkeypatch.setattr(live_model, "START_PATIENCE", 0)
    live.refresh_catalogue()
    stack.mongo.freeze()
    try:
        live.refresh()
        model = fitted(("a", "c"))
        model.save(live.path)
        live.refresh()
        assert (model.version, "c") == (live.version, best(live))
    finally:
        stack.mongo.thaw()


def test_new_file_is_taken_over_and_a_broken_or_missing_one_is_not(live, caplog):
    """The version changes with the file; what cannot be loaded changes nothing and is logged."""
    first, second = fitted(("a", "c")), fitted(("a", "d"))
    first.save(live.path)
    live.start()
    assert (first.version, "c") == (live.version, best(live))
    second.save(live.path)
    live.refresh()
    assert (second.version, "d") == (live.version, best(live))
    live.path.write_bytes(b"broken")
    live.refresh()
    live.path.unlink()
    live.refresh()
    assert (second.version, "d") == (live.version, best(live))
    assert f"model {second.version} stays" in caplog.text
    assert "is gone" in caplog.text


def test_model_that_appears_replaces_what_sells(live):
    """From popularity to a model without a restart."""
    live.start()
    assert "popularity" == live.answers([basket()])[0]["algo"]
    model = fitted(("a", "c"))
    model.save(live.path)
    live.refresh()
    assert (model.algo, "c") == (live.answers([basket()])[0]["algo"], best(live))


def test_purchases_outlive_a_change_of_the_model(live):
    """What customers bought since the training is known to the next model too."""
    fitted(("a", "c")).save(live.path)
    live.start()
    live.observe([basket(f"old{n}", "f", "regular") for n in range(3)])
    fitted(("a", "d")).save(live.path)
    live.refresh()
    offered = live.answers([basket(customer="regular")])[0]["recommendations"]
    assert {"d", "f"} == {each["product_id"] for each in offered}


def test_a_sale_that_cannot_be_remembered_is_left_out(live, monkeypatch, caplog):
    """Its neighbours are remembered, and the log tells of many such sales once."""
    fitted(("a", "c")).save(live.path)
    live.start()
    observe_many = Model.observe_many

    def fails(model, seen):
        if any(sale_id.startswith("odd") for sale_id, *_ in seen):
            raise ZeroDivisionError
        return observe_many(model, seen)

    monkeypatch.setattr(Model, "observe_many", fails)
    live.observe([basket(f"{kind}{n}", "f", "regular") for n in range(3) for kind in ("odd", "s")])
    offered = live.answers([basket(customer="regular")])[0]["recommendations"]
    assert {"c", "f"} == {each["product_id"] for each in offered}
    assert 1 == caplog.text.count("a sale cannot be remembered: ZeroDivisionError")


def test_each_sale_counts_once_when_the_model_changes(live, monkeypatch):
    """Also when as many as are remembered were observed, and others while the next takes over."""
    monkeypatch.setattr(customers, "SALES_REMEMBERED", 5)
    fitted(("a", "c")).save(live.path)
    live.start()
    live.observe([basket(f"s{n}", "f", f"customer {n}") for n in range(8)])
    observe_from, made = Model.observe_from, []

    def observed_amidst(model, other):
        live.observe([basket(f"earlier {len(made)}", "f", "early")])
        new = observe_from(model, other)
        live.observe([basket(f"later {len(made)}", "f", "late")])
        made.append(model)
        return new

    monkeypatch.setattr(Model, "observe_from", observed_amidst)
    fitted(("a", "d")).save(live.path)
    live.refresh()
    history = made[0].customers.history
    bought = history.batch([*(f"customer {n}" for n in range(4, 8)), "early", "late"], np.zeros(6))
    assert 1 == len(set(bought.baskets.tolist()))
    assert [1] * 6 == np.diff(bought.indptr).tolist()


def test_sales_that_other_copies_answered_are_learnt(live, database):
    """Also those of a copy that died since the last look; a copy that stays alone reads nothing."""
    model = fitted(("a", "c"))
    model.save(live.path)
    live.start()
    live.refresh_history(alone=True)

    def known_after(customer, alone):
        given = answers(model, [basket(f"{customer}{n}", "f", customer) for n in range(3)], 2)
        database[RECOMMENDATIONS].insert_many(given)
        live.refresh_history(alone)
        offered = live.answers([basket(customer=customer)])[0]["recommendations"]
        return "f" in {each["product_id"] for each in offered}

    assert known_after("while it started", alone=True)
    assert not known_after("nobody", alone=True)
    assert known_after("another copy", alone=False)
    assert known_after("a copy that died", alone=True)
    assert not known_after("nobody either", alone=True)


def test_of_the_sales_read_back_the_newest_are_remembered_longest(live, database, monkeypatch):
    """Each counts once though more are there than are remembered, and others come at once."""
    monkeypatch.setattr(customers, "SALES_REMEMBERED", 5)
    monkeypatch.setattr(live_model, "HISTORY_MAX", 5)
    model = fitted(("a", "c"))
    model.save(live.path)
    past = [basket(f"s{n}", "f", f"customer {n}", hours=n) for n in range(8)]
    database[RECOMMENDATIONS].insert_many(answers(model, past, 2))
    live.start()
    live.observe([past[7], basket("amidst", "f", "other")])
    live.refresh_history()
    live.observe([basket("late", "f", "other")])
    live.observe(past[6:])
    expected = fitted(("a", "c"))
    for each in [*past[3:], basket("amidst", "f", "other"), basket("late", "f", "other")]:
        customer, when = each.sale.customer_id, each.sale.sale_datetime
        expected.observe(each.sale.sale_id, customer, ["f"], when)
    names = ["other", *(f"customer {n}" for n in range(8))]
    wanted, known = (
        each.customers.history.batch(names, np.full(len(names), each.customers.newest))
        for each in (expected, live._model)
    )
    assert wanted.indptr.tolist() == known.indptr.tolist()
    assert wanted.baskets.tolist() == known.baskets.tolist()


def test_what_a_model_was_told_never_to_recommend_stays_so(live):
    """The trainer's list holds in the service, though the service has none of its own."""
    live.start()
    fitted(("a", "c"), never_recommend=("c",)).save(live.path)
    live.refresh()
    assert "c" != best(live)


def test_a_model_that_comes_while_the_products_cannot_be_read_waits(live, stack, monkeypatch):
    """What it never recommends is barred from its first answer on, not only from a restart."""
    first, second = fitted(("a", "d")), fitted(("a", "c"), never_recommend=("c",))
    first.save(live.path)
    live.start()
    second.save(live.path)
    with monkeypatch.context() as patch:
        patch.setattr(live_catalogue, "READ_TIMEOUT", 0.2)
        stack.mongo.freeze()
        try:
            for _ in range(2):
                with pytest.raises(PyMongoError):
                    live.refresh()
                assert (first.version, "d") == (live.version, best(live))
        finally:
            stack.mongo.thaw()
    live.refresh()
    assert second.version == live.version
    assert "c" != best(live)

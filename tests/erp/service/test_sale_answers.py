"""The answer to a sale, and the control arm that the recommender is compared with."""

from datetime import UTC, datetime

import msgspec
import pytest
from prometheus_client import REGISTRY

from erp import recommender
from erp.contract import Recommendation, Sale
from erp.recommender.catalogue import Catalogue
from erp.service.baskets import Basket, Line
from erp.service.sale_answers import answers, encode, in_control

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
BESTSELLERS = ["a", "b", "c", "d"]  # best first, of one category; e and f are bought together


@pytest.fixture(scope="module")
def model():
    """A model of a shop where e and f always go together, and a, b, c, d sell best."""
    lines = [
        (f"{product}{n}", product)
        for place, product in enumerate(BESTSELLERS)
        for n in range(60 - 10 * place)
    ]
    lines += [(f"pair{n}", product) for n in range(20) for product in "ef"]
    sales = sorted({sale_id for sale_id, _ in lines})
    fitted = recommender.fit(
        {"sale_id": [sale for sale, _ in lines], "product_id": [product for _, product in lines]},
        {"sale_id": sales, "sale_datetime": ["2024-04-01T10:00:00Z"] * len(sales)},
    )
    pairs = {"e": "Pairs", "f": "Pairs"}
    fitted.use(
        Catalogue.from_products(
            [{"_id": key, "category": pairs.get(key, "Rest"), "active": True} for key in "abcdef"]
        )
    )
    return fitted


def basket(sale_id="s", products=("e",), quantity=1.0):
    """A sale with a line for each product."""
    lines = {number: Line(product, quantity) for number, product in enumerate(products, 1)}
    return Basket(Sale(sale_id, NOON, customer_id="c"), 0, lines=lines, complete=True)


def offered(answer):
    """The products of an answer, best first, and where they come from."""
    return [(each["product_id"], each["source"]) for each in answer["recommendations"]]


def test_control_arm_gets_bestsellers_whatever_is_in_the_basket(model):
    """A sale in the control arm is offered what sells most, and says so."""
    (treated,) = answers(model, [basket()], 3, control_share=0)
    (control,) = answers(model, [basket()], 3, control_share=1)
    assert ("f", "model") == offered(treated)[0]
    assert [(product, "popular") for product in "abc"] == offered(control)
    assert (False, model.algo) == (treated["control"], treated["algo"])
    assert (True, "popularity") == (control["control"], control["algo"])
    assert model.version == control["model_version"]
    assert [1, 2, 3] == [each["ranking"] for each in control["recommendations"]]
    assert 100 == control["recommendations"][0]["relevancia_percentage"]


def test_message_says_what_the_document_says_of_the_arm(model):
    """The arm is in the message too; an answer without it is read as no control."""
    (answer,) = answers(model, [basket()], 3, control_share=1)
    message = encode(answer)
    assert msgspec.json.decode(message, type=Recommendation).control
    del answer["control"], answer["_id"]
    assert not msgspec.convert(answer, Recommendation).control


def test_control_arm_is_offered_nothing_that_is_in_the_basket_or_came_back(model):
    """Neither what was bought nor what was returned is a bestseller for this sale."""
    (bought,) = answers(model, [basket(products=("a",))], 3, control_share=1)
    (returned,) = answers(model, [basket(products=("a",), quantity=-1.0)], 3, control_share=1)
    expected = [(product, "popular") for product in "bcd"]
    assert [expected, expected] == [offered(bought), offered(returned)]


def test_arms_are_mixed_in_one_batch(model):
    """Of a batch each sale gets the answer of its own arm."""
    batch = [basket(f"s{n}") for n in range(40)]
    for answer in answers(model, batch, 3, control_share=0.5):
        assert in_control(answer["sale_id"], 0.5) == answer["control"]
        assert ("a" if answer["control"] else "f") == offered(answer)[0][0]


def test_arm_depends_on_the_sale_alone():
    """Another process, and a new start, put the same sales in the control arm."""
    ids = [f"sale {n}" for n in range(20)]
    assert ["sale 7", "sale 18"] == [sale_id for sale_id in ids if in_control(sale_id, 0.1)]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_share_of_the_control_arm(share):
    """The arm holds the share asked for, all of it and nothing at the ends."""
    many = 20_000
    found = sum(in_control(f"{n}", share) for n in range(many))
    assert found == pytest.approx(share * many, abs=4 * (many * share * (1 - share)) ** 0.5)


def test_larger_share_keeps_the_sales_of_the_smaller():
    """Raising the share moves sales into the control arm and none out of it."""
    small, large = ({n for n in range(2_000) if in_control(f"{n}", s)} for s in (0.1, 0.3))
    assert small < large


def test_a_sale_that_cannot_be_scored_is_answered_with_nothing(model, monkeypatch, caplog):
    """Its neighbours get what they would get; it is counted, and many are told of once."""
    recommend_many, metric = model.recommend_many, "erp_reco_unscored_total"
    before = REGISTRY.get_sample_value(metric, {"error": "ArithmeticError"}) or 0

    def fails(baskets, *rest, **named):
        if any("a" in basket for basket in baskets):
            raise ArithmeticError
        return recommend_many(baskets, *rest, **named)

    monkeypatch.setattr(model, "recommend_many", fails)
    odd = [basket(f"odd{n}", products=("a",)) for n in range(3)]
    given = answers(model, [basket("s"), *odd], 3)
    assert ["s", "odd0", "odd1", "odd2"] == [each["_id"] for each in given]
    assert ("f", "model") == offered(given[0])[0]
    assert [[]] * 3 == [offered(each) for each in given[1:]]
    assert ("none", "Rest") == (given[1]["algo"], given[1]["basket_products"][0]["category"])
    assert before + 3 == REGISTRY.get_sample_value(metric, {"error": "ArithmeticError"})
    assert 1 == caplog.text.count("a sale cannot be scored, nothing is recommended")
    assert "sale odd0" in caplog.text


def test_a_quantity_that_is_no_number_is_no_return(model):
    """The sale is answered as if it said nothing of how many were bought."""
    odd = basket(products=("e", "c", "d"))
    odd.lines |= {2: Line("c", "many"), 3: Line("d", -1.0)}
    (answer,) = answers(model, [odd], 2)
    assert ["f", "a"] == [product for product, _ in offered(answer)]

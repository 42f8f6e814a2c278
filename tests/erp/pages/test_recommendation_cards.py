"""Cards of recommendations: what the data says is text, whatever it looks like."""

from html.parser import HTMLParser

import pytest

from erp.contract import BasketProduct, Reason
from erp.pages.formats import Formats
from erp.pages.recommendation_cards import cards
from erp.pages.texts import text
from tests.recommendation_samples import recommendation, recommended

FMT = Formats("es", "EUR", "UTC")

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><b onmouseover="alert(1)">',
    '=HYPERLINK("http://x")',
    "{t} {0} %s $x$ **b** :smile:",
    "\N{WOMAN}\u200d\N{GIRL} t\u00e9 \u202eevil",
    "w" * 200,
    "</article></div></style>",
]


def spanish(key, **values):
    return text("es", key, **values)


class Reader(HTMLParser):
    """Tags and text of a piece of HTML."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.words, self.attributes = [], "", set()
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.words += data


@pytest.mark.parametrize("name", HOSTILE)
def test_text_from_the_data_stays_text(name):
    """No tag and no attribute comes from it, and the reader sees it as it is written."""
    made = recommendation(
        1,
        sale_id=name,
        customer_id=name,
        store_id=name,
        payment_type=name,
        algo=name,
        model_version=name,
        basket_products=[BasketProduct("b", name, name, 1.0, 1.0)],
        recommendations=[
            recommended("p", product_name=name, category=name, source=name,
                        because_of=[Reason("b", name, 100.0)])
        ],
    )  # fmt: skip
    read = Reader(cards(spanish, FMT, [made], {name: name}))
    plain = Reader(cards(spanish, FMT, [recommendation(1, recommendations=[recommended("p")])], {}))
    assert plain.tags == read.tags
    assert {"class", "style", "title"} == read.attributes
    assert 12 <= read.words.count(name)


def test_a_card_says_everything_that_is_known():
    """Client, store, payment, purchases with amounts, and each recommendation's reasons."""
    words = Reader(cards(spanish, FMT, [recommendation(2)], {"c2": "Ana Ruiz"})).words
    for expected in (
        "s2", "Ana Ruiz (c2)", "Tienda: 3", "Forma de pago: card", "Bread", "\u00d72 · 3,50\xa0€",
        "Product r2-1", "24,0\xa0%", "Relevancia", "#1", "modelo", "Dairy",
        "porque lleva Bread (100\xa0%)", "ventas con ambos: 12", "en 12 ms",
    ):  # fmt: skip
        assert expected in words


def test_a_recommendation_that_the_basket_did_not_lead_to_tells_of_the_customers_habit():
    """Of the model's; a bestseller says by itself what it is."""
    made = [recommended(f"p{n}", source=source, because_of=[], support=0)
            for n, source in enumerate(("model", "popular", "category"))]  # fmt: skip
    words = Reader(cards(spanish, FMT, [recommendation(1, recommendations=made)], {})).words
    assert 1 == words.count("por lo que compra este cliente")


def test_what_is_missing_is_said_and_breaks_nothing():
    """No customer, no store, no names, no basket."""
    bare = recommendation(
        1,
        customer_id=None,
        store_id=None,
        payment_type=None,
        complete=False,
        basket_products=[],
        recommendations=[
            recommended("p1", product_name=None, category=None, source="popular", because_of=[])
        ],
    )
    words = Reader(cards(spanish, FMT, [bare], {})).words
    for expected in ("(sin dato)", "cesta incompleta", "no llegaron a tiempo", "p1", "popular"):
        assert expected in words


def test_a_sale_of_a_thousand_lines_makes_no_card_of_a_thousand_lines():
    """What is left out is counted."""
    basket = [BasketProduct(f"b{n}", f"N{n}", None, 1.0, 1.0) for n in range(1000)]
    words = Reader(cards(spanish, FMT, [recommendation(1, basket_products=basket)], {})).words
    assert "Productos comprados: 1.000" in words
    assert "y 940 más" in words
    assert "N60" not in words


def test_the_largest_reasons_are_named_and_the_rest_counted():
    """A long basket gives every recommendation a dozen of them."""
    reasons = [Reason(f"b{n}", f"Why {n}", 10.0) for n in range(10)]
    made = recommendation(1, recommendations=[recommended("p", because_of=reasons)])
    words = Reader(cards(spanish, FMT, [made], {})).words
    assert "Why 2 (10 %) y 7 más" in words.replace("\xa0", " ")
    assert "Why 3" not in words


@pytest.mark.parametrize(("percent", "width"), [(-5.0, "0.0"), (250.0, "100.0"), (33.3, "33.3")])
def test_a_bar_stays_within_its_track(percent, width):
    """Whatever a service writes."""
    made = recommendation(1, recommendations=[recommended("p", confidence_percentage=percent)])
    assert f"width:{width}%" in cards(spanish, FMT, [made], {})

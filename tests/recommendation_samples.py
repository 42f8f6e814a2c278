"""Recommendations made up for the tests of what shows them."""

from datetime import UTC, datetime, timedelta

import msgspec

from erp.contract import BasketProduct, Reason, Recommendation, RecommendedProduct

START = datetime(2017, 12, 20, 10, 0, tzinfo=UTC)


def recommended(product_id: str, ranking: int = 1, **fields: object) -> RecommendedProduct:
    """A recommended product; what matters to a test is given, the rest is likely."""
    likely = {
        "product_name": f"Product {product_id}",
        "category": "Dairy",
        "relevancia": 0.5 / ranking,
        "relevancia_percentage": 100.0 / ranking,
        "confidence_percentage": 24.0 / ranking,
        "ranking": ranking,
        "ranking_percentage": 100.0 - 20 * (ranking - 1),
        "support": 12,
        "source": "model",
        "because_of": [Reason("b1", "Bread", 100.0)],
    }
    return RecommendedProduct(product_id, **{**likely, **fields})


def recommendation(number: int, **fields: object) -> Recommendation:
    """The answer to sale number `number`, made so many seconds after START."""
    likely = {
        "sale_id": f"s{number}",
        "customer_id": f"c{number % 7}",
        "store_id": f"{number % 3 + 1}",
        "payment_type": "card",
        "timestamp": START + timedelta(minutes=number),
        "created_at": START + timedelta(seconds=number),
        "algo": "item-cosine",
        "model_version": "20171201T120000Z-0123abcd",
        "complete": True,
        "latency_ms": 10.0 + number % 50,
        "basket_products": [BasketProduct("b1", "Bread", "Bakery", 2.0, 3.5)],
        "recommendations": [recommended(f"r{number}-{n}", n) for n in range(1, 6)],
    }
    return Recommendation(**{**likely, **fields})


def message(made: Recommendation) -> dict[str, bytes]:
    """As it travels in Kafka."""
    return {"key": made.sale_id.encode(), "value": msgspec.json.encode(made)}


def document(made: Recommendation) -> dict[str, object]:
    """As MongoDB keeps it."""
    return {"_id": made.sale_id, **msgspec.to_builtins(made, builtin_types=(datetime,))}

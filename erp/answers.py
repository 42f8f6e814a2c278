"""The answer to a sale, as it goes to the topic and to the collection."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from erp.baskets import Basket, Line
from erp.contract import Sale

BASKET_LINES_MAX = 2_000  # of a basket shown in an answer, so that it stays a message that fits
MESSAGE_BYTES_MAX = 900_000  # Kafka's brokers take a little over 1,000,000 by default


def bought(lines: Iterable[Line]) -> list[str]:
    """The products that the customer took home: a negative quantity is a return."""
    return [line.product_id for line in lines if line.quantity is None or line.quantity > 0]


def answer(
    basket: Basket,
    products: list[dict[str, Any]],
    recommendations: list[dict[str, Any]],
    algo: str,
    model_version: str,
) -> dict[str, Any]:
    """The document of a sale; its message is the same without `_id`. Times are whole ms."""
    sale = basket.sale
    now = datetime.now(UTC)
    return {
        "_id": sale.sale_id,
        "sale_id": sale.sale_id,
        "customer_id": sale.customer_id,
        "store_id": sale.store_id,
        "payment_type": sale.payment_type,
        "timestamp": sale.sale_datetime,
        "created_at": in_milliseconds(now),
        "algo": algo,
        "model_version": model_version,
        "complete": basket.complete,
        "latency_ms": round(max(0.0, now.timestamp() - basket.entered) * 1000, 1),
        "basket_products": products,
        "recommendations": recommendations,
    }


def in_milliseconds(moment: datetime) -> datetime:
    """The moment in UTC as MongoDB keeps it, so that message and document say the same.

    Raises OverflowError where UTC would leave the calendar.
    """
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def usable(sale: Sale) -> Sale:
    """The sale with its time in UTC."""
    sale.sale_datetime = in_milliseconds(sale.sale_datetime)
    return sale

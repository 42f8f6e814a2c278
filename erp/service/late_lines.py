"""Sales that were answered with lines missing: followed for a while, to be answered better.

What is followed is in memory only. It is not lost with it: an answer that may still be improved
says `complete` false in the collection, from where `incomplete` reads it after a restart, or when
another copy of the service died. Two copies may follow the same sale; `not_answered_better` keeps
the second from answering it again.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
from pymongo import DESCENDING
from pymongo.collection import Collection

from erp import contract
from erp.service.baskets import Basket, WaitingSales, find_by_id

PAUSES = (5.0, 300.0)  # s between two looks at a sale, at first and at most
QUIET = 5.0  # s without another line, after which those that came late are answered
FOLLOWED_MAX = 20_000  # sales; beyond that the oldest is given up
READ_TIMEOUT = 30  # s; without its index the collection is read from end to end


def follow(followed: WaitingSales, basket: Basket) -> None:
    """Look for the missing lines of a sale that was answered from `basket`."""
    if len(followed) >= FOLLOWED_MAX:
        followed.remove([next(iter(followed))])
    followed.add(
        Basket(basket.sale, basket.entered, lines=basket.lines, answered=len(basket.lines))
    )


def incomplete(
    recommendations: Collection, sales: Collection, seconds: float, limit: int = FOLLOWED_MAX
) -> list[Basket]:
    """Sales answered incomplete in the last so many seconds, newest first, lines not read yet."""
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    with pymongo.timeout(READ_TIMEOUT):
        answers = list(
            recommendations.find(
                {"complete": False, "created_at": {"$gte": since}},
                {"created_at": 1, "latency_ms": 1, "basket_products.product_id": 1},
                batch_size=1_000,
            )
            .sort("created_at", DESCENDING)
            .limit(limit)
        )
    headers = {
        header["_id"]: header
        for header in find_by_id(sales, [each["_id"] for each in answers], _HEADER)
    }
    return [_basket(each, headers[each["_id"]]) for each in answers if each["_id"] in headers]


def not_answered_better(recommendations: Collection, baskets: list[Basket]) -> list[Basket]:
    """Those whose answer in the collection has fewer lines than were found now."""
    ids = [basket.sale.sale_id for basket in baskets]
    fields = {"complete": 1, "basket_products.product_id": 1}
    answers = {each["_id"]: each for each in find_by_id(recommendations, ids, fields)}
    return [basket for basket in baskets if _improves(basket, answers.get(basket.sale.sale_id))]


_HEADER = dict.fromkeys(
    ("sale_id", "sale_datetime", "customer_id", "payment_type", "store_id", "items_count"), 1
)


def _basket(answer: dict[str, Any], header: dict[str, Any]) -> Basket:
    fields = {name: header[name] for name in _HEADER if name in header}
    return Basket(
        contract.Sale(**fields),
        answer["created_at"].timestamp() - answer["latency_ms"] / 1000,
        answered=len(answer["basket_products"]),
    )


def _improves(basket: Basket, answer: dict[str, Any] | None) -> bool:
    """False when the sale was deleted, or answered from as much already."""
    if answer is None or answer["complete"]:
        return False
    return basket.complete or len(basket.lines) > len(answer["basket_products"])

"""Sales that were answered: followed for a while, to be answered better when more lines come.

Those answered with lines missing are looked up again until they are whole. Those that seemed
complete may have been counted wrong: of them, whether there is a line behind the last.

What is followed is in memory only. It is not lost with it: `answered` reads the newest answers from
the collection after a restart, or when another copy of the service died. Two copies may follow the
same sale; `not_answered_better` keeps the second from answering it again, and one that follows an
older header from answering at all.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
from pymongo import DESCENDING
from pymongo.collection import Collection

from erp import contract
from erp.service.baskets import Basket, WaitingSales, find_by_id
from erp.service.sale_answers import BASKET_LINES_MAX

PAUSES = (5.0, 300.0)  # s between two looks at an incomplete sale, at first and at most
COMPLETE_PAUSES = (5.0, 60.0)  # s, the same of a sale that seemed complete
QUIET = 5.0  # s without another line, after which those that came late are answered
FOLLOWED_MAX = 20_000  # sales of each kind; beyond that the oldest is given up
RECALLED = 2_000  # newest answers that seemed complete, followed after a restart
READ_TIMEOUT = 30  # s; without its index the collection is read from end to end


class Followed:
    """The sales that were answered, for `seconds` each, incomplete and complete ones."""

    def __init__(self, items: Collection, seconds: float) -> None:
        self.incomplete = WaitingSales(items, seconds, QUIET, PAUSES)
        self.complete = WaitingSales(items, seconds, QUIET, COMPLETE_PAUSES)
        self._seconds = seconds

    @property
    def kinds(self) -> tuple[WaitingSales, WaitingSales]:
        """Both."""
        return self.incomplete, self.complete

    def add(self, basket: Basket) -> None:
        """Look for further lines of a sale that was answered from `basket`."""
        if not self._seconds:
            return
        if basket.complete:
            known = Basket(basket.sale, basket.entered, answered=len(basket.lines))
            known.was_complete = True
        else:
            lines = basket.lines
            known = Basket(basket.sale, basket.entered, lines=lines, answered=len(lines))
        self.recall(known)

    def recall(self, basket: Basket) -> None:
        """Follow a sale as `answered` reads it."""
        followed = self.complete if basket.was_complete else self.incomplete
        if len(followed) >= FOLLOWED_MAX:
            followed.remove([next(iter(followed))])
        followed.add(basket)

    def discard(self, sale_id: str) -> None:
        """Let go of a sale."""
        for followed in self.kinds:
            followed.discard(sale_id)


def answered(recommendations: Collection, sales: Collection, seconds: float) -> list[Basket]:
    """The newest sales answered in the last so many seconds, lines not read yet.

    At most FOLLOWED_MAX that were incomplete and RECALLED that were complete.
    """
    answers = [
        answer
        for complete, limit in ((False, FOLLOWED_MAX), (True, RECALLED))
        for answer in _newest(recommendations, complete, seconds, limit)
    ]
    headers = {
        header["_id"]: header
        for header in find_by_id(sales, [each["_id"] for each in answers], _HEADER)
    }
    return [_basket(each, headers[each["_id"]]) for each in answers if each["_id"] in headers]


def not_answered_better(recommendations: Collection, baskets: list[Basket]) -> list[Basket]:
    """Those whose answer in the collection, to the same header, has fewer lines than found now."""
    ids = [basket.sale.sale_id for basket in baskets]
    answers = {each["_id"]: each for each in find_by_id(recommendations, ids, _ANSWER | _ASKED)}
    return [basket for basket in baskets if _improves(basket, answers.get(basket.sale.sale_id))]


def _newest(
    recommendations: Collection, complete: bool, seconds: float, limit: int
) -> list[dict[str, Any]]:
    since = datetime.now(UTC) - timedelta(seconds=seconds)
    query = {"complete": complete, "created_at": {"$gte": since}}
    with pymongo.timeout(READ_TIMEOUT):
        found = recommendations.find(query, _ANSWER, batch_size=1_000)
        return list(found.sort("created_at", DESCENDING).limit(limit))


_ANSWER = dict.fromkeys(("complete", "created_at", "latency_ms", "basket_products.product_id"), 1)
_HEADER = dict.fromkeys(
    ("sale_id", "sale_datetime", "customer_id", "payment_type", "store_id", "items_count"), 1
)


_ASKED = dict.fromkeys(("customer_id", "store_id", "payment_type", "timestamp"), 1)


def _basket(answer: dict[str, Any], header: dict[str, Any]) -> Basket:
    fields = {name: header[name] for name in _HEADER if name in header}
    return Basket(
        contract.Sale(**fields),
        answer["created_at"].timestamp() - answer["latency_ms"] / 1000,
        answered=len(answer["basket_products"]),
        was_complete=answer["complete"],
    )


def _improves(basket: Basket, answer: dict[str, Any] | None) -> bool:
    """False when the sale was deleted, corrected, or answered from as much already."""
    if answer is None or not _answers(answer, basket.sale):
        return False
    shown = min(len(basket.lines), BASKET_LINES_MAX)
    return shown > len(answer["basket_products"]) or (basket.complete and not answer["complete"])


def _answers(answer: dict[str, Any], sale: contract.Sale) -> bool:
    """Whether an answer is to this header, not to one that another copy read later."""
    asked = (sale.customer_id, sale.store_id, sale.payment_type, sale.sale_datetime)
    return asked == tuple(answer.get(name) for name in _ASKED)

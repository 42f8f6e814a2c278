"""Sales that were answered: followed for a while, to be answered better when more lines come.

Those answered with lines missing are looked up again until they are whole. Those that seemed
complete may have been counted wrong: of them, whether there is a line behind the last. Those whose
answer took the place of another may have been corrected, and answered from lines that the sink had
yet to correct: of them all lines, which are answered again when they differ.

What is followed is in memory only. It is not lost with it: `answered` reads the newest answers from
the collection after a restart, when another copy of the service died, and when there is room again
after more came than are followed. Two copies may follow the same sale; `not_answered_better` keeps
the second from answering it again, and one that follows an older header from answering at all.
"""

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue
from typing import Any

import pymongo
from pymongo import DESCENDING
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from erp import contract
from erp.service.baskets import Basket, Line, WaitingSales, find_by_id
from erp.service.sale_answers import BASKET_LINES_MAX

PAUSES = (5.0, 300.0)  # s between two looks at an incomplete sale, at first and at most
COMPLETE_PAUSES = (5.0, 60.0)  # s, the same of a sale that seemed complete
QUIET = 5.0  # s without another line, after which those that came late are answered
AT_ONCE = 500  # sales looked at in one go, of most of which one line is asked
CORRECTED_AT_ONCE = 100  # corrected ones, whose every line is read
FOLLOWED_MAX = 20_000  # sales of each kind; beyond that the oldest is given up
RECALLED = 2_000  # newest answers that seemed complete, followed after a restart
RECENT = 60  # s before the newest answer, since when complete ones recalled count as corrected
READ_TIMEOUT = 30  # s; without its index the collection is read from end to end

UNKNOWN = 0  # fingerprint of an answer whose lines were not read: it is compared at the first look


class Followed:
    """The sales that were answered, for `seconds` each: incomplete, complete, corrected ones."""

    def __init__(self, items: Collection, seconds: float) -> None:
        self.incomplete = WaitingSales(items, seconds, QUIET, PAUSES)
        self.complete = WaitingSales(items, seconds, QUIET, COMPLETE_PAUSES)
        self.corrected = WaitingSales(items, seconds, QUIET, PAUSES)
        self._seconds = seconds
        self._full = False  # of incomplete ones; the oldest may have been given up

    @property
    def kinds(self) -> tuple[WaitingSales, ...]:
        """All of them."""
        return self.incomplete, self.complete, self.corrected

    def add(self, basket: Basket, replaced: bool = False) -> None:
        """Look for further lines of a sale that was answered from `basket`, or for other ones.

        With `replaced` the answer took the place of another.
        """
        if not self._seconds:
            return
        known = Basket(basket.sale, basket.entered, answered=len(basket.lines))
        known.was_complete = basket.complete
        if replaced or basket.answered_as is not None:
            known.answered_as = basket.fingerprint
        elif not basket.complete:
            known.lines = basket.lines
        self._follow(known)

    def recall(self, basket: Basket) -> None:
        """Follow a sale as `answered` reads it, unless all its lines are looked at anyway."""
        known = self.corrected.get(basket.sale.sale_id)
        if known is None or _asked(known.sale) != _asked(basket.sale):
            self.discard(basket.sale.sale_id)
            self._follow(basket)

    def let_go(self, baskets: Iterable[Basket]) -> None:
        """Of sales that no better answer is due to; corrected ones are looked at until the end."""
        for basket in baskets:
            if basket.answered_as is None:
                for followed in self.kinds:
                    followed.remove([basket])
            else:
                basket.answered_as = basket.fingerprint
                basket.was_complete = basket.was_complete or basket.complete
                self.corrected.again(basket)

    def has_room_again(self) -> bool:
        """True once when half of too many incomplete sales are done with: others may wait."""
        if not self._full or len(self.incomplete) > FOLLOWED_MAX / 2:
            return False
        self._full = False
        return True

    def discard(self, sale_id: str) -> None:
        """Let go of a sale."""
        for followed in self.kinds:
            followed.discard(sale_id)

    def _follow(self, basket: Basket) -> None:
        if basket.answered_as is not None:
            followed = self.corrected
        else:
            followed = self.complete if basket.was_complete else self.incomplete
        if len(followed) >= FOLLOWED_MAX:
            followed.remove([next(iter(followed))])
        followed.add(basket, QUIET if followed is self.corrected else 0)
        self._full = self._full or len(self.incomplete) >= FOLLOWED_MAX


class Recall:
    """The answers of other copies that are to be followed, read beside the loop."""

    def __init__(self, recommendations: Collection, sales: Collection, seconds: float) -> None:
        self._recommendations, self._sales, self._seconds = recommendations, sales, seconds
        self._wanted = threading.Event()
        self.found: SimpleQueue[list[Basket]] = SimpleQueue()

    def want(self) -> None:
        """Say that answers wait that are not followed: another copy died, or they were too many."""
        if self._seconds:
            self._wanted.set()

    def read(self) -> None:
        """Put into `found` what is wanted; raises the database's errors, and is to be called again.

        Without a wish it does nothing.
        """
        if self._wanted.is_set():
            self._wanted.clear()  # before it reads: another copy may die meanwhile
            try:
                self.found.put(answered(self._recommendations, self._sales, self._seconds))
            except PyMongoError:
                self._wanted.set()
                raise


def answered(recommendations: Collection, sales: Collection, seconds: float) -> list[Basket]:
    """The newest sales answered in the last so many seconds, lines not read yet.

    At most FOLLOWED_MAX incomplete ones and RECALLED complete ones. Of these the last few may have
    been corrected: who answered them did not live to look at their lines again.
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
    newest = max((each["created_at"] for each in answers), default=datetime.now(UTC))
    recent = newest - timedelta(seconds=RECENT)
    return [
        _basket(
            each, headers[each["_id"]], corrected=each["complete"] and each["created_at"] >= recent
        )
        for each in answers
        if each["_id"] in headers
    ]


def not_answered_better(recommendations: Collection, baskets: list[Basket]) -> list[Basket]:
    """Those whose answer in the collection, to the same header, has fewer lines than found now.

    Or, of those that were corrected, other lines.
    """
    ids = [basket.sale.sale_id for basket in baskets]
    answers = {each["_id"]: each for each in find_by_id(recommendations, ids, _COMPARED)}
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


_ASKED = ("customer_id", "store_id", "payment_type", "timestamp")
_COMPARED = dict.fromkeys(("complete", "basket_products", *_ASKED), 1)


def _basket(answer: dict[str, Any], header: dict[str, Any], corrected: bool) -> Basket:
    fields = {name: header[name] for name in _HEADER if name in header}
    return Basket(
        contract.Sale(**fields),
        answer["created_at"].timestamp() - answer["latency_ms"] / 1000,
        answered=len(answer["basket_products"]),
        was_complete=answer["complete"],
        answered_as=UNKNOWN if corrected else None,
    )


def _improves(basket: Basket, answer: dict[str, Any] | None) -> bool:
    """False when the sale was deleted, corrected, or answered from as much already."""
    if answer is None or not _answers(answer, basket.sale):
        return False
    shown = [basket.lines[number] for number in sorted(basket.lines)[:BASKET_LINES_MAX]]
    told = [
        Line(each["product_id"], each.get("quantity"), each.get("net_amount"))
        for each in answer["basket_products"]
    ]
    other = repr(shown) != repr(told)  # as written: NaN equals nothing
    more = other if basket.answered_as is not None else len(shown) > len(told)
    return more or (basket.complete and not answer["complete"])


def _answers(answer: dict[str, Any], sale: contract.Sale) -> bool:
    """Whether an answer is to this header, not to one that another copy read later."""
    return _asked(sale) == tuple(answer.get(name) for name in _ASKED)


def _asked(sale: contract.Sale) -> tuple[object, ...]:
    return sale.customer_id, sale.store_id, sale.payment_type, sale.sale_datetime

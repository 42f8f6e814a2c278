"""Collecting the lines of sales from MongoDB: many at once, each as soon as it has all of them.

A sale's header often arrives before its lines are stored. It waits here, is looked up again with
growing pauses, and holds up no other. Lines are found by their `_id` (`sale_id:1`, `sale_id:2`
...), the one access that is fast however large the collection is.

How many lines a sale has is what its header says, unless that proves wrong: each look also asks
for the line after the last one. If that exists, or the header says nothing usable, the line
numbers are followed upwards until the next ones do not exist and nothing new came for a while.
"""

import heapq
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import pymongo
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from erp.contract import Sale, item_id

IDS_PER_QUERY = 150  # $in costs more than in proportion: 100 to 200 are fastest
READERS = 2  # threads that look ahead: while one's query is answered the other's answer is decoded
PART = 50  # sales that one of them looks for at least
QUERY_TIMEOUT = 5  # s, after which the database counts as away
WINDOW = 500  # line numbers asked beyond the highest one found
FIRST_GUESS = 8  # line numbers asked at first of a sale that does not say how many it has
PAUSE_GROWTH = 1.5
AGENDA_SLACK, AGENDA_SHARE = 1_000, 1.2  # looks planned at most: so many, and times the waiting
LOOKS_PER_SECOND = 4_000  # at most, however many wait, so that those that are complete come first

_FIELDS = {"product_id": 1, "quantity": 1, "net_amount": 1}


class Line(NamedTuple):
    """What a recommendation needs of a line of a sale."""

    product_id: str
    quantity: float | None
    net_amount: float | None = None


Found = dict[str, dict[int, "Line"]]  # the lines that exist, by sale and number

_line = partial(tuple.__new__, Line)  # half the price of Line(...), of which there are the most


@dataclass(slots=True, eq=False)
class Basket:
    """A sale and those of its lines that were found. Times are s of the monotonic clock."""

    sale: Sale
    entered: float  # s since 1970: when the header entered Kafka
    sources: list[Any] = field(default_factory=list)  # the messages that brought the header
    lines: dict[int, Line] = field(default_factory=dict)
    answered: int | None = None  # lines that an answer was given from, None before the first
    was_complete: bool = False  # that answer had every line known then; none of them is in `lines`
    answered_as: int | None = None  # of a sale that was corrected: the fingerprint of its answer
    expected: int | None = None  # lines; None when only their numbers can tell
    complete: bool = False
    deadline: float = 0
    next_look: float = 0
    last_news: float = 0  # when a line was found last
    pause: float = 0
    thorough: bool = True  # the next look asks for every missing line, not only for a few

    def __post_init__(self) -> None:
        self.expect()

    def expect(self) -> None:
        """Believe the header's number of lines, if it says one."""
        self.expected = self.sale.items_count if (self.sale.items_count or 0) > 0 else None

    @property
    def fingerprint(self) -> int:
        """A number that changes with each product, quantity, amount and number of lines.

        Of how they are written: NaN, which equals nothing, or a list may be among them.
        """
        return hash(repr([self.lines[number] for number in sorted(self.lines)]))

    @property
    def improved(self) -> bool:
        """True when an answer from these lines is better than the one that was given."""
        if self.answered_as is not None:
            news = self.complete and not self.was_complete
            return news or self.fingerprint != self.answered_as
        return self.complete or len(self.lines) > (self.answered or 0)

    def wanted(self) -> list[int]:
        """The line numbers that the next look asks for.

        While nothing comes, only the first missing ones and the last: they tell as much. Of a sale
        that seemed complete, the one behind the last; if it exists, all of them again. Of a sale
        that was corrected always all.
        """
        if self.was_complete and self.answered_as is None and not self.lines:
            return [(self.answered or 0) + 1]
        reach = max(self.lines, default=0)
        if self.expected is None:
            horizon = reach + min(max(reach, FIRST_GUESS), WINDOW)
        else:
            horizon = max(reach, min(self.expected, reach + WINDOW)) + 1
        missing = [number for number in range(1, horizon + 1) if number not in self.lines]
        if self.thorough or len(missing) <= 3:
            return missing
        return [*missing[:2], missing[-2]]

    def learn(self, asked: list[int], found: dict[int, Line], now: float, quiet: float) -> str:
        """Take in what a look found; returns "again" (at once), "wait" or "answer".

        `now` is when it was begun: a line that was stored since may have escaped it.
        """
        if found:
            self.lines.update(found)
            self.last_news = now
        reach = max(self.lines, default=0)
        if self.expected is not None and reach > self.expected:
            self.expected = None
        if found and (not self.thorough or asked[-1] in found):
            return "again"  # there may be more
        settled = bool(self.lines) and now - self.last_news >= quiet
        if self.expected is not None:
            self.complete = len(self.lines) == self.expected
        else:
            self.complete = settled and len(self.lines) == reach
        if self.answered_as is not None:  # fewer lines are news as well
            better = now - self.last_news >= quiet
        else:
            better = self.answered is not None and settled and len(self.lines) > self.answered
        overdue = now >= self.deadline and self.thorough
        return "answer" if self.complete or better or overdue else "wait"


class Look(NamedTuple):
    """What is asked of the database, since when, and what it found, in parts."""

    asked: dict[Basket, list[int]]
    began: float
    found: list[Future[Found]]


class WaitingSales:
    """The sales that wait for their lines.

    Parameters
    ----------
    items : Collection
        The lines of sales, `_id` = `sale_id:line_n`.
    deadline : float
        Seconds after which a sale is answered from the lines that are there.
    quiet : float
        Seconds without a new line after which a sale that does not say how many it has counts as
        complete.
    pauses : tuple of float
        Seconds between two looks at the same sale, at first and at most.
    """

    def __init__(
        self, items: Collection, deadline: float, quiet: float, pauses: tuple[float, float]
    ) -> None:
        self._items = items
        self._deadline, self._quiet, self._pauses = deadline, quiet, pauses
        self._waiting: dict[str, Basket] = {}
        self._agenda: list[tuple[float, int, Basket]] = []
        self._tickets = 0
        self._extended_to = 0.0  # monotonic s
        self._ahead: Look | None = None
        self._readers = ThreadPoolExecutor(READERS, "lines")

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, basket: Basket) -> bool:
        return self._waiting.get(basket.sale.sale_id) is basket

    def knows(self, sale_id: str) -> bool:
        """True while a sale of this id waits."""
        return sale_id in self._waiting

    def get(self, sale_id: str) -> Basket | None:
        """The sale of this id, if it waits."""
        return self._waiting.get(sale_id)

    def __iter__(self) -> Iterator[Basket]:
        return iter(self._waiting.values())

    def add(self, basket: Basket, pause: float = 0) -> list[Any]:
        """Let a sale wait, not looked at for `pause` s; an older header's deadline stays.

        Returns the messages of the older one, which are not needed any more.
        """
        now = time.monotonic()
        older = self._waiting.get(basket.sale.sale_id)
        basket.deadline = older.deadline if older else now + self._deadline
        basket.pause = self._pauses[0]
        basket.thorough = True
        self._waiting[basket.sale.sale_id] = basket
        self._schedule(basket, now + pause)
        return older.sources if older else []

    def next_look(self) -> float | None:
        """When the next sale is to be looked at, or None when none waits."""
        if self._ahead:
            return time.monotonic()
        while self._agenda and self._agenda[0][2] not in self:
            heapq.heappop(self._agenda)
        return self._agenda[0][0] if self._agenda else None

    def collect(self, limit: int, everyone: bool = False) -> list[Basket]:
        """Look once at up to `limit` sales that are due; returns those that can be answered.

        They stay among the waiting until they are removed. With `everyone` all are due. A look that
        was begun ahead is ended instead of another. Raises the database's errors, after which the
        same sales are due again.
        """
        look, self._ahead = self._ahead, None
        if not look:
            look = self._look(self._due(limit, everyone))
        found: Found = {}
        try:
            for part in look.found:
                found |= part.result()
        except PyMongoError:
            for basket in look.asked:
                self._schedule(basket, basket.next_look)
            raise
        now = time.monotonic()
        answerable = []
        for basket, numbers in look.asked.items():
            if basket not in self:  # let go while the database was asked
                continue
            match basket.learn(numbers, found[basket.sale.sale_id], look.began, self._quiet):
                case "answer":
                    answerable.append(basket)
                case "again":
                    basket.thorough, basket.pause = True, self._pauses[0]
                    self._schedule(basket, now)
                case _:
                    self._put_off(basket, now)
        return answerable

    def look_ahead(self, limit: int) -> None:
        """Begin to look at up to `limit` sales that are due, for the next `collect` to end."""
        if self._ahead is None and (due := self._due(limit, everyone=False)):
            self._ahead = self._look(due)

    def again(self, basket: Basket) -> None:
        """Look at all lines of a sale anew, after a longer pause; let go of it at its deadline."""
        now = time.monotonic()
        if now >= basket.deadline:
            self.remove([basket])
        elif basket in self:
            basket.lines, basket.complete = {}, False
            basket.expect()
            self._put_off(basket, now)
            basket.thorough = True

    def remove(self, baskets: Iterable[Basket]) -> None:
        """Let go of sales; those that do not wait any more are ignored."""
        for basket in baskets:
            if basket in self:
                del self._waiting[basket.sale.sale_id]

    def discard(self, sale_id: str) -> Basket | None:
        """Let go of a sale by its id; returns what waited."""
        return self._waiting.pop(sale_id, None)

    def extend(self, since: float, until: float) -> None:
        """Move every deadline: between these moments (monotonic s) nobody could store a line.

        A moment counts once, whoever tells of it.
        """
        since = max(since, self._extended_to)
        if until > since:
            self._extended_to = until
            for basket in self._waiting.values():
                basket.deadline += until - since

    def _look(self, due: list[Basket]) -> Look:
        began = time.monotonic()
        asked = [(basket, basket.wanted()) for basket in due]
        size = max(PART, -(-len(asked) // READERS))
        parts = [dict(asked[first : first + size]) for first in range(0, len(asked), size)]
        return Look(dict(asked), began, [self._readers.submit(self._find, part) for part in parts])

    def _schedule(self, basket: Basket, moment: float) -> None:
        basket.next_look = moment
        self._tickets += 1
        heapq.heappush(self._agenda, (moment, self._tickets, basket))
        if len(self._agenda) > AGENDA_SHARE * len(self._waiting) + AGENDA_SLACK:  # of sales let go
            self._agenda = [entry for entry in self._agenda if entry[2] in self]
            heapq.heapify(self._agenda)

    def _put_off(self, basket: Basket, now: float) -> None:
        moment = now + max(basket.pause, len(self._waiting) / LOOKS_PER_SECOND)
        settles = basket.last_news + self._quiet
        if basket.lines and settles > now:
            moment = min(moment, settles)
        basket.pause = min(basket.pause * PAUSE_GROWTH, self._pauses[1])
        basket.thorough = False
        self._schedule(basket, min(moment, max(now, basket.deadline)))

    def _due(self, limit: int, everyone: bool) -> list[Basket]:
        now = time.monotonic()
        due: list[Basket] = []
        while self._agenda and len(due) < limit and (everyone or self._agenda[0][0] <= now):
            basket = heapq.heappop(self._agenda)[2]
            if basket in self:
                basket.thorough = basket.thorough or everyone or now >= basket.deadline
                due.append(basket)
        return due

    def _find(self, asked: dict[Basket, list[int]]) -> Found:
        found: Found = {}
        places: dict[str, tuple[dict[int, Line], int]] = {}  # by `_id`: where the line belongs
        for basket, numbers in asked.items():
            sale_id = basket.sale.sale_id
            lines = found[sale_id] = {}
            for number in numbers:
                places[item_id(sale_id, number)] = lines, number
        for document in find_by_id(self._items, list(places), _FIELDS):
            get = document.get
            if (product_id := get("product_id")) is None:
                continue  # not the sink's: a line of nothing
            lines, number = places[document["_id"]]
            lines[number] = _line((product_id, get("quantity"), get("net_amount")))
        return found


def find_by_id(
    collection: Collection, ids: list[str], fields: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """The documents of these `_id`s that exist, with a few of their fields, in any order."""
    for start in range(0, len(ids), IDS_PER_QUERY):
        query = {"_id": {"$in": ids[start : start + IDS_PER_QUERY]}}
        with pymongo.timeout(QUERY_TIMEOUT):
            documents = list(collection.find(query, fields, batch_size=IDS_PER_QUERY + 1))
        yield from documents

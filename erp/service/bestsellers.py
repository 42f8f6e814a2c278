"""How many lines each product was sold in, counted beside everything else.

Where there are many sales a count takes minutes; nobody waits for it.
"""

import logging
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any

import pymongo
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from erp import mongo

log = logging.getLogger("erp.bestsellers")

COUNT_EVERY = 60  # s from a count to the next, at least
COUNT_SHARE = 0.1  # of the time is spent on counting, at most
COUNT_TIMEOUT = 600  # s for a count
RETRY_AFTER = 1  # s, at least, when there is nothing yet or it failed


class Bestsellers:
    """Counts as long as `newest` is asked now and then."""

    def __init__(self, lines: Collection[dict[str, Any]]) -> None:
        self._lines = lines
        self._counted: SimpleQueue[dict[str, int]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._due = float("-inf")  # of the monotonic clock

    def newest(self, patience: float = 0.0) -> dict[str, int] | None:
        """Lines by product, as counted since the last call; None when there is nothing new.

        Begins to count when it is time, and waits up to `patience` s for it.
        """
        idle = self._thread is None or not self._thread.is_alive()
        if idle and time.monotonic() >= self._due and self._counted.empty():
            self._thread = threading.Thread(target=self._count, name="bestsellers", daemon=True)
            self._thread.start()
        try:
            return self._counted.get(timeout=patience)
        except Empty:
            return None

    def _count(self) -> None:
        began, pause = time.monotonic(), RETRY_AFTER
        try:
            with pymongo.timeout(COUNT_TIMEOUT):
                by_product = [{"$group": {"_id": "$product_id", "lines": {"$sum": 1}}}]
                found = {each["_id"]: each["lines"] for each in self._lines.aggregate(by_product)}
        except PyMongoError as error:
            log.warning("what sells cannot be counted for now: %s", mongo.first_line(error))
        else:
            if found:  # an empty shop fills any moment
                pause = COUNT_EVERY
            self._counted.put(found)
        spent = time.monotonic() - began
        self._due = time.monotonic() + max(pause, spent / COUNT_SHARE)

"""Waiting for MongoDB in the main loop: a member of the group, and alive, however long it takes."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from pymongo.errors import PyMongoError

from erp import mongo
from erp.metrics import Health
from erp.process import Failure, Stop
from erp.service import service_metrics
from erp.service.baskets import WaitingSales
from erp.service.publisher import AwayError
from erp.service.source import Source

log = logging.getLogger("erp.outages")

TURN = 0.2  # s between two signs of life

T = TypeVar("T")


class Patience:
    """Outlasts outages; the deadlines of the sales that wait move by as much."""

    def __init__(self, source: Source, waiting: WaitingSales, stop: Stop, health: Health) -> None:
        self._source, self._waiting = source, waiting
        self._stop, self._health = stop, health

    def outlast(self, operation: Callable[[], T], doing: str) -> T:
        """Do something with MongoDB, after it came back if it is away.

        Raises AwayError when the process is to end meanwhile, Failure when MongoDB refuses.
        """
        began = counted = time.monotonic()

        def wait(seconds: float) -> bool:
            """Until the next try; True when the process is to end instead."""
            nonlocal counted
            self._stay(seconds)
            before, counted = counted, time.monotonic()
            self._waiting.extend(before, counted)  # before the next try, which looks at deadlines
            return self._stop.requested

        try:
            result = mongo.outlast(operation, wait, doing)
        except PyMongoError as error:
            if mongo.is_outage(error):
                raise AwayError("MongoDB is away") from None
            raise Failure(f"MongoDB refuses {doing}: {mongo.first_line(error)}") from None
        if counted > began:
            now = time.monotonic()
            self._waiting.extend(counted, now)
            self._health.report("lines")
            log.info("MongoDB is back after %.1f s", now - began)
        return result

    def _stay(self, seconds: float) -> None:
        self._health.report("lines", "MongoDB is away")
        service_metrics.OUTAGES.labels("mongo").inc()
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop.requested:
            self._health.beat()
            self._source.stay(TURN)

"""Answers on their way to MongoDB and Kafka, while the next ones are being made.

One batch at a time is brought to both places by a thread of its own: the databases work while the
service scores, and the order of the batches stays that of the answers.
"""

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple

import pymongo
from pymongo import ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from erp import mongo
from erp.kafka import Outbox
from erp.metrics import Health
from erp.mongo import DUPLICATE_KEY
from erp.process import Failure, Stop
from erp.service.baskets import Basket
from erp.service.service_metrics import OUTAGES

log = logging.getLogger("erp.publisher")

WRITE_TIMEOUT = 10  # s, after which the database counts as away
FLUSH_TIMEOUT = 5  # s, after which Kafka counts as away

Document = dict[str, Any]


class AwayError(Exception):
    """A signal came while Kafka or MongoDB was away: what is in hand stays uncommitted."""


class Answer(NamedTuple):
    """The answer to a sale, as a document and as a message."""

    basket: Basket
    document: Document
    message: dict[str, bytes]


class Outcome(NamedTuple):
    """What became of a batch: `refused` by MongoDB with the reason, `away` s of an outage."""

    published: list[Answer]
    refused: list[tuple[Answer, str]]
    away: float


class Publisher:
    """Writes and sends one batch at a time; `start`, then `result`, then the next.

    `published` is called with the sales of each batch, in the publisher's thread.
    """

    def __init__(
        self,
        answers: Collection[Document],
        outbox: Outbox,
        topic: str,
        published: Callable[[list[Basket]], None],
        stop: Stop,
        health: Health,
    ) -> None:
        self._answers, self._outbox, self._topic = answers, outbox, topic
        self._published, self._stop, self._health = published, stop, health
        self._batches: SimpleQueue[tuple[list[Answer], Callable[[Basket], bool]]] = SimpleQueue()
        self._outcomes: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        threading.Thread(target=self._work, name="publisher", daemon=True).start()

    def start(self, batch: list[Answer], still_ours: Callable[[Basket], bool]) -> None:
        """Begin with a batch; a sale that is not ours any more when its turn comes is left out."""
        self._batches.put((batch, still_ours))

    @property
    def done(self) -> bool:
        """True once `result` does not wait."""
        return not self._outcomes.empty()

    def result(self, timeout: float) -> Outcome:
        """What became of the batch that was started; raises queue.Empty while it is under way.

        Raises AwayError when the process is to end during an outage, Failure when Kafka or
        MongoDB refuses all of it.
        """
        outcome = self._outcomes.get(timeout=timeout)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _work(self) -> None:
        while True:
            batch, still_ours = self._batches.get()
            try:
                self._outcomes.put(self._publish(batch, still_ours))
            except BaseException as error:  # noqa: BLE001  raised again by `result`
                self._outcomes.put(error)

    def _publish(self, batch: list[Answer], still_ours: Callable[[Basket], bool]) -> Outcome:
        began = time.monotonic()
        # 1 MongoDB. While it is away sales may go to another copy, which then answers them.
        refusals = self._outlast(lambda: self._store([a for a in batch if still_ours(a.basket)]))
        away = time.monotonic() - began
        # 2 Kafka, confirmed. 3 The offsets are the caller's.
        ours = [answer for answer in batch if still_ours(answer.basket)]
        published = [answer for answer in ours if answer.document["_id"] not in refusals]
        refused = [(a, refusals[a.document["_id"]]) for a in ours if a.document["_id"] in refusals]
        self._outbox.send(self._topic, [answer.message for answer in published])
        flush(self._outbox, self._stop, self._health)
        self._published([answer.basket for answer in published])
        return Outcome(published, refused, away if away > WRITE_TIMEOUT / 2 else 0)

    def _store(self, answers: list[Answer]) -> dict[str, str]:
        """Put each answer in the place of an older one; returns those refused, and why.

        Most are the first to their sale, and to insert costs the server half of an upsert.
        """
        if not answers:
            return {}
        with pymongo.timeout(WRITE_TIMEOUT):
            problems = mongo.write_errors(
                lambda: self._answers.insert_many([a.document for a in answers], ordered=False)
            )
            standing = [answers[p["index"]] for p in problems if p["code"] == DUPLICATE_KEY]
            refused = _refused(answers, problems)
            return refused | self._replace(standing) if standing else refused

    def _replace(self, answers: list[Answer]) -> dict[str, str]:
        writes = [
            ReplaceOne({"_id": each.document["_id"]}, each.document, upsert=True)
            for each in answers
        ]
        problems = mongo.write_errors(lambda: self._answers.bulk_write(writes, ordered=False))
        raced = [answers[p["index"]] for p in problems if p["code"] == DUPLICATE_KEY]
        refused = _refused(answers, problems)  # and what another copy wrote first can be replaced
        return refused | self._replace(raced) if raced else refused

    def _outlast(self, operation: Callable[[], dict[str, str]]) -> dict[str, str]:
        def wait(seconds: float) -> bool:
            self._health.report("answers", "MongoDB is away")
            OUTAGES.labels("mongo").inc()
            return self._stop.wait(seconds)

        try:
            result = mongo.outlast(operation, wait, "writing recommendations")
        except PyMongoError as error:
            if mongo.is_outage(error):
                raise AwayError("MongoDB is away") from None
            reason = mongo.first_line(error)
            raise Failure(f"MongoDB refuses to store recommendations: {reason}") from None
        self._health.report("answers")
        return result


def _refused(answers: list[Answer], problems: list[Document]) -> dict[str, str]:
    return {
        answers[problem["index"]].document["_id"]: problem["errmsg"]
        for problem in problems
        if problem["code"] != DUPLICATE_KEY
    }


def flush(outbox: Outbox, stop: Stop, health: Health) -> None:
    """Wait until Kafka confirmed everything that was sent.

    Raises AwayError when the process is to end meanwhile, Failure when a message was refused.
    """
    while outbox.flush(FLUSH_TIMEOUT):
        health.report("answers", "Kafka does not confirm")
        OUTAGES.labels("kafka").inc()
        log.warning("Kafka does not confirm %d messages, waiting", outbox.waiting)
        if stop.requested:
            raise AwayError("Kafka is away")
    health.report("answers")
    if outbox.failed:
        raise Failure(f"Kafka refused {outbox.failed} messages: see above, then start again")

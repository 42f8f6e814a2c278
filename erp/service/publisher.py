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
from erp.metrics import Health
from erp.mongo import DUPLICATE_KEY
from erp.outbox import Outbox
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
    """What became of a batch: `refused` by MongoDB with the reason, `away` s of an outage.

    `replaced` are the sales whose first answer found another in its place: sent or read again.
    """

    published: list[Answer]
    refused: list[tuple[Answer, str]]
    away: float
    replaced: set[str]


class Batch(NamedTuple):
    """Answers to publish, those that are still ours when their turn comes."""

    answers: list[Answer]
    still_ours: Callable[[Basket], bool]
    improved: bool  # they replace answers that were given already, and no offset holds them

    def ours(self) -> list[Answer]:
        """Those that are ours now: while a server is away sales may go to another copy."""
        return [answer for answer in self.answers if self.still_ours(answer.basket)]


class Publisher:
    """Writes and sends one batch at a time; `start`, then `result`, then the next.

    `published` is called with the sales of each batch, in the publisher's thread. What is ours is
    not looked at before `certain` returns, which may take until the caller has heard of the group.
    """

    def __init__(
        self,
        answers: Collection[Document],
        outbox: Outbox,
        topic: str,
        published: Callable[[list[Basket]], None],
        certain: Callable[[], None],
        stop: Stop,
        health: Health,
    ) -> None:
        self._answers, self._outbox, self._topic = answers, outbox, topic
        self._published, self._certain = published, certain
        self._stop, self._health = stop, health
        self._batches: SimpleQueue[Batch] = SimpleQueue()
        self._outcomes: SimpleQueue[Outcome | BaseException] = SimpleQueue()
        threading.Thread(target=self._work, name="publisher", daemon=True).start()

    def start(
        self, answers: list[Answer], still_ours: Callable[[Basket], bool], improved: bool
    ) -> None:
        """Begin with a batch; a sale that is not ours any more when its turn comes is left out."""
        self._batches.put(Batch(answers, still_ours, improved))

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
            batch = self._batches.get()
            try:
                self._outcomes.put(self._improve(batch) if batch.improved else self._publish(batch))
            except BaseException as error:  # noqa: BLE001  raised again by `result`
                self._outcomes.put(error)

    def _publish(self, batch: Batch) -> Outcome:
        # 1 MongoDB. While it is away sales may go to another copy, which then answers them.
        replaced: set[str] = set()
        refusals, away = self._outlast(lambda: self._store(batch.ours(), replaced))
        # 2 Kafka, confirmed. 3 The offsets are the caller's.
        self._certain()
        published, refused = _sorted_out(batch.ours(), refusals)
        self._send(published)
        return Outcome(published, refused, away, replaced)

    def _improve(self, batch: Batch) -> Outcome:
        self._certain()
        # 1 Kafka, confirmed.
        self._send(batch.ours())
        # 2 MongoDB. No offset holds these sales: it is the older document from which a restart
        # learns that a better answer is due. While it is away another copy may answer them.
        # Where none stands any more the sale was deleted.
        refusals, away = self._outlast(lambda: self._replace(batch.ours(), upsert=False))
        return Outcome(*_sorted_out(batch.ours(), refusals), away, set())

    def _send(self, answers: list[Answer]) -> None:
        self._outbox.send(self._topic, [answer.message for answer in answers])
        flush(self._outbox, self._stop, self._health)
        self._published([answer.basket for answer in answers])

    def _store(self, answers: list[Answer], replaced: set[str]) -> dict[str, str]:
        """Put each answer in the place of an older one; returns those refused, and why.

        Those that had an older one are added to `replaced`. Most are the first to their sale, and
        to insert costs the server half of an upsert.
        """
        if not answers:
            return {}
        problems = mongo.insert(self._answers, [answer.document for answer in answers])
        standing = [answers[p["index"]] for p in problems if p["code"] == DUPLICATE_KEY]
        replaced.update(answer.document["_id"] for answer in standing)
        return _refused(answers, problems) | self._replace(standing, upsert=True)

    def _replace(self, answers: list[Answer], upsert: bool) -> dict[str, str]:
        if not answers:
            return {}
        writes = [
            ReplaceOne({"_id": each.document["_id"]}, each.document, upsert=upsert)
            for each in answers
        ]
        problems = mongo.write_errors(lambda: self._answers.bulk_write(writes, ordered=False))
        raced = [answers[p["index"]] for p in problems if p["code"] == DUPLICATE_KEY]
        # what another copy wrote first can be replaced
        return _refused(answers, problems) | self._replace(raced, upsert)

    def _outlast(self, write: Callable[[], dict[str, str]]) -> tuple[dict[str, str], float]:
        """What was refused, and for how long the database was away, if it was."""
        began = time.monotonic()

        def wait(seconds: float) -> bool:
            self._health.report("answers", "MongoDB is away")
            OUTAGES.labels("mongo").inc()
            return self._stop.wait(seconds)

        def attempt() -> dict[str, str]:
            self._certain()
            with pymongo.timeout(WRITE_TIMEOUT):
                return write()

        try:
            refusals = mongo.outlast(attempt, wait, "writing recommendations")
        except PyMongoError as error:
            if mongo.is_outage(error):
                raise AwayError("MongoDB is away") from None
            reason = mongo.first_line(error)
            raise Failure(f"MongoDB refuses to store recommendations: {reason}") from None
        self._health.report("answers")
        took = time.monotonic() - began
        return refusals, took if took > WRITE_TIMEOUT / 2 else 0


def _sorted_out(
    answers: list[Answer], refusals: dict[str, str]
) -> tuple[list[Answer], list[tuple[Answer, str]]]:
    """The answers that were taken, and those that were refused with the reason."""
    if not refusals:
        return answers, []
    taken = [answer for answer in answers if answer.document["_id"] not in refusals]
    refused = [
        (answer, refusals[answer.document["_id"]])
        for answer in answers
        if answer.document["_id"] in refusals
    ]
    return taken, refused


def _refused(answers: list[Answer], problems: list[Document]) -> dict[str, str]:
    return {
        answers[problem["index"]].document["_id"]: problem["errmsg"]
        for problem in problems
        if problem["code"] != DUPLICATE_KEY
    }


def flush(
    outbox: Outbox, stop: Stop, health: Health, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Wait until Kafka confirmed everything that was sent; `meanwhile` is called now and then.

    Raises AwayError when the process is to end meanwhile, Failure when a message was refused.
    """
    while outbox.flush(FLUSH_TIMEOUT):
        health.report("answers", "Kafka does not confirm")
        OUTAGES.labels("kafka").inc()
        log.warning("Kafka does not confirm %d messages, waiting", outbox.waiting)
        if stop.requested:
            raise AwayError("Kafka is away")
        meanwhile()
    health.report("answers")
    if outbox.failed:
        raise Failure(f"Kafka refused {outbox.failed} messages: see above, then start again")

"""The newest recommendations, kept up to date by one consumer for the whole server process.

    feed = Feed(settings.kafka, "erp.recommendations", lambda: database).start()
    feed.state().recommendations

Kafka is read by assignment, without joining a group, so nothing is left behind on the brokers.
While Kafka is away, or has no such messages, MongoDB is asked instead; the reading of Kafka goes
on by itself where it stopped.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import pymongo
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from pymongo import DESCENDING
from pymongo.database import Database
from pymongo.errors import PyMongoError

from erp import contract
from erp.contract import Recommendation
from erp.kafka import position
from erp.mongo import first_line
from erp.process import Failure

log = logging.getLogger("erp.recommendation_feed")

HELD = 2_000  # newest recommendations in memory
HEARTBEAT_SECONDS = 3.0  # between two looks at the ends of the partitions
BACKUP_SECONDS = 5.0  # between two readings of MongoDB while Kafka is away
ANSWER_SECONDS = 3.0  # for a broker or MongoDB to answer
BATCH = 500

Source = Literal["kafka", "mongo", "none"]


@dataclass(frozen=True)
class Partition:
    """Where the reading of a partition stands; offsets as Kafka counts them."""

    number: int
    low: int
    high: int
    position: int

    @property
    def lag(self) -> int:
        """Messages that wait to be read."""
        return max(0, self.high - self.position)


@dataclass(frozen=True)
class State:
    """What the feed holds at one moment.

    Attributes
    ----------
    version : grows with every change of the recommendations.
    source : where the newest of them come from: `none` when neither service answers.
    kafka_problem, mongo_problem : why not, in one line for the log's reader; None when well.
    recommendations : the answer made last comes first.
    read, unreadable : messages since the start, those without a sense among them.
    last_read : when the last change came, wall clock, seconds since the epoch.
    """

    version: int
    source: Source
    kafka_problem: str | None
    mongo_problem: str | None
    recommendations: tuple[Recommendation, ...]
    partitions: tuple[Partition, ...]
    read: int
    unreadable: int
    last_unreadable: str | None
    last_read: float | None


@dataclass
class _Ends:
    low: int
    high: int
    position: int


@dataclass
class _Held:
    """The recommendations by sale, and the view of them that readers share."""

    size: int
    by_sale: dict[str, Recommendation] = field(default_factory=dict)
    version: int = 0
    newest_first: tuple[Recommendation, ...] = ()

    def apply(self, changes: Iterable[tuple[str, Recommendation | None]]) -> None:
        """Take over answers by sale, in their order; None takes one away, an older one is idle."""
        changed = False
        for sale_id, new in changes:
            old = self.by_sale.get(sale_id)
            if new is None:
                changed |= self.by_sale.pop(sale_id, None) is not None
            elif old is None or old.created_at < new.created_at:
                self.by_sale[sale_id] = new
                changed = True
        if changed:
            self.order()

    def clear(self) -> None:
        self.by_sale.clear()
        self.order()

    def order(self) -> None:
        ordered = sorted(self.by_sale.values(), key=lambda r: r.created_at, reverse=True)
        self.newest_first = tuple(ordered[: self.size])
        self.by_sale = {r.sale_id: r for r in self.newest_first}
        self.version += 1


class Feed:
    """Reads in a thread of its own; safe to ask from any thread.

    Parameters
    ----------
    kafka : the connection as librdkafka spells it.
    topic : whole name, prefix included.
    database : gives the database to fall back on, or raises Failure; called when needed.
    size : recommendations held at most.
    """

    def __init__(
        self,
        kafka: Mapping[str, str],
        topic: str,
        database: Callable[[], Database[dict[str, Any]]],
        size: int = HELD,
    ) -> None:
        try:
            self._consumer = Consumer(
                {
                    "group.id": f"{topic}-screen",  # asked for by the client; never joined
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "queued.max.messages.kbytes": 8 * 1024,
                    "reconnect.backoff.ms": 500,
                    "reconnect.backoff.max.ms": 3_000,
                    "log_level": "2",  # this file says when the brokers are away, once
                    **kafka,
                },
                logger=logging.getLogger("erp.kafka"),
            )
        except KafkaException as error:
            raise Failure(f"Kafka's settings are wrong: {error.args[0].str()}") from None
        self._topic, self._database, self._size = topic, database, size
        self._decoder = msgspec.json.Decoder(Recommendation)
        self._held = _Held(size)
        self._ends: dict[int, _Ends] = {}
        self._read = self._unreadable = 0
        self._last_unreadable: str | None = None
        self._last_read: float | None = None
        self._kafka_problem: str | None = "not read yet"
        self._mongo_problem: str | None = "not read yet"
        self._lock = threading.Lock()
        self._stop, self._rewind, self._ready = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._run, name="recommendation-feed", daemon=True)

    def start(self) -> "Feed":
        """Begin to read, at the newest messages that fit."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop reading and leave the brokers."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._consumer.close()

    def rewind(self) -> None:
        """Forget everything and read again from the first message that Kafka still has."""
        with self._lock:
            self._ready.clear()
            self._rewind.set()

    def wait(self, seconds: float) -> bool:
        """Wait until what was there at the start, or at the rewinding, is read; True if it is."""
        return self._ready.wait(seconds)

    def state(self) -> State:
        """What is held now."""
        with self._lock:
            return State(
                self._held.version,
                self._source(),
                self._kafka_problem,
                self._mongo_problem,
                self._held.newest_first,
                tuple(
                    Partition(number, ends.low, ends.high, ends.position)
                    for number, ends in sorted(self._ends.items())
                ),
                self._read,
                self._unreadable,
                self._last_unreadable,
                self._last_read,
            )

    def _source(self) -> Source:
        if self._kafka_problem is None:
            return "kafka"
        return "mongo" if self._mongo_problem is None else "none"

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        heartbeat = backup = 0.0
        while not self._stop.is_set():
            try:
                if self._rewind.is_set():
                    self._rewind.clear()
                    self._forget()
                    heartbeat = backup = 0.0
                if time.monotonic() >= heartbeat:
                    self._look_at_ends()
                    heartbeat = time.monotonic() + HEARTBEAT_SECONDS
                if self._ends:
                    self._take(self._consumer.consume(BATCH, 0.25))
                else:
                    self._stop.wait(0.25)
                if self._kafka_problem is None:
                    self._mongo_problem = "not needed"
                elif time.monotonic() >= backup:
                    self._read_backup()
                    backup = time.monotonic() + BACKUP_SECONDS
                with self._lock:
                    if not self._rewind.is_set() and self._caught_up():
                        self._ready.set()
            except Exception:
                log.exception("the feed failed and goes on")
                self._stop.wait(HEARTBEAT_SECONDS)

    def _forget(self) -> None:
        with self._lock:
            self._held.clear()
        if self._ends:
            for ends in self._ends.values():
                ends.position = ends.low
            self._assign()

    def _caught_up(self) -> bool:
        if self._kafka_problem is None:
            return all(ends.position >= ends.high for ends in self._ends.values())
        return self._mongo_problem is None

    def _look_at_ends(self) -> None:
        """Learn the partitions and their ends; begin with those that are new."""
        try:
            known = self._consumer.list_topics(self._topic, timeout=ANSWER_SECONDS)
            topic = known.topics[self._topic]
            if topic.error is not None:
                if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART and self._ends:
                    self._start_over()
                self._trouble(f"Kafka cannot serve the topic {self._topic}: {topic.error.str()}")
                return
            ends = {number: self._end_of(number) for number in topic.partitions}
        except KafkaException as error:
            self._trouble(f"Kafka does not answer: {error.args[0].str()}")
            return
        moved = self._merge(ends)
        if moved:
            self._assign()
        empty = all(low == high for low, high in ends.values())
        self._trouble(f"the topic {self._topic} is empty" if empty else None)

    def _end_of(self, number: int) -> tuple[int, int]:
        return self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, number), timeout=ANSWER_SECONDS
        )

    def _start_over(self) -> None:
        """The topic is gone, and what was read from it with it."""
        self._consumer.unassign()
        with self._lock:
            self._ends.clear()
            self._held.clear()

    def _merge(self, found: Mapping[int, tuple[int, int]]) -> bool:
        """Take over the ends; True when the reading has to be placed anew."""
        moved = False
        with self._lock:
            if gone := set(self._ends) - set(found):  # the topic was made again, smaller
                moved = True
                for number in gone:
                    del self._ends[number]
            for number, (low, high) in found.items():
                ends = self._ends.get(number)
                if ends is None:
                    self._ends[number] = _Ends(low, high, max(low, high - self._size))
                    moved = True
                else:
                    ends.low, ends.high = low, high
                    if not low <= ends.position <= high:  # cut, or made again
                        if ends.position > high:
                            self._held.clear()
                        ends.position = low
                        moved = True
        return moved

    def _assign(self) -> None:
        self._consumer.assign(
            [TopicPartition(self._topic, n, ends.position) for n, ends in self._ends.items()]
        )

    def _trouble(self, problem: str | None) -> None:
        if problem != self._kafka_problem:
            log.info(
                "recommendations from %s", "Kafka" if problem is None else f"MongoDB: {problem}"
            )
            self._kafka_problem = problem

    def _take(self, messages: list[Message]) -> None:
        good = [message for message in messages if message.error() is None]
        changes = [change for message in good if (change := self._decode(message))]
        places = self._consumer.position([TopicPartition(self._topic, n) for n in self._ends])
        with self._lock:
            self._read += len(good)
            if changes:
                self._last_read = time.time()
                self._held.apply(changes)
            for place in places:
                if place.offset >= 0:  # else nothing of it has been read yet
                    ends = self._ends[place.partition]
                    ends.position = place.offset
                    ends.high = max(ends.high, place.offset)

    def _decode(self, message: Message) -> tuple[str, Recommendation | None] | None:
        value = message.value()
        if value is None:
            return (message.key() or b"").decode(errors="replace"), None
        try:
            recommendation = self._decoder.decode(value)
        except (msgspec.MsgspecError, RecursionError) as error:  # the latter: nested too deeply
            self._unreadable += 1
            self._last_unreadable = f"{position(message)}: {error}"
            log.warning("not a recommendation: %s", self._last_unreadable)
            return None
        return recommendation.sale_id, recommendation

    def _read_backup(self) -> None:
        try:
            with pymongo.timeout(ANSWER_SECONDS * 2):
                fresh = self._newer_in_mongo(self._database()[contract.RECOMMENDATIONS])
        except (PyMongoError, Failure) as error:
            self._mongo_problem = f"MongoDB does not answer: {first_line(error)}"
            return
        with self._lock:
            self._mongo_problem = None
            if fresh:
                self._last_read = time.time()
                self._held.apply((r.sale_id, r) for r in fresh)

    def _newer_in_mongo(self, collection: Any) -> list[Recommendation]:
        """The newest documents, until one made before all that is held."""
        newest = self._held.newest_first
        query = {"created_at": {"$gte": newest[0].created_at}} if newest else {}
        found = collection.find(query, {"_id": 0}, sort=[("created_at", DESCENDING)])
        fresh = []
        for document in found.limit(self._size):
            try:
                fresh.append(msgspec.convert(document, Recommendation))
            except msgspec.ValidationError as error:
                self._unreadable += 1
                self._last_unreadable = f"{document.get('sale_id')}: {error}"
        return fresh

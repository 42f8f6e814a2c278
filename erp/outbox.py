"""Messages on their way to Kafka: how many may wait, and what became of each."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from erp.kafka import SILENT, Options
from erp.process import Failure

log = logging.getLogger("erp.kafka")

PRODUCER_OPTIONS: dict[str, Any] = {
    "enable.idempotence": True,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",  # as Java clients place a key
    "linger.ms": 5,
    "queue.buffering.max.messages": 10_000_000,  # send() keeps to its own limits
    "queue.buffering.max.kbytes": 2_097_151,
    "message.timeout.ms": 0,  # a broker that is away costs time, nothing else
    "delivery.report.only.error": True,  # what is neither failed nor waiting arrived
    **SILENT,
}


class Sender(ABC):
    """What may wait in a client's queue, and what became of what was handed to it.

    Attributes
    ----------
    failed : int
        Messages that were refused for good.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages  # that may wait, and their bytes
        self._max_bytes = max_bytes
        self._handed = 0
        self.failed = 0

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Messages that are neither delivered nor refused yet.

        And what the client has to say itself, such as that a broker is away, until the next poll.
        """

    @abstractmethod
    def _poll(self, seconds: float) -> None:
        """Let the client work and tell what it could not deliver."""

    @property
    def delivered(self) -> int:
        """Messages that the brokers acknowledged."""
        return self._handed - self.failed - self.waiting

    def _as_room_allows(
        self,
        messages: int,
        size: int,
        hand_over: Callable[[slice], None],
        give_up: Callable[[], bool],
    ) -> int:
        """Hand over `messages` of `size` bytes on the average, a slice as often as there is room.

        Never more than there is room for: of a batch that meets a full queue the client may refuse
        a message and take the next, which would break the order of a key. While the queue is full
        it waits, unless `give_up` says not to. Returns how many were handed over, from the first.
        """
        capacity = max(1, min(self._max_messages, self._max_bytes // (size + 1)))
        handed = 0
        last_word = time.monotonic()
        while handed < messages:
            room = capacity - self.waiting
            if room < min(messages - handed, 1 + capacity // 10):
                if give_up():
                    break
                self._poll(0.02)
                if time.monotonic() - last_word > 10:
                    log.warning("Kafka takes nothing for now, %d messages wait", self.waiting)
                    last_word = time.monotonic()
                continue
            hand_over(slice(handed, handed + room))
            handed += room
        return min(handed, messages)

    def _refused(self, topic: str | None, reason: str) -> None:
        self.failed += 1
        log.error("not delivered to %s: %s", topic, reason)


class Outbox(Sender):
    """Sends messages and keeps account of their delivery.

    Idempotent and compressed; a full queue makes the sender wait and a broker that is away makes
    it wait longer: nothing is dropped unless the broker refuses it. Not thread-safe.
    """

    def __init__(
        self,
        options: Options,
        max_messages: int = 200_000,
        max_bytes: int = 64 * 1024 * 1024,
        **tuning: Any,
    ) -> None:
        super().__init__(max_messages, max_bytes)
        self._producer = Producer({**PRODUCER_OPTIONS, **tuning, **options}, logger=log)

    @property
    def waiting(self) -> int:
        """As `Sender.waiting`."""
        return len(self._producer)

    def _poll(self, seconds: float) -> None:
        self._producer.poll(seconds)

    def send(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        give_up: Callable[[], bool] = lambda: False,
    ) -> int:
        """Hand over messages, each a dict of `key` and `value`, bytes or text (value None deletes).

        While the queue is full it waits, unless `give_up` says not to. Returns how many were
        handed over, from the first on; one that is refused at once counts as failed.
        """
        if not messages:
            return 0
        size = sum(len(message["value"] or "") for message in messages) // len(messages)
        return self._as_room_allows(
            len(messages), size, lambda part: self._hand_over(topic, messages[part]), give_up
        )

    def _hand_over(self, topic: str, messages: list[dict[str, Any]]) -> None:
        try:
            accepted = self._producer.produce_batch(topic, messages, on_delivery=self._on_delivery)
        except KafkaException as error:
            raise Failure(f"Kafka refuses this producer: {error.args[0].str()}") from None
        self._handed += len(messages)
        self._producer.poll(0)
        if accepted < len(messages):
            for refusal in filter(None, (message.pop("_error", None) for message in messages)):
                self._refused(topic, refusal.str())

    def send_one(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: dict[str, str | bytes | None],
    ) -> None:
        """Hand over one message that has headers."""
        while self.waiting >= self._max_messages:
            self._producer.poll(0.02)
        self._producer.produce(topic, value, key, headers=headers, on_delivery=self._on_delivery)
        self._handed += 1
        self._producer.poll(0)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._refused(message.topic(), error.str())

    def flush(self, timeout: float | None = None) -> int:
        """Wait until everything is delivered, at most `timeout` s; returns what still waits."""
        return self._producer.flush(-1 if timeout is None else timeout)

"""Kafka as the stages use it: connecting, topics, sending with a receipt, reading in batches."""

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from erp.process import Failure

log = logging.getLogger("erp.kafka")

Options = Mapping[str, str]

_SILENT = {"log_level": "3"}  # librdkafka: errors and worse


def wait_for_kafka(options: Options, timeout: float = 60) -> AdminClient:
    """An admin client, once the brokers answer.

    Waits up to `timeout` seconds with a word in the log; raises Failure when they stay away.
    """
    address = options["bootstrap.servers"]
    admin = AdminClient({**options, **_SILENT}, logger=log)
    deadline = time.monotonic() + timeout
    while True:
        try:
            admin.list_topics(timeout=3)
            return admin
        except KafkaException as error:
            if time.monotonic() >= deadline:
                raise Failure(
                    f"Kafka does not answer at {address} ({error.args[0].str()}): start it (make"
                    " up, or docker compose up -d) or set KAFKA_BOOTSTRAP_SERVERS"
                ) from None
            log.info("waiting for Kafka at %s", address)
            time.sleep(0.5)


def ensure_topics(
    admin: AdminClient, names: Iterable[str], partitions: int, replication: int
) -> None:
    """Create the topics that are missing; those that stand keep their settings."""
    wanted = [
        NewTopic(name, num_partitions=partitions, replication_factor=replication) for name in names
    ]
    for name, future in admin.create_topics(wanted).items():
        try:
            future.result()
            log.info("created topic %s with %d partitions", name, partitions)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise Failure(f"cannot create topic {name}: {error.args[0].str()}") from None


class Outbox:
    """Sends messages and keeps account of their delivery.

    Idempotent and compressed; a full queue makes the sender wait and a broker that is away makes
    it wait longer: nothing is dropped unless the broker refuses it. Not thread-safe.

    Attributes
    ----------
    delivered, failed : int
        Messages that the brokers acknowledged, or refused for good.
    """

    def __init__(self, options: Options, **tuning: Any) -> None:
        self._producer = Producer(
            {
                "enable.idempotence": True,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",  # as Java clients place a key
                "linger.ms": 5,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 128 * 1024,
                "message.timeout.ms": 0,  # a broker that is away costs time, nothing else
                **_SILENT,
                **tuning,
                **options,
            },
            logger=log,
        )
        self.delivered = 0
        self.failed = 0

    def send(self, topic: str, messages: list[dict[str, Any]]) -> None:
        """Hand over messages, each a dict of `key` and `value` in bytes (value None deletes)."""
        pending = messages
        while pending:
            self._producer.produce_batch(topic, pending, on_delivery=self._on_delivery)
            self._producer.poll(0)
            pending = [message for message in pending if message.pop("_error", None) is not None]
            if pending:
                self._producer.poll(0.05)

    def send_one(
        self, topic: str, key: bytes | None, value: bytes | None, headers: dict[str, bytes]
    ) -> None:
        """Hand over one message that has headers."""
        while True:
            try:
                self._producer.produce(
                    topic, value, key, headers=headers, on_delivery=self._on_delivery
                )
                return
            except BufferError:
                self._producer.poll(0.05)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.failed += 1
            log.error("not delivered to %s: %s", message.topic(), error.str())

    def flush(self, timeout: float | None = None) -> int:
        """Wait until everything is delivered, at most `timeout` s; returns what still waits."""
        return self._producer.flush(-1 if timeout is None else timeout)


def consumer(options: Options, group: str, **tuning: Any) -> Consumer:
    """A member of `group` that reads from the beginning and commits only when told to.

    Partitions move one by one (cooperative), so that a copy that joins or leaves stops no other.
    """
    return Consumer(
        {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.queue.backoff.ms": 50,
            **_SILENT,
            **tuning,
            **options,
        },
        logger=log,
    )


def position(message: Message) -> str:
    """Where a message stands, `topic[partition]@offset`, for a log line."""
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"

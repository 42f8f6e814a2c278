"""Reading a topic as a member of a group, when a message is done with long after it was read.

Wraps a consumer of erp.kafka: batches without waiting for them to fill, a commit that never passes
a message still held, partitions that come and go, and staying in the group while nothing is read.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from erp import kafka
from erp.membership import Membership
from erp.service.offsets import Offsets

log = logging.getLogger("erp.source")

NO_OFFSET = -1001  # librdkafka's OFFSET_INVALID: nothing committed yet
KAFKA_TIMEOUT, COUNT_TIMEOUT = 10, 1  # s for a question to the brokers; within the loop


class Source:
    """One topic, read by this member of `group`. Not thread-safe, but for `membership`.

    Parameters
    ----------
    options : mapping
        The connection, as librdkafka spells it.
    on_lost : callable
        Called with the partitions that went to another member: what is held of them is its now.
    on_gained : callable
        Called with the partitions that came to this member.
    instance : str, optional
        A name of this member's own, under which it may come back without moving a partition.
    """

    def __init__(
        self,
        options: kafka.Options,
        group: str,
        topic: str,
        on_lost: Callable[[set[int]], None],
        on_gained: Callable[[set[int]], None],
        instance: str | None = None,
    ) -> None:
        self._consumer = kafka.consumer(options, group, instance, on_commit=self._on_commit)
        self._topic = topic
        self._lost, self._gained = on_lost, on_gained
        self._offsets = Offsets()
        self._partitions: set[int] = set()
        self._partition_count = 0
        self._moved = False  # partitions came or others went since they were counted
        self._paused = False
        self.joined = False  # the group said which partitions are ours, if any
        self._early: list[Message] = []
        self.membership = Membership(kafka.longest_silence(instance), self._confirm)

    @property
    def partitions(self) -> set[int]:
        """The partitions that this member reads."""
        return set(self._partitions)

    @property
    def alone(self) -> bool:
        """True while this member reads every partition that the topic had at the last move."""
        return 0 < len(self._partitions) == self._partition_count

    def skip_backlog(self) -> None:
        """Let a group that never committed begin with the messages that come from now on."""
        if skipped := kafka.patiently(self._skip, "skip the past"):
            log.info("skipped %d messages of the past", skipped)

    def subscribe(self) -> None:
        """Join the group."""
        self._partition_count = len(kafka.patiently(self._all_partitions, "see the topic"))
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def take(self, limit: int, timeout: float) -> list[Message]:
        """Up to `limit` messages, as soon as there is one; each is held until released."""
        self._pause(False)
        messages = self._early
        self._early = []
        if not messages:
            first = self._poll(timeout)
            messages = [first] if first is not None else []
        if messages and len(messages) < limit:
            messages += self._consumer.consume(limit - len(messages), 0)
        return self._admit(messages)

    def stay(self, seconds: float) -> None:
        """Read nothing for up to so long, but stay a member of the group.

        Raises Failure when the client can be none any more.
        """
        self._pause(True)
        if (message := self._poll(seconds)) is None:
            return
        if (error := message.error()) is not None:
            kafka.complain(error)
        else:
            self._early.append(message)  # was on its way when the partition paused

    def holds(self, message: Message) -> bool:
        """True while this message is ours: read, not released, its partition not given away."""
        _, partition, offset = kafka.place(message)
        return self._offsets.holds(partition, offset)

    def release(self, messages: Iterable[Message]) -> None:
        """Say that messages are done with."""
        for message in messages:
            _, partition, offset = kafka.place(message)
            self._offsets.release(partition, offset)

    def commit(self, wait: bool = False) -> None:
        """Commit up to the oldest message still held of each partition."""
        self._commit(self._offsets.committable(), wait)

    def lag(self) -> dict[int, int]:
        """Messages of each partition that are neither read nor committed yet, as last heard."""
        own = [(self._topic, number) for number in self._partitions]
        return {number: behind for (_, number), behind in kafka.lag(self._consumer, own).items()}

    def close(self) -> None:
        """Commit what is done with and leave the group, so that the others take over at once."""
        self._consumer.close()

    def _poll(self, seconds: float) -> Message | None:
        message = self._consumer.poll(seconds)
        self.membership.polled()
        if self._moved:  # not where the client tells of it, which may ask nothing there
            self._moved = False
            self._count_partitions()
        return message

    def _confirm(self) -> bool:
        """Whether the group takes a commit of where we are, as it does of its members only."""
        return kafka.confirms(self._consumer, self._ends(self._offsets.positions()))

    def _admit(self, messages: list[Message]) -> list[Message]:
        admitted = []
        for message in messages:
            if (error := message.error()) is not None:
                kafka.complain(error)
                continue
            _, partition, offset = kafka.place(message)
            if partition in self._partitions:
                self._offsets.read(partition, offset, hold=True)
                admitted.append(message)
        return admitted

    def _pause(self, wanted: bool) -> None:
        if wanted != self._paused:
            self._paused = wanted
            change = self._consumer.pause if wanted else self._consumer.resume
            change(self._consumer.assignment())

    def _commit(self, offsets: dict[int, int], wait: bool) -> None:
        if not kafka.commit(self._consumer, self._ends(offsets), wait):
            self._offsets.not_committed(offsets)

    def _ends(self, offsets: dict[int, int]) -> kafka.Ends:
        return {(self._topic, partition): offset for partition, offset in offsets.items()}

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        failed = [each.partition for each in partitions if error or each.error]
        if failed:
            self._offsets.not_committed(failed)
            log.warning("commit of partitions %s failed, it is tried again", failed)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self.joined = True
        if partitions:
            # the client keeps a pause over the loss of a partition, also when reading went on since
            (consumer.pause if self._paused else consumer.resume)(partitions)
        self._moved = True
        gained = {each.partition for each in partitions}
        self._partitions |= gained
        if gained:
            log.info("partitions %s came, now %s", sorted(gained), sorted(self._partitions))
            self._gained(gained)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        leaving = {each.partition for each in partitions}
        ready = self._offsets.committable()
        self._commit({p: offset for p, offset in ready.items() if p in leaving}, wait=True)
        self._offsets.not_committed(ready.keys() - leaving)
        self._drop(leaving)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._drop({each.partition for each in partitions})
        consumer.incremental_unassign(partitions)

    def _drop(self, leaving: set[int]) -> None:
        self._partitions -= leaving
        self._offsets.forget(leaving)
        self._early = [each for each in self._early if each.partition() not in leaving]
        log.info("partitions %s left, now %s", sorted(leaving), sorted(self._partitions))
        self._lost(leaving)

    def _all_partitions(self, timeout: float = KAFKA_TIMEOUT) -> list[TopicPartition]:
        known = self._consumer.list_topics(self._topic, timeout=timeout).topics[self._topic]
        return [TopicPartition(self._topic, number) for number in known.partitions]

    def _count_partitions(self) -> None:
        """See whether the topic has more than before; where Kafka does not say, as many."""
        with suppress(KafkaException):
            self._partition_count = len(self._all_partitions(COUNT_TIMEOUT))

    def _skip(self) -> int:
        """Commit the end of each partition, if none has an offset; how many messages that skips."""
        committed = self._consumer.committed(self._all_partitions(), timeout=KAFKA_TIMEOUT)
        if any(each.offset != NO_OFFSET for each in committed):
            return 0  # a partition without one was added since, or had no sale yet
        ends = [
            TopicPartition(self._topic, each.partition, self._end(each.partition))
            for each in committed
        ]
        self._consumer.commit(offsets=ends, asynchronous=False)
        return sum(end.offset for end in ends)

    def _end(self, partition: int) -> int:
        place = TopicPartition(self._topic, partition)
        return self._consumer.get_watermark_offsets(place, timeout=KAFKA_TIMEOUT)[1]

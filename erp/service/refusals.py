"""Sales that get no answer: refused ones go to the dead letters, deleted ones lose theirs.

Their offsets are let go of once Kafka has confirmed what was sent for them.
"""

import logging

from confluent_kafka import Message

from erp import dead_letters, kafka
from erp.metrics import Health
from erp.process import Stop
from erp.repeats import Seldom
from erp.service import service_metrics
from erp.service.baskets import Basket
from erp.service.publisher import flush
from erp.service.source import Source

log = logging.getLogger("erp.refusals")


class Refusals:
    """Messages put aside; `finish` lets go of them.

    Parameters
    ----------
    outbox : LetterOutbox
        Carries dead letters and deletions.
    dead_letter_topic, answer_topic : str
        Where they go.
    stage : str
        The stage's name in the dead letters.
    """

    def __init__(
        self,
        outbox: dead_letters.LetterOutbox,
        dead_letter_topic: str,
        answer_topic: str,
        stage: str,
        source: Source,
        stop: Stop,
        health: Health,
    ) -> None:
        self._outbox, self._stage = outbox, stage
        self._dead_letter_topic, self._answer_topic = dead_letter_topic, answer_topic
        self._source, self._stop, self._health = source, stop, health
        self._put_aside: list[Message] = []
        self._told = Seldom()
        self.count = 0  # of refused messages

    def refuse(self, message: Message, kind: str, reason: str) -> None:
        """Put a message aside that cannot be answered; the ones behind it go on."""
        service_metrics.REFUSED.labels(kind).inc()
        self.count += 1
        if self._told.due(kind):  # the service's line says how many there were
            log.warning("%s refused, %s: %s", kafka.position(message), kind, reason)
        dead_letters.send(
            self._outbox, self._dead_letter_topic, message, kind, reason, stage=self._stage
        )
        self._put_aside.append(message)

    def refuse_sale(self, basket: Basket, kind: str, reason: str) -> None:
        """Put aside the message of a sale; an answer that stands already stays."""
        for message in basket.sources[-1:]:
            self.refuse(message, kind, reason)

    def delete_answer(self, message: Message) -> None:
        """Delete the latest message of a sale that was deleted."""
        self._outbox.send(self._answer_topic, [{"key": message.key(), "value": None}])
        self._put_aside.append(message)

    def finish(self) -> None:
        """Let go of what was refused or deleted, once Kafka has it.

        Raises AwayError when the process is to end meanwhile.
        """
        if self._put_aside:
            flush(self._outbox, self._stop, self._health, self._live_on)
            self._source.release(self._put_aside)
            self._put_aside.clear()

    def _live_on(self) -> None:
        """The main loop waits here: it is alive, and a member of the group."""
        self._health.beat()
        self._source.stay(0)

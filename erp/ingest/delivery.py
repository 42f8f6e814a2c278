"""What is on its way to Kafka, and the word that it is there."""

import logging
import time
from collections.abc import Callable, Mapping

import msgspec
import polars as pl
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from erp import kafka
from erp.contract import Table
from erp.ingest.checkpoint import Checkpoint
from erp.ingest.column_outbox import Columns
from erp.process import Failure, Stop

log = logging.getLogger("erp.producer")

CONFIRM_EVERY = 2.0  # s between two checkpoints
NOTE_EVERY = 0.02  # s between two states to go back to, should Kafka go away
PATIENCE = 10.0  # s for Kafka to take the rest after a signal
LAST_WORD_EVERY = 10.0  # s between two warnings that Kafka is away
# Answers that are no outage, unless they pass: a topic that was just made is unknown for a moment.
_REFUSALS = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
}


class Delivery:
    """Hands messages over and learns when Kafka has all of them.

    Parameters
    ----------
    outbox : Columns
        Sends them.
    admin : AdminClient
        Asks the topics how many messages they hold.
    topics : mapping
        The topic of each table; nobody else writes there.
    stop : Stop
        After a signal Kafka has PATIENCE seconds to take the rest.
    state : Checkpoint
        How far the job got with what was handed over.
    save : callable
        Writes such a state down, once all that was handed over for it is confirmed.
    """

    def __init__(
        self,
        outbox: Columns,
        admin: AdminClient,
        topics: Mapping[Table, str],
        stop: Stop,
        state: Checkpoint,
        save: Callable[[Checkpoint], None],
    ) -> None:
        self._outbox, self._admin, self._topics = outbox, admin, topics
        self._stop, self._state, self._save = stop, state, save
        self._handed = 0
        self._notes: list[tuple[int, bytes]] = []  # messages handed over and state, since saved
        self._told_to_stop_at: float | None = None
        self._stored_before = self._stored()
        self._confirmed_at = self._noted_at = time.monotonic()

    def send(self, table: Table, keys: pl.Series, values: pl.Series) -> int:
        """Hand messages over; how many were taken, from the first, before patience ended."""
        topic = self._topics[table]
        taken = self._outbox.send_columns(topic, keys, values, self._out_of_patience)
        self._handed += taken
        return taken

    def confirm_now_and_then(self) -> None:
        """Confirm, if the last time is some seconds ago; the state is of all that was sent."""
        now = time.monotonic()
        if now - self._confirmed_at > CONFIRM_EVERY:
            self.confirm()
        elif now - self._noted_at > NOTE_EVERY:
            self._notes.append((self._handed, msgspec.msgpack.encode(self._state)))
            self._noted_at = now

    def confirm(self) -> bool:
        """Wait until Kafka has everything, then write down how far that is; False if it has not."""
        return not self._write_down(self._flush())

    def settle(self) -> int:
        """Wait for the last confirmations; the number of messages that are not in Kafka."""
        waiting = self._flush()
        undelivered = self._write_down(waiting)
        if waiting and not self._outbox.failed:
            self._save_what_is_confirmed()
        if undelivered:
            log.error("Kafka does not have %d messages: --resume sends them again", undelivered)
        elif self._stop.requested:
            log.info("stopped; everything sent is confirmed, --resume goes on from here")
        return undelivered

    def _flush(self) -> int:
        """Wait until nothing is under way any more; what is, when there is no time left."""
        last_word = time.monotonic()
        while (waiting := self._outbox.flush(0.5)) and not self._out_of_patience():
            if time.monotonic() - last_word > LAST_WORD_EVERY:
                log.warning("Kafka takes nothing for now, %d messages wait", waiting)
                last_word = time.monotonic()
        return waiting

    def _write_down(self, waiting: int) -> int:
        """Write down how far all was sent, if Kafka has it; else how many messages it has not."""
        undelivered = waiting + self._outbox.failed or self._missing()
        if not undelivered:
            self._save(self._state)
            self._notes.clear()
            self._confirmed_at = time.monotonic()
        return undelivered

    def _save_what_is_confirmed(self) -> None:
        """Give up what is under way and write down the last state that has nothing of it."""
        confirmed = self._outbox.abandon()
        for handed, state in reversed(self._notes):
            if handed <= confirmed:
                self._save(msgspec.msgpack.decode(state, type=Checkpoint))
                return

    def _out_of_patience(self) -> bool:
        """True when a signal came and Kafka had its time to take the rest."""
        if not self._stop.requested:
            return False
        self._told_to_stop_at = self._told_to_stop_at or time.monotonic()
        return time.monotonic() - self._told_to_stop_at > PATIENCE

    def _missing(self) -> int:
        """Messages that Kafka confirmed and that its topics do not count.

        The topics' own count is the last word: a topic that is deleted and made anew while messages
        flow confirms some and has none of them.
        """
        return max(0, self._outbox.delivered - (self._stored() - self._stored_before))

    def _stored(self) -> int:
        """Messages in the topics, once Kafka tells; Failure when it refuses to or patience ends."""
        began = last_word = time.monotonic()
        while True:
            try:
                return kafka.messages_in(self._admin, self._topics.values())
            except KafkaException as error:
                why, now = error.args[0], time.monotonic()
            if why.code() in _REFUSALS and now - began > PATIENCE:
                raise Failure(
                    f"Kafka does not count the topics {', '.join(self._topics.values())}"
                    f" ({why.str()}): see that they are there and may be described; if one was"
                    " deleted begin anew, without --resume"
                )
            if self._out_of_patience():
                raise Failure(
                    f"Kafka went away before its topics were counted ({why.str()}): --resume sends"
                    " again what is not certain"
                )
            if now - last_word > LAST_WORD_EVERY:
                log.warning("Kafka does not count its topics for now: %s", why.str())
                last_word = now
            time.sleep(0.2)

"""Columns of messages into Kafka, without a Python object for each message.

confluent-kafka's produce_batch() wants a dict for each message and keeps every other thread of
Python waiting while it reads them; that is most of what sending a line costs. The library below it,
librdkafka, takes an array that says where each key and value lies, so that a column goes out as it
is. It is called here through ctypes, by its public C API, from the very library that
confluent-kafka has loaded; where that hides its functions, as builds for other systems may, the
dicts have to do. The API: https://docs.confluent.io/platform/current/clients/librdkafka/html/rdkafka_8h.html
"""

import ctypes
import logging
from collections.abc import Callable
from typing import Any

import confluent_kafka
import confluent_kafka.cimpl
import numpy as np
import polars as pl

from erp.kafka import Options
from erp.outbox import PRODUCER_OPTIONS, Outbox, Sender
from erp.process import Failure

log = logging.getLogger("erp.kafka")

_PRODUCER = 0  # RD_KAFKA_PRODUCER
_ANY_PARTITION = -1  # RD_KAFKA_PARTITION_UA
_COPY = 2  # RD_KAFKA_MSG_F_COPY: keys and values may go once they are handed over
_FATAL = -150  # RD_KAFKA_RESP_ERR__FATAL
_EVERYWHERE = 1 | 2  # RD_KAFKA_PURGE_F_QUEUE, RD_KAFKA_PURGE_F_INFLIGHT
_PURGE_SECONDS = 5.0  # for the client to tell what it gave up
_PURGED = {-152, -151}  # RD_KAFKA_RESP_ERR__PURGE_QUEUE, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT
_ERROR_LENGTH = 512


class _Message(ctypes.Structure):
    """rd_kafka_message_t."""

    _fields_ = (
        ("err", ctypes.c_int),
        ("topic", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("payload", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("key", ctypes.c_void_p),
        ("key_len", ctypes.c_size_t),
        ("offset", ctypes.c_int64),
        ("private", ctypes.c_void_p),
    )


_MESSAGE = np.dtype(_Message)
_ON_DELIVERY = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(_Message), ctypes.c_void_p
)  # client, message, opaque
_ON_ERROR = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p
)  # client, code, reason, opaque


def _library() -> ctypes.CDLL:
    """librdkafka's functions, with the types of what they take and give.

    Raises OSError or AttributeError where they cannot be reached.
    """
    pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    size = ctypes.c_size_t
    library = ctypes.CDLL(confluent_kafka.cimpl.__file__)  # and what it is linked with
    if library.rd_kafka_version() != confluent_kafka.libversion()[1]:
        raise OSError("another librdkafka is in the way")
    for name, gives, *takes in (
        ("rd_kafka_conf_new", pointer),
        ("rd_kafka_conf_set", number, pointer, text, text, text, size),
        ("rd_kafka_conf_set_dr_msg_cb", None, pointer, _ON_DELIVERY),
        ("rd_kafka_conf_set_error_cb", None, pointer, _ON_ERROR),
        ("rd_kafka_conf_set_log_cb", None, pointer, pointer),
        ("rd_kafka_new", pointer, number, pointer, text, size),
        ("rd_kafka_topic_new", pointer, pointer, text, pointer),
        ("rd_kafka_topic_name", text, pointer),
        ("rd_kafka_produce_batch", number, pointer, ctypes.c_int32, number, pointer, number),
        ("rd_kafka_poll", number, pointer, number),
        ("rd_kafka_flush", number, pointer, number),
        ("rd_kafka_outq_len", number, pointer),
        ("rd_kafka_purge", number, pointer, number),
        ("rd_kafka_err2str", text, number),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = gives, takes
    return library


def column_outbox(options: Options, **tuning: Any) -> "Columns":
    """The fastest sender of columns that this build of confluent-kafka allows."""
    try:
        library = _library()
    except (OSError, AttributeError) as error:
        log.info("librdkafka cannot be called by itself (%s): messages go one by one", error)
        return RowOutbox(options, **tuning)
    return ColumnOutbox(library, options, **tuning)


class RowOutbox(Outbox):
    """Sends columns of messages as the dicts that confluent-kafka asks for."""

    def send_columns(
        self,
        topic: str,
        keys: pl.Series,
        values: pl.Series,
        give_up: Callable[[], bool] = lambda: False,
    ) -> int:
        """As `ColumnOutbox.send_columns`."""
        messages = pl.DataFrame({"key": keys, "value": values})
        return self.send(topic, messages.to_dicts(), give_up)

    def abandon(self) -> int:
        """As `ColumnOutbox.abandon`; here nobody knows which messages wait, so that it is 0."""
        return 0


class ColumnOutbox(Sender):
    """Sends columns of messages and keeps account of their delivery, as `Outbox` does.

    Idempotent and compressed; a full queue makes the sender wait and a broker that is away makes
    it wait longer: nothing is dropped unless the broker refuses it. Not thread-safe; lives as long
    as its process.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        options: Options,
        max_messages: int = 50_000,  # more would only cost memory and the caches
        max_bytes: int = 16 * 1024 * 1024,
        **tuning: Any,
    ) -> None:
        super().__init__(max_messages, max_bytes)
        self._library = library
        self._callbacks = (_ON_DELIVERY(self._on_delivery), _ON_ERROR(self._on_error))
        self._client = self._connected({**PRODUCER_OPTIONS, **tuning, **options})
        self._topics: dict[str, int] = {}
        self._first_undelivered: int | None = None

    def _connected(self, options: dict[str, Any]) -> int:
        library, trouble = self._library, ctypes.create_string_buffer(_ERROR_LENGTH)
        configuration = library.rd_kafka_conf_new()
        for name, value in options.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if library.rd_kafka_conf_set(
                configuration, name.encode(), text.encode(), trouble, _ERROR_LENGTH
            ):
                raise Failure(f"Kafka: {trouble.value.decode()}")
        on_delivery, on_error = self._callbacks
        library.rd_kafka_conf_set_dr_msg_cb(configuration, on_delivery)
        library.rd_kafka_conf_set_error_cb(configuration, on_error)
        library.rd_kafka_conf_set_log_cb(configuration, None)  # errors come by the callback
        client = library.rd_kafka_new(_PRODUCER, configuration, trouble, _ERROR_LENGTH)
        if not client:
            raise Failure(f"Kafka: {trouble.value.decode()}")
        return client

    @property
    def waiting(self) -> int:
        """As `Sender.waiting`."""
        return self._library.rd_kafka_outq_len(self._client)

    def _poll(self, seconds: float) -> None:
        self._library.rd_kafka_poll(self._client, round(seconds * 1000))

    def send_columns(
        self,
        topic: str,
        keys: pl.Series,
        values: pl.Series,
        give_up: Callable[[], bool] = lambda: False,
    ) -> int:
        """Hand over messages, their keys and values as two columns of text without nulls.

        While the queue is full it waits, unless `give_up` says not to. Returns how many were
        handed over, from the first on; one that is refused at once counts as failed.
        """
        if keys.is_empty():
            return 0
        messages = np.zeros(len(keys), _MESSAGE)
        messages["partition"] = _ANY_PARTITION
        messages["key"], messages["key_len"], kept_keys = _places(keys)
        messages["payload"], messages["len"], kept_values = _places(values)
        size = int(messages["len"].sum()) // len(messages)
        handed = self._as_room_allows(
            len(messages), size, lambda part: self._hand_over(topic, messages[part]), give_up
        )
        del kept_keys, kept_values  # which the messages pointed into until here
        return handed

    def _hand_over(self, topic: str, messages: np.ndarray) -> None:
        library = self._library
        messages["private"] = np.arange(self._handed, self._handed + len(messages))
        if topic not in self._topics:
            self._topics[topic] = library.rd_kafka_topic_new(self._client, topic.encode(), None)
        accepted = library.rd_kafka_produce_batch(
            self._topics[topic], _ANY_PARTITION, _COPY, messages.ctypes.data, len(messages)
        )
        self._handed += len(messages)
        self._poll(0)
        if accepted < len(messages):
            for code in messages["err"][messages["err"] != 0].tolist():
                if code == _FATAL:
                    raise Failure(f"Kafka refuses this producer: {self._reason(code)}")
                self._refused(topic, self._reason(code))

    def flush(self, timeout: float) -> int:
        """Wait until everything is delivered, at most `timeout` s; returns what still waits."""
        in_time = not self._library.rd_kafka_flush(self._client, round(timeout * 1000))
        return 0 if in_time else self.waiting

    def abandon(self) -> int:
        """Give up what waits; how many messages, from the first handed over, are all delivered.

        Some of those behind them may be too. What is given up counts as failed.
        """
        self._library.rd_kafka_purge(self._client, _EVERYWHERE)
        if self.flush(_PURGE_SECONDS):
            return 0
        return self._handed if self._first_undelivered is None else self._first_undelivered

    def _on_delivery(self, _client: int, message: Any, _opaque: int) -> None:
        refused = message.contents
        if refused.err:
            number = refused.private or 0  # which is None for the first
            first = self._first_undelivered
            self._first_undelivered = number if first is None else min(first, number)
        if refused.err in _PURGED:
            self.failed += 1
        elif refused.err:
            topic = self._library.rd_kafka_topic_name(refused.topic).decode()
            self._refused(topic, self._reason(refused.err))

    def _on_error(self, _client: int, _code: int, reason: bytes, _opaque: int) -> None:
        log.warning("Kafka: %s", reason.decode(errors="replace"))

    def _reason(self, code: int) -> str:
        return self._library.rd_kafka_err2str(code).decode()


Columns = ColumnOutbox | RowOutbox


def _places(texts: pl.Series) -> tuple[np.ndarray, np.ndarray, Any]:
    """Where each text lies, how many bytes it has, and what keeps that memory alive."""
    array = texts.to_arrow()  # large_string: offsets of 64 bits into one buffer
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64, len(array) + 1, 8 * array.offset)
    return data.address + ends[:-1].astype(np.uint64), np.diff(ends).astype(np.uint64), array

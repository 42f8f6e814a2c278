"""Whether Kafka and MongoDB answer, asked every second, for `/readyz` and the log.

A stage itself notices an outage only when it has something to read, write or send.
"""

import logging
from collections.abc import Callable

import pymongo
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from erp import kafka
from erp.background import Background
from erp.metrics import Health
from erp.repeats import OnceInAWhile

log = logging.getLogger("erp.watch")
log.addFilter(OnceInAWhile())

EVERY = 1.0  # s between two questions
PATIENCE = 3.0  # s for an answer


def watch(options: kafka.Options, database: Database, health: Health) -> None:
    """Report "kafka" and "mongo" to `health` from now on, from threads of their own."""
    admin = AdminClient({**options, "log_level": "0"})

    def ask_kafka() -> None:
        _ask(lambda: admin.list_topics(timeout=PATIENCE), KafkaException, health, "kafka")

    def ask_mongo() -> None:
        with pymongo.timeout(PATIENCE):
            _ask(lambda: database.command("ping"), PyMongoError, health, "mongo")

    for question in (ask_kafka, ask_mongo):  # each its thread: one that is away delays only itself
        Background([(EVERY, question)]).start()


def _ask(
    question: Callable[[], object], problem: type[Exception], health: Health, part: str
) -> None:
    try:
        question()
    except problem:
        health.report(part, "does not answer")
        log.warning("%s does not answer", part)
    else:
        health.report(part)

"""The sink: every message of the ERP's topics as a document of MongoDB.

Reads   the topics erp.products, erp.customers, erp.sales and erp.sales_items.
Writes  the collections products, customers, sales and sales_items, a document for each natural
        key; deletions, a note of each document that a tombstone deleted; and the topic
        erp.dead_letter, each message that can't be stored with where it stood and why.

Who runs it, and when: one process or several, always on. Copies share the partitions; when one
dies the others take over. Ctrl-C or SIGTERM finishes and commits the batch in hand.

    python erp_kafka_to_mongo.py
    python erp_kafka_to_mongo.py --metrics-port 9101     # /metrics, /healthz, /readyz
    python erp_kafka_to_mongo.py --idle-timeout 10       # end when nothing has come for 10 s
    python erp_kafka_to_mongo.py --show-dead-letters     # what could not be stored, by reason
    python erp_kafka_to_mongo.py --replay-dead-letters   # try those again, after a fix

What it promises: an offset is committed after its message is in MongoDB, or among the dead
letters. To deliver a message again changes nothing, and an older one never overwrites a newer.
While MongoDB or Kafka is away it waits and says so; nothing is skipped for that.
"""

import logging
import time
from collections import Counter as Tally

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from prometheus_client import Counter, Gauge, Histogram
from pymongo.database import Database
from pymongo.errors import PyMongoError

from config import Settings
from erp import contract, dead_letters, kafka, mongo
from erp.dead_letters import Shelf
from erp.membership import Membership
from erp.memory import set_aside
from erp.metrics import Health, serve
from erp.process import Failure, Stop, add_endless_flags, argument_parser, run, start_logging
from erp.repeats import Seldom
from erp.sink.deliveries import BadMessageError, Reader, origin_of
from erp.sink.pipeline import Batch, Partition, Pipeline
from erp.sink.replay import replay, show
from erp.sink.store import Outcome, Store
from erp.watch import watch

log = logging.getLogger("erp.sink")

STAGE = "sink"
IDLE_TURN = 0.1  # s, the longest wait for a message
PATIENCE = 1.0  # s that reading waits for the writer, before the partitions are paused
SETTLE_SECONDS = 6  # for what is being written, when partitions move or the sink ends
GRACE_SECONDS = 9  # after a signal, of the 10 s that a supervisor grants
STATUS_EVERY = 10  # s
# Every copy gets its part of each topic. The cooperative assignor counts partitions whatever their
# topic: of two copies one would have all of sales_items, which is most of the work.
SHARING = {"partition.assignment.strategy": "roundrobin"}

MESSAGES = Counter("erp_sink_messages", "Messages read", ["topic"])
RESULTS = Counter("erp_sink_results", "What became of the messages", ["result"])
BATCHES = Counter("erp_sink_batches", "Batches written")
BATCH_SECONDS = Histogram(
    "erp_sink_batch_seconds",
    "Writing one batch, outages included",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
DEAD_LETTERS = Counter("erp_sink_dead_letters", "Messages that can't be stored", ["reason"])
LAG = Gauge("erp_sink_lag_messages", "Messages in Kafka that are not read", ["topic", "partition"])
UP = Gauge("erp_sink_up", "1 while MongoDB answers and takes what is written, else 0")


class Sink:
    """The loop: read a batch, hand it to the writer, commit what is written."""

    def __init__(self, settings: Settings, stop: Stop, store: Store, health: Health) -> None:
        self.stop, self.store, self.health = stop, store, health
        self.batch_size, self.tolerance = settings.sink_batch_size, settings.sink_on_bad_message
        self.reader = Reader(settings.topic_prefix)
        self.consumer = kafka.consumer(
            settings.kafka,
            f"{settings.consumer_group_prefix}{STAGE}",
            settings.consumer_instance,
            on_commit=self.on_commit,
            **SHARING,
        )
        self.outbox = dead_letters.outbox(settings.kafka)
        self.dead_letter_topic = settings.topic_prefix + contract.DEAD_LETTER
        self.pipeline = Pipeline(self.write)
        silence = kafka.longest_silence(settings.consumer_instance)
        self.membership, self.silence = Membership(silence, self.confirm), silence
        self.owned: set[Partition] = set()
        self.done: dict[Partition, int] = {}  # of those, where what is stored or put aside ends
        self.committed: dict[Partition, int] = {}  # as far as Kafka said so
        self.told = Seldom()  # of dead letters, which can be as many as messages
        self.first: Message | None = None  # of a batch that is being read
        self.joined = self.paused = False
        self.totals: Tally[str] = Tally()
        self.reported = (time.monotonic(), 0)  # when, and how many were read by then

    def run(self) -> None:
        """Until a signal; or until enough was read, and what was read is stored."""
        self.consumer.subscribe(
            self.reader.topics,
            on_assign=self.on_assign,
            on_revoke=self.on_revoke,
            on_lost=self.on_lost,
        )
        try:
            while not self.stop.requested and not (self.stop.due and not self.pipeline):
                self.turn()
            self.settle()
        except PyMongoError as error:
            if not mongo.is_outage(error):
                raise Failure(f"MongoDB: {mongo.first_line(error)}") from None
            log.warning("MongoDB is away: what is in hand is read again at the next start")
        finally:
            self.pipeline.abandon()  # what follows a failure is not committed while closing
            self.report()
            self.consumer.close()

    def turn(self) -> None:
        """Once around: what is written is committed, what has come is handed on."""
        self.health.beat()
        if not self.joined or self.pipeline:
            self.stop.rest()  # idle is who could read and has nothing in hand
        while done := self.pipeline.finished():
            self.finish(*done)
        enough = self.stop.due
        if (enough or self.pipeline.full) and (done := self.pipeline.finished(PATIENCE)):
            self.finish(*done)
        self.pause(self.pipeline.full)
        if enough:
            self.consumer.poll(0)  # stays in the group; what it gives is the next start's
            self.membership.polled()
        elif messages := self.read():
            self.stop.count(len(messages))
            self.pipeline.submit(self.sort(messages))
        if time.monotonic() - self.reported[0] >= STATUS_EVERY:
            self.report()

    def read(self) -> list[Message]:
        """What has come, as soon as there is something, up to a batch; nothing while paused."""
        limit = self.batch_size
        if self.stop.remaining is not None:
            limit = min(limit, self.stop.remaining)
        self.first = self.consumer.poll(PATIENCE if self.paused else IDLE_TURN)
        self.membership.polled()
        found = []
        if self.first is not None and limit > 1:
            found = self.consumer.consume(limit - 1, 0)
        if self.first is not None:  # its partition did not go meanwhile
            found.insert(0, self.first)
        messages = []
        for message in found:
            if (error := message.error()) is not None:
                kafka.complain(error)
            else:
                messages.append(message)
        for topic, number in Tally(message.topic() for message in messages).items():
            MESSAGES.labels(topic).inc(number)
        return messages

    def sort(self, messages: list[Message]) -> Batch:
        """Tell the messages that can be written from those that never can."""
        batch = Batch()
        for message in messages:
            origin = origin_of(message)
            batch.ends[origin.topic, origin.partition] = origin.offset + 1
            try:
                write = self.reader.read(message.key(), message.value(), origin)
            except BadMessageError as bad:
                batch.bad.append((message, bad.error_class, str(bad)))
            else:
                batch.writes.append(write)
                batch.messages.append(message)
        return batch

    def write(self, batch: Batch) -> Outcome:
        """1 store a batch, 2 put aside what can't be, however long a server is away.

        Nothing of one that became another copy's meanwhile; what that one deleted since is not
        brought back. Runs in the pipeline's thread.
        """

        def apply() -> Outcome:
            self.membership.wait(lambda: batch.abandoned)
            outcome = Outcome()
            if not batch.abandoned:
                batch.begun_at = batch.begun_at or time.monotonic()
                outcome = self.store.apply(batch.writes)
            silence = time.monotonic() - batch.begun_at if batch.begun_at else 0
            if silence and (batch.abandoned or silence >= self.silence):
                self.store.undo_deleted(batch.writes)
            self.health.report("writes")
            return outcome

        with BATCH_SECONDS.time():
            outcome = mongo.outlast(apply, self.wait, "writing the batch again")
        bad = list(batch.bad)
        if outcome.refusals:
            messages = dict(zip((w.origin for w in batch.writes), batch.messages, strict=True))
            bad += [(messages[r.write.origin], r.error_class, r.reason) for r in outcome.refusals]
        if not batch.abandoned:
            self.put_aside(bad)
        return outcome

    def wait(self, seconds: float) -> bool:
        """Let the database rest; True to give up, since a signal came."""
        self.health.report("writes", "not taken")
        return self.stop.wait(seconds)

    def finish(self, batch: Batch, outcome: Outcome) -> None:
        """3 commit what is stored or put aside. Kafka takes it while the next batch is read."""
        ours = {place: end for place, end in batch.ends.items() if place in self.owned}
        self.done |= ours
        kafka.commit(self.consumer, ours, wait=False)
        self.count(batch, outcome)

    def put_aside(self, bad: list[tuple[Message, str, str]]) -> None:
        """Send what can't be stored to the dead letters, or as SINK_ON_BAD_MESSAGE says."""
        for message, error_class, reason in bad:
            DEAD_LETTERS.labels(error_class).inc()
            where = kafka.position(message)
            if self.tolerance == "stop":
                raise Failure(f"{where} can't be stored, {error_class}: {reason}")
            if self.tolerance == "log" or self.told.due(error_class):
                log.warning("%s can't be stored, %s: %s", where, error_class, reason)
            if self.tolerance == "dead-letter":
                topic = self.dead_letter_topic
                dead_letters.send(self.outbox, topic, message, error_class, reason, stage=STAGE)
        if bad:
            dead_letters.deliver(self.outbox, self.stop.wait)

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Note what Kafka took; of what it did not, a later commit stands for this one."""
        if problem := error or next((each.error for each in partitions if each.error), None):
            log.warning("not committed for now: %s", problem.str())
        else:
            self.committed |= {(each.topic, each.partition): each.offset for each in partitions}

    def confirm(self) -> bool:
        """Whether the group takes a commit of where we are, as it does of its members only."""
        ends = self.done | self.pipeline.places()
        if self.first is not None and self.first.error() is None:
            topic, partition, offset = kafka.place(self.first)
            ends.setdefault((topic, partition), offset)
        return kafka.confirms(self.consumer, ends)

    def settle(self) -> None:
        """Finish what is being written, for a while; the rest will be read again."""
        until = time.monotonic() + SETTLE_SECONDS
        while self.pipeline and (left := until - time.monotonic()) > 0:
            if done := self.pipeline.finished(left):
                self.finish(*done)
        ends = {p: end for p, end in self.done.items() if self.committed.get(p) != end}
        # not of others: in a topic made anew since it would be a place beyond what was read of it
        kafka.commit(self.consumer, ends, wait=True)
        if abandoned := self.pipeline.abandon():
            log.warning("%d messages are not written in time, to be read again", abandoned)

    def pause(self, wanted: bool) -> None:
        """Stop reading, but stay in the group, while the writer is behind."""
        if wanted == self.paused:
            return
        self.paused = wanted
        change = self.consumer.pause if wanted else self.consumer.resume
        change(self.consumer.assignment())
        log.info("reading %s", "paused: a server is slow or away" if wanted else "again")

    def on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Read these partitions from now on."""
        consumer.assign(partitions)
        # the client keeps a pause over the loss of a partition, also when reading went on since
        (consumer.pause if self.paused else consumer.resume)(partitions)
        self.owned = {(each.topic, each.partition) for each in partitions}
        self.joined = True
        self.health.report("partitions")
        log.info("reading %d partitions", len(partitions))

    def on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Commit what is written before the partitions go, some of them to come back at once."""
        self.settle()
        self.on_lost(consumer, partitions)

    def on_lost(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        """The partitions are another member's already, which reads what was not committed."""
        self.owned, self.done, self.committed = set(), {}, {}
        self.first = None
        self.pipeline.abandon()
        LAG.clear()  # it is another member's to tell
        consumer.unassign()

    def count(self, batch: Batch, outcome: Outcome) -> None:
        """Add a finished batch to the totals."""
        BATCHES.inc()
        results = {
            "stored": outcome.stored,
            "deleted": outcome.deleted,
            "superseded": outcome.superseded,
            "bad": len(batch.bad) + len(outcome.refusals),
        }
        for result, number in results.items():
            RESULTS.labels(result).inc(number)
        self.totals.update(results, read=len(batch))

    def report(self) -> None:
        """One line of how it goes."""
        now, read = time.monotonic(), self.totals["read"]
        rate = (read - self.reported[1]) / (now - self.reported[0])
        self.reported = (now, read)
        lag = self.lag()
        log.info(
            "%d messages read, %.0f/s; %d stored, %d superseded, %d deleted, %d bad; lag %s",
            read,
            rate,
            *(self.totals[name] for name in ("stored", "superseded", "deleted", "bad")),
            sum(lag.values()),
        )

    def lag(self) -> dict[Partition, int]:
        """Messages of each partition that are not read yet, as last heard from the brokers."""
        lag = kafka.lag(self.consumer, self.owned)
        for (topic, partition), messages in lag.items():
            LAG.labels(topic, partition).set(messages)
        return lag


def open_shelf(settings: Settings) -> Shelf:
    """The sink's dead letters."""
    return Shelf(
        settings.kafka,
        f"{settings.consumer_group_prefix}dead-letters-{STAGE}",
        settings.topic_prefix + contract.DEAD_LETTER,
        STAGE,
    )


def main() -> None:
    """Store what comes until told to stop, or look after what could not be stored."""
    parser = argument_parser(__doc__)
    add_endless_flags(parser)
    letters = parser.add_mutually_exclusive_group()
    letters.add_argument(
        "--show-dead-letters", action="store_true", help="list what could not be stored, and end"
    )
    letters.add_argument(
        "--replay-dead-letters", action="store_true", help="try to store it again, and end"
    )
    args = parser.parse_args()
    settings = Settings.load()
    start_logging("erp_kafka_to_mongo", settings.log_level, settings.describe())
    endless = not (args.show_dead_letters or args.replay_dead_letters)
    stop = Stop(args.max_messages, args.idle_timeout, GRACE_SECONDS if endless else None)
    health = Health(["kafka", "mongo", "partitions", "writes"])
    if args.metrics_port is not None:
        UP.set_function(lambda: health.works("mongo") and health.works("writes"))
        serve(args.metrics_port, health)
    with stop.starting():
        connect_kafka(settings)
    if args.show_dead_letters:
        show(open_shelf(settings))
        return
    with stop.starting():
        database = connect_mongo(settings)
        store = Store(database)
    if args.replay_dead_letters:
        reader, outbox = Reader(settings.topic_prefix), dead_letters.outbox(settings.kafka)
        replay(open_shelf(settings), reader, store, outbox, stop)
        return
    health.report("writes")  # such as those of the indexes
    watch(settings.kafka, database, health)
    set_aside()
    Sink(settings, stop, store, health).run()


def connect_kafka(settings: Settings) -> None:
    """Wait for the brokers and create the topics that are missing."""
    names = [settings.topic_prefix + name for name in contract.TOPICS]
    kafka.ensure_topics(
        settings.kafka,
        names,
        settings.topic_partitions,
        settings.topic_replication_factor,
        settings.startup_timeout_seconds,
    )


def connect_mongo(settings: Settings) -> Database[mongo.Document]:
    """Wait for the database and create the indexes that are missing."""
    uri, patience = settings.mongo_uri.get_secret_value(), settings.startup_timeout_seconds
    database = mongo.connect(uri, settings.mongo_database, patience)
    mongo.ensure_indexes(database, [table.name for table in contract.TABLES], patience)
    return database


if __name__ == "__main__":
    run(main)

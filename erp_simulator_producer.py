"""The ERP's exports into Kafka: every row checked, keyed and confirmed.

Reads   CSV_DIR (or --csv-dir): products.csv, customers.csv, sales.csv, sales_items.csv, each alone
        or in several files (sales-2024-01.csv, sales-2024-02.csv.gz ...). UTF-8, or UTF-16 with
        its mark; separated by commas, semicolons or tabs; decimal points or commas.
Writes  the topics erp.products, erp.customers, erp.sales and erp.sales_items, which it creates if
        they are missing; the rows it refused, with file, line, column, value and reason, to
        rejects.csv in the folder; how far it got, to .producer-batch.json or .producer-live.json.

Who runs it, and when: one process, by hand or nightly (batch), or beside the other stages to play
the shop (live). Ctrl-C ends it after the batch in hand and says how far it got; --resume goes on.

    python erp_simulator_producer.py                            # everything, as fast as it goes
    python erp_simulator_producer.py --until 2017-12-25         # history ...
    python erp_simulator_producer.py --mode live --tables sales,sales_items \\
        --since 2017-12-25 --speed 60                           # ... and then an hour a minute
    python erp_simulator_producer.py --mode live --rate 20      # 20 sales a second, by their time
    python erp_simulator_producer.py --resume                   # go on after a stop
    python erp_simulator_producer.py --watch                    # and send new files as they appear

What it promises: products before customers before sales and lines; a sale's lines in the order of
the file (batch) or of their numbers, after their header (live). A value is never repaired: a row
that breaks the contract is refused and counted by its reason, of several rows of one file with the
same key the first good one is sent. After Ctrl-C, --resume sends nothing twice that Kafka
confirmed; after a kill, at most what was confirmed in the last seconds. Keys make that harmless.
Exit code 1 if Kafka did not confirm everything.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from confluent_kafka import Consumer, KafkaException

from config import Settings
from erp import checkpoint, contract, kafka
from erp.checkpoint import Checkpoint, Counts, Position
from erp.contract import CUSTOMERS, PRODUCTS, SALES, SALES_ITEMS, Table
from erp.flags import not_negative, positive, whole
from erp.ingest import csv_files
from erp.ingest.column_outbox import ColumnOutbox
from erp.ingest.csv_files import CsvFile, HeaderError
from erp.ingest.csv_load import Load, ahead, load
from erp.ingest.csv_reader import Block, Fault
from erp.ingest.csv_survey import survey
from erp.ingest.producer_report import show
from erp.ingest.rejects import Rejects
from erp.ingest.rows import DateOrder, Decimal
from erp.ingest.tickets import Selection, TicketBook
from erp.process import Failure, Stop, UsageError, argument_parser, run, start_logging
from erp.progress import Progress

Files = dict[Table, list[CsvFile]]

log = logging.getLogger("erp.producer")

CONFIRM_EVERY = 2.0  # s between two checkpoints
PATIENCE = 10.0  # s for Kafka to take the rest after a signal
LOOK_EVERY = 1.0  # s between two looks at a watched folder
OVERHEAD = 512  # bytes of a message that are not key or value, at most
DEFAULT_RATE = 10.0  # sales a second in live mode, if nothing else is asked for


def flags() -> argparse.ArgumentParser:
    """What can be asked of this script."""
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--mode", choices=["batch", "live"], default="batch", help="all at once, or sale by sale")
    add("--csv-dir", type=Path, help="folder of the CSV files (default: CSV_DIR)")
    add(
        "--tables",
        type=tables,
        default=contract.TABLES,
        metavar="T,T",
        help="send these only: products, customers, sales, sales_items (default: all)",
    )
    add("--since", metavar="TIME", help="only sales from this time on, ISO 8601, and their lines")
    add("--until", metavar="TIME", help="only sales before this time, ISO 8601, and their lines")
    add("--limit", type=whole, metavar="N", help="only the first N of these sales")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument(
        "--speed",
        type=positive,
        metavar="X",
        help="live: X times as fast as it happened; 60 is an hour a minute",
    )
    pace.add_argument(
        "--rate",
        type=not_negative,
        metavar="N",
        help=f"live: N sales a second, 0 for no pause (default: {DEFAULT_RATE:g})",
    )
    add("--strict", action="store_true", help="stop at the first row that breaks the contract")
    add("--resume", action="store_true", help="go on where the same job was stopped")
    add("--watch", action="store_true", help="stay and send files that appear or change, once")
    add(
        "--idle-timeout",
        type=positive,
        metavar="SECONDS",
        help="with --watch: end when no file came for so long",
    )
    add("--encoding", help="of the files, such as cp1252 (default: UTF-8, or as their mark says)")
    add("--decimal", choices=["point", "comma"], help="decimal mark (default: as the file shows)")
    add(
        "--date-order",
        choices=["dmy", "mdy"],
        help="whether 3/4/2024 is in April or March (default: as the file shows)",
    )
    add("--rejects", type=Path, help="file of refused rows (default: rejects.csv in the folder)")
    add(
        "--checkpoint",
        type=Path,
        help="file that says how far it got (default: .producer-MODE.json in the folder)",
    )
    add("--json", action="store_true", help="print the result as JSON instead of a table")
    return parser  # fmt: skip


def tables(text: str) -> tuple[Table, ...]:
    """The tables of a list of names, in the order in which they are produced."""
    names = {name.strip() for name in text.split(",")}
    if unknown := names - {table.name for table in contract.TABLES}:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return tuple(table for table in contract.TABLES if table.name in names)


def moment(text: str | None, zone: str, flag: str) -> datetime | None:
    """An ISO 8601 time, local to the business unless it has an offset."""
    if text is None:
        return None
    try:
        time_ = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{flag} {text}: not a time such as 2017-12-25T18:00") from None
    return time_ if time_.tzinfo else time_.replace(tzinfo=ZoneInfo(zone))


@dataclass
class Job:
    """What one run of this script works with."""

    args: argparse.Namespace
    settings: Settings
    stop: Stop
    outbox: ColumnOutbox
    reader: Consumer
    stored_before: int  # messages in the tables' topics when the run began
    largest: int  # bytes of a message's key and value
    selection: Selection
    state: Checkpoint
    rejects: Rejects
    progress: Progress = field(default_factory=Progress)
    replaying: bool = False  # rows are read anew on --resume, and refused anew
    confirmed_at: float = field(default_factory=time.monotonic)
    told_to_stop_at: float | None = None

    def topic(self, table: Table) -> str:
        return self.settings.topic_prefix + table.name

    def counts(self, table: Table) -> Counts:
        return self.state.counts.setdefault(table.name, Counts(rejected={}))

    def out_of_patience(self) -> bool:
        """True when a signal came and Kafka had its time to take the rest."""
        if not self.stop.requested:
            return False
        self.told_to_stop_at = self.told_to_stop_at or time.monotonic()
        return time.monotonic() - self.told_to_stop_at > PATIENCE


def main() -> int:
    args = flags().parse_args()
    settings = Settings.load()
    start_logging("producer", settings.log_level, settings.describe())
    args.csv_dir = args.csv_dir or settings.csv_dir
    args.rejects = args.rejects or args.csv_dir / "rejects.csv"
    args.checkpoint = args.checkpoint or args.csv_dir / f".producer-{args.mode}.json"
    began = time.monotonic()
    files = input_files(args)
    job = opened(args, settings, files)
    with job.progress:
        try:
            if args.watch:
                watch(job)
            elif args.mode == "live":
                live(job, files)
            else:
                batch(job, files, args.tables)
        finally:
            undelivered = settle(job)
    show(job.state.counts, undelivered, args.rejects, time.monotonic() - began, args.json)
    return 1 if undelivered else 0


def input_files(args: argparse.Namespace) -> Files:
    """The files of the tables that are needed; the sales too where their lines are wanted."""
    if args.watch:  # finds them by itself
        csv_files.find(args.csv_dir)
        return {}
    needed = [table for table in contract.TABLES if table in args.tables]
    if SALES_ITEMS in needed and SALES not in needed:
        needed.insert(-1, SALES)
    files = csv_files.describe_all(args.csv_dir, needed, args.encoding)
    if not any(files.values()):
        raise Failure(
            f"no CSV files in {args.csv_dir}: write some with csv_out/prepare.py, or set --csv-dir"
        )
    for table in needed:
        if not files[table]:
            log.warning("no %s.csv in %s", table.name, args.csv_dir)
    return files


def opened(args: argparse.Namespace, settings: Settings, files: Files) -> Job:
    """Everything that the job needs, its topics included."""
    selection = Selection(
        moment(args.since, settings.business_timezone, "--since"),
        moment(args.until, settings.business_timezone, "--until"),
        args.limit if args.mode == "batch" else None,  # live: the first by time, not by place
    )
    if args.watch and (args.mode == "live" or not selection.everything):
        raise UsageError("--watch sends whole files: it goes without --mode live and a selection")
    state = opening_state(args, settings, files)
    stop = Stop(idle_timeout=args.idle_timeout)
    admin = kafka.wait_for_kafka(settings.kafka, settings.startup_timeout_seconds)
    topics = [settings.topic_prefix + name for name in contract.TOPICS]
    kafka.ensure_topics(
        settings.kafka, topics, settings.topic_partitions, settings.topic_replication_factor
    )
    largest = kafka.largest_message(admin, topics[: len(contract.TABLES)])
    reader = kafka.reader(settings.kafka)
    return Job(
        args,
        settings,
        stop,
        ColumnOutbox(settings.kafka, **{"message.max.bytes": largest}),
        reader,
        kafka.messages_in(reader, topics[: len(contract.TABLES)]),
        largest - OVERHEAD,
        selection,
        state,
        Rejects(args.rejects, keep=state.rejects_bytes),
    )


def opening_state(args: argparse.Namespace, settings: Settings, files: Files) -> Checkpoint:
    """Where to go on from: the checkpoint of the same job, or the beginning."""
    job: dict[str, Any] = {
        "kafka": settings.kafka_bootstrap_servers,
        "topic_prefix": settings.topic_prefix,
        "tables": [table.name for table in args.tables],
        "since": args.since,
        "until": args.until,
        "limit": args.limit,
    }
    if args.mode == "live":  # its position is a number of sales, which other files would shift
        sales = [file for table in (SALES, SALES_ITEMS) for file in files.get(table, [])]
        job["files"] = [file.digest() for file in sales]
    return checkpoint.load(args.checkpoint, job) if args.resume or args.watch else Checkpoint(job)


def batch(job: Job, files: Files, wanted: tuple[Table, ...]) -> None:
    """Send whole files, table after table."""
    choosing = SALES_ITEMS in wanted and not job.selection.everything
    for table, its_files in files.items():
        if table in wanted or (table is SALES and choosing):
            for file in its_files:
                send_file(job, file, only_choose=table not in wanted)
                if job.stop.requested:
                    return


def send_file(job: Job, file: CsvFile, only_choose: bool = False) -> None:
    """Send one file from where it was left, or only choose the sales in it."""
    position = job.state.files.setdefault(
        f"{file.table.name}:{file.digest()}", Position(file.path.name)
    )
    if position.done:
        log.info("%s was sent before, as %s", file.path.name, position.name)
        if file.table is not SALES or job.selection.everything:
            return
    for part in parts(job, file):
        if only_choose or position.done or part.end_line <= position.line:
            continue
        keep_strict(job, file, part)
        if not send(job, file.table, part.messages["key"], part.messages["value"]):
            return
        account(job, file, part)
        position.line = part.end_line
        confirm_now_and_then(job)
    if not (only_choose or job.stop.requested):
        position.done = True


def parts(job: Job, file: CsvFile) -> Iterator[Load]:
    """The blocks of a file after a first look at the whole of it; no more once asked to stop."""
    args, zone = job.args, job.settings.business_timezone
    decimal = Decimal(args.decimal) if args.decimal else None
    order = DateOrder(args.date_order) if args.date_order else None
    job.progress.step(f"{file.path.name}, first look", file.size())
    for item in ahead(survey(file, zone, decimal, order)):
        if job.stop.requested:
            return
        if isinstance(item, Block):
            job.progress.advance(item.end_byte, item.rows)
        else:
            found = item
    job.progress.step(file.path.name, file.size())
    for part in ahead(load(file, found, job.selection, job.largest)):
        if job.stop.requested:
            return
        job.progress.advance(part.end_byte, part.read)
        yield part


def keep_strict(job: Job, file: CsvFile, part: Load) -> None:
    """With --strict the first fault ends the run, before anything of its block is sent."""
    if job.args.strict and part.faults:
        fault = part.faults[0]
        raise Failure(
            f"{file.path.name} line {fault.line}: {fault.column or 'row'} {fault.value!r}:"
            f" {fault.reason} (--strict)"
        )


def send(job: Job, table: Table, keys: pl.Series, values: pl.Series) -> bool:
    """Hand messages over; False if Kafka did not take them before patience ended."""
    accepted = job.outbox.send(job.topic(table), keys, values, job.out_of_patience)
    job.counts(table).sent += accepted
    return accepted == len(keys)


def account(job: Job, file: CsvFile, part: Load) -> None:
    """Count what became of the rows and write down the refused ones."""
    counts = job.counts(file.table)
    counts.read += part.read
    counts.not_selected += part.not_selected
    for fault in part.faults:
        counts.rejected[fault.reason] = counts.rejected.get(fault.reason, 0) + 1
    job.rejects.add(file.path.name, part.faults)


def live(job: Job, files: Files) -> None:
    """Send the catalogue, then sale by sale: a header, its lines, a pause."""
    batch(job, files, tuple(table for table in (PRODUCTS, CUSTOMERS) if table in job.args.tables))
    if job.stop.requested or not confirm(job):
        return
    job.replaying = True
    with tempfile.TemporaryDirectory(prefix="erp-tickets-") as folder:
        book = TicketBook(Path(folder) / "tickets.sqlite")
        for table in (SALES, SALES_ITEMS):
            counts = job.counts(table)
            counts.read, counts.not_selected, counts.rejected = 0, 0, {}
            add = book.add_sales if table is SALES else book.add_lines
            for file in files.get(table, []):
                for part in parts(job, file):
                    keep_strict(job, file, part)
                    account(job, file, part)
                    add(part.rows, part.messages)
        book.close_input()
        if not job.stop.requested:
            play(job, book)
        book.close()


def play(job: Job, book: TicketBook) -> None:
    """Send the tickets of the book at their pace."""
    state, args = job.state, job.args
    job.progress.step("sales", min(len(book), args.limit or len(book)))
    began, first, skipped = time.monotonic(), None, state.tickets
    for ticket in book.tickets(skip=skipped, limit=args.limit):
        first = first or ticket.moment
        wait_until(job, began + pause(args, state.tickets - skipped, ticket.moment - first))
        if job.stop.requested:
            return
        for table, texts in ((SALES, [ticket.header]), (SALES_ITEMS, ticket.lines)):
            keys = pl.Series([ticket.sale_id] * len(texts), dtype=pl.String)
            values = pl.Series(texts, dtype=pl.String)
            if table in args.tables and not send(job, table, keys, values):
                return
        state.tickets += 1
        job.progress.advance(state.tickets, 1 + len(ticket.lines))
        confirm_now_and_then(job)
    for table in (SALES, SALES_ITEMS):
        counts = job.counts(table)
        counts.not_selected = counts.read - counts.sent - sum(counts.rejected.values())
    if counts.not_selected and job.selection.everything and args.limit is None:
        log.warning("%d lines are of no sale that was sent", counts.not_selected)


def pause(args: argparse.Namespace, number: int, since_first: timedelta) -> float:
    """Seconds from the first sale to this one, as the flags say."""
    if args.speed:
        return since_first.total_seconds() / args.speed
    rate = DEFAULT_RATE if args.rate is None else args.rate
    return number / rate if rate else 0.0


def wait_until(job: Job, due: float) -> None:
    """Wait for a point of the monotonic clock, or a signal."""
    if (seconds := due - time.monotonic()) > 30:
        confirm(job)
        log.info("the next sale comes in %.0f s", seconds)
    if seconds > 0:
        job.stop.wait(due - time.monotonic())


def watch(job: Job) -> None:
    """Send each file that appears or changes, once, when it has stopped growing."""
    log.info("watching %s", job.args.csv_dir)
    before: dict[Path, tuple[int, int]] = {}
    done: dict[Path, tuple[int, int]] = {}
    while not job.stop.due:
        now: dict[Path, tuple[int, int]] = {}
        for table, paths in csv_files.find(job.args.csv_dir, job.args.tables).items():
            for path in paths:
                status = path.stat()
                now[path] = (status.st_size, status.st_mtime_ns)
                if before.get(path) == now[path] != done.get(path):
                    done[path] = now[path]
                    send_new_file(job, path, table)
        before = now
        job.stop.wait(LOOK_EVERY)


def send_new_file(job: Job, path: Path, table: Table) -> None:
    """Send a file that appeared; one that cannot be used is refused as a whole."""
    try:
        file = csv_files.describe(path, table, job.args.encoding)
    except HeaderError as error:
        log.error("%s", error)
        counts = job.counts(table)
        counts.read += 1
        counts.rejected["unusable_header"] = counts.rejected.get("unusable_header", 0) + 1
        job.rejects.add(path.name, [Fault(1, "", str(error), "unusable_header")])
        return
    if file is not None:
        sent = job.counts(table).sent
        send_file(job, file)
        confirm(job)
        job.stop.count(1)
        log.info("%s: %d rows sent", path.name, job.counts(table).sent - sent)


def confirm_now_and_then(job: Job) -> None:
    """Confirm, if the last time is some seconds ago."""
    if time.monotonic() - job.confirmed_at > CONFIRM_EVERY:
        confirm(job)


def confirm(job: Job) -> bool:
    """Wait until Kafka has everything, then write down how far that is; False if it has not."""
    last_word = time.monotonic()
    while job.outbox.flush(0.5) and not job.out_of_patience():
        if time.monotonic() - last_word > 10:
            log.warning("Kafka takes nothing for now, %d messages wait", job.outbox.waiting)
            last_word = time.monotonic()
    if job.outbox.waiting or job.outbox.failed or missing(job):
        return False
    if not job.replaying:
        job.state.rejects_bytes = job.rejects.sync()
    checkpoint.save(job.args.checkpoint, job.state)
    job.confirmed_at = time.monotonic()
    return True


def missing(job: Job) -> int:
    """Messages that Kafka confirmed and that its topics do not count; nobody else writes there.

    The topics' own count is the last word: a topic that is deleted and made anew while messages
    flow confirms some and has none of them.
    """
    topics = [job.topic(table) for table in contract.TABLES]
    while True:
        try:
            stored = kafka.messages_in(job.reader, topics) - job.stored_before
            return max(0, job.outbox.delivered - stored)
        except KafkaException as error:
            if job.out_of_patience():
                raise Failure(
                    f"Kafka went away before its topics were counted ({error.args[0].str()}):"
                    " --resume sends again what is not certain"
                ) from None
            job.stop.wait(0.2)


def settle(job: Job) -> int:
    """Wait for the last confirmations; the number of messages that are not in Kafka."""
    whole = confirm(job)
    job.rejects.sync()
    undelivered = job.outbox.waiting + job.outbox.failed
    if not whole and not undelivered:
        undelivered = missing(job)
    if undelivered:
        log.error("Kafka does not have %d messages: --resume sends them again", undelivered)
    elif job.stop.requested:
        log.info("stopped; everything sent is confirmed, --resume goes on from here")
    return undelivered


if __name__ == "__main__":
    run(main)

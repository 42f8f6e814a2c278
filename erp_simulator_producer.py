"""The ERP's exports into Kafka: every row checked, keyed and confirmed.

Reads   CSV_DIR (or --csv-dir): products.csv, customers.csv, sales.csv, sales_items.csv, each alone
        or in several files (sales-2024-01.csv, sales-2024-02.csv.gz ...). UTF-8, or another
        encoding by its mark or --encoding; separated by , ; | or tabs; decimal points or commas.
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
confirmed. If Kafka was away at that moment it sends again what came after the oldest message that
was under way (at most 50,000 or 16 MiB are), from the beginning of its block or sale; after a kill,
what was confirmed in the last seconds. Keys make that harmless.
Exit code 1 if Kafka did not confirm everything.
"""

import argparse
import contextlib
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from config import Settings
from erp import contract, kafka
from erp.contract import SALES, SALES_ITEMS, Table
from erp.flags import not_negative, positive, whole
from erp.ingest import checkpoint, csv_files
from erp.ingest.batch import send_files
from erp.ingest.checkpoint import Checkpoint
from erp.ingest.column_outbox import column_outbox
from erp.ingest.delivery import Delivery
from erp.ingest.job import Files, Job, Reading
from erp.ingest.live import pace, replay
from erp.ingest.producer_report import show
from erp.ingest.rejects import Rejects
from erp.ingest.tickets import Selection
from erp.ingest.values import DateOrder, Decimal
from erp.ingest.watch import watch
from erp.process import Failure, Stop, UsageError, argument_parser, run, start_logging

log = logging.getLogger("erp.producer")

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
        help="live: X times as fast as it happened; 60 is an hour a minute, a pause ends in a week",
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
    add("--encoding", help="of files without a mark of their own, such as cp1252 (default: UTF-8)")
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
    """An ISO 8601 time, local to the business unless it has an offset; in UTC."""
    if text is None:
        return None
    try:
        time_ = datetime.fromisoformat(text)
        return (time_ if time_.tzinfo else time_.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter in a year that UTC has not
        raise UsageError(f"{flag} {text}: not a time such as 2017-12-25T18:00") from None


def main() -> int:
    """Send what the flags ask for, and say what became of each row."""
    args = flags().parse_args()
    settings = Settings.load()
    start_logging("producer", settings.log_level, settings.describe())
    args.csv_dir = args.csv_dir or settings.csv_dir
    args.rejects = args.rejects or args.csv_dir / "rejects.csv"
    args.checkpoint = args.checkpoint or args.csv_dir / f".producer-{args.mode}.json"
    selection = selected(args, settings.business_timezone)
    began = time.monotonic()
    files = input_files(args)
    job = opened(args, settings, files, selection)
    with contextlib.closing(job.rejects):
        undelivered = carry_out(job, args, files)
    show(job.state.counts, undelivered, args.rejects, time.monotonic() - began, args.json)
    return 1 if undelivered else 0


def carry_out(job: Job, args: argparse.Namespace, files: Files) -> int:
    """Send as the mode says; the number of messages that are not in Kafka afterwards."""
    try:
        with job.progress:
            if args.watch:
                watch(job, args.csv_dir)
            elif args.mode == "live":
                rate = DEFAULT_RATE if args.rate is None else args.rate
                replay(job, files, pace(args.speed, rate), args.limit)
            else:
                send_files(job, files, args.tables)
    except Failure:
        with contextlib.suppress(Failure):  # of two the first says what to do
            job.delivery.settle()
        raise
    return job.delivery.settle()


def input_files(args: argparse.Namespace) -> Files:
    """The files of the tables that are needed; the sales too where they choose among lines."""
    if unread := csv_files.unread(args.csv_dir):
        log.warning("not named like sales-2024-01.csv or sales.csv.gz: %s", ", ".join(unread))
    if args.watch:  # finds them by itself
        return {}
    needed = [table for table in contract.TABLES if table in args.tables]
    choosing = args.mode == "live" or args.since or args.until or args.limit is not None
    if SALES_ITEMS in needed and SALES not in needed and choosing:
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


def selected(args: argparse.Namespace, zone: str) -> Selection:
    """Which sales are asked for; UsageError where flags do nothing together."""
    selection = Selection(
        moment(args.since, zone, "--since"),
        moment(args.until, zone, "--until"),
        args.limit if args.mode == "batch" else None,  # live: the first by time, not by place
    )
    if args.watch and (args.mode == "live" or not selection.everything):
        raise UsageError("--watch sends whole files: it goes without --mode live and a selection")
    if args.mode == "batch" and (args.speed or args.rate is not None):
        raise UsageError("--speed and --rate pace the sales of --mode live, which is not asked for")
    if args.idle_timeout and not args.watch:
        raise UsageError("--idle-timeout ends --watch, which is not asked for")
    return selection


def opened(args: argparse.Namespace, settings: Settings, files: Files, selection: Selection) -> Job:
    """Everything that the job needs, its topics included."""
    what = identity(args, settings, files)
    opening_state(args, what)  # whose errors need no server
    stop = Stop(idle_timeout=args.idle_timeout)
    topics = {table: settings.topic_prefix + table.name for table in contract.TABLES}
    with stop.starting():
        admin = kafka.ensure_topics(
            settings.kafka,
            [settings.topic_prefix + name for name in contract.TOPICS],
            settings.topic_partitions,
            settings.topic_replication_factor,
            settings.startup_timeout_seconds,
        )
        largest = kafka.largest_message(admin, topics.values())
    rejects = Rejects(args.rejects)  # ours alone from here on, and the checkpoint with it
    state = opening_state(args, what)
    rejects.keep(state.rejects_bytes)

    def save(state: Checkpoint) -> None:
        rejects.sync()
        checkpoint.save(args.checkpoint, state)

    save(state)  # in the place of an older one, from which nothing must go on any more
    return Job(
        tables=args.tables,
        reading=Reading(
            settings.business_timezone,
            args.encoding,
            Decimal(args.decimal) if args.decimal else None,
            DateOrder(args.date_order) if args.date_order else None,
        ),
        selection=selection,
        strict=args.strict,
        largest=largest - OVERHEAD,
        stop=stop,
        delivery=Delivery(
            column_outbox(settings.kafka, **{"message.max.bytes": largest}),
            admin,
            topics,
            stop,
            state,
            save,
        ),
        state=state,
        rejects=rejects,
    )


def identity(args: argparse.Namespace, settings: Settings, files: Files) -> dict[str, Any]:
    """What the job is asked to do: another one cannot go on from its checkpoint."""
    job: dict[str, Any] = {
        "kafka": settings.kafka_bootstrap_servers,
        "topic_prefix": settings.topic_prefix,
        "tables": [table.name for table in args.tables],
        "since": args.since,
        "until": args.until,
        "limit": args.limit,
        "encoding": args.encoding,
        "decimal": args.decimal,
        "date_order": args.date_order,
        "business_timezone": settings.business_timezone,
    }
    if args.mode == "live":  # its position is a number of sales, which other files would shift
        sales = [file for table in (SALES, SALES_ITEMS) for file in files.get(table, [])]
        job["files"] = [file.digest() for file in sales]
    return job


def opening_state(args: argparse.Namespace, job: dict[str, Any]) -> Checkpoint:
    """Where to go on from: the checkpoint of the same job, or the beginning."""
    go_on = args.resume or args.watch
    return (checkpoint.load if go_on else checkpoint.begin)(args.checkpoint, job)


if __name__ == "__main__":
    run(main)

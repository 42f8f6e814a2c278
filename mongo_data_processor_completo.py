"""Sum up the sales for the history page, and what became of the recommendations.

Reads   mongo sales, sales_items, products, customers, deletions, recommendations
Writes  mongo daily_sales_summary, store_analysis, top_products, customer_analysis,
        category_analysis, recommendation_performance, and behind them daily_sales_facts,
        processor_state, processor_journal
Run by  a person or a scheduler, or for good beside the sink; one at a time

    python mongo_data_processor_completo.py --once        everything anew, then end
    python mongo_data_processor_completo.py --watch 10    every 10 s, what changed since

What every figure means is written in erp/processor/aggregates.py and erp/processor/acceptance.py.
Readers see one finished round, also when this program is killed. --watch goes on where any earlier
run ended, and computes everything anew when the numbers of documents do not add up: they came or
went without a word of the sink.
Exit codes: 0 done or stopped; 1 failed; 2 usage or configuration.
"""

import argparse
import logging
import time
from contextlib import suppress

import polars as pl
from pymongo.database import Database
from pymongo.errors import PyMongoError

from config import Settings
from erp import contract, flags
from erp.mongo import Document, connect, ensure_indexes, first_line, is_outage, outlast
from erp.process import Failure, Stop, argument_parser, run, start_logging
from erp.processor import lease
from erp.processor.catch_up import Memory, Result, catch_up, missing, recall, recompute
from erp.processor.performance import Acceptance

log = logging.getLogger("erp.processor")

QUIET_ROUNDS = 3  # without a change, after which the numbers of documents must add up


def main() -> None:
    flags = parse_flags()
    settings = Settings.load()
    start_logging("mongo_data_processor_completo", settings.log_level, settings.describe())
    stop = Stop()
    zone = settings.business_timezone
    with stop.starting():
        database = connect_mongo(settings)
    acceptance = Acceptance(
        database,
        settings.acceptance_days,
        zone,
        expire=settings.recommendations_ttl_days > 0,
    )
    lease.hold(database)
    try:
        if flags.once:
            log.info("%s", outlast(lambda: recompute(database, zone), stop.wait, "trying again"))
            outlast(lambda: follow(acceptance), stop.wait, "trying again")
        else:
            watch(database, zone, acceptance, flags.watch, stop)
    except PyMongoError as error:
        raise Failure(f"MongoDB: {first_line(error)}") from None
    finally:
        with suppress(PyMongoError):
            lease.release(database)


def connect_mongo(settings: Settings) -> Database[Document]:
    """Wait for the database and create the indexes that are missing."""
    uri, patience = settings.mongo_uri.get_secret_value(), settings.startup_timeout_seconds
    database = connect(uri, settings.mongo_database, patience)
    names = [*(table.name for table in contract.TABLES), contract.DELETIONS]
    ensure_indexes(database, names, patience)
    return database


def parse_flags() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--once", action="store_true", help="compute everything anew and end")
    how.add_argument(
        "--watch",
        type=flags.positive,
        metavar="SECONDS",
        help="look for changes every SECONDS, until told",
    )
    return parser.parse_args()


def watch(
    database: Database[Document], zone: str, acceptance: Acceptance, seconds: float, stop: Stop
) -> None:
    """A round every so many seconds until told; an outage costs time and nothing else."""
    memory: Memory | None = None
    quiet, gap = 0, 0
    while True:
        try:
            lease.hold(database)
            result = one_round(database, zone, memory)
            memory = result.memory
            followed = follow(acceptance, result.visits)
            quiet = quiet + 1 if result.kind == "nothing" and not followed else 0
            if quiet == QUIET_ROUNDS and (found := missing(database)) != gap:
                log.warning("%+d documents without a word of the sink: all anew", found)
                memory = recompute(database, zone).memory
                follow(acceptance)
                gap = missing(database)
            if quiet == QUIET_ROUNDS and acceptance.is_off():
                log.warning("recommendations came without being noticed: all are followed anew")
                follow(acceptance, anew=True)
        except PyMongoError as error:
            if not is_outage(error):
                raise
            log.warning("MongoDB is away, again in %g s: %s", seconds, first_line(error))
            memory = None  # it may be ahead of what was written, or behind
        if stop.wait(seconds):
            return


def one_round(database: Database[Document], zone: str, memory: Memory | None) -> Result:
    """What changed since the round before, or everything when there is none to go on from."""
    memory = memory or recall(database, zone)
    result = catch_up(database, zone, memory) if memory else recompute(database, zone)
    log.log(logging.DEBUG if result.kind == "nothing" else logging.INFO, "%s", result)
    return result


def follow(
    acceptance: Acceptance, visits: pl.DataFrame | None = None, *, anew: bool = False
) -> int:
    """What became of the recommendations, up to the round that stands; of how many days."""
    started = time.monotonic()
    if days := acceptance.update(visits, anew=anew):
        seconds = time.monotonic() - started
        log.info("recommendations: %d days of sales followed up in %.2f s", days, seconds)
    return days


if __name__ == "__main__":
    run(main)

"""Sum up the sales for the history page: by day, store, product, customer and category.

Reads   mongo sales, sales_items, products, customers
Writes  mongo daily_sales_summary, store_analysis, top_products, customer_analysis,
        category_analysis, and behind them daily_sales_facts, processor_state, processor_journal
Run by  a person or a scheduler, or for good beside the sink; one at a time

    python mongo_data_processor_completo.py --once        everything anew, then end
    python mongo_data_processor_completo.py --watch 10    every 10 s, what changed since

What every figure means is written in erp/aggregates.py. Readers see one finished round, also when
this program is killed. Exit codes: 0 done or stopped; 1 failed; 2 usage or configuration.
"""

import argparse
import logging
import resource
import time

import polars as pl
from pymongo.database import Database

from config import Settings
from erp import contract
from erp.facts import joined, read_customers, read_items, read_products, read_sales
from erp.mongo import connect, ensure_indexes
from erp.process import Stop, argument_parser, run, start_logging
from erp.rounds import Facts, whole
from erp.snapshots import finish, now, publish_whole

log = logging.getLogger("erp.processor")


def main() -> None:
    flags = parse_flags()
    settings = Settings.load()
    start_logging("mongo_data_processor_completo", settings.describe())
    stop = Stop()
    database = connect(
        settings.mongo_uri.get_secret_value(),
        settings.mongo_database,
        settings.startup_timeout_seconds,
    )
    ensure_indexes(database, [table.name for table in contract.TABLES])
    recompute(database, settings.business_timezone)
    while flags.watch is not None and not stop.wait(flags.watch):
        recompute(database, settings.business_timezone)


def parse_flags() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--once", action="store_true", help="compute everything anew and end")
    how.add_argument(
        "--watch", type=float, metavar="SECONDS", help="look for changes every SECONDS, until told"
    )
    return parser.parse_args()


def recompute(database: Database, zone: str) -> None:
    started, computed_at = time.monotonic(), now()
    state = finish(database)
    products = read_products(database[contract.PRODUCTS.name], {})
    customers = read_customers(database[contract.CUSTOMERS.name], {})
    sales = read_sales(database[contract.SALES.name], {}, zone)
    facts = Facts(*joined(sales, read_items(database[contract.SALES_ITEMS.name], {}), products))
    contents, _ = whole(facts, products, customers)
    stamp = _stamp(facts) | {
        "round": 1 + (state["round"] if state else 0),
        "computed_at": computed_at,
        "checked_at": computed_at,
        "timezone": zone,
    }
    publish_whole(database, contents, stamp, lambda *_: None)
    log.info(
        "round %d: all of %d sales and %d lines in %.1f s, peak memory %d MB",
        stamp["round"],
        stamp["sales"],
        stamp["lines"],
        time.monotonic() - started,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def _stamp(facts: Facts) -> dict[str, object]:
    counted = facts.tickets.filter(pl.col("day").is_not_null())
    newest = counted.sort("time", "sale_id").tail(1).to_dicts()
    lines = facts.lines.join(counted.select("sale"), on="sale", how="semi").height
    return {
        "up_to_sale": newest[0]["sale_id"] if newest else None,
        "up_to_time": newest[0]["time"] if newest else None,
        "first_day": str(counted["day"].min()) if newest else None,
        "last_day": str(counted["day"].max()) if newest else None,
        "sales": counted.height,
        "lines": lines,
        "orphan_lines": facts.lines.height - lines,
    }


if __name__ == "__main__":
    run(main)

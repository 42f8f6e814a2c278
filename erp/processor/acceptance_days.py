"""The documents of recommendation_performance for days of sales, from answers and purchases."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
from pymongo.database import Database

from erp import contract
from erp.processor.acceptance import ANSWERS, OFFERS, PURCHASES, bought, follow, grouped
from erp.processor.aggregates import FACTS
from erp.processor.packed import AFTER_PARTS, unpack
from erp.processor.reading import read_answers
from erp.processor.snapshots import batched, read

Document = dict[str, Any]

ONE_DAY = timedelta(days=1)
DAYS_READ = 7  # at once, of the facts


def start_of(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def each_day(first: date, last: date) -> list[date]:
    """The days from the first to the last, both included."""
    return [first + n * ONE_DAY for n in range((last - first).days + 1)]


def count_days(
    database: Database[Document], first: date, last: date, zone: ZoneInfo, days: int
) -> Iterator[Document]:
    """A document for each day from the first to the last that has answers.

    `answers` are all of the day's, `anonymous` those of unknown customers, `groups` tell what
    became of the others within `days` (erp.processor.acceptance.Group).
    """
    span = {"$gte": start_of(first, zone), "$lt": start_of(last + ONE_DAY, zone)}
    answers = (
        read_answers(database[contract.RECOMMENDATIONS], {"timestamp": span})
        .with_row_index("answer")
        .with_columns(
            day=pl.col("timestamp").dt.convert_time_zone(zone.key).dt.date(),
            known=pl.col("customer_id").fill_null("") != "",
        )
    )
    known = answers.filter("known")
    theirs = _purchases(database, known["customer_id"], first, last + timedelta(days=days + 1))
    followed = follow(_answers(known), _offers(known), theirs, days)
    groups = grouped(followed.join(known.select("answer", "day"), on="answer"))
    counts = answers.group_by("day").agg(pl.len(), (~pl.col("known")).sum()).sort("day")
    for day, of_day, anonymous in counts.iter_rows():
        yield {
            "_id": str(day),
            "answers": of_day,
            "anonymous": anonymous,
            "groups": [msgspec.structs.asdict(group) for group in groups.get(day, ())],
        }


def _answers(known: pl.DataFrame) -> pl.DataFrame:
    """ANSWERS of what was read."""
    return known.select(
        "answer",
        "sale_id",
        "customer_id",
        time="timestamp",
        version=pl.col("model_version").fill_null(""),
        control=pl.col("control").fill_null(value=False),
    ).select(list(ANSWERS))


def _offers(known: pl.DataFrame) -> pl.DataFrame:
    """OFFERS of what was read; those that lack something are left out."""
    return (
        known.select("answer", "recommendations")
        .explode("recommendations")
        .unnest("recommendations")
        .rename({"confidence_percentage": "confidence"})
        .drop_nulls()
        .select(list(OFFERS))
    )


def _purchases(
    database: Database[Document], customers: pl.Series, first: date, last: date
) -> pl.DataFrame:
    """PURCHASES of these customers, a few days at once, to spare memory."""
    wanted = customers.unique().to_frame("customer_id")
    found = [pl.DataFrame(schema=PURCHASES)]
    for days in batched(each_day(first, last), DAYS_READ) if len(wanted) else ():
        facts = read(database, FACTS, first=str(days[0]), last=f"{days[-1]}{AFTER_PARTS}")
        found.append(bought(*unpack(facts)).join(wanted, on="customer_id", how="semi"))
    return pl.concat(found)

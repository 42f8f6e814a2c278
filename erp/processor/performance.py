"""recommendation_performance: what became of the recommendations, kept up to date.

A document for each day of sales (erp.processor.acceptance_days), and "all", which takes in every
day (erp.processor.acceptance.Performance) with its estimates and is replaced in one write.

A day is counted once its days have passed by the clock of the data, so that the newest answers do
not look worse than they are. It is counted again when an answer to one of its sales is made anew,
and when a later purchase of a customer who was answered on it changes or comes late.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import polars as pl
from pymongo import ASCENDING, DeleteOne, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database

from erp import contract
from erp.processor.acceptance import Performance, added
from erp.processor.acceptance_days import ONE_DAY, count_days, each_day, start_of
from erp.processor.aggregates import STATE
from erp.processor.changes import OVERLAP, TOO_MANY
from erp.processor.snapshots import now, read_state

Document = dict[str, Any]

VERSION = 1  # of the documents; a run that finds another one counts everything anew
ALL = "all"
STATE_ID = "acceptance"
SPAN = 31  # days counted at once, to spare memory
FEW_CUSTOMERS = 1_000  # whose answers are looked up; of more, every day counts as touched
_IDS_AT_ONCE = 150
_A_DAY = {"_id": {"$ne": ALL}}
_ESTIMATES = ("acceptance", "hit", "bought_next")


def read_performance(database: Database[Document]) -> Performance | None:
    """What all days say together; None where nothing was counted yet, or by another version."""
    document = database[contract.RECOMMENDATION_PERFORMANCE].find_one({"_id": ALL})
    try:
        return None if document is None else msgspec.convert(document, Performance)
    except msgspec.ValidationError:
        return None


class Acceptance:
    """Keeps recommendation_performance up to the round that stands.

    Parameters
    ----------
    days : after a sale, in which a later purchase counts
    zone : the business time zone, which says on which day a sale was
    expire : recommendations are deleted after a while; what was counted of them stays
    """

    def __init__(
        self, database: Database[Document], days: int, zone: str, *, expire: bool = False
    ) -> None:
        self._database, self._days, self._zone = database, days, ZoneInfo(zone)
        self._basis = f"{VERSION}, {days} days, {zone}"
        self._expire = expire
        self._seen: set[tuple[str, datetime]] = set()  # answers that are counted already

    def update(self, visits: pl.DataFrame | None = None, *, anew: bool = False) -> int:
        """Count the days that changed, or every day anew; returns how many have answers.

        `visits` has customer_id and time of the sales that the newest round changed, where that is
        known; without it every day is counted if there was a round since the last time.
        """
        stamp = read_state(self._database)
        if stamp is None:
            return 0
        state = self._state()
        since, until = now() - OVERLAP, self._settled(stamp["last_day"])
        same = state.get("basis") == self._basis
        made = self._made_since(state["since"] if same else since)
        changed = None
        if same and not anew and len(made) <= TOO_MANY:
            changed = self._changed(state, stamp["round"], visits, made, until)
        wanted = self._days_from(None, until) if changed is None else changed
        wanted = {day for day in wanted if until is not None and day <= until}
        keep = same and self._expire
        counted = self._count(wanted, keep=keep)
        stale = _later_than(until) if keep or changed is not None else {"$nin": counted}
        gone = self._performance.delete_many({"$and": [_A_DAY, {"_id": stale}]}).deleted_count
        if changed is None or wanted or gone:
            self._add_up(until)
        state = {
            "basis": self._basis,
            "round": stamp["round"],
            "settled": None if until is None else str(until),
            "since": since,
        }
        self._database[STATE].replace_one({"_id": STATE_ID}, state, upsert=True)
        self._seen = set(made)
        return len(counted)

    def is_off(self) -> bool:
        """True when the answers of settled days are not as many as those that are counted.

        So it is when one is stored long after it was made, by a clock that is wrong, or as the
        answer to a sale that has moved to another day. Fewer are right where answers end.
        """
        settled = self._state().get("settled")
        if settled is None:
            return False
        end = start_of(date.fromisoformat(settled) + ONE_DAY, self._zone)
        standing = self._answers.count_documents({"timestamp": {"$lt": end}})
        counted = sum(day["answers"] for day in self._performance.find(_A_DAY, {"answers": 1}))
        return standing > counted if self._expire else standing != counted

    def _state(self) -> Document:
        return self._database[STATE].find_one({"_id": STATE_ID}) or {}

    def _changed(
        self,
        state: Document,
        number: int,
        visits: pl.DataFrame | None,
        made: dict[tuple[str, datetime], date],
        until: date | None,
    ) -> set[date] | None:
        """The days that changed since `state`; None where only the round `number` could tell."""
        rounds = number - state["round"]
        if rounds > 1 or (rounds == 1 and visits is None):
            return None
        settled = self._days_from(state["settled"], until)
        answered = {day for key, day in made.items() if key not in self._seen}
        visited = self._visited(visits, until) if rounds and visits is not None else set()
        return settled | answered | visited

    @property
    def _answers(self) -> Collection[Document]:
        return self._database[contract.RECOMMENDATIONS]

    @property
    def _performance(self) -> Collection[Document]:
        return self._database[contract.RECOMMENDATION_PERFORMANCE]

    def _settled(self, last_day: str | None) -> date | None:
        """The newest day whose days have passed when `last_day` is the last of the data."""
        if last_day is None:
            return None
        return date.fromisoformat(last_day) - timedelta(days=self._days + 1)

    def _made_since(self, moment: datetime) -> dict[tuple[str, datetime], date]:
        """The days of the sales whose answers were made after that, by answer; not all of many."""
        query = {"created_at": {"$gt": moment}, "timestamp": {"$type": "date"}}
        return {
            (found["_id"], found["created_at"]): self._day_of(found["timestamp"])
            for found in self._answers.find(
                query, {"timestamp": 1, "created_at": 1}, limit=TOO_MANY + 1
            )
        }

    def _days_from(self, settled: str | None, until: date | None) -> set[date]:
        """The days after `settled`, or from the first answer on, up to `until`."""
        if until is None:
            return set()
        if settled is not None:
            return {*each_day(date.fromisoformat(settled) + ONE_DAY, until)}
        dated = {"timestamp": {"$type": "date"}}
        oldest = self._answers.find_one(dated, {"timestamp": 1}, sort=[("timestamp", ASCENDING)])
        return {*each_day(self._day_of(oldest["timestamp"]), until)} if oldest else set()

    def _visited(self, visits: pl.DataFrame, until: date | None) -> set[date]:
        """The days of the answers that these visits may have followed."""
        if until is None:
            return set()
        within = timedelta(days=self._days)
        late = pl.col("time") < start_of(until + ONE_DAY, self._zone) + within
        late_visits = visits.filter(late & (pl.col("customer_id") != ""))
        if late_visits.is_empty():
            return set()
        first: Any = late_visits["time"].min()
        last: Any = late_visits["time"].max()
        customers = late_visits["customer_id"].unique().sort().to_list()
        if len(customers) > FEW_CUSTOMERS:
            return {*each_day(self._day_of(first - within), self._day_of(last))}
        return {
            self._day_of(found["timestamp"])
            for start in range(0, len(customers), _IDS_AT_ONCE)
            for found in self._answers.find(
                {
                    "customer_id": {"$in": customers[start : start + _IDS_AT_ONCE]},
                    "timestamp": {"$gte": first - within, "$lt": last},
                },
                {"timestamp": 1},
            )
        }

    def _count(self, wanted: set[date], *, keep: bool) -> list[str]:
        """Count these days and store them; with `keep` not those of which more was counted."""
        counted: list[str] = []
        for first, last in _spans(wanted):
            days = [str(day) for day in each_day(first, last)]
            standing = self._performance.find({"_id": {"$in": days}}, {"answers": 1})
            before = {day["_id"]: day["answers"] for day in standing} if keep else {}
            found = {
                document["_id"]: document
                for document in count_days(self._database, first, last, self._zone, self._days)
                if document["answers"] >= before.get(document["_id"], 0)
            }
            changes = [
                ReplaceOne({"_id": day}, found[day], upsert=True)
                if day in found
                else DeleteOne({"_id": day})
                for day in days
                if day in found or day not in before
            ]
            if changes:
                self._performance.bulk_write(changes, ordered=False)
            counted += found
        return counted

    def _add_up(self, until: date | None) -> None:
        """Put together what all days have."""
        counted = list(self._performance.find(_A_DAY, {"anonymous": 1}).sort("_id", ASCENDING))
        days = self._performance.find(_A_DAY, {"groups": 1}, batch_size=100)
        performance = Performance(
            days=self._days,
            computed_at=now(),
            first_day=counted[0]["_id"] if counted else None,
            last_day=str(until) if counted else None,
            anonymous=sum(day["anonymous"] for day in counted),
            groups=added(day["groups"] for day in days),
        )
        self._performance.replace_one({"_id": ALL}, as_document(performance), upsert=True)

    def _day_of(self, moment: datetime) -> date:
        return moment.astimezone(self._zone).date()


def _later_than(until: date | None) -> Document:
    return {"$gt": "" if until is None else str(until)}


def _spans(days: Iterable[date]) -> Iterator[tuple[date, date]]:
    """First and last of the days that follow each other, SPAN at most."""
    run: list[date] = []
    for day in sorted(days):
        if run and (day - run[-1] > ONE_DAY or len(run) == SPAN):
            yield run[0], run[-1]
            run = []
        run.append(day)
    if run:
        yield run[0], run[-1]


def as_document(performance: Performance) -> Document:
    """As MongoDB keeps it: with the estimates, for readers that have no statistics at hand."""
    groups = [
        msgspec.structs.asdict(group)
        | {name: getattr(group, name)._asdict() for name in _ESTIMATES}
        | {"stated": group.stated}
        for group in performance.groups
    ]
    lift = performance.lift
    return msgspec.structs.asdict(performance) | {
        "groups": groups,
        "lift": None if lift is None else lift._asdict(),
    }

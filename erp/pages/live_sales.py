"""What a live page asks of the collection `sales`, again and again.

Each question is bounded: in time by a window of which the length is limited, in size by grouping
on the server or by a limit. A real MongoDB answers them from the indexes of `erp.mongo`.
Time is the data's own: "now" is the moment of the newest sale, so that a replay of old data reads
as it did on its day.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pymongo import DESCENDING
from pymongo.database import Database

from erp import contract

Document = dict[str, Any]

LONGEST_WINDOW = timedelta(days=7)
RECENT = timedelta(days=30)
RECENT_SALES = 2_000  # newest sales of which the payment types are offered as a filter
LINES_SHOWN = 1_000  # of one sale
LOOKUP = 100  # _ids in one query: $in costs more than in proportion

_sales = contract.SALES.name
_NEWEST_FIRST = [("sale_datetime", DESCENDING)]
_HEADER = {"_id": 0, "kafka": 0}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(NamedTuple):
    """A span of time, both ends included; aware moments."""

    start: datetime
    end: datetime

    def shifted(self, days: int, timezone: ZoneInfo) -> "Window":
        """The same hours of the wall so many days before, whatever the clocks did in between."""
        earlier = timedelta(days=days)
        return Window(
            (self.start.astimezone(timezone) - earlier).astimezone(UTC),
            (self.end.astimezone(timezone) - earlier).astimezone(UTC),
        )


class Filters(NamedTuple):
    """Which sales count; empty means all. None among stores or payments is a sale without one."""

    stores: tuple[str | None, ...] = ()
    payments: tuple[str | None, ...] = ()
    least: float | None = None  # of total_amount
    most: float | None = None  # of total_amount

    def query(self, window: Window) -> Document:
        """The filters and the window as MongoDB reads them."""
        query: Document = {"sale_datetime": {"$gte": window.start, "$lte": window.end}}
        if self.stores:
            query["store_id"] = {"$in": list(self.stores)}
        if self.payments:
            query["payment_type"] = {"$in": list(self.payments)}
        limits = {"$gte": self.least, "$lte": self.most}
        amount = {name: limit for name, limit in limits.items() if limit is not None}
        if amount:
            query["total_amount"] = amount
        return query


class Totals(NamedTuple):
    """Key figures of a window; amounts in the shop's currency."""

    tickets: int = 0
    amount: float = 0.0
    customers: int = 0  # distinct ones; sales without a customer count for none
    lines: int = 0

    @property
    def average(self) -> float | None:
        """Amount of a ticket, or None without one."""
        return self.amount / self.tickets if self.tickets else None


def newest_sale(
    database: Database[Document], latest: datetime, known: datetime | None = None
) -> Document | None:
    """The sale that is the data's "now", or None in an empty collection.

    A sale dated after `latest` (a slip of the pen) does not set the clock, unless there is no
    other. `known`: a moment that a sale is known to have; it spares the server the rest.
    """
    sales = database[_sales]
    until: Document = {"$lte": latest}
    if known is not None and known <= latest:
        newest = sales.find_one(
            {"sale_datetime": until | {"$gte": known}}, _HEADER, sort=_NEWEST_FIRST
        )
        if newest is not None:
            return newest
    newest = sales.find_one({"sale_datetime": until}, _HEADER, sort=_NEWEST_FIRST)
    return newest or sales.find_one({}, _HEADER, sort=_NEWEST_FIRST)


def stores(database: Database[Document]) -> list[str | None]:
    """Every store that has a sale."""
    return list(database[_sales].distinct("store_id"))


def payments(database: Database[Document], now: datetime) -> list[str | None]:
    """The payment types of the newest sales up to `now`, none older than RECENT."""
    return [
        group["_id"]
        for group in database[_sales].aggregate(
            [
                {"$match": {"sale_datetime": {"$gte": now - RECENT}}},
                {"$sort": {"sale_datetime": DESCENDING}},
                {"$limit": RECENT_SALES},
                {"$group": {"_id": "$payment_type"}},
            ]
        )
    ]


def compare(
    database: Database[Document], filters: Filters, now: Window, before: Window
) -> tuple[Totals, Totals]:
    """The key figures of two windows that do not overlap, `now` being the later."""
    groups = database[_sales].aggregate(
        [
            {
                "$match": {
                    "sale_datetime": {"$gte": before.start, "$lte": now.end},  # spares the rest
                    "$or": [filters.query(now), filters.query(before)],
                }
            },
            {
                "$group": {
                    "_id": {
                        "now": {"$gte": ["$sale_datetime", now.start]},
                        "customer": "$customer_id",
                    },
                    "tickets": {"$sum": 1},
                    "amount": {"$sum": "$total_amount"},
                    "lines": {"$sum": "$items_count"},
                }
            },
            {
                "$group": {
                    "_id": "$_id.now",
                    "tickets": {"$sum": "$tickets"},
                    "amount": {"$sum": "$amount"},
                    "lines": {"$sum": "$lines"},
                    "customers": {"$sum": {"$cond": [{"$ifNull": ["$_id.customer", False]}, 1, 0]}},
                }
            },
        ]
    )
    totals = {
        group["_id"]: Totals(
            group["tickets"], float(group["amount"]), group["customers"], int(group["lines"])
        )
        for group in groups
    }
    return totals.get(True, Totals()), totals.get(False, Totals())


def slot_minutes(window: Window) -> int:
    """The length of the slots that a window is cut into: fine enough for a chart."""
    length = window.end - window.start
    if length <= timedelta(hours=3):
        return 1
    return 5 if length <= timedelta(hours=25) else 30


def by_slot_and_store(
    database: Database[Document], filters: Filters, window: Window
) -> list[Document]:
    """Tickets and amount of each store in each slot of the window in which it has any.

    Returns
    -------
    Documents of slot (when it begins, UTC), store_id (None where absent), tickets, amount.
    """
    length = slot_minutes(window) * 60_000  # ms
    found = database[_sales].aggregate(
        [
            {"$match": filters.query(window)},
            {
                "$group": {
                    "_id": {
                        "slot": {
                            "$subtract": [
                                "$sale_datetime",
                                {"$mod": [{"$subtract": ["$sale_datetime", _EPOCH]}, length]},
                            ]
                        },
                        "store_id": "$store_id",
                    },
                    "tickets": {"$sum": 1},
                    "amount": {"$sum": "$total_amount"},
                }
            },
        ]
    )
    return [
        {
            "slot": group["_id"]["slot"],
            "store_id": group["_id"].get("store_id"),
            "tickets": group["tickets"],
            "amount": float(group["amount"]),
        }
        for group in found
    ]


def newest_sales(
    database: Database[Document], filters: Filters, window: Window, limit: int
) -> list[Document]:
    """The newest sales of the window, the newest first."""
    return list(
        database[_sales].find(filters.query(window), _HEADER, sort=_NEWEST_FIRST, limit=limit)
    )


def one_sale(database: Database[Document], sale_id: str) -> Document | None:
    """A sale with what belongs to it, or None.

    Returns
    -------
    The sale's fields and: customer (document or None), lines (with `product_name` and `category`,
    in order), recommendation (document or None).
    """
    sale = database[_sales].find_one({"_id": sale_id}, {"_id": 0})
    if sale is None:
        return None
    lines = _lines(database, sale)
    known = _products(database, [line["product_id"] for line in lines])
    for line in lines:
        product = known.get(line["product_id"], {})
        line["product_name"] = product.get("name")
        line["category"] = product.get("category")
    customer = sale.get("customer_id")
    return {
        **sale,
        "customer": customer and database[contract.CUSTOMERS.name].find_one({"_id": customer}),
        "lines": sorted(lines, key=lambda line: line["line_n"]),
        "recommendation": database[contract.RECOMMENDATIONS].find_one({"_id": sale_id}),
    }


def _lines(database: Database[Document], sale: Document) -> list[Document]:
    """The lines by their usual _ids, which is fast everywhere; else all that name the sale."""
    items = database[contract.SALES_ITEMS.name]
    sale_id, expected = sale["sale_id"], sale.get("items_count") or 0
    if 0 < expected < LOOKUP:
        usual = [contract.item_id(sale_id, n) for n in range(1, LOOKUP + 1)]
        lines = list(items.find({"_id": {"$in": usual}}, {"_id": 0}))
        if len(lines) >= expected:
            return lines
    return list(items.find({"sale_id": sale_id}, {"_id": 0}, limit=LINES_SHOWN))


def _products(database: Database[Document], ids: Sequence[str]) -> dict[str, Document]:
    wanted = sorted(set(ids))
    return {
        product["_id"]: product
        for start in range(0, len(wanted), LOOKUP)
        for product in database[contract.PRODUCTS.name].find(
            {"_id": {"$in": wanted[start : start + LOOKUP]}}, {"name": 1, "category": 1}
        )
    }

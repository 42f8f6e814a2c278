"""A shop in MongoDB for the tests of the processor, and its figures counted a second way.

`Shop` writes and deletes documents as the sink does. `count` reads the four CSV files of the same
shop with pandas and Decimal and nothing of the project.
"""

import csv
import random
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd

COLUMNS = {
    "products": "product_id name category subcategory unit_price unit_cost active",
    "customers": "customer_id first_name last_name segment city state country",
    "sales": "sale_id sale_datetime customer_id payment_type store_id items_count gross_amount"
    " discount_header tax total_amount",
    "sales_items": "sale_id line_n product_id quantity unit_price gross_amount line_discount"
    " net_amount",
}
CENT, THOUSANDTH = Decimal("0.01"), Decimal("0.001")


class Shop:
    """The four tables in `database`, stamped as the sink stamps them."""

    def __init__(self, database):
        self.database = database

    def put(self, table, **row):
        """Store a row; fields that are None stay absent."""
        document = {"_id": _key(table, row)} | {k: v for k, v in row.items() if v is not None}
        document["stored_at"] = datetime.now(UTC)
        self.database[table].replace_one({"_id": document["_id"]}, document, upsert=True)

    def delete(self, table, key):
        """Delete a document as a tombstone does, a note of it first."""
        note = {"_id": f"{table}:{key}", "collection": table, "key": key}
        note["stored_at"] = datetime.now(UTC)
        self.database["deletions"].replace_one({"_id": note["_id"]}, note, upsert=True)
        self.database[table].delete_one({"_id": key})

    def keys(self, table):
        return [document["_id"] for document in self.database[table].find({}, ["_id"])]

    def write_csv(self, folder: Path):
        """The shop as the four CSV files."""
        folder.mkdir(parents=True, exist_ok=True)
        for table, columns in COLUMNS.items():
            with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns.split(), extrasaction="ignore")
                writer.writeheader()
                for document in self.database[table].find():
                    moment = document.get("sale_datetime")
                    shown = {"sale_datetime": moment.isoformat()} if moment else {}
                    writer.writerow(document | shown)


class RandomShop(Shop):
    """A shop whose rows are drawn: absent fields, returns, orphans, amounts of many decimals."""

    STORES, PRODUCTS, CUSTOMERS, SALES, DAYS = "ABC", 25, 12, 100, 80

    def __init__(self, database, seed):
        super().__init__(database)
        self.draw = random.Random(seed)

    def open(self):
        for number in range(self.PRODUCTS - 5):
            self.product(number)
        for number in range(self.CUSTOMERS - 4):
            self.customer(number)
        for number in range(self.SALES):
            self.sale(number)
            for line in range(self.draw.randrange(4)):
                self.line(number, line + 1)
        self.line(self.SALES + 1, 1)  # of a sale that nobody knows

    def _maybe(self, chance, value):
        return value if self.draw.random() < chance else None

    def _amount(self, most, decimals=2):
        return round(self.draw.random() * most, decimals)

    def product(self, number):
        self.put(
            "products",
            product_id=f"p{number}",
            name=f"name {self.draw.randrange(99)}",
            category=self._maybe(0.8, self.draw.choice("xyz")),
            subcategory=self._maybe(0.8, self.draw.choice("st")),
            unit_cost=self._maybe(0.6, self._amount(5, 3)),
            active=self._maybe(0.8, True),
        )

    def customer(self, number):
        self.put("customers", customer_id=f"c{number}", city=self._maybe(0.5, "León"))

    def sale(self, number):
        minutes = self.draw.randrange(60 * 24 * self.DAYS)
        self.put(
            "sales",
            sale_id=f"s:{number}",
            sale_datetime=datetime(2024, 2, 20, tzinfo=UTC) + timedelta(minutes=minutes),
            store_id=self._maybe(0.9, self.draw.choice(self.STORES)),
            customer_id=self._maybe(0.8, f"c{self.draw.randrange(self.CUSTOMERS)}"),
            payment_type=self._maybe(0.9, self.draw.choice(["card", "cash"])),
            gross_amount=self._maybe(0.5, self._amount(30)),
            discount_header=self._maybe(0.4, self._amount(3)),
            tax=self._maybe(0.5, self._amount(2)),
            total_amount=self._maybe(0.5, self._amount(30)),
        )

    def line(self, number, line):
        quantity = self.draw.choice([1.0, 2.0, -1.0, 0.333])
        self.put(
            "sales_items",
            sale_id=f"s:{number}",
            line_n=line,
            product_id=f"p{self.draw.randrange(self.PRODUCTS)}",
            quantity=self._maybe(0.9, quantity),
            unit_price=self._maybe(0.9, self._amount(10, 3)),
            gross_amount=self._maybe(0.7, self._amount(10, 3) * quantity),
            line_discount=self._maybe(0.5, self._amount(1)),
            net_amount=self._maybe(0.7, self._amount(10) * quantity),
        )

    def change_something(self):
        """One change of any kind to any of the tables."""
        number = self.draw.randrange(self.SALES + 20)
        table = self.draw.choices(list(COLUMNS), [2, 1, 4, 6])[0]
        if self.draw.random() < 0.3 and (keys := self.keys(table)):
            self.delete(table, self.draw.choice(keys))
        elif table == "products":
            self.product(number % self.PRODUCTS)
        elif table == "customers":
            self.customer(number % self.CUSTOMERS)
        elif table == "sales":
            self.sale(number)
        else:
            self.line(number, self.draw.randrange(5))


def _key(table, row):
    if table == "sales_items":
        return f"{row['sale_id']}:{row['line_n']}"
    return row[{"products": "product_id", "customers": "customer_id", "sales": "sale_id"}[table]]


def count(folder: Path, zone: str) -> dict[str, dict[str, dict]]:
    """The figures of the five collections by `_id`, from the CSV files alone."""
    tables = {
        table: pd.read_csv(folder / f"{table}.csv", dtype=str, keep_default_na=False)
        for table in COLUMNS
    }
    lines = _lines(tables["sales_items"], tables["products"])
    sales = _sales(tables["sales"], lines, zone)
    lines = lines.merge(sales[["sale_id", "day", "month", "customer_id"]], on="sale_id")
    return {
        "daily_sales_summary": _days(sales, lines),
        "store_analysis": _stores(sales),
        "top_products": _products(lines, tables["products"]),
        "customer_analysis": _customers(sales, lines),
        "category_analysis": _categories(sales, lines),
    }


def _number(text, step):
    return Decimal(text).quantize(step, ROUND_HALF_UP) if text else None


def _lines(items, products):
    rows = []
    known = products.set_index("product_id").to_dict("index")
    for row in items.itertuples():
        gross, off, net = (
            _number(text, CENT) for text in (row.gross_amount, row.line_discount, row.net_amount)
        )
        if gross is None:
            if net is not None and off is not None:
                gross = net + off
            elif row.quantity and row.unit_price:
                gross = _number(str(Decimal(row.quantity) * Decimal(row.unit_price)), CENT)
            else:
                gross = net if net is not None else Decimal(0)
        if off is None:
            off = gross - net if net is not None else Decimal(0)
        product = known.get(row.product_id, {})
        rows.append(
            {
                "sale_id": row.sale_id,
                "product_id": row.product_id,
                "category": product.get("category", ""),
                "subcategory": product.get("subcategory", ""),
                "units": _number(row.quantity, THOUSANDTH) or Decimal(0),
                "gross": gross,
                "discount": off,
                "net": gross - off if net is None else net,
            }
        )
    return pd.DataFrame(rows, columns=rows[0] if rows else ["sale_id"])


def _sales(headers, lines, zone):
    of_sale = dict(list(lines.groupby("sale_id")))
    rows = []
    for row in headers.itertuples():
        local = pd.Timestamp(row.sale_datetime).tz_convert(zone)
        off, tax = (_number(t, CENT) or Decimal(0) for t in (row.discount_header, row.tax))
        some = of_sale.get(row.sale_id)
        if some is None:
            gross = _number(row.gross_amount, CENT)
            if gross is None and row.total_amount:
                gross = _number(row.total_amount, CENT) - tax + off
            gross = gross or Decimal(0)
            units, discount, net = Decimal(0), Decimal(0), gross
        else:
            units, gross, discount, net = (
                some[name].sum() for name in ("units", "gross", "discount", "net")
            )
        rows.append(
            {
                "sale_id": row.sale_id,
                "day": f"{local:%Y-%m-%d}",
                "month": f"{local:%Y-%m}",
                "weekday": local.weekday(),
                "hour": local.hour,
                "store_id": row.store_id,
                "payment_type": row.payment_type,
                "customer_id": row.customer_id,
                "lines": 0 if some is None else len(some),
                "units": units,
                "gross": gross,
                "discount": discount + off,
                "header_discount": off,
                "net": net - off,
                "tax": tax,
            }
        )
    return pd.DataFrame(rows)


def _sums(tickets, *more):
    return {"tickets": len(tickets), "lines": int(tickets["lines"].sum())} | {
        name: float(tickets[name].sum()) for name in ("units", "gross", "discount", "net", *more)
    }


def _line_sums(lines):
    return {"tickets": lines["sale_id"].nunique(), "lines": len(lines)} | {
        name: float(lines[name].sum()) for name in ("units", "gross", "discount", "net")
    }


def _parts(frame, by, sums, *, name=None):
    names = [by] if isinstance(by, str) else by
    return [
        dict(zip([name] if name else names, key, strict=True)) | sums(some)
        for key, some in frame.groupby(names)
    ]


def _tickets_and_net(frame):
    return {"tickets": frame["sale_id"].nunique(), "net": float(frame["net"].sum())}


def _average(tickets):
    return float((tickets["net"].sum() / len(tickets)).quantize(CENT, ROUND_HALF_UP))


def _days(sales, lines):
    made = {}
    for day, tickets in sales.groupby("day"):
        here = lines[lines["day"] == day]
        returns = here[here["units"] < 0]
        known = tickets[tickets["customer_id"] != ""]
        made[day] = _sums(tickets, "header_discount", "tax") | {
            "weekday": int(tickets["weekday"].iloc[0]),
            "average_ticket": _average(tickets),
            "customers": known["customer_id"].nunique(),
            "anonymous_tickets": len(tickets) - len(known),
            "tickets_without_lines": int((tickets["lines"] == 0).sum()),
            "return_lines": len(returns),
            "returned_units": float(-returns["units"].sum()),
            "returned": float(-returns["net"].sum()),
            "by_store": _parts(tickets, "store_id", _sums, name="key"),
            "by_payment": _parts(tickets, "payment_type", _sums, name="key"),
            "by_hour": _parts(tickets, "hour", _sums, name="key"),
            "by_category": _parts(here, "category", _line_sums, name="key"),
        }
    return made


def _ranked(made, net_by_day, last_day):
    total = sum(Decimal(str(row["net"])) for row in made.values())
    end = pd.Timestamp(last_day)
    for key, row in made.items():
        row["rank"] = 1 + sum(other["net"] > row["net"] for other in made.values())
        row["share"] = round(float(Decimal(str(row["net"])) / total), 6)
        age = {day: (end - pd.Timestamp(day)).days for day in net_by_day[key]}
        last, before = (
            sum((net for day, net in net_by_day[key].items() if low <= age[day] < high), Decimal(0))
            for low, high in ((0, 30), (30, 60))
        )
        row["net_last"], row["net_before"] = float(last), float(before)
        row["trend"] = round(float(last / before - 1), 6) if before > 0 else None
    return made


def _stores(sales):
    made, by_day = {}, {}
    for store, tickets in sales.groupby("store_id"):
        made[store] = _sums(tickets, "tax") | {
            "customers": tickets["customer_id"].replace("", None).nunique(),
            "average_ticket": _average(tickets),
            "months": _parts(tickets, "month", _sums),
            "hours": _parts(tickets, ["weekday", "hour"], _tickets_and_net),
            "payments": _parts(tickets, "payment_type", _tickets_and_net),
        }
        by_day[store] = tickets.groupby("day")["net"].sum().to_dict()
    return _ranked(made, by_day, sales["day"].max())


def _products(lines, products):
    known = products.set_index("product_id").to_dict("index")
    made = {}
    for product_id, some in lines.groupby("product_id"):
        sums = _line_sums(some)
        product = known.get(product_id, {})
        revenue, margin = some["net"].sum(), None
        if product.get("unit_cost"):
            cost = Decimal(product["unit_cost"]) * some["units"].sum()
            margin = revenue - cost.quantize(CENT, ROUND_HALF_UP)
        made[product_id] = {k: v for k, v in sums.items() if k != "net"} | {
            "revenue": sums["net"],
            "name": product.get("name") or None,
            "category": product.get("category", ""),
            "subcategory": product.get("subcategory", ""),
            "margin": None if margin is None else float(margin),
            "months": _parts(some, "month", _line_sums),
        }
    for row in made.values():
        row["rank"] = 1 + sum(other["revenue"] > row["revenue"] for other in made.values())
    return made


def _customers(sales, lines):
    last_day, made = pd.Timestamp(sales["day"].max()), {}
    for customer, tickets in sales[sales["customer_id"] != ""].groupby("customer_id"):
        sums = _sums(tickets)
        categories = _parts(
            lines[lines["customer_id"] == customer], "category", _tickets_and_net, name="key"
        )
        stores = _parts(tickets, "store_id", _tickets_and_net, name="key")
        made[customer] = {k: v for k, v in sums.items() if k not in ("tickets", "net")} | {
            "frequency": sums["tickets"],
            "monetary": sums["net"],
            "average_ticket": _average(tickets),
            "first_purchase": tickets["day"].min(),
            "last_purchase": tickets["day"].max(),
            "recency": (last_day - pd.Timestamp(tickets["day"].max())).days,
            "days": _parts(tickets, "day", _tickets_and_net),
            "categories": categories,
            "stores": stores,
            "favourite_category": _favourite(categories),
            "favourite_store": _favourite(stores),
        }
    for name, of, sign in (
        ("recency_score", "recency", -1),
        ("frequency_score", "frequency", 1),
        ("monetary_score", "monetary", 1),
    ):
        for row in made.values():
            worse = sum(sign * other[of] < sign * row[of] for other in made.values())
            row[name] = 1 + worse * 5 // len(made)
    return made


def _favourite(parts):
    best = min(parts, key=lambda p: (-p["tickets"], -p["net"], p["key"]), default={"key": ""})
    return best["key"]


def _categories(sales, lines):
    made, by_day = {}, {}
    for category, some in lines.groupby("category"):
        made[category] = _line_sums(some) | {
            "customers": some["customer_id"].replace("", None).nunique(),
            "subcategories": _parts(some, "subcategory", _line_sums),
            "months": _parts(some, "month", _line_sums),
        }
        by_day[category] = some.groupby("day")["net"].sum().to_dict()
    return _ranked(made, by_day, sales["day"].max())

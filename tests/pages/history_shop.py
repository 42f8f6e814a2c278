"""A small shop in MongoDB that the processor has summed up, and what a view of it must show."""

import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

from pymongo.database import Database

from config import Settings
from tests.environments import ROOT, environment
from tests.waiting import PATIENCE

FIRST, LAST = date(2025, 1, 1), date(2025, 4, 30)

HTML_STORE = '<b onmouseover="alert(1)">Tienda</b> & "más"'
SCRIPT_NAME = "<script>alert('x')</script><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://example.com","x")'
LONG = "Producto de nombre larguísimo " * 7
EMOJI = "Café ☕ :smile: **gratis** $5$ 😀"

STORES = [HTML_STORE, "7", "Centro", None]
PAYMENTS = ["card", "cash", "=1+1", None]
CATEGORIES = ["Bebidas", SCRIPT_NAME, "@Ofertas", None]
PRODUCTS = [SCRIPT_NAME, FORMULA, LONG, EMOJI, None, "Pan", "Pan", "-Leche"]

Sale = dict
Lines = list[dict]


def make_shop(database: Database) -> tuple[list[Sale], dict[str, Lines], dict[str, str]]:
    """Fill MongoDB as the sink does; the sales, their lines, the category of each product."""
    draw = random.Random(7)
    products, categories = [], {}
    for number, name in enumerate(PRODUCTS):
        key = f"P{number}"
        category = CATEGORIES[number % len(CATEGORIES)]
        categories[key] = category or ""
        products.append(
            {"_id": key, "product_id": key, "name": name, "category": category,
             "subcategory": f"Sub {number % 3}", "unit_cost": 1.0 if number % 2 else None}
        )  # fmt: skip
    customers = [
        {"_id": f"C{n}", "customer_id": f"C{n}", "first_name": [FORMULA, "Ana", SCRIPT_NAME][n % 3],
         "last_name": f"Pérez {n}"}
        for n in range(30)
    ]  # fmt: skip
    sales, lines = [], {}
    for number in range(600):
        moment = datetime(2025, 1, 1, 8, tzinfo=UTC) + timedelta(
            days=number // 5, minutes=draw.randrange(720)
        )
        customer = f"C{draw.randrange(30)}" if draw.random() < 0.9 else None
        sale = {
            "_id": f"S{number}", "sale_id": f"S{number}", "sale_datetime": moment,
            "customer_id": customer, "payment_type": draw.choice(PAYMENTS),
            "store_id": draw.choices(STORES, [4, 3, 2, 1])[0], "tax": 0.5,
            "discount_header": 0.25 if number % 10 == 0 else None,
        }  # fmt: skip
        sales.append(sale)
        lines[sale["sale_id"]] = []
        for line in range(1, draw.randrange(1, 5) + 1):
            units = -1 if draw.random() < 0.03 else draw.randrange(1, 4)
            cents = draw.randrange(50, 2_000) * units
            lines[sale["sale_id"]].append(
                {"_id": f"S{number}:{line}", "sale_id": f"S{number}", "line_n": line,
                 "product_id": f"P{draw.randrange(len(PRODUCTS))}", "quantity": float(units),
                 "gross_amount": cents / 100, "line_discount": 0.0, "net_amount": cents / 100}
            )  # fmt: skip
    database["products"].insert_many([_known(each) for each in products])
    database["customers"].insert_many(customers)
    add_sales(database, sales, lines)
    return sales, lines, categories


def add_sales(database: Database, sales: list[Sale], lines: dict[str, Lines]) -> None:
    database["sales"].insert_many([_known(sale) for sale in sales])
    database["sales_items"].insert_many([line for each in lines.values() for line in each])


def _known(document: dict) -> dict:
    stored = {name: value for name, value in document.items() if value is not None}
    return stored | {"stored_at": datetime.now(UTC)}


def process(settings: Settings) -> None:
    """Run the processor once, over everything."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "mongo_data_processor_completo.py"), "--once"],
        cwd=ROOT,
        env=environment(settings),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert 0 == done.returncode, done.stderr


class Shop:
    """The sales of the test, and what a view of them must show."""

    def __init__(self, database: Database) -> None:
        self.sales, self.lines, self.categories = make_shop(database)

    def figures(
        self,
        first: date = FIRST,
        last: date = LAST,
        category: str | None = None,
        product: str | None = None,
        **header: str | None,
    ) -> tuple[int, int]:
        """Tickets and net in cents, by hand."""
        tickets = net = 0
        for sale in self.sales:
            if not first <= sale["sale_datetime"].date() <= last:
                continue
            if any((sale[name] or "") != value for name, value in header.items()):
                continue
            counted = [
                line
                for line in self.lines[sale["sale_id"]]
                if category in (None, self.categories[line["product_id"]])
                and product in (None, line["product_id"])
            ]
            if not counted:
                continue
            tickets += 1
            net += sum(round(line["net_amount"] * 100) for line in counted)
            if category is None and product is None:
                net -= round((sale["discount_header"] or 0) * 100)
        return tickets, net

"""The data contract: the one home of table, topic, collection and field names.

A row of a CSV file, a message of Kafka and a document of MongoDB are the same record in three
forms. Its fields stand once, in the classes below; everything else is derived from them.
"""

from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

ID_LENGTH_MAX = 1_000  # characters; some hundred ids are asked of MongoDB at once
# how a truth may be written in a file, in any case
TRUE = ("true", "t", "1", "1.0", "yes", "y", "si", "sí", "s", "verdadero")
FALSE = ("false", "f", "0", "0.0", "no", "n", "falso")
Key = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
Id = Annotated[str, Meta(max_length=ID_LENGTH_MAX)]
Moment = Annotated[datetime, Meta(tz=True)]  # JSON: ISO 8601 with an offset; MongoDB: a date in UTC


class Product(Struct, omit_defaults=True):
    """A product of the catalogue; money in the shop's currency."""

    product_id: Key
    name: str | None = None
    category: str | None = None
    subcategory: str | None = None
    unit_price: float | None = None
    unit_cost: float | None = None
    supplier_code: str | None = None
    stock: float | None = None
    created_at: Moment | None = None
    active: bool | None = None


class Customer(Struct, omit_defaults=True):
    """A customer; age in years."""

    customer_id: Key
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    segment: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    age: int | None = None
    registration_date: Moment | None = None


class Sale(Struct, omit_defaults=True):
    """The header of a sale. `items_count` is its number of lines, or so it says."""

    sale_id: Key
    sale_datetime: Moment
    customer_id: Id | None = None
    payment_type: str | None = None
    store_id: Id | None = None
    items_count: int | None = None
    gross_amount: float | None = None
    discount_header: float | None = None
    tax: float | None = None
    total_amount: float | None = None


class SaleItem(Struct, omit_defaults=True):
    """A line of a sale; a negative quantity is a return."""

    sale_id: Key
    line_n: int
    product_id: Key
    quantity: float | None = None
    unit_price: float | None = None
    gross_amount: float | None = None
    line_discount: float | None = None
    net_amount: float | None = None


Record = Product | Customer | Sale | SaleItem


class BasketProduct(Struct):
    """A line of the basket that a recommendation answers; names are None where none is known."""

    product_id: str
    product_name: str | None = None
    category: str | None = None
    quantity: float | None = None
    net_amount: float | None = None


class Reason(Struct):
    """A product of the basket that led to a recommendation, and its part of it in percent."""

    product_id: str
    product_name: str | None
    share: float


class RecommendedProduct(Struct):
    """One product recommended; percentages go from 0 to 100, ranking from 1.

    `confidence_percentage` is the probability that the customer's next sale holds the product;
    `support` the number of past sales that hold it together with the basket's products;
    `source` is model, category or popular.
    """

    product_id: str
    product_name: str | None
    category: str | None
    relevancia: float
    relevancia_percentage: float
    confidence_percentage: float
    ranking: int
    ranking_percentage: float
    support: int
    source: str
    because_of: list[Reason]


class Recommendation(Struct):
    """The answer to a sale: a message of its topic and, with `_id`, a document of its collection.

    `timestamp` is the sale's, `created_at` the answer's; `complete` is False when lines were
    missing at the deadline; `latency_ms` runs from the sale's entry in Kafka to `created_at`;
    `control` is True where the sale got bestsellers only, for the others to be compared with.
    """

    sale_id: str
    customer_id: str | None
    store_id: str | None
    payment_type: str | None
    timestamp: datetime
    created_at: datetime
    algo: str
    model_version: str
    complete: bool
    latency_ms: float
    basket_products: list[BasketProduct]
    recommendations: list[RecommendedProduct]
    control: bool = False


class Table(NamedTuple):
    """One of the four tables of the ERP, whatever it travels in."""

    name: str  # the collection, the CSV file without its ending, the topic without its prefix
    record: type[Record]
    message_key: str  # the field that decides the partition

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields in the order of the contract."""
        return self.record.__struct_fields__

    @property
    def natural_key(self) -> tuple[str, ...]:
        """The fields that no two rows share."""
        return ("sale_id", "line_n") if self.record is SaleItem else (self.message_key,)

    @property
    def ids(self) -> tuple[str, ...]:
        """The fields that name something, of at most ID_LENGTH_MAX characters."""
        return tuple(name for name in self.columns if name.endswith("_id"))

    @property
    def required(self) -> tuple[str, ...]:
        """The fields that every row must have."""
        return tuple(field.name for field in msgspec.structs.fields(self.record) if field.required)


PRODUCTS = Table("products", Product, "product_id")
CUSTOMERS = Table("customers", Customer, "customer_id")
SALES = Table("sales", Sale, "sale_id")
SALES_ITEMS = Table("sales_items", SaleItem, "sale_id")
TABLES = (PRODUCTS, CUSTOMERS, SALES, SALES_ITEMS)  # in the order in which they are produced

RECOMMENDATIONS = "recommendations"
DEAD_LETTER = "dead_letter"
DELETIONS = "deletions"  # collection of the sink: which documents a tombstone deleted, and when
DAILY_SALES = "daily_sales_summary"
STORES = "store_analysis"
TOP_PRODUCTS = "top_products"
CUSTOMER_ANALYSIS = "customer_analysis"
CATEGORIES = "category_analysis"
RECOMMENDATION_PERFORMANCE = "recommendation_performance"

TOPICS = (*(table.name for table in TABLES), RECOMMENDATIONS, DEAD_LETTER)


def document_id(table: Table, record: Record) -> str:
    """The `_id` of the record's document: its natural key, text."""
    if isinstance(record, SaleItem):
        return item_id(record.sale_id, record.line_n)
    return getattr(record, table.message_key)


def item_id(sale_id: str, line_n: int) -> str:
    """The `_id` of a line of a sale: `sale_id:line_n`, split at the last colon."""
    return f"{sale_id}:{line_n}"


def document(table: Table, record: Record) -> dict[str, Any]:
    """The record as MongoDB keeps it: `_id` and the fields that have a value."""
    times = None if isinstance(record, SaleItem) else (datetime,)  # which a line has none of
    fields = msgspec.to_builtins(record, builtin_types=times)
    fields["_id"] = document_id(table, record)  # the driver writes it first
    return fields

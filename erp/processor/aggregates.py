"""The aggregates: what the processor writes and the pages read, and what every figure means.

Five collections of the contract, small documents that a person can read, and the facts behind
them (`daily_sales_facts`): each day's tickets and lines as two packed tables, from which a page
answers any mixture of filters (dates, stores, categories, payments, a product) exactly, because
tickets and customers can be counted once each. Read all of them through erp.processor.snapshots,
which shows one finished round and nothing in between. What became of the recommendations is apart,
in erp.processor.performance.

What counts
-----------
- A ticket is a document of `sales`; its day, weekday and hour are those of the business time zone.
- A line counts on the day of its sale. A line whose sale is unknown counts nowhere but in the
  stamp (`orphan_lines`) until the sale comes.
- gross, discount and net come from the lines; the discount of the header (which belongs to no
  line) is added to the discount and taken from the net of the ticket, hence of the day, store,
  payment and customer, but not of a category or product. tax is the header's. A ticket without
  any line yet counts with the header's amounts, and once more as `tickets_without_lines`.
- A line's gross that is absent is net + discount, or else quantity x unit price; an absent
  discount is gross - net; an absent net is gross - discount. What cannot be known counts 0.
- Returns (negative quantity) count like every line, with their sign: units and amounts go down.
- Amounts are in the shop's currency. Each is rounded to cents, halves away from zero, as it is
  read; sums are sums of whole cents. Units are rounded to thousandths in the same way.
- A sale without a customer counts everywhere except in customer_analysis and in `customers`.
- An id or a category that is absent is the text "" (UNKNOWN); a product or customer that no
  document describes has its own row, without a name.
- Only what was sold, or bought, at least once has a document.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct

from erp import contract

FACTS: Final = "daily_sales_facts"
STATE: Final = "processor_state"
JOURNAL: Final = "processor_journal"
COLLECTIONS: Final = (
    contract.DAILY_SALES,
    contract.STORES,
    contract.TOP_PRODUCTS,
    contract.CUSTOMER_ANALYSIS,
    contract.CATEGORIES,
    FACTS,
)

VERSION: Final = 1  # of the documents; a run that finds another one computes everything anew
UNKNOWN: Final = ""  # store, payment, category, customer or subcategory that is absent
TREND_DAYS: Final = 30  # `trend` compares the last 30 days of the data with the 30 before
RANKED_PRODUCTS: Final = 1_000  # products that have a rank
TICKET_BOUNDS: Final = (0, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1_000)  # currency


class Split(Struct):
    """A part of a day by one value (a store, a payment type, a category or an hour)."""

    key: str | int  # the store, payment or category; the hour 0 to 23
    tickets: int  # with at least one line of it, where the key is a category
    lines: int
    units: float
    gross: float
    discount: float
    net: float


class DailySales(Struct):
    """daily_sales_summary: one document a day that has a ticket."""

    _id: str  # the day, YYYY-MM-DD
    weekday: int  # 0 is Monday
    tickets: int
    lines: int
    units: float
    gross: float
    discount: float  # of lines and headers
    header_discount: float  # the part of `discount` that belongs to no line
    net: float
    tax: float
    average_ticket: float  # net / tickets
    customers: int  # distinct, anonymous tickets aside
    anonymous_tickets: int
    tickets_without_lines: int
    return_lines: int  # lines of negative quantity
    returned_units: float  # as a positive number
    returned: float  # net of these lines as a positive number
    by_store: list[Split]
    by_payment: list[Split]
    by_category: list[Split]  # net before header discounts
    by_hour: list[Split]
    ticket_histogram: list[int]  # tickets by net: below 0, then from each of TICKET_BOUNDS on


class Month(Struct):
    """A part of a store, product, category or customer."""

    month: str  # YYYY-MM
    tickets: int
    lines: int
    units: float
    gross: float
    discount: float
    net: float


class Hour(Struct):
    """A cell of the week."""

    weekday: int  # 0 is Monday
    hour: int  # 0 to 23
    tickets: int
    net: float


class PaymentPart(Struct):
    """A store's tickets of one payment type."""

    payment_type: str
    tickets: int
    net: float


class Store(Struct):
    """store_analysis: one document a store."""

    _id: str  # store_id
    tickets: int
    lines: int
    units: float
    gross: float
    discount: float
    net: float
    tax: float
    average_ticket: float
    customers: int  # distinct
    rank: int  # from 1, by net; equal nets share the better rank
    share: float  # of the net of all stores, 0 to 1
    net_last: float  # of the last TREND_DAYS days of the data
    net_before: float  # of the TREND_DAYS days before those
    trend: float | None  # net_last / net_before - 1; None when net_before is not positive
    months: list[Month]  # in order; only months with a ticket
    hours: list[Hour]  # in order; only cells with a ticket
    payments: list[PaymentPart]


class TopProduct(Struct):
    """top_products: one document a product that was sold."""

    _id: str  # product_id
    name: str | None
    category: str  # UNKNOWN when absent
    subcategory: str
    unit_price: float | None  # of the catalogue
    unit_cost: float | None  # of the catalogue
    active: bool | None
    tickets: int
    lines: int
    units: float
    gross: float
    discount: float
    revenue: float  # net of its lines, before header discounts
    margin: float | None  # revenue - units * unit_cost; None when the cost is not known
    margin_percentage: float | None  # of the revenue; None when that is not positive
    rank: int | None  # by revenue, from 1; equal revenues share it; None after RANKED_PRODUCTS
    months: list[Month]


class CustomerDay(Struct):
    """A customer's purchases on a day."""

    day: str  # YYYY-MM-DD
    tickets: int
    net: float


class CustomerPart(Struct):
    """A customer's purchases in one store or of one category."""

    key: str
    tickets: int
    net: float


class CustomerRow(Struct):
    """customer_analysis: one document a customer who bought. RFM: see erp.processor.rfm."""

    _id: str  # customer_id
    first_name: str | None
    last_name: str | None
    customer_segment: str | None  # `segment` of the customer's own document
    city: str | None
    state: str | None
    country: str | None
    first_purchase: str  # YYYY-MM-DD
    last_purchase: str
    recency: int  # days from the last purchase to the last day of the data
    frequency: int  # tickets
    monetary: float  # net
    lines: int
    units: float
    gross: float
    discount: float
    average_ticket: float
    recency_score: int  # 1 to 5, 5 is best; so are the next two
    frequency_score: int
    monetary_score: int
    segment: str  # one of erp.processor.rfm.SEGMENTS
    favourite_category: str  # of most tickets, then of most net, then the first by name
    favourite_store: str
    days: list[CustomerDay]  # in order
    categories: list[CustomerPart]
    stores: list[CustomerPart]


class SubcategoryPart(Struct):
    """A part of a category."""

    subcategory: str
    tickets: int
    lines: int
    units: float
    gross: float
    discount: float
    net: float


class Category(Struct):
    """category_analysis: one document a category; net is before header discounts."""

    _id: str  # the category; UNKNOWN for products without one
    tickets: int  # with at least one line of it
    lines: int
    units: float
    gross: float
    discount: float
    net: float
    customers: int  # distinct
    rank: int
    share: float
    net_last: float
    net_before: float
    trend: float | None
    subcategories: list[SubcategoryPart]
    months: list[Month]


class Stamp(Struct):
    """processor_state, the document "stamp": when and up to what the aggregates were computed."""

    round: int  # grows with each published change; a key for a page's cache
    computed_at: datetime  # when the round that is seen was computed
    checked_at: datetime  # when the processor last looked for changes
    up_to_sale: str | None  # the newest sale that counts, by time, then by id
    up_to_time: datetime | None  # its sale_datetime
    first_day: str | None
    last_day: str | None  # "the last day of the data"
    sales: int
    lines: int  # with a sale
    orphan_lines: int  # lines whose sale is unknown
    timezone: str


# The frames of erp.processor.snapshots.read_facts, for pages. Amounts are Int64 in CENTS, units are
# Int64 in THOUSANDTHS; ids, categories and payment types are Categorical, UNKNOWN where absent.
#
# sales: one row a ticket
#   sale UInt32 (joins lines; valid in this answer alone), sale_id String, day Date,
#   weekday Int8 (0 is Monday), hour Int8, store_id, payment_type, customer_id,
#   lines Int32, units, gross, discount (with the header's), header_discount, net, tax
# lines: one row a line
#   sale UInt32, product_id, category, subcategory, units, gross, discount, net

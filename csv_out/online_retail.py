"""Online Retail (UCI, doi 10.24432/C5BW33) and exports like it: one dirty table of invoice lines.

Columns: InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country.
Whatever is wrong with a line stands in DROPPED, the first rule that holds decides; what is put
right is counted in `_put_right`. Times have no offset in the data and get none.
"""

from typing import NamedTuple

import polars as pl

from csv_out.product_names import title_case
from csv_out.tables import Count, Prepared, cents, plain_number, prepared

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
OTHER_NAMES = {"Invoice": "InvoiceNo", "Price": "UnitPrice"}  # in the second edition
TIME_FORMATS = (  # the one that reads most of the file; of two equals, the first
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%d.%m.%Y %H:%M",
)
ABSENT = ("", "nan", "NaN", "None", "NULL")
NON_PRODUCTS = {
    "POST": "postage",
    "DOT": "postage of the web shop",
    "C2": "carriage",
    "C3": "carriage",
    "D": "discount",
    "M": "an amount keyed in by hand",
    "B": "bad debt",
    "S": "samples",
    "ADJUST": "adjustment",
    "ADJUST2": "adjustment",
    "BANK CHARGES": "bank charges",
    "AMAZONFEE": "the market place's fee",
    "CRUK": "commission to a charity",
    "GIFT": "gift voucher",
}
NON_PRODUCT_PREFIXES = ("GIFT_", "TEST")  # gift vouchers of every amount, tests of the till

NOTES = [
    "Times are the shop's own, without an offset: BUSINESS_TIMEZONE=Europe/London for UCI's file.",
    "A cancellation is a sale of its own under its number (C...), with negative quantities.",
]

_code = pl.col("product_id")
_is_cancellation = pl.col("sale_id").str.starts_with("C")


class Rule(NamedTuple):
    """A line for which `holds` is true does not reach the output."""

    name: str
    holds: pl.Expr
    meaning: str


DROPPED = (
    Rule(
        "exact duplicate",
        pl.col("repeated"),
        "all eight columns as in an earlier line",
    ),
    Rule(
        "no invoice or product",
        pl.col("sale_id").is_null() | _code.is_null(),
        "a line of nothing",
    ),
    Rule("unreadable time", pl.col("time").is_null(), "no date and time in the file's format"),
    Rule(
        "not a product",
        _code.is_in(NON_PRODUCTS)
        | pl.any_horizontal(map(_code.str.starts_with, NON_PRODUCT_PREFIXES)),
        "postage, fees, discounts, samples, vouchers and adjustments by hand",
    ),
    Rule(
        "bad quantity",
        ~pl.col("quantity").is_finite().fill_null(False) | (pl.col("quantity") == 0),
        "no number, not finite, or zero",
    ),
    Rule(
        "stock correction",
        (pl.col("quantity") < 0) != _is_cancellation,
        "negative on an invoice that is no cancellation (or positive on one that is)",
    ),
    Rule(
        "bad price",
        ~pl.col("price").is_finite().fill_null(False) | (pl.col("price") <= 0),
        "no number, not finite, zero or negative: free goods, write-offs",
    ),
)


def load(source: pl.DataFrame) -> Prepared:
    """The four tables of a table of invoice lines whose columns are COLUMNS, all text."""
    first_reason = pl.coalesce(pl.when(rule.holds).then(pl.lit(rule.name)) for rule in DROPPED)
    judged = _typed(_tidied(source)).with_columns(dropped=first_reason)
    hits = dict(judged["dropped"].drop_nulls().value_counts().iter_rows())
    kept = judged.filter(pl.col("dropped").is_null()).drop("dropped", "repeated")

    sales = _sales(kept)
    of_sale = sales.select("sale_id", "sale_time", "customer_id")
    kept = kept.drop("customer_id").join(of_sale, on="sale_id").sort("sale_time", "sale_id", "line")
    products = _products(kept)
    counts = [Count(rule.name, hits.get(rule.name, 0), None, rule.meaning) for rule in DROPPED]
    return prepared(
        products=products,
        customers=_customers(kept),
        sales=sales,
        lines=_lines(kept),
        lines_in=source.height,
        counts=counts + _put_right(kept, products),
        notes=NOTES,
    )


def _tidied(source: pl.DataFrame) -> pl.DataFrame:
    """Without blanks around and with absent as null; codes in capitals, customers as whole numbers.

    `recoded` and `redone` say where a code or a customer was written otherwise.
    """
    tidy = source.select(pl.col(COLUMNS).str.strip_chars().replace(ABSENT, None)).with_columns(
        pl.col("InvoiceNo", "StockCode").str.to_uppercase(),
        pl.col("Description").str.replace_all(r"\s+", " "),
        customer=pl.col("CustomerID").str.replace(r"^(\d+)\.0+$", "$1"),
    )
    return tidy.with_columns(
        CustomerID="customer",
        recoded=tidy["StockCode"] != source["StockCode"],
        redone=tidy["CustomerID"] != tidy["customer"],
    )


def _typed(tidy: pl.DataFrame) -> pl.DataFrame:
    return tidy.select(
        "recoded",
        "redone",
        sale_id="InvoiceNo",
        product_id="StockCode",
        description="Description",
        customer_id="CustomerID",
        country="Country",
        line=pl.int_range(pl.len(), dtype=pl.UInt32),
        repeated=~pl.struct(COLUMNS).is_first_distinct(),
        time=pl.col("InvoiceDate").str.to_datetime(_time_format(tidy["InvoiceDate"]), strict=False),
        quantity=pl.col("Quantity").cast(pl.Float64, strict=False),
        price=pl.col("UnitPrice").cast(pl.Float64, strict=False),
    )


def _time_format(times: pl.Series) -> str:
    seen = times.drop_nulls().unique()
    return max(
        TIME_FORMATS,
        key=lambda style: seen.str.to_datetime(style, strict=False).is_not_null().sum(),
    )


def _sales(kept: pl.DataFrame) -> pl.DataFrame:
    """Invoices in order of time: the earliest time and the first customer of their lines."""
    sales = kept.group_by("sale_id").agg(
        sale_time=pl.col("time").min(), customer_id=pl.col("customer_id").drop_nulls().first()
    )
    return sales.sort("sale_time", "sale_id").with_columns(
        sale_datetime=pl.col("sale_time").dt.strftime("%Y-%m-%dT%H:%M:%S"),
        off=pl.lit(None, dtype=pl.Int64),
    )


def _lines(kept: pl.DataFrame) -> pl.DataFrame:
    return kept.select(
        "sale_id",
        "product_id",
        quantity=plain_number("quantity"),
        unit_price="price",
        gross=cents(pl.col("quantity") * pl.col("price")),
        discount=pl.lit(None, dtype=pl.Int64),
    ).with_columns(net="gross")


def _products(kept: pl.DataFrame) -> pl.DataFrame:
    """Code, commonest description in title case, and the median of the prices charged.

    Of two descriptions that are as common the first of the alphabet; two products of one name are
    told apart by their codes.
    """
    products = kept.group_by("product_id").agg(
        unit_price=pl.col("price").quantile(0.5, "lower").round(2)
    )
    named = _commonest(kept, "product_id", "description").select(
        "product_id",
        name=pl.col("description").map_elements(title_case, return_dtype=pl.String),
    )
    products = products.join(named, on="product_id", how="left").sort("product_id")
    shared = pl.col("name").is_not_null() & pl.col("name").is_duplicated()
    return products.with_columns(
        name=pl.when(shared).then(pl.format("{} ({})", "name", "product_id")).otherwise("name"),
        shared=shared,
        active=True,
    )


def _customers(kept: pl.DataFrame) -> pl.DataFrame:
    known = kept.filter(pl.col("customer_id").is_not_null())
    where = known.filter(pl.col("country") != "Unspecified")
    return (
        known.select(pl.col("customer_id").unique().sort())
        .join(_commonest(where, "customer_id", "country"), on="customer_id", how="left")
        .sort("customer_id")
    )


def _commonest(frame: pl.DataFrame, key: str, value: str) -> pl.DataFrame:
    return (
        frame.filter(pl.col(value).is_not_null())
        .group_by(key, value)
        .len()
        .sort(pl.col("len"), pl.col(value), descending=[True, False])
        .unique(key, keep="first", maintain_order=True)
        .drop("len")
    )


def _put_right(kept: pl.DataFrame, products: pl.DataFrame) -> list[Count]:
    """What was changed on the lines that were kept."""
    differing = kept.group_by("product_id").agg(pl.col("description").drop_nulls().n_unique())
    moving = kept.filter(pl.col("customer_id").is_not_null())
    moving = moving.group_by("customer_id").agg(pl.col("country").drop_nulls().n_unique())
    torn = kept.filter(pl.col("time") != pl.col("sale_time"))
    return [
        Count(
            "code in another case",
            None,
            kept["recoded"].sum(),
            "lines: in capitals and without blanks",
        ),
        Count(
            "customer as a decimal",
            None,
            kept["redone"].sum(),
            "lines: 17850.0 is 17850",
        ),
        Count(
            "no customer",
            None,
            kept["customer_id"].null_count(),
            "lines: kept, the customer stays absent",
        ),
        Count(
            "cancellation",
            None,
            kept.filter(_is_cancellation).height,
            "lines: kept as returns",
        ),
        Count(
            "two time stamps",
            None,
            torn["sale_id"].n_unique(),
            "invoices: the earliest is the sale's",
        ),
        Count(
            "several descriptions",
            None,
            differing.filter(pl.col("description") > 1).height,
            "products: the commonest is the name",
        ),
        Count(
            "shared name",
            None,
            products["shared"].sum(),
            "products: told apart by their codes",
        ),
        Count(
            "several countries",
            None,
            moving.filter(pl.col("country") > 1).height,
            "customers: the commonest is theirs",
        ),
    ]

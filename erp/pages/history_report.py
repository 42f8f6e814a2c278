"""A view of the history with everything that the page shows of it, each part computed once."""

from datetime import date
from functools import cached_property

import polars as pl

from erp.pages import sales_history
from erp.pages.formats import change_from
from erp.pages.sales_history import Facts, Step, View
from erp.processor.aggregates import UNKNOWN

CATALOGUE_FIELDS = ("name", "category", "unit_cost")  # of top_products
PEOPLE_FIELDS = (  # of customer_analysis
    "first_name",
    "last_name",
    "segment",
    "recency",
    "first_purchase",
    "last_purchase",
    "favourite_category",
    "favourite_store",
)


class Report:
    """The answers about one view; what is not asked for is not computed.

    Parameters
    ----------
    facts : all tickets and lines of the round.
    view : what of it is looked at.
    first_day : of the data, which tells whether the period before is whole.
    catalogue : product_id, name, unit_cost; a row for each product that was sold.
    people : customer_id, name, segment and more of customer_analysis.
    """

    def __init__(
        self,
        facts: Facts,
        view: View,
        first_day: date,
        catalogue: pl.DataFrame,
        people: pl.DataFrame,
    ) -> None:
        self.view = view
        self.view_before = sales_history.period_before(view, first_day)
        self._catalogue, self._people = catalogue, people
        self.now = sales_history.narrow(facts, view)
        self.before = sales_history.narrow(facts, self.view_before) if self.view_before else None

    @cached_property
    def figures(self) -> dict[str, float | None]:
        return sales_history.key_figures(self.now.sales)

    @cached_property
    def changes(self) -> dict[str, float | None]:
        """The change of each key figure against the period before, as a ratio."""
        if self.before is None:
            return dict.fromkeys(self.figures)
        earlier = sales_history.key_figures(self.before.sales)
        return {name: change_from(earlier[name], now) for name, now in self.figures.items()}

    def over_time(self, step: Step) -> pl.DataFrame:
        return sales_history.over_time(self.now.sales, self.view, step)

    @cached_property
    def sparks(self) -> pl.DataFrame:
        """About 30 steps or fewer for the small charts of the key figures."""
        days = self.view.days
        return self.over_time("day" if days <= 45 else "week" if days <= 370 else "month")

    @cached_property
    def stores(self) -> pl.DataFrame:
        before = self.before.sales if self.before else None
        return sales_history.by_ticket_key(self.now.sales, "store_id", before)

    @cached_property
    def payments(self) -> pl.DataFrame:
        before = self.before.sales if self.before else None
        return sales_history.by_ticket_key(self.now.sales, "payment_type", before)

    @cached_property
    def categories(self) -> pl.DataFrame:
        before = self.before.lines if self.before else None
        return sales_history.by_line_key(self.now.lines, "category", before)

    @cached_property
    def subcategories(self) -> pl.DataFrame:
        return sales_history.subcategories(self.now.lines)

    @cached_property
    def products(self) -> pl.DataFrame:
        before = self.before.lines if self.before else None
        found = sales_history.by_line_key(self.now.lines, "product_id", before)
        return sales_history.with_margin(found, self._catalogue)

    @cached_property
    def customers(self) -> pl.DataFrame:
        return sales_history.customers(self.now.sales, self._people)

    @cached_property
    def segments(self) -> pl.DataFrame:
        return sales_history.segments(self.customers)

    @cached_property
    def week(self) -> pl.DataFrame:
        return sales_history.week(self.now.sales)

    @cached_property
    def ticket_sizes(self) -> pl.DataFrame:
        return sales_history.ticket_sizes(self.now.sales)


def people(documents: list[dict]) -> pl.DataFrame:
    """customer_analysis as the frame that Report takes."""
    rows = [
        {
            "customer_id": each["_id"],
            "name": " ".join(filter(None, (each.get("first_name"), each.get("last_name")))) or None,
            "segment": each["segment"],
            "recency": each["recency"],
            "first_purchase": date.fromisoformat(each["first_purchase"]),
            "last_purchase": date.fromisoformat(each["last_purchase"]),
            "favourite_category": each["favourite_category"] or None,
            "favourite_store": each["favourite_store"] or None,
        }
        for each in documents
    ]
    schema = {
        "customer_id": pl.String, "name": pl.String, "segment": pl.String, "recency": pl.Int64,
        "first_purchase": pl.Date, "last_purchase": pl.Date, "favourite_category": pl.String,
        "favourite_store": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def catalogue(documents: list[dict]) -> pl.DataFrame:
    """top_products as the frame that Report takes."""
    rows = [
        {
            "product_id": each["_id"],
            "name": each.get("name"),
            "category": each.get("category") or UNKNOWN,
            "unit_cost": each.get("unit_cost"),
        }
        for each in documents
    ]
    schema = {
        "product_id": pl.String, "name": pl.String, "category": pl.String, "unit_cost": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)

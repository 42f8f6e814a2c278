"""What the history page shows, computed from the facts of the aggregates.

A view is a choice of days, stores, categories, payment types and products. Everything the page
shows is a function of the tickets and lines that the view holds. A view by category or product
counts only those lines: its amounts are theirs, and its tickets those with at least one of them.

Frames are as erp.processor.aggregates describes them: cents, thousandths of units. What is returned
for showing is in currency and units; a share is a ratio of 0 to 1.
"""

import calendar
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal, NamedTuple

import polars as pl

Step = Literal["day", "week", "month"]

AVERAGED = {"day": 7, "week": 4, "month": 3}  # steps in the moving average
_TRUNCATE = {"day": "1d", "week": "1w", "month": "1mo"}
_AMOUNTS = ("units", "gross", "discount", "net")


class Facts(NamedTuple):
    """A finished round: a row for each ticket and for each line, see erp.processor.aggregates."""

    sales: pl.DataFrame
    lines: pl.DataFrame


@dataclass(frozen=True)
class View:
    """What the reader looks at; an empty choice is all of them. `first` and `last` are included."""

    first: date
    last: date
    stores: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    payments: tuple[str, ...] = ()
    products: tuple[str, ...] = ()

    @property
    def of_lines(self) -> bool:
        """True when only some lines of a ticket count."""
        return bool(self.categories or self.products)

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


def narrow(facts: Facts, view: View) -> Facts:
    """The tickets and lines of a view; tickets of a view by lines have these lines' amounts."""
    conditions = [pl.col("day").is_between(view.first, view.last)]
    if view.stores:
        conditions.append(_one_of("store_id", view.stores))
    if view.payments:
        conditions.append(_one_of("payment_type", view.payments))
    sales = facts.sales.filter(conditions)
    lines = facts.lines
    if sales.height < facts.sales.height:
        lines = lines.join(sales.select("sale"), on="sale", how="semi")
    if not view.of_lines:
        return Facts(sales, lines)
    if view.categories:
        lines = lines.filter(_one_of("category", view.categories))
    if view.products:
        lines = lines.filter(_one_of("product_id", view.products))
    amounts = lines.group_by("sale").agg(
        lines=pl.len().cast(pl.Int32), **{name: pl.col(name).sum() for name in _AMOUNTS}
    )
    kept = sales.drop("lines", *_AMOUNTS, "tax", "header_discount").join(amounts, on="sale")
    return Facts(kept.with_columns(tax=pl.lit(None, pl.Int64)), lines)


def _one_of(column: str, values: tuple[str, ...]) -> pl.Expr:
    return pl.col(column).cast(pl.String).is_in(list(values))


def period_before(view: View, first_day: date) -> View | None:
    """The same view over the period before: as many whole months, or as many days.

    None when the data, which begin on `first_day`, do not hold the whole of it.
    """
    last = view.first - timedelta(days=1)
    months = _whole_months(view.first, view.last)
    if months:
        count = view.first.year * 12 + view.first.month - 1 - months
        first = date(count // 12, count % 12 + 1, 1) if count >= 12 else date.min
    else:
        first = view.first - timedelta(days=view.days)
    return replace(view, first=first, last=last) if first >= first_day else None


def _whole_months(first: date, last: date) -> int:
    """How many whole calendar months a period is; 0 when it is none."""
    if first.day != 1 or last.day != calendar.monthrange(last.year, last.month)[1]:
        return 0
    return (last.year - first.year) * 12 + last.month - first.month + 1


def key_figures(sales: pl.DataFrame) -> dict[str, float | None]:
    """net, gross, discount, tax, tickets, lines, units, customers, average_ticket, discount_share.

    Averages and shares of nothing are None; so is the tax of a view by lines.
    """
    row = sales.select(
        pl.len().alias("tickets"),
        pl.col("lines").sum(),
        pl.col("units").sum() / 1000,
        *(pl.col(name).sum() / 100 for name in ("gross", "discount", "net")),
        tax=pl.when(pl.col("tax").count() > 0).then(pl.col("tax").sum() / 100),
        customers=_customers(),
    ).row(0, named=True)
    row["average_ticket"] = ratio(row["net"], row["tickets"])
    row["discount_share"] = ratio(row["discount"], row["gross"])
    return row


def _customers() -> pl.Expr:
    known = pl.col("customer_id").filter(pl.col("customer_id").cast(pl.String) != "")
    return known.n_unique()


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole; None where that means nothing."""
    return part / whole if part is not None and whole else None


_MEASURES = {
    "tickets": pl.len().cast(pl.Int64),
    "units": pl.col("units").sum() / 1000,
    "net": pl.col("net").sum() / 100,
}
_DISCOUNT_SHARE = pl.when(pl.col("gross").sum() != 0).then(
    pl.col("discount").sum() / pl.col("gross").sum()
)
_PER_TICKET = pl.when(pl.col("tickets") > 0).then(pl.col("net") / pl.col("tickets"))


def over_time(sales: pl.DataFrame, view: View, step: Step) -> pl.DataFrame:
    """A row for each step of the view, also those without a ticket: start, tickets, units, net,
    customers, discount_share, average_ticket, and `<name>_average` of those in between.

    `start` is the first day of the step (a Monday, the first of a month). The moving average is
    over AVERAGED steps, this one and those before it, and begins when there are so many.
    """
    grouped = sales.group_by(start=pl.col("day").dt.truncate(_TRUNCATE[step])).agg(
        customers=_customers(), discount_share=_DISCOUNT_SHARE, **_MEASURES
    )
    window = AVERAGED[step]
    per_ticket = pl.col("net").rolling_sum(window) / pl.col("tickets").rolling_sum(window)
    frame = _every_step(grouped, view, step, ["tickets", "units", "net", "customers"])
    return frame.with_columns(
        average_ticket=_PER_TICKET, average_ticket_average=per_ticket.fill_nan(None)
    )


def net_over_time(days: pl.DataFrame, view: View, step: Step) -> pl.DataFrame:
    """start, net and net_average as in `over_time`, of days with `day` and `net` in currency."""
    starts = pl.col("day").dt.truncate(_TRUNCATE[step])
    return _every_step(days.group_by(start=starts).agg(pl.col("net").sum()), view, step, ["net"])


def _every_step(grouped: pl.DataFrame, view: View, step: Step, names: list[str]) -> pl.DataFrame:
    """A row for each step of the view, 0 where there is none, and moving averages of `names`."""
    days = pl.date_range(view.first, view.last, "1d", eager=True).alias("start")
    starts = days.dt.truncate(_TRUNCATE[step]).unique().sort().to_frame()
    return (
        starts.join(grouped, on="start", how="left")
        .sort("start")
        .with_columns(pl.col(names).fill_null(0))
        .with_columns(pl.col(names).rolling_mean(AVERAGED[step]).name.suffix("_average"))
    )


def ranked(frame: pl.DataFrame, by: str, key: str) -> pl.DataFrame:
    """Sorted from large to small with rank, share and cumulative share of `by`."""
    total = frame[by].sum()
    share = pl.col(by) / total if total else pl.lit(None, pl.Float64)
    return (
        frame.sort(by, key, descending=[True, False])
        .with_columns(rank=pl.col(by).rank("min", descending=True).cast(pl.Int64), share=share)
        .with_columns(cumulative=pl.col("share").cum_sum())
    )


def by_ticket_key(sales: pl.DataFrame, key: str, before: pl.DataFrame | None) -> pl.DataFrame:
    """Tickets by store, payment type or customer: key, tickets, units, net, discount, customers,
    average_ticket, rank, share, cumulative, and `change` against the tickets of `before`.
    """
    frame = (
        sales.group_by(key)
        .agg(customers=_customers(), discount=pl.col("discount").sum() / 100, **_MEASURES)
        .with_columns(pl.col(key).cast(pl.String), average_ticket=_PER_TICKET)
    )
    return _with_change(ranked(frame, "net", key), key, before)


def by_line_key(lines: pl.DataFrame, key: str, before: pl.DataFrame | None) -> pl.DataFrame:
    """Lines by category or product: key, lines, tickets, units, net, discount, rank, share,
    cumulative, and `change` against the lines of `before`.
    """
    return _with_change(ranked(_sum_lines(lines, [key]), "net", key), key, before)


def _sum_lines(lines: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Sums by keys; a ticket counts once for a key."""
    return (
        lines.group_by(keys)
        .agg(
            lines=pl.len().cast(pl.Int64),
            tickets=pl.col("sale").n_unique().cast(pl.Int64),
            units=pl.col("units").sum() / 1000,
            discount=pl.col("discount").sum() / 100,
            net=pl.col("net").sum() / 100,
        )
        .with_columns(pl.col(keys).cast(pl.String))
    )


def _with_change(frame: pl.DataFrame, key: str, before: pl.DataFrame | None) -> pl.DataFrame:
    if before is None:
        return frame.with_columns(change=pl.lit(None, pl.Float64))
    earlier = (
        before.group_by(key)
        .agg(earlier=pl.col("net").sum() / 100)
        .with_columns(pl.col(key).cast(pl.String))
    )
    return (
        frame.join(earlier, on=key, how="left", maintain_order="left")
        .with_columns(
            change=pl.when(pl.col("earlier") > 0).then(pl.col("net") / pl.col("earlier") - 1)
        )
        .drop("earlier")
    )


def subcategories(lines: pl.DataFrame) -> pl.DataFrame:
    """category, subcategory, lines, tickets, units, discount, net; from large to small."""
    return _sum_lines(lines, ["category", "subcategory"]).sort(
        "net", "category", "subcategory", descending=[True, False, False]
    )


def with_margin(products: pl.DataFrame, catalogue: pl.DataFrame) -> pl.DataFrame:
    """Products with what the catalogue says of them, and margin = net - units x unit_cost.

    The margin, and margin_share of a positive net, are null where the cost is not known.
    """
    margin = (pl.col("net") - pl.col("units") * pl.col("unit_cost")).round(2)
    return (
        products.join(catalogue, on="product_id", how="left", maintain_order="left")
        .with_columns(margin=margin)
        .with_columns(
            margin_share=pl.when(pl.col("net") > 0).then(pl.col("margin") / pl.col("net"))
        )
        .drop("unit_cost")
    )


def week(sales: pl.DataFrame) -> pl.DataFrame:
    """weekday (0 is Monday), hour, tickets, net; only cells with a ticket."""
    return (
        sales.group_by("weekday", "hour")
        .agg(tickets=_MEASURES["tickets"], net=_MEASURES["net"])
        .sort("weekday", "hour")
    )


def ticket_sizes(sales: pl.DataFrame, bins: int = 20) -> pl.DataFrame:
    """The distribution of tickets by net: from_, to (currency; null is open), tickets, share.

    Bins are of one round width (1, 2 or 5 times a power of ten) that lets about `bins` of them
    hold 98 of 100 tickets; the rest are in the open ones. Tickets below 0 have a bin of their own.
    """
    if sales.is_empty():
        schema = {"from_": pl.Float64, "to": pl.Float64, "tickets": pl.Int64, "share": pl.Float64}
        return pl.DataFrame(schema=schema)
    most = max((sales["net"] / 100).quantile(0.98) or 0.0, 0.01)
    width = _round_up(most / bins)
    count = int(most / width) + 1
    number = (pl.col("net") / 100 / width).floor().clip(-1, count).cast(pl.Int64)
    found = dict(sales.group_by(bin=number).len().iter_rows())
    rows = [
        {
            "from_": None if index < 0 else round(index * width, 2),
            "to": None if index == count else round((index + 1) * width, 2),
            "tickets": found.get(index, 0),
            "share": found.get(index, 0) / sales.height,
        }
        for index in range(-1 if -1 in found else 0, count + (count in found))
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _round_up(width: float) -> float:
    """The next of ... 0.1, 0.2, 0.5, 1, 2, 5, 10 ... that is not less; 0.01 at the least."""
    power = 0.01
    while True:
        for step in (1, 2, 5):
            if step * power >= width * (1 - 1e-9):
                return step * power
        power *= 10


def customers(sales: pl.DataFrame, people: pl.DataFrame) -> pl.DataFrame:
    """The customers of a view with their part of it and what customer_analysis says of them.

    customer_id, tickets, net, average_ticket, rank, share ... and the columns of `people`.
    """
    known = sales.filter(pl.col("customer_id").cast(pl.String) != "")
    own = by_ticket_key(known, "customer_id", None).drop("customers", "change")
    return own.join(people, on="customer_id", how="left", maintain_order="left")


def segments(buyers: pl.DataFrame) -> pl.DataFrame:
    """Customers by RFM segment: segment, customers, tickets, net, average_ticket, rank, share."""
    frame = buyers.group_by(pl.col("segment").fill_null("")).agg(
        customers=pl.len().cast(pl.Int64),
        tickets=pl.col("tickets").sum(),
        net=pl.col("net").sum(),
    )
    return ranked(frame.with_columns(average_ticket=_PER_TICKET), "net", "segment")

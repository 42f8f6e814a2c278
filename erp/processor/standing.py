"""What a store, product, customer or category is among all of its kind: rank, share, trend, RFM.

A *board* holds for every document of a kind what its standing is computed from (INPUTS) and the
standing itself (OUTPUTS), so that a round writes only the standings that moved.
"""

from datetime import date, timedelta
from typing import Any

import polars as pl

from erp.processor.aggregates import RANKED_PRODUCTS, TREND_DAYS
from erp.processor.documents import whole
from erp.processor.entities import CATEGORY, CUSTOMER, PRODUCT, STORE, TOTALS, Cubes, Entity
from erp.processor.rfm import scored

Document = dict[str, Any]

_RANKED = {
    "rank": pl.Int64,
    "share": pl.Float64,
    "net_last": pl.Float64,
    "net_before": pl.Float64,
    "trend": pl.Float64,
}
INPUTS: dict[str, dict[str, Any]] = {  # as the frames have them: whole numbers
    STORE.collection: {"net": pl.Int64},
    CATEGORY.collection: {"net": pl.Int64},
    PRODUCT.collection: {"net": pl.Int64},
    CUSTOMER.collection: {"last_purchase": pl.String, "tickets": pl.Int64, "net": pl.Int64},
}
OUTPUTS: dict[str, dict[Any, Any]] = {
    STORE.collection: _RANKED,
    CATEGORY.collection: _RANKED,
    PRODUCT.collection: {"rank": pl.Int64},
    CUSTOMER.collection: {
        "recency": pl.Int64,
        "recency_score": pl.Int64,
        "frequency_score": pl.Int64,
        "monetary_score": pl.Int64,
        "segment": pl.String,
    },
}


def inputs_of(entity: Entity, cubes: Cubes) -> pl.DataFrame:
    """The inputs of the documents that these cubes make."""
    frame = cubes[TOTALS]
    if entity is CUSTOMER:
        last = cubes["days"].group_by("_id").agg(last_purchase=pl.col("day").max())
        frame = frame.join(last, on="_id")
    return frame.select("_id", *INPUTS[entity.collection])


def read_board(entity: Entity, documents: list[Document]) -> pl.DataFrame:
    """The board as the documents have it; they need `board_fields` only."""
    fields = _field_of(entity)
    schema = {"_id": pl.String} | INPUTS[entity.collection] | OUTPUTS[entity.collection]
    amounts = {name for name in ("net", "tickets") if name in INPUTS[entity.collection]}
    rows = [
        [document[fields.get(str(name), str(name))] for name in schema] for document in documents
    ]
    read = schema | dict.fromkeys(amounts, pl.Float64)
    frame = pl.DataFrame(rows, schema=read, orient="row")
    return frame.with_columns(whole(frame.select(sorted(amounts))))


def board_fields(entity: Entity) -> list[str]:
    """The fields of a document that its board needs."""
    fields = _field_of(entity)
    names = [*INPUTS[entity.collection], *OUTPUTS[entity.collection]]
    return [fields.get(name, name) for name in names]


def _field_of(entity: Entity) -> dict[str, str]:
    return {sum_: field for sum_, field in entity.totals.items() if sum_ != field}


def recent_net(
    days: list[Document], split: str, last_day: date | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Net by key of the last TREND_DAYS days and of those before, in cents.

    `days` are documents of daily_sales_summary; `split` is by_store or by_category.
    """
    rows = [
        [entry["key"], document["_id"], entry["net"]]
        for document in days
        for entry in document[split]
    ]
    schema = {"_id": pl.String, "day": pl.String, "net": pl.Float64}
    frame = whole(pl.DataFrame(rows, schema=schema, orient="row"))
    if last_day is None:
        return frame.select("_id", "net"), frame.select("_id", "net")
    latest, before = (pl.lit(str(day)) for day in first_days(last_day))
    day, end = pl.col("day"), pl.lit(str(last_day))
    return (
        _net(frame.filter((day >= latest) & (day <= end))),
        _net(frame.filter((day >= before) & (day < latest))),
    )


def first_days(last_day: date) -> tuple[date, date]:
    """The first of the last TREND_DAYS days, and the first of as many before them."""
    latest = last_day - timedelta(days=TREND_DAYS - 1)
    return latest, latest - timedelta(days=TREND_DAYS)


def _net(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.group_by("_id").agg(pl.col("net").sum())


def stand(
    entity: Entity,
    inputs: pl.DataFrame,
    recent: tuple[pl.DataFrame, pl.DataFrame] | None,
    last_day: date | None,
) -> pl.DataFrame:
    """The board: these inputs of all documents of a kind, with their standing.

    `recent` is of stores and categories (recent_net).
    """
    if entity is PRODUCT:
        rank = _rank()
        outputs = inputs.with_columns(rank=pl.when(rank <= RANKED_PRODUCTS).then(rank))
    elif entity is CUSTOMER:
        age = pl.lit(last_day, dtype=pl.Date) - pl.col("last_purchase").str.to_date("%Y-%m-%d")
        outputs = scored(
            inputs.with_columns(
                recency=age.dt.total_days(), frequency=pl.col("tickets"), monetary=pl.col("net")
            )
        )
    else:
        latest, before = recent or (inputs.clear(), inputs.clear())
        outputs = _ranked(inputs, latest, before)
    names = ["_id", *INPUTS[entity.collection], *OUTPUTS[entity.collection]]
    return outputs.select(names).cast(OUTPUTS[entity.collection])


def _rank() -> pl.Expr:
    return pl.col("net").rank("min", descending=True).cast(pl.Int64)


def _ranked(inputs: pl.DataFrame, latest: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    last, earlier = pl.col("net_last"), pl.col("net_before")
    total = pl.col("net").sum()
    return (
        inputs.join(latest.rename({"net": "net_last"}), on="_id", how="left")
        .join(before.rename({"net": "net_before"}), on="_id", how="left")
        .with_columns(pl.col("net_last", "net_before").fill_null(0))
        .with_columns(
            rank=_rank(),
            share=pl.when(total != 0).then((pl.col("net") / total).round(6)).otherwise(0.0),
            trend=pl.when(earlier > 0).then((last / earlier - 1).round(6)),
        )
        .with_columns((pl.col("net_last", "net_before") / 100).round(2))
    )


def moved(entity: Entity, before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """`_id` and outputs of the documents whose standing differs between two boards, or is new."""
    outputs = list(OUTPUTS[entity.collection])
    same = pl.all_horizontal(pl.col(c).eq_missing(pl.col(f"{c}_before")) for c in outputs)
    compared = after.join(
        before.select("_id", pl.col(outputs).name.suffix("_before"), known=pl.lit(value=True)),
        on="_id",
        how="left",
    )
    return compared.filter(pl.col("known").is_null() | ~same).select("_id", *outputs)

"""Frames of whole numbers to documents and back: cents become currency, thousandths units.

A document is the totals of one key and, in lists, its parts; each list is a frame of its own here.
Reading a document back gives the whole numbers again, because a double holds a sum of cents
exactly to far beyond any shop's turnover.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import polars as pl

Document = dict[str, Any]

CENTS = {"gross", "discount", "header_discount", "net", "tax", "returned"}
THOUSANDTHS = {"units", "returned_units"}


class Part(NamedTuple):
    """A list in a document: a row for each mixture of `keys`, with sums."""

    name: str
    keys: dict[str, Any]  # field -> polars type
    sums: tuple[str, ...]


def shown(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with money in currency and units in units, as documents keep them."""
    return frame.with_columns(
        # rounded because polars divides by multiplying with the inverse: 1495 / 100 is not 14.95
        [(pl.col(c) / 100).round(2) for c in frame.columns if c in CENTS]
        + [(pl.col(c) / 1000).round(3) for c in frame.columns if c in THOUSANDTHS]
        + [pl.col(c).dt.strftime("%Y-%m-%d") for c, t in frame.schema.items() if t == pl.Date]
    )


def whole(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as it was before `shown`: every number whole."""
    parts = dict.fromkeys(CENTS, 100) | dict.fromkeys(THOUSANDTHS, 1000)
    return frame.with_columns(
        (pl.col(name) * parts.get(name, 1)).round(0).cast(pl.Int64)
        for name, type_ in frame.schema.items()
        if type_ == pl.Float64
    )


def nested(frame: pl.DataFrame, key: str, part: Part) -> pl.DataFrame:
    """One row for each `key` with the column `part.name`: the list of its rows, in order."""
    fields = [*part.keys, *part.sums]
    return (
        shown(frame.select(key, *fields).sort(key, *part.keys))
        .group_by(key, maintain_order=True)
        .agg(pl.struct(fields).alias(part.name))
    )


def documents(
    totals: pl.DataFrame, key: str, parts: Iterable[tuple[Part, pl.DataFrame]]
) -> list[Document]:
    """One document for each row of `totals`, `_id` its `key`, with the lists of `parts`."""
    joined = shown(totals)
    for part, frame in parts:
        lists = nested(frame, key, part)
        joined = joined.join(lists, on=key, how="left", maintain_order="left").with_columns(
            pl.col(part.name).fill_null([])
        )
    return joined.select(pl.col(key).alias("_id"), pl.exclude(key)).to_dicts()

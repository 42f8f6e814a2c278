"""daily_sales_facts: a day's tickets and lines packed into few documents, and back.

A document holds two tables in Arrow's IPC format with zstd inside: `sales` (TICKETS) and `lines`
(LINES), whose `sale` is the row of the ticket in the same document. A day is split over several
documents, `2017-01-05/000`, `2017-01-05/001` ..., so that none comes near MongoDB's 16 MB. Lines
whose sale is unknown are kept under ORPHANS in place of a day.
"""

from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import polars as pl

from erp.processor.facts import LINES, TICKETS

Document = dict[str, Any]

ORPHANS = "orphans"  # sorts after every day
ROWS_A_PART = 50_000  # tickets and lines; about 1 MB packed
AFTER_PARTS = "/~"  # sorts after every part of its day

_TEXT_LINES: dict[Any, Any] = {c: pl.String if t == pl.Categorical else t for c, t in LINES.items()}


def pack(tickets: pl.DataFrame, lines: pl.DataFrame) -> Iterator[Document]:
    """The documents of every day of the ticket frame, orphans included."""
    ordered = tickets.select(list(TICKETS)).sort("day", "time", "sale_id", nulls_last=True)
    sizes = lines.group_by("sale").agg(pl.len().alias("rows"))
    rows = pl.col("rows").fill_null(0) + 1
    parts = ordered.join(sizes, on="sale", how="left", maintain_order="left").select(
        *TICKETS, part=(rows.cum_sum() - rows).over("day") // ROWS_A_PART
    )
    placed = lines.select(list(LINES)).join(parts.select("sale", "day", "part"), on="sale")
    of_part = placed.partition_by("day", "part", as_dict=True)
    for (day, part), sales in parts.partition_by(
        "day", "part", as_dict=True, maintain_order=True
    ).items():
        yield _pack_part(day, part, sales, of_part.get((day, part), placed.clear()))


def _pack_part(day: Any, part: int, sales: pl.DataFrame, lines: pl.DataFrame) -> Document:
    rows = sales.select("sale").with_row_index("row")
    here = (
        lines.join(rows, on="sale")
        .with_columns(sale=pl.col("row"))
        .select(list(LINES))
        .cast(_TEXT_LINES)
        .sort("sale", "line_n")
    )
    return {
        "_id": f"{day or ORPHANS}/{part:03d}",
        "sales": _to_bytes(sales.drop("sale", "day", "part")),
        "lines": _to_bytes(here),
    }


def _to_bytes(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def unpack(documents: Iterable[Document]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The ticket frame and the line frame of these documents, `sale` counted through."""
    tickets, lines = [pl.DataFrame(schema=TICKETS)], [pl.DataFrame(schema=LINES)]
    offset = 0
    for document in documents:
        tickets.append(_unpack_tickets(document, offset))
        lines.append(
            pl.read_ipc(BytesIO(document["lines"]))
            .with_columns(pl.col("sale") + pl.lit(offset, dtype=pl.UInt32))
            .cast(LINES)
        )
        offset += tickets[-1].height
    return pl.concat(tickets), pl.concat(lines)


def unpack_tickets(documents: Iterable[Document]) -> pl.DataFrame:
    """The ticket frame of these documents alone; `sale` means nothing in it."""
    empty = pl.DataFrame(schema=TICKETS)
    return pl.concat([empty, *(_unpack_tickets(document, 0) for document in documents)])


def _unpack_tickets(document: Document, offset: int) -> pl.DataFrame:
    name = document["_id"].partition("/")[0]
    day = None if name == ORPHANS else name
    sales = pl.read_ipc(BytesIO(document["sales"])).with_row_index("sale", offset=offset)
    day_column = pl.lit(day, dtype=pl.String).str.to_date("%Y-%m-%d")
    return sales.with_columns(day=day_column).select(list(TICKETS))

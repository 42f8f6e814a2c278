"""The baskets a model learns from: sales and lines as arrays of small integers, in time order.

`from_frames` takes data frames (pandas, polars, pyarrow, or a dict of lists); training_csv,
training_parquet and training_mongo read them. What cannot be used (returns, lines without a sale,
times that are none) is left out and counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from erp.recommender import checks
from erp.recommender.columns import NONE, TrainingDataError, encode, numbers, seconds

DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Baskets:
    """Distinct products per sale, sales in the order of time and id.

    The order of the input leaves no trace: ids are sorted, and so are the products of a sale.

    Attributes
    ----------
    item_ids, customer_ids, store_ids : list of str
        What the codes stand for; of products, those of the most lines first, so that what is
        looked up most lies close together in memory.
    sale_ids : pyarrow text array (sales)
    indptr : int64 (sales + 1), items : int32 (lines)
        Sale s holds the products `items[indptr[s]:indptr[s + 1]]`, each once.
    times : float64 (sales)
        Seconds since 1970-01-01 UTC.
    customers, stores : int32 (sales)
        Codes, -1 where unknown.
    counts : dict
        Lines and sales read, used and left out, by reason.
    """

    item_ids: list[str]
    customer_ids: list[str]
    store_ids: list[str]
    sale_ids: pa.Array
    indptr: np.ndarray
    items: np.ndarray
    times: np.ndarray
    customers: np.ndarray
    stores: np.ndarray
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def sizes(self) -> np.ndarray:
        """Distinct products per sale, int64 (sales)."""
        return np.diff(self.indptr)

    def checked(self) -> Baskets:
        """The same as compiled code reads it.

        Raises
        ------
        ValueError
            A code stands for nothing, a sale lacks a part, or the sales are not in time order.
        """
        sales, items = len(self), len(self.item_ids)
        indptr, codes = checks.csr(self.indptr, self.items, sales, items, "products of sales")
        times = checks.array(self.times, np.float64, (sales,), "times of sales")
        if not (times[1:] >= times[:-1]).all() or not np.isfinite(times).all():
            raise ValueError("times of sales: they do not ascend")
        return replace(
            self,
            indptr=indptr,
            items=codes,
            times=times,
            customers=_owners(self.customers, sales, len(self.customer_ids), "customers of sales"),
            stores=_owners(self.stores, sales, len(self.store_ids), "stores of sales"),
        )

    def between(self, first: int, last: int) -> Baskets:
        """The sales first..last-1 of the time order, with the same codes."""
        lo, hi = self.indptr[first], self.indptr[last]
        items, customers = self.items[lo:hi], self.customers[first:last]
        return Baskets(
            self.item_ids,
            self.customer_ids,
            self.store_ids,
            self.sale_ids[first:last],
            self.indptr[first : last + 1] - lo,
            items,
            self.times[first:last],
            customers,
            self.stores[first:last],
            self.counts | _sizes(items, customers),
        )

    def until(self, moment: float) -> Baskets:
        """The sales strictly before `moment` (seconds since 1970 UTC)."""
        return self.between(0, int(np.searchsorted(self.times, moment, side="left")))


def _owners(codes, sales: int, below: int, what: str) -> np.ndarray:
    held = checks.array(codes, np.int32, (sales,), what)
    if sales and not NONE <= held.min() <= held.max() < below:
        raise ValueError(f"{what}: codes {held.min()} to {held.max()}, there are {below}")
    return held


def _sizes(items: np.ndarray, customers: np.ndarray) -> dict[str, int]:
    """How much there is: `items` by line, `customers` by sale, codes, NONE for nobody."""
    return {
        "lines": len(items),
        "sales": len(customers),
        "customers": int(np.count_nonzero(np.bincount(customers + 1)[1:])),
        "products": int(np.count_nonzero(np.bincount(items))),
    }


def empty(item_ids: list[str] | None = None) -> Baskets:
    """No sales at all, of some known products."""
    return Baskets(
        item_ids or [],
        [],
        [],
        pa.array([], pa.string()),
        np.zeros(1, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
    )


def from_frames(sales_items, sales, timezone: str = "UTC") -> Baskets:
    """Baskets of two data frames with the columns of the contract.

    Parameters
    ----------
    sales_items : frame with sale_id, product_id and, if known, quantity (negative: a return)
    sales : frame with sale_id, sale_datetime and, if known, customer_id, store_id
    timezone : the zone of times without an offset

    Raises
    ------
    TrainingDataError
        A required column is missing or a time zone is unknown.
    """
    lines, headers = as_table(sales_items), as_table(sales)
    for table, name, needed in (
        (lines, "sales_items", ("sale_id", "product_id")),
        (headers, "sales", ("sale_id", "sale_datetime")),
    ):
        missing = [column for column in needed if column not in table.column_names]
        if missing:
            raise TrainingDataError(f"{name} has no column {', '.join(missing)}")
    return _assemble(lines, headers, timezone)


def as_table(frame) -> pa.Table:
    """A pyarrow table of any data frame (pandas, polars, pyarrow, dict of lists, list of dicts)."""
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, list):
        return pa.Table.from_pylist(frame)
    return pa.table(frame)


def _assemble(lines: pa.Table, headers: pa.Table, timezone: str) -> Baskets:
    sale_codes, sale_ids = encode(headers["sale_id"])
    times = seconds(headers["sale_datetime"], timezone)
    usable = (sale_codes >= 0) & np.isfinite(times)
    rows = np.flatnonzero(usable)
    last_row = np.full(
        len(sale_ids), NONE, np.int64
    )  # a sale that comes twice: the last one counts
    last_row[sale_codes[rows]] = rows
    ordered = last_row[last_row >= 0]
    ordered = ordered[_by_time(times[ordered], sale_ids.take(pa.array(sale_codes[ordered])))]

    line_codes, line_sales = encode(lines["sale_id"])
    item_codes, item_ids = _column(lines, "product_id")
    position = np.full(len(sale_ids) + 1, NONE, np.int64)
    position[sale_codes[ordered]] = np.arange(len(ordered))
    known = pc.index_in(line_sales, value_set=sale_ids).fill_null(NONE).to_numpy()
    to_sale = np.append(position[known], NONE)
    line_sale = to_sale[line_codes]  # (lines,) place in time order, -1 without a header

    quantity = (
        numbers(lines["quantity"])
        if "quantity" in lines.column_names
        else np.full(len(line_codes), np.nan)
    )
    valid = (line_codes >= 0) & (item_codes >= 0)
    bought, returned, invalid = judged(valid, quantity)
    sold = np.bincount(item_codes[bought & valid], minlength=len(item_ids))
    item_codes, item_ids = _recoded(item_codes, item_ids, np.argsort(-sold, kind="stable"))
    use = bought & valid & (line_sale >= 0)
    counts = {
        "lines_read": len(line_codes),
        "lines_returned": int(returned.sum()),
        "lines_without_sale": int((valid & (line_sale < 0)).sum()),
        "lines_invalid": int(invalid.sum()),
        "sales_read": len(sale_codes),
        "sales_without_time": int((~usable).sum()),
        "rows_ragged": 0,
    }
    keys = np.sort(line_sale[use] * max(len(item_ids), 1) + item_codes[use])
    keys = keys[np.diff(keys, prepend=-1) > 0]  # each product once per sale
    sale_of, items = np.divmod(keys, max(len(item_ids), 1))
    sizes = np.bincount(sale_of, minlength=len(ordered))
    ordered, sizes = ordered[sizes > 0], sizes[sizes > 0]
    customers, customer_ids = _column(headers, "customer_id")
    stores, store_ids = _column(headers, "store_id")
    counts |= _sizes(items, customers[ordered])
    return Baskets(
        item_ids.to_pylist(),
        customer_ids.to_pylist(),
        store_ids.to_pylist(),
        sale_ids.take(pa.array(sale_codes[ordered])),
        np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
        items.astype(np.int32),
        times[ordered],
        customers[ordered],
        stores[ordered],
        counts,
    )


def judged(valid: np.ndarray, quantity: np.ndarray):
    """Which lines are bought, which are returns and which are invalid, each bool (lines).

    Parameters
    ----------
    valid : bool (lines), sale and product are named
    quantity : float64 (lines), NaN where absent, infinite where it is no number
    """
    bought = np.isnan(quantity) | (np.isfinite(quantity) & (quantity > 0))
    return bought, quantity < 0, ~valid | np.isposinf(quantity) | (quantity == 0)


def _by_time(times: np.ndarray, ids: pa.Array) -> np.ndarray:
    """Places in the order of time, and of the id where times are equal."""
    table = pa.table({"time": times, "id": ids})
    order = pc.sort_indices(table, sort_keys=[("time", "ascending"), ("id", "ascending")])
    return order.to_numpy().astype(np.int64)


def _column(table: pa.Table, name: str) -> tuple[np.ndarray, pa.Array]:
    """Codes of a column (-1 where there is nothing) and its texts, sorted, by code."""
    if name not in table.column_names:
        return np.full(len(table), NONE, np.int32), pa.array([], pa.string())
    codes, texts = encode(table[name])
    return _recoded(codes, texts, pc.array_sort_indices(texts).to_numpy().astype(np.int64))


def _recoded(codes: np.ndarray, texts: pa.Array, order: np.ndarray) -> tuple[np.ndarray, pa.Array]:
    """The same codes and texts, with the texts in another order."""
    rank = np.full(len(texts) + 1, NONE, np.int32)  # the last one: of code -1
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[codes], texts.take(pa.array(order))

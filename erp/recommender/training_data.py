"""The baskets a model learns from: sales and lines as arrays of small integers, in time order.

`from_frames` takes data frames (pandas, polars, pyarrow, or a dict of lists), `from_csv` a folder
with the files of the contract. Ids become text whatever they look like; what cannot be used
(returns, lines without a sale, times that are none) is left out and counted.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from erp.recommender import checks

NONE = -1  # the code of a customer, store or time that is absent
DAY = 86400.0  # seconds


class TrainingDataError(Exception):
    """The input cannot be read: the message says which file or column and what to do."""


@dataclass(frozen=True)
class Baskets:
    """Distinct products per sale, sales in the order of time and id.

    The order of the input leaves no trace: ids are sorted, and so are the products of a sale.

    Attributes
    ----------
    item_ids, customer_ids, store_ids : list of str
        What the codes stand for.
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


def from_csv(folder: str | Path, timezone: str = "UTC") -> Baskets:
    """Baskets of `sales.csv` and `sales_items.csv` in a folder, read in blocks.

    Ragged rows are skipped and counted as `rows_ragged`.

    Raises
    ------
    TrainingDataError
        A file is missing or empty, or lacks a required column.
    """
    lines, ragged_lines = read_csv(
        Path(folder) / "sales_items.csv", ("sale_id", "product_id"), ("quantity",)
    )
    headers, ragged_sales = read_csv(
        Path(folder) / "sales.csv", ("sale_id", "sale_datetime"), ("customer_id", "store_id")
    )
    baskets = _assemble(lines, headers, timezone)
    baskets.counts["rows_ragged"] = ragged_lines + ragged_sales
    return baskets


def read_csv(path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()):
    """The named columns of a CSV as dictionary-encoded text, and how many rows were ragged.

    Raises
    ------
    TrainingDataError
        The file is missing or empty, or lacks a required column.
    """
    ragged = 0

    def skip(_row) -> str:
        nonlocal ragged
        ragged += 1
        return "skip"

    if not path.is_file():
        raise TrainingDataError(f"{path} does not exist; csv_out/prepare.py writes one")
    text = pa.dictionary(pa.int32(), pa.string())
    parse = pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip)
    try:
        with pacsv.open_csv(path, parse_options=parse) as probe:
            present = probe.schema.names
        missing = [column for column in required if column not in present]
        if missing:
            raise TrainingDataError(f"{path} has no column {', '.join(missing)}")
        columns = [column for column in (*required, *optional) if column in present]
        ragged = 0
        with pacsv.open_csv(
            path,
            read_options=pacsv.ReadOptions(block_size=1 << 22, use_threads=False),
            parse_options=parse,
            convert_options=pacsv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, text),
                strings_can_be_null=True,
                null_values=[""],
            ),
        ) as reader:
            table = pa.Table.from_batches(list(reader), schema=reader.schema)
    except pa.ArrowInvalid as error:
        raise TrainingDataError(f"{path} is not a readable CSV: {error}") from error
    return table.unify_dictionaries(), ragged


def as_table(frame) -> pa.Table:
    """A pyarrow table of any data frame (pandas, polars, pyarrow, dict of lists, list of dicts)."""
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, list):
        return pa.Table.from_pylist(frame)
    return pa.table(frame)


def encode(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Codes (int32, -1 for null and empty) and the distinct texts, a text column, by code."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    codes = array.indices.fill_null(NONE).to_numpy(zero_copy_only=False).astype(np.int32)
    texts = _texts(array.dictionary).dictionary_encode()  # two values may have the same text
    known = pc.drop_null(pc.if_else(pc.equal(texts.dictionary, ""), None, texts.dictionary))
    to_known = pc.index_in(texts.dictionary, value_set=known).fill_null(NONE)
    translated = pc.take(to_known, texts.indices).fill_null(NONE).to_numpy(zero_copy_only=False)
    return np.append(translated, NONE).astype(np.int32)[codes], known


def _texts(values: pa.Array) -> pa.Array:
    """Ids as a text column."""
    if pa.types.is_string(values.type):
        return values
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    return pa.array([id_text(value) for value in values.to_pylist()], pa.string())


def id_text(value) -> str | None:
    """An id as text: 17850.0, which a column of numbers with gaps turns into, is '17850'."""
    if value is None or value != value or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def seconds(column: pa.ChunkedArray, timezone: str = "UTC") -> np.ndarray:
    """Times as float64 seconds since 1970 UTC, NaN where there is none.

    Takes timestamps, dates and ISO 8601 text; without an offset they are in `timezone`.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = _parse_times(column.cast(pa.string()), timezone)
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        if not pa.types.is_timestamp(kind) or kind.tz is None:
            column = _localise(column.cast(pa.timestamp("us"), safe=False), timezone)
        column = column.cast(pa.timestamp("us", "UTC"), safe=False)
    elif pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    else:
        raise TrainingDataError(f"sale_datetime holds {kind}; give times or ISO 8601 text")
    micros = column.cast(pa.int64()).to_numpy().astype(np.float64)  # null becomes NaN
    return micros / 1e6


def moment(text: str, timezone: str = "UTC") -> float:
    """Seconds since 1970 UTC of one ISO 8601 date or time.

    Raises
    ------
    ValueError
        The text is no ISO 8601 time.
    """
    parsed = dt.datetime.fromisoformat(text.strip())
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=ZoneInfo(timezone))
    return parsed.timestamp()


def _localise(column, timezone: str):
    try:
        return pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="earliest")
    except pa.ArrowInvalid as error:
        raise TrainingDataError(f"unknown time zone {timezone}") from error


def _parse_times(column, timezone: str):
    try:
        return _localise(column.cast(pa.timestamp("us")), timezone)
    except pa.ArrowInvalid:
        pass  # offsets, or a value that is no time: one by one
    values = []
    for text in column.to_pylist():
        try:
            values.append(None if text is None else int(moment(text, timezone) * 1e6))
        except (ValueError, OverflowError):
            values.append(None)
    return pa.chunked_array([pa.array(values, pa.timestamp("us", "UTC"))])


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Float64, NaN where absent, infinite where it is no number."""
    codes, texts = encode(column)
    parsed = np.array([_number(text) for text in texts.to_pylist()] + [np.nan])
    return parsed[codes]


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return np.inf
    return value if np.isfinite(value) else np.inf


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
    order = pc.array_sort_indices(texts).to_numpy().astype(np.int64)
    rank = np.full(len(texts) + 1, NONE, np.int32)  # the last one: of code -1
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[codes], texts.take(pa.array(order))


def products_from_csv(folder: str | Path) -> list[dict]:
    """The products of `products.csv` as dicts; none where there is no such file."""
    path = Path(folder) / "products.csv"
    if not path.is_file():
        return []
    return read_csv(path, ("product_id",), ("name", "category", "active"))[0].to_pylist()

"""The baskets and products of a folder with the CSV files of the contract."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from erp.recommender.columns import TrainingDataError
from erp.recommender.training_data import Baskets, from_frames


def read_baskets(folder: str | Path, timezone: str = "UTC") -> Baskets:
    """Baskets of `sales.csv` and `sales_items.csv` in a folder.

    Ragged rows are skipped and counted as `rows_ragged`.

    Raises
    ------
    TrainingDataError
        A file is missing or empty, or lacks a required column.
    """
    lines, ragged_lines = _read(
        Path(folder) / "sales_items.csv", ("sale_id", "product_id"), ("quantity",)
    )
    headers, ragged_sales = _read(
        Path(folder) / "sales.csv", ("sale_id", "sale_datetime"), ("customer_id", "store_id")
    )
    baskets = from_frames(lines, headers, timezone)
    baskets.counts["rows_ragged"] = ragged_lines + ragged_sales
    return baskets


def _read(path: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()):
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
        present = _head(path)
        missing = [column for column in required if column not in present]
        if missing:
            raise TrainingDataError(f"{path} has no column {', '.join(missing)}")
        columns = [column for column in (*required, *optional) if column in present]
        # no thread of Arrow may be left with `skip` in hand: one that lets go of it while the
        # interpreter ends aborts the process
        table = pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(block_size=1 << 22, use_threads=False),
            parse_options=parse,
            convert_options=pacsv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, text),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except (pa.ArrowInvalid, csv.Error) as error:
        raise TrainingDataError(f"{path} is not a readable CSV: {error}") from error
    return table.unify_dictionaries(), ragged


def _head(path: Path) -> list[str]:
    """The names of a CSV's columns: its first line that is not blank."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(filter(None, csv.reader(file)), [])


def read_products(folder: str | Path) -> list[dict]:
    """The products of `products.csv` as dicts; none where there is no such file."""
    path = Path(folder) / "products.csv"
    if not path.is_file():
        return []
    return _read(path, ("product_id",), ("name", "category", "active"))[0].to_pylist()

"""Read a table as text from a CSV, Excel or Parquet file, however its columns are spelled."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import openpyxl
import polars as pl

from erp.process import UsageError

ROWS_AT_ONCE = 50_000  # of a workbook: bounds what is held as Python objects


def read(path: Path, columns: tuple[str, ...], other_names: dict[str, str]) -> pl.DataFrame:
    """The columns asked for, all as text; numbers and times as they are usually written.

    Parameters
    ----------
    path : .csv (comma, semicolon or tab; UTF-8 or Latin-1), .parquet, or .xlsx, of which every
        sheet that has the columns is read
    columns : their names; capitals, blanks and underscores in the file make no difference
    other_names : other name -> name, of files that call them differently

    Raises
    ------
    UsageError : the file is not there, is broken, or lacks columns
    """
    readers = {".csv": _csv, ".xlsx": _workbook, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: must end in {', '.join(readers)}")
    known = {_plain(name): name for name in columns}
    known |= {_plain(other): name for other, name in other_names.items()}
    try:
        return _concatenated(reader(path), columns, known, path)
    except (OSError, pl.exceptions.PolarsError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path}: cannot be read: {reason}") from error


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _concatenated(
    parts: Iterator[pl.DataFrame], columns: tuple[str, ...], known: dict[str, str], path: Path
) -> pl.DataFrame:
    wanted, missing = [], list(columns)
    for part in parts:
        named = {known[_plain(name)]: name for name in part.columns if _plain(name) in known}
        lacking = [name for name in columns if name not in named]
        if lacking:
            missing = min(missing, lacking, key=len)
            continue
        wanted.append(part.select(pl.col(named[name]).alias(name) for name in columns))
    if not wanted:
        raise UsageError(f"{path}: no column {', '.join(missing)}")
    return pl.concat(wanted)


def _csv(path: Path) -> Iterator[pl.DataFrame]:
    with path.open("rb") as file:
        header = file.readline().decode("latin-1")
    separator = max(",;\t", key=header.count)
    try:
        yield pl.read_csv(path, separator=separator, infer_schema=False)
    except pl.exceptions.ComputeError as error:
        if "utf" not in str(error).lower():
            raise
        yield pl.read_csv(path, separator=separator, infer_schema=False, encoding="latin-1")


def _parquet(path: Path) -> Iterator[pl.DataFrame]:
    frame = pl.read_parquet(path)
    times = [name for name, kind in frame.schema.items() if kind == pl.Datetime]
    yield frame.with_columns(pl.col(times).dt.strftime("%Y-%m-%d %H:%M:%S")).cast(pl.String)


def _workbook(path: Path) -> Iterator[pl.DataFrame]:
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except BadZipFile as error:
        raise UsageError(f"{path}: is no Excel workbook") from error
    for sheet in book:
        rows = sheet.iter_rows(values_only=True)
        header = [str(cell) if cell is not None else "" for cell in next(rows, ())]
        named = [(place, name) for place, name in enumerate(header) if name]
        while block := list(islice(rows, ROWS_AT_ONCE)):
            yield pl.DataFrame(
                {name: [_text(row[place]) for row in block] for place, name in named},
                schema=dict.fromkeys((name for _, name in named), pl.String),
            )


def _text(cell: object) -> str | None:
    return None if cell is None else str(cell)

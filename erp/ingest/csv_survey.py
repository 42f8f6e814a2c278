"""A first reading of a whole CSV file, before any row of it is sent.

It answers what single rows cannot: whether 3/4/2024 is in March or in April, whether 1,5 is a
decimal comma, and which keys come more than once. Memory does not grow with the file: hashes of
the keys (8 bytes a row) wait on the disk, only the repeated ones stay.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from erp.ingest.csv_files import CsvFile
from erp.ingest.csv_reader import Block, read_blocks
from erp.ingest.hashes import Hashes, hashes
from erp.ingest.rows import kinds, natural_keys
from erp.ingest.scratch import scratch
from erp.ingest.values import (
    COMMA_ONLY,
    POINT_GROUP,
    POINT_ONLY,
    DateOrder,
    Decimal,
    Forms,
    split_dates,
)

log = logging.getLogger("erp.csv")

BLOCK_BYTES = 4 * 1024 * 1024  # enough for polars to split a block with all cores
_BUCKETS = 64  # files that the hashes are spread over; one of them at a time is in memory
_SHIFT = np.uint64(64 - _BUCKETS.bit_length() + 1)


@dataclass(frozen=True)
class Survey:
    """What the first reading of a file found.

    Attributes
    ----------
    rows : int
        Rows of the file, readable or not.
    forms : Forms
        How it writes numbers and dates.
    repeated : array of uint64, sorted
        The hashes of natural keys that come more than once.
    """

    rows: int
    forms: Forms
    repeated: Hashes


def survey(
    file: CsvFile,
    time_zone: str,
    decimal: Decimal | None = None,
    date_order: DateOrder | None = None,
) -> Iterator[Block | Survey]:
    """Read the file once: its blocks, for whoever shows progress, and last of all the Survey.

    `decimal` and `date_order` overrule what the file shows.
    """
    numbers = [name for name, kind in kinds(file.table).items() if kind in (int, float)]
    dates = [name for name, kind in kinds(file.table).items() if kind is datetime]
    # a field of plain text cannot hold the comma that separates it from the next
    needed = {*file.table.natural_key, *dates, *(numbers if file.separator != "," else ())}
    skipped = set(file.table.columns) - needed
    evidence = _Evidence()
    rows = 0
    with scratch("erp-survey-") as folder:
        buckets = _Buckets(folder)
        for block in read_blocks(file, skipped, block_bytes=BLOCK_BYTES):
            rows += block.rows
            for name in numbers:
                if name in block.frame.columns:
                    evidence.see_numbers(block.frame[name])
            for name in dates:
                if name in block.frame.columns:
                    evidence.see_dates(name, block.frame[name])
            buckets.add(hashes(natural_keys(file.table, block.frame)))
            yield block
        repeated = buckets.repeated()
    orders = {name: date_order or evidence.date_order(name) for name in dates}
    forms = Forms(decimal or evidence.decimal(), decimal is not None, orders, time_zone)
    _warn(file, forms)
    if evidence.doubtful and not decimal:
        log.warning(
            "%s: 1.234 is read as a fraction, and nothing tells that it is no thousand:"
            " --decimal says which",
            file.name,
        )
    yield Survey(rows, forms, repeated)


def _warn(file: CsvFile, forms: Forms) -> None:
    """Say which values of the file will be refused because they have two readings."""
    name = file.name
    if forms.decimal is Decimal.MIXED:
        log.warning("%s mixes decimal points and commas: 1.234 and 1,234 are refused", name)
    for column, order in forms.date_orders.items():
        if order is DateOrder.MIXED:
            log.warning(
                "%s: %s mixes d/m and m/d: dates that could be either are refused;"
                " --date-order says which they are",
                name,
                column,
            )


@dataclass
class _Evidence:
    """What the values of a file say about the way it is written."""

    commas: bool = False
    points: bool = False
    groups: bool = False  # points before three digits
    orders: dict[str, set[DateOrder]] = field(default_factory=dict)

    def see_numbers(self, text: pl.Series) -> None:
        """Note which decimal mark the numbers can only have."""
        if not self.commas and text.str.contains(r",|\.\d+\.").any():  # faster than the whole form
            self.commas = bool(text.str.strip_chars().str.contains(COMMA_ONLY).any())
        if not self.points and text.str.contains(r"\.|,\d+,").any():
            text = text.str.strip_chars()
            self.points = bool(text.str.contains(POINT_ONLY).any())
            self.groups = self.groups or bool(text.str.contains(POINT_GROUP).any())

    def decimal(self) -> Decimal:
        if self.commas:
            return Decimal.MIXED if self.points else Decimal.COMMA
        return Decimal.POINT

    @property
    def doubtful(self) -> bool:
        """True where points may as well group thousands."""
        return self.groups and not (self.points or self.commas)

    def see_dates(self, name: str, text: pl.Series) -> None:
        """Note whether dates that end in a year can only be day first, or only month first."""
        if not text.str.contains(r"^\s*\d{1,2}[-/.]").any():
            return
        seen = self.orders.setdefault(name, set())
        dates = split_dates(text).filter("year_last")
        day, month = (13, 31), (1, 12)  # 99/99/9999 for 'never' is no evidence
        if (dates["a"].is_between(*day) & dates["b"].is_between(*month)).any():
            seen.add(DateOrder.DAY_FIRST)
        if (dates["a"].is_between(*month) & dates["b"].is_between(*day)).any():
            seen.add(DateOrder.MONTH_FIRST)

    def date_order(self, name: str) -> DateOrder:
        seen = self.orders.get(name, set())
        if len(seen) == 2:
            return DateOrder.MIXED
        return next(iter(seen), DateOrder.UNKNOWN)


class _Buckets:
    """Hashes on the disk, by their first bits, so that equal ones lie in the same file."""

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"{number}" for number in range(_BUCKETS)]
        self._files = [path.open("wb", buffering=64 * 1024) for path in self._paths]

    def add(self, keys: Hashes) -> None:
        """Write each hash to the file of its bucket."""
        numbers = (keys >> _SHIFT).astype(np.uint8)
        grouped = keys[np.argsort(numbers, kind="stable")]  # a radix sort, for bytes
        ends = np.cumsum(np.bincount(numbers, minlength=_BUCKETS))
        for file, part in zip(self._files, np.split(grouped, ends[:-1]), strict=True):
            file.write(part.tobytes())

    def repeated(self) -> Hashes:
        """Every hash that was added more than once, sorted."""
        found = []
        for file, path in zip(self._files, self._paths, strict=True):
            file.close()
            keys = np.sort(np.fromfile(path, np.uint64))
            found.append(np.unique(keys[1:][keys[1:] == keys[:-1]]))
        return np.concatenate(found)

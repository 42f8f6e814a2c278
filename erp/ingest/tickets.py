"""Sales and their lines: which ones a job wants, and in the order of their time.

Files may be in any order, so that lines wait in a temporary SQLite file until their sale's turn:
memory does not grow with the files.
"""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from erp.contract import SALES, SALES_ITEMS, Table
from erp.ingest.hashes import Hashes, contains, hashes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Selection:
    """The sales from `since` until before `until` (aware, or None), at most `limit`; their lines.

    Sales must be shown before lines. A chosen sale takes 8 bytes of memory.
    """

    def __init__(
        self, since: datetime | None = None, until: datetime | None = None, limit: int | None = None
    ) -> None:
        self._since, self._until, self._limit = since, until, limit
        self._chosen: list[Hashes] = []
        self._count = 0
        self._sorted: Hashes | None = None

    @property
    def everything(self) -> bool:
        """True when every sale is wanted."""
        return self._since is None and self._until is None and self._limit is None

    def choose(self, table: Table, rows: pl.DataFrame) -> pl.Series | None:
        """Which of the typed rows are wanted; None when all are."""
        if self.everything or table not in (SALES, SALES_ITEMS):
            return None
        return self._sales(rows) if table is SALES else self._lines(rows)

    def _sales(self, rows: pl.DataFrame) -> pl.Series:
        moment, wanted = pl.col("sale_datetime"), pl.lit(True)
        if self._since is not None:
            wanted &= moment >= self._since.astimezone(UTC)
        if self._until is not None:
            wanted &= moment < self._until.astimezone(UTC)
        chosen = rows.select(pl.repeat(True, pl.len()) & wanted).to_series()
        if self._limit is not None:
            chosen &= chosen.cum_sum() <= self._limit - self._count
        self._chosen.append(hashes(rows.filter(chosen).select("sale_id")))
        self._count += int(chosen.sum())
        self._sorted = None
        return chosen

    def _lines(self, rows: pl.DataFrame) -> pl.Series:
        if self._sorted is None:
            self._sorted = np.sort(np.concatenate([*self._chosen, np.empty(0, np.uint64)]))
            self._chosen = [self._sorted]
        return pl.Series(contains(self._sorted, hashes(rows.select("sale_id"))))


class Ticket(NamedTuple):
    """A sale as it leaves the till: its header and its lines, as JSON."""

    moment: datetime
    sale_id: str
    header: str
    lines: list[str]


class TicketBook:
    """Sales with their lines, filled in any order, read in the order of their time.

    Of a sale or a line that is added twice, as from files that overlap, the last one stays.
    """

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.executescript(
            """
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            PRAGMA cache_size = -32000;
            CREATE TABLE sales (moment INTEGER, sale_id TEXT, header TEXT);
            CREATE TABLE lines (line_n INTEGER, sale_id TEXT, line TEXT);
            """
        )

    def add_sales(self, rows: pl.DataFrame, messages: pl.DataFrame) -> None:
        """Sales as typed rows and as messages, row for row."""
        moments = rows["sale_datetime"].dt.epoch("us").to_list()
        self._insert("INSERT INTO sales VALUES (?, ?, ?)", moments, messages)

    def add_lines(self, rows: pl.DataFrame, messages: pl.DataFrame) -> None:
        """Lines as typed rows and as messages, row for row."""
        self._insert("INSERT INTO lines VALUES (?, ?, ?)", rows["line_n"].to_list(), messages)

    def _insert(self, statement: str, numbers: list[int], messages: pl.DataFrame) -> None:
        self._base.execute("BEGIN")
        self._base.executemany(
            statement,
            zip(numbers, messages["key"].to_list(), messages["value"].to_list(), strict=True),
        )
        self._base.execute("COMMIT")

    def close_input(self) -> None:
        """Put in order what was added; call it once, before reading."""
        self._base.executescript(
            """
            CREATE INDEX sales_by_id ON sales (sale_id);
            DELETE FROM sales WHERE EXISTS (
                SELECT 1 FROM sales AS newer
                WHERE newer.sale_id = sales.sale_id AND newer.rowid > sales.rowid
            );
            CREATE INDEX sales_by_moment ON sales (moment);
            CREATE INDEX lines_by_sale ON lines (sale_id, line_n);
            """
        )

    def __len__(self) -> int:
        return int(self._base.execute("SELECT count(*) FROM sales").fetchone()[0])

    def tickets(self, skip: int = 0, limit: int | None = None) -> Iterator[Ticket]:
        """The sales by time (those of one moment in the order of the files), lines by number."""
        sales = self._base.execute(
            "SELECT moment, sale_id, header FROM sales ORDER BY moment, rowid LIMIT ? OFFSET ?",
            (-1 if limit is None else max(0, limit - skip), skip),
        )
        for moment, sale_id, header in sales:
            lines = self._base.execute(  # beside max() SQLite gives the line of that very row
                "SELECT line, max(rowid) FROM lines WHERE sale_id = ?"
                " GROUP BY line_n ORDER BY line_n",
                (sale_id,),
            )
            yield Ticket(
                _EPOCH + timedelta(microseconds=moment),
                sale_id,
                header,
                [line for line, _ in lines],
            )

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

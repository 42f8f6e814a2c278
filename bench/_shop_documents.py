"""Complete Journey in a MongoDB of its own, as the sink stores it, for what measures."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
from _services import Scripts, Settings, Stack, free_ports  # puts the project on the path
from pymongo import MongoClient
from pymongo.database import Database

from csv_out.complete_journey import load
from erp import contract

ZONE = "America/New_York"  # where the shop is
BATCH = 10_000


@contextmanager
def mongodb() -> Iterator[tuple[Database, Scripts]]:
    """An empty MongoDB in memory on a free port, gone afterwards, and the scripts that use it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = Stack(folder / "stack", *free_ports(3), mongo_heap="5g")
        try:
            stack.start([stack.mongo])
            settings = Settings(_env_file=None, mongo_uri=stack.mongo_uri, mongo_database="bench")
            scripts = Scripts(settings, folder)
            try:
                yield MongoClient(stack.mongo_uri, tz_aware=True)["bench"], scripts
            finally:
                scripts.stop()
        finally:
            stack.stop()


def documents_of(households: int | None) -> dict[str, pl.DataFrame]:
    """The four tables as MongoDB keeps them, every field in its type of the contract."""
    frames = load(households).frames
    polars_types = {float: pl.Float64, int: pl.Int64, bool: pl.Boolean, str: pl.String}
    for table in contract.TABLES:
        hints = msgspec.inspect.type_info(table.record).fields
        columns = []
        for field in hints:
            column = pl.col(field.name).cast(pl.String)
            kinds = str(field.type)
            if "DateTime" in kinds:
                column = column.str.to_datetime(time_unit="ms", time_zone="UTC", strict=False)
            else:
                named = {"Float": float, "Int": int, "Bool": bool}
                kind = next((t for word, t in named.items() if word in kinds), str)
                column = pl.col(field.name).cast(polars_types[kind], strict=False)
            columns.append(column)
        frames[table.name] = frames[table.name].select(columns)
    return frames


def store(database: Database, table: contract.Table, frame: pl.DataFrame) -> None:
    """Insert the rows as the sink does: `_id`, no absent fields, stamped."""
    key = pl.concat_str([pl.col(name).cast(pl.String) for name in table.natural_key], separator=":")
    for some in frame.select(key.alias("_id"), pl.all()).iter_slices(BATCH):
        stamp = {"stored_at": datetime.now(UTC)}
        rows = some.iter_rows(named=True)
        database[table.name].insert_many(
            [{k: v for k, v in row.items() if v is not None} | stamp for row in rows],
            ordered=False,
        )

"""Where the local trainer's sales and products come from: a folder of files, or MongoDB."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pymongo.database import Database

from erp.recommender.columns import TrainingDataError
from erp.recommender.training_data import Baskets

FILES = ("csv", "parquet")


def from_files(kind: str, folder: Path, timezone: str) -> tuple[Baskets, list[dict]]:
    """The baskets and products of a folder with files of this kind, one of FILES.

    Raises TrainingDataError where there is nothing to learn from.
    """
    if not folder.is_dir():
        raise TrainingDataError(f"{folder} is no folder: csv_out/prepare.py fills one")
    files = _reader(kind)
    baskets = files.read_baskets(folder, timezone)
    _refuse_none(baskets, str(folder), "csv_out/prepare.py fills it")
    return baskets, files.read_products(folder)


def from_mongo(database: Database[dict[str, Any]]) -> tuple[Baskets, list[dict]]:
    """The same of a database that the sink filled."""
    shop = _reader("mongo")
    baskets = shop.read_baskets(database)
    remedy = "run erp_simulator_producer.py and erp_kafka_to_mongo.py"
    _refuse_none(baskets, f"MongoDB's {database.name}", remedy)
    return baskets, shop.read_products(database)


def _reader(kind: str) -> ModuleType:
    """What reads a kind of source, loaded then: with all but csv comes pandas, half a second."""
    return import_module(f"erp.recommender.training_{kind}")


def _refuse_none(baskets: Baskets, where: str, remedy: str) -> None:
    if not len(baskets):
        raise TrainingDataError(
            f"there are no sales with lines in {where}{_left_out(baskets)}: {remedy}"
        )


def _left_out(baskets: Baskets) -> str:
    """Why lines that are there teach nothing, in words; empty where there are none."""
    counts = baskets.counts
    if not counts["lines_read"]:
        return ""
    return (
        f" that teach anything ({counts['lines_read']:,} lines, of them"
        f" {counts['lines_returned']:,} returns, {counts['lines_without_sale']:,} without a sale,"
        f" {counts['lines_invalid']:,} invalid)"
    )

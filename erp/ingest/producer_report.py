"""What the producer says at its end: what became of each row, as a table or as JSON."""

import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from erp.ingest.checkpoint import Counts
from erp.ingest.csv_files import as_text
from erp.process import printing


def show(
    counts: dict[str, Counts], undelivered: int, rejects: Path, seconds: float, as_json: bool
) -> None:
    """Print the result on stdout; raises Failure when nobody takes it."""
    with printing(f"{undelivered} messages are undelivered"):
        _print(counts, undelivered, rejects, seconds, as_json)


def _print(
    counts: dict[str, Counts], undelivered: int, rejects: Path, seconds: float, as_json: bool
) -> None:
    rejected = sum(sum(table.rejected.values()) for table in counts.values())
    if as_json:
        result: dict[str, Any] = {
            "tables": msgspec.to_builtins(counts),
            "undelivered": undelivered,
            "rejects": as_text(rejects) if rejected else None,
            "seconds": round(seconds, 3),
        }
        print(msgspec.json.encode(result).decode())
        return
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100)
    console.print(_rows_table(counts))
    if rejected:
        console.print(_reasons_table(counts))
        print(f"rejected rows: {as_text(rejects)}")
    print(f"undelivered: {undelivered}")
    sent = sum(table.sent for table in counts.values())
    print(f"{sent:,} messages in {seconds:.1f} s")


def _rows_table(counts: dict[str, Counts]) -> Table:
    table = Table("table")
    for title in ("read", "sent", "not selected", "rejected"):
        table.add_column(title, justify="right")
    for name, count in counts.items():
        numbers = (count.read, count.sent, count.not_selected, sum(count.rejected.values()))
        table.add_row(name, *(f"{number:,}" for number in numbers))
    return table


def _reasons_table(counts: dict[str, Counts]) -> Table:
    table = Table("table", "rejected because")
    table.add_column("rows", justify="right")
    for name, count in counts.items():
        for reason, rows in sorted(count.rejected.items(), key=lambda item: -item[1]):
            table.add_row(name, reason, f"{rows:,}")
    return table

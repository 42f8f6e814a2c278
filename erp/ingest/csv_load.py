"""From a CSV file to messages: surveyed, read, checked, without repeated keys or unwanted sales."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from erp.ingest.csv_files import CsvFile
from erp.ingest.csv_lines import Fault, shown
from erp.ingest.csv_reader import LINE, Block, read_blocks
from erp.ingest.csv_survey import Survey
from erp.ingest.hashes import Repeats, hashes
from erp.ingest.rows import Checked, check, natural_keys, numbers
from erp.ingest.tickets import Selection

T = TypeVar("T")


@dataclass
class Load:
    """What a block of a file came to.

    `rows` (typed) and `messages` (LINE, `key` and `value`, both text) belong together, row for row.
    """

    rows: pl.DataFrame
    messages: pl.DataFrame
    faults: list[Fault]
    not_selected: int
    read: int
    end_line: int
    end_byte: int


def load(file: CsvFile, survey: Survey, selection: Selection, largest: int) -> Iterator[Load]:
    """The file block by block; messages have at most `largest` bytes."""
    repeats = Repeats(survey.repeated)
    for block in ahead(read_blocks(file, numbers=numbers(file.table, survey.forms))):
        checked = check(file.table, block.frame, survey.forms, largest)
        if repeats:
            _drop_repeats(file, block, checked, repeats)
        wanted = selection.choose(file.table, checked.rows)
        dropped = 0
        if wanted is not None:
            dropped = len(wanted) - int(wanted.sum())
            checked.rows = checked.rows.filter(wanted)
            checked.messages = checked.messages.filter(wanted)
        yield Load(
            checked.rows,
            checked.messages,
            sorted([*block.faults, *checked.faults]),
            dropped,
            block.rows,
            block.end_line,
            block.end_byte,
        )


def _drop_repeats(file: CsvFile, block: Block, checked: Checked, repeats: Repeats) -> None:
    """Of rows with the same key only the first that keeps the contract stays."""
    key = file.table.natural_key
    good = block.frame.filter(pl.col(LINE).is_in(checked.rows[LINE].implode()))
    later = pl.Series(repeats.later(hashes(natural_keys(file.table, good))))
    if later.any():
        for line, *values in good.filter(later).select(LINE, *key).iter_rows():
            checked.faults.append(
                Fault(line, ",".join(key), shown(",".join(values)), "duplicate_key")
            )
        checked.rows = checked.rows.filter(~later)
        checked.messages = checked.messages.filter(~later)


def ahead(source: Iterator[T], depth: int = 2) -> Iterator[T]:
    """The same items, up to `depth` of them made by a thread before they are asked for."""
    with ThreadPoolExecutor(1) as thread:
        coming = deque(thread.submit(next, source, None) for _ in range(depth))
        while (item := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, source, None))
            yield item

"""One run of the producer: what it works with, and what became of the rows so far."""

from dataclasses import dataclass, field

import polars as pl

from erp.contract import Table
from erp.ingest.checkpoint import Checkpoint, Counts
from erp.ingest.csv_files import CsvFile, UnusableFileError
from erp.ingest.csv_lines import Fault
from erp.ingest.csv_load import Load
from erp.ingest.delivery import Delivery
from erp.ingest.progress import Progress
from erp.ingest.rejects import Rejects
from erp.ingest.tickets import Selection
from erp.ingest.values import DateOrder, Decimal
from erp.process import Failure, Stop

Files = dict[Table, list[CsvFile]]


@dataclass(frozen=True)
class Reading:
    """How files are to be understood; None: as they show themselves."""

    time_zone: str  # of times without an offset
    encoding: str | None = None
    decimal: Decimal | None = None
    date_order: DateOrder | None = None


@dataclass
class Job:
    """What one run works with.

    Attributes
    ----------
    strict : bool
        The first row that breaks the contract ends the run.
    largest : int
        Bytes that a message's key and value may have.
    state : Checkpoint
        What is done, and so what `--resume` need not do again.
    replaying : bool
        The rows are read anew on `--resume`, and refused anew.
    """

    tables: tuple[Table, ...]
    reading: Reading
    selection: Selection
    strict: bool
    largest: int
    stop: Stop
    delivery: Delivery
    state: Checkpoint
    rejects: Rejects
    progress: Progress = field(default_factory=Progress)
    replaying: bool = False

    def counts(self, table: Table) -> Counts:
        """What became of a table's rows."""
        return self.state.counts.setdefault(table.name, Counts(rejected={}))

    def refuse(self, file: CsvFile, part: Load) -> None:
        """Write down the refused rows of a block; with `strict` the first one is a Failure."""
        if self.strict and part.faults:
            fault = part.faults[0]
            raise Failure(
                f"{file.name} line {fault.line}: {fault.column or 'row'} {fault.value!r}:"
                f" {fault.reason} (--strict)"
            )
        self.rejects.add(file.name, part.faults)

    def refuse_whole(self, table: Table, name: str, why: UnusableFileError) -> None:
        """Refuse a file as one row."""
        self.rejects.add(name, [Fault(1, "", str(why), why.reason)])
        self.count(table, [Fault(1, "", "", why.reason)], read=1)

    def send(self, table: Table, keys: pl.Series, values: pl.Series) -> int:
        """Hand messages over; how many Kafka took, from the first, before patience ended."""
        return self.delivery.send(table, keys, values)

    def count(self, table: Table, faults: list[Fault], read: int, not_selected: int = 0) -> None:
        """Count what became of some rows, once their faults are in the rejects file."""
        counts = self.counts(table)
        counts.read += read
        counts.not_selected += not_selected
        for fault in faults:
            counts.rejected[fault.reason] = counts.rejected.get(fault.reason, 0) + 1
        if not self.replaying:
            self.state.rejects_bytes = self.rejects.size

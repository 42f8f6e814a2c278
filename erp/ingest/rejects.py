"""The file of refused rows: which file, line, column and value, and why."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from erp.ingest.csv_reader import Fault
from erp.process import Failure

COLUMNS = ("file", "line", "column", "value", "reason")


class Rejects:
    """Written as it grows; there is no file until a row is refused.

    With `keep` the first so many bytes of an earlier file stay, and writing goes on after them.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.path = path
        self._file: IO[str] | None = None
        if path.exists():
            if keep:
                os.truncate(path, keep)
            else:
                path.unlink()

    def add(self, name: str, faults: Iterable[Fault]) -> None:
        """Write the faults of the file `name`."""
        rows = [(name, *fault) for fault in faults]
        if rows:
            csv.writer(self._opened()).writerows(rows)

    def _opened(self) -> IO[str]:
        if self._file is None:
            new = not self.path.exists()
            try:
                self._file = self.path.open("a", encoding="utf-8", newline="")
            except OSError as error:
                raise Failure(f"cannot write refused rows ({error}): set --rejects") from None
            if new:
                csv.writer(self._file).writerow(COLUMNS)
        return self._file

    def sync(self) -> int:
        """Put on the disk what was written; the length of the file in bytes."""
        if self._file is None:
            return self.path.stat().st_size if self.path.exists() else 0
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

"""The file of refused rows: which file, line, column and value, and why."""

import contextlib
import csv
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from erp.ingest.csv_lines import Fault
from erp.process import Failure, UsageError

COLUMNS = ("file", "line", "column", "value", "reason")
_HEADER = ",".join(COLUMNS)


class Rejects:
    """Refused rows on the disk as they come; while one run writes them no other may.

    Writing goes on behind what an earlier run wrote, or what `keep` leaves of it. A file of
    anything else is left alone: UsageError. Where somebody moves or deletes it meanwhile, as what
    is dealt with, a new one is begun.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = _opened(path)
            self._regular = path.is_file()  # what /dev/null is not
        except OSError as error:
            raise self._failure(error) from None

    def keep(self, size: int) -> None:
        """Cut off what stands behind the first `size` bytes, unless no row ends there.

        Then it is another file than that of the checkpoint, begun since.
        """
        if not self._regular:
            return
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, size - 1))
                if not size or file.read(1) == b"\n":
                    self._file.truncate(size)
        except OSError as error:
            raise self._failure(error) from None

    @property
    def size(self) -> int:
        """Bytes of what was written."""
        return os.fstat(self._file.fileno()).st_size

    def add(self, name: str, faults: Iterable[Fault]) -> None:
        """Write the faults of the file `name`; raises Failure when there is no room for them."""
        rows = [(name, *fault) for fault in faults]
        if not rows:
            return
        try:
            self._follow()
            writer = csv.writer(self._file)
            if self._regular and not self.size:
                writer.writerow(COLUMNS)
            writer.writerows(rows)
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from None

    def sync(self) -> None:
        """Put on the disk what was written."""
        try:
            if self._regular:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Let others write; a file without a row goes."""
        if self._regular and not self.size:
            self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what a full disk did not take was told
            self._file.close()

    def _follow(self) -> None:
        """Begin a file anew where somebody moved or deleted the one that was written."""
        if self._regular and not _same(self.path, self._file):
            file = _opened(self.path)
            self._file.close()
            self._file = file

    def _failure(self, error: OSError) -> Failure:
        return Failure(
            f"cannot write refused rows to {self.path} ({error.strerror}): make room or set"
            " --rejects; --resume goes on"
        )


def _opened(path: Path) -> IO[str]:
    """The file, ours alone, at its end."""
    file = path.open("a", encoding="utf-8", errors="backslashreplace", newline="")
    if not path.is_file():
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failure(
            f"another producer is at work and writes {path}: wait until it ends, or give this one"
            " its own --rejects and --checkpoint"
        ) from None
    with path.open(encoding="utf-8", errors="replace") as before:
        if before.readline(len(_HEADER) + 1).rstrip() not in ("", _HEADER):
            raise UsageError(f"{path} holds something else than refused rows: set --rejects")
    return file


def _same(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False

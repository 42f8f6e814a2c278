"""The CSV files of the ERP as they lie in a folder: which table each one is, how it is written."""

import codecs
import csv
import gzip
import hashlib
import io
import logging
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from erp.contract import TABLES, Table
from erp.process import Failure, UsageError

log = logging.getLogger("erp.csv")

SEPARATORS = ",;\t|"
HEAD = 64 * 1024  # characters in which the header must end
DAMAGED = (EOFError, OSError, UnicodeError, zlib.error)  # what reading a file may raise
UTF8 = "utf-8"

# sales.csv, sales-2024-01.csv, sales_2024.csv.gz: sales_items first, for sales_ is its beginning
_NAMES = {
    table: re.compile(rf"{table.name}([-._]?\d.*|[-.].+)?\.(csv|tsv|txt)(\.gz)?", re.IGNORECASE)
    for table in sorted(TABLES, key=lambda table: -len(table.name))
}
_ALIKE = re.compile(rf"({'|'.join(table.name for table in TABLES)})(?![a-z])", re.IGNORECASE)
_HINT = re.compile(r"\ufeff?\"?sep=.\"?\s*", re.IGNORECASE)  # a first line for Excel alone
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, which is its beginning
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class CsvFile:
    """One file of a table and the way it is written.

    `columns` are the header's names in lower case; `header_lines` is how many physical lines the
    header takes; `bare_returns` says that lines end with CR alone, as old Macs wrote them.
    """

    path: Path
    table: Table
    encoding: str
    separator: str
    columns: tuple[str, ...]
    header_lines: int
    bare_returns: bool = False
    looked: tuple[int, ...] = ()  # how its content looked from outside, when it was described

    @property
    def name(self) -> str:
        """Its name without the folder, `as_text`."""
        return as_text(self.path.name)

    @property
    def extra_columns(self) -> list[str]:
        """The columns that the contract does not know."""
        return [name for name in self.columns if name not in self.table.columns]

    def size(self) -> int:
        """Bytes on the disk; raises UnusableFileError."""
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise _unreadable(self.path, error) from None

    def check_unchanged(self) -> None:
        """Raise UnusableFileError where it is not the file any more that was described."""
        if self.looked and self.looked != look(self.path):
            raise UnusableFileError(
                f"{self.path} changed while it was read: what was sent of it may be wrong, send it"
                " again once it is whole",
                "changed_file",
            )

    def digest(self) -> str:
        """The fingerprint of the content, as `digest`."""
        return digest(self.path)


class UnusableFileError(Failure):
    """A file that cannot be read, or whose header does not hold what its table needs.

    Attributes
    ----------
    reason : str
        What is wrong with it, in a word that can be counted.
    """

    def __init__(self, text: str, reason: str = "unusable_header") -> None:
        super().__init__(text)
        self.reason = reason


def as_text(path: str | Path) -> str:
    """A path that can be written down: what is no UTF-8, as in a name from Windows, is escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def find(folder: Path, tables: Iterable[Table] = TABLES) -> dict[Table, list[Path]]:
    """The files of each table in `folder`, by name; a table without one has an empty list."""
    found: dict[Table, list[Path]] = {table: [] for table in tables}
    try:
        for path in sorted(folder.iterdir()):
            for table, name in _NAMES.items():
                if name.fullmatch(path.name) and path.is_file():
                    if table in found:
                        found[table].append(path)
                    break
    except (FileNotFoundError, NotADirectoryError):
        raise Failure(
            f"{folder} is not a folder: write one with csv_out/prepare.py or set CSV_DIR"
        ) from None
    except OSError as error:
        raise Failure(
            f"cannot read the folder {folder} ({error.strerror}): see that it is there and may be"
            " read, or set CSV_DIR"
        ) from None
    return found


def unread(folder: Path) -> list[str]:
    """The names of files that look like a table's, and that `find` passes by."""
    read = {path for paths in find(folder).values() for path in paths}
    return [
        as_text(path.name)
        for path in sorted(folder.iterdir())
        if path not in read and _ALIKE.match(path.name) and path.is_file()
    ]


def describe_all(
    folder: Path, tables: Iterable[Table], encoding: str | None = None
) -> dict[Table, list[CsvFile]]:
    """The files of each table, described; empty ones are left out with a word in the log."""
    return {
        table: [file for path in paths if (file := describe(path, table, encoding))]
        for table, paths in find(folder, tables).items()
    }


def describe(path: Path, table: Table, encoding: str | None = None) -> CsvFile | None:
    """How the file is written, from its first bytes; None when it is empty.

    A byte order mark says its encoding for certain; without one it is `encoding`, or UTF-8. The
    separator is the one under which the header holds most of the table's columns. Raises
    UnusableFileError; UsageError when no encoding has that name, even if no file needs it.
    """
    _check_encoding(encoding or UTF8)
    looked = look(path)
    encoding = _marked(path) or encoding or UTF8
    head = _head(path, encoding)
    if not head.strip("\ufeff \r\n"):
        log.warning("%s is empty", path)
        return None
    bare_returns = "\r" in head and "\n" not in head
    head_lines = io.StringIO(head, newline=None if bare_returns else "\n").readlines()
    readings = [(separator, *_header(head_lines, separator)) for separator in SEPARATORS]
    separator, columns, lines = max(
        readings, key=lambda reading: len(set(reading[1]) & set(table.columns))
    )
    _check_header(path, table, columns, encoding)
    file = CsvFile(path, table, encoding, separator, columns, lines, bare_returns, looked)
    if file.extra_columns:
        log.warning("%s: columns ignored: %s", path, _legible(file.extra_columns))
    return file


def look(path: Path) -> tuple[int, ...]:
    """What tells from outside that a file's content changed; raises UnusableFileError."""
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return status.st_ino, status.st_size, status.st_mtime_ns


def digest(path: Path) -> str:
    """The fingerprint of the content: two files with the same one are the same export.

    Raises UnusableFileError.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except OSError as error:
        raise _unreadable(path, error) from None


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked when it is gzip; raises UnusableFileError."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UnusableFileError:
    return UnusableFileError(f"cannot read {path}: {error}", "unreadable_file")


def _check_encoding(name: str) -> None:
    try:
        io.TextIOWrapper(io.BytesIO(), name)
    except LookupError:
        raise UsageError(f"--encoding {name}: no such encoding") from None


def _marked(path: Path) -> str | None:
    """The encoding that a byte order mark names."""
    try:
        with open_bytes(path) as raw:
            head = raw.read(4)
    except DAMAGED as error:
        raise _unreadable(path, error) from None
    return next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)


def _head(path: Path, encoding: str) -> str:
    """The beginning of the text, as far as it can be read."""
    with open_bytes(path) as raw:
        try:
            return io.TextIOWrapper(raw, encoding, errors="replace", newline="").read(HEAD)
        except UnicodeError as error:
            raise UnusableFileError(
                f"{path} cannot be read as {encoding} ({error}): --encoding sets another, such as"
                " utf-16-le where the file does not begin with a mark",
                "unreadable_file",
            ) from None
        except DAMAGED as error:
            raise _unreadable(path, error) from None


def _header(lines: list[str], separator: str) -> tuple[tuple[str, ...], int]:
    hints = 1 if lines and _HINT.fullmatch(lines[0]) else 0
    reader = csv.reader(lines[hints:], delimiter=separator)
    try:
        names = next((row for row in reader if row), [])
    except csv.Error:  # a line that ends with CR alone among others
        names = []
    return tuple(name.strip().strip("\ufeff").lower() for name in names), hints + reader.line_num


def _check_header(path: Path, table: Table, columns: tuple[str, ...], encoding: str) -> None:
    known = [name for name in columns if name in table.columns]
    if missing := [name for name in table.required if name not in known]:
        raise UnusableFileError(
            f"{path} has no column {', '.join(missing)}; its header is {_legible(columns)}"
            f" (read as {encoding}: --encoding sets another)"
        )
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise UnusableFileError(f"{path} has the column {', '.join(twice)} twice")


def _legible(names: Iterable[str]) -> str:
    """The beginning of the names, fit for one line of a terminal."""
    text = ", ".join(names)[:200]
    return "".join(each if each.isprintable() else "\ufffd" for each in text)

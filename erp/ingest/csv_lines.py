"""The physical lines of a CSV file, packed or not, and what is said of one that is at fault."""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from erp.ingest.csv_files import DAMAGED, UTF8, CsvFile, open_bytes

RECORD_BYTES = 8 * 1024 * 1024  # a longer record is refused, so that memory stays bounded


class Fault(NamedTuple):
    """Why a row was refused: its line in the file, the column and value at fault, the kind."""

    line: int
    column: str
    value: str
    reason: str


class Lines:
    """The physical lines of a file after its header, as counted UTF-8 bytes."""

    def __init__(self, file: CsvFile) -> None:
        raw = open_bytes(file.path)
        self._on_disk = getattr(raw, "fileobj", None) or raw
        self._size = file.size()
        if file.encoding == UTF8 and not file.bare_returns:
            self._read: Callable[[int], bytes] = raw.read
            self._readline: Callable[[int], bytes] = raw.readline
        else:
            text = io.TextIOWrapper(
                raw, file.encoding, errors="replace", newline=None if file.bare_returns else "\n"
            )
            self._read = lambda size: text.read(size).encode()
            self._readline = lambda size: text.readline(size).encode()
        self.number = 0
        self.faults: list[Fault] = []
        self.cut: dict[int, str] = {}  # number of a line that is too long -> its beginning
        self._damage = ""
        while self.number < file.header_lines:
            self._readline(RECORD_BYTES)
            self.number += 1

    def byte(self) -> int:
        """How far the file on the disk was read."""
        return self._on_disk.tell() if not self._on_disk.closed else self._size

    def take(self, size: int) -> bytes:
        """About `size` bytes of whole lines; empty at the end of the file.

        Of a line longer than a record may be nothing is left but a quote, if it opens or closes
        one: the record that it belongs to ends where it would have ended.
        """
        text = self._try(self._read, size)
        if text and not text.endswith(b"\n"):
            text += self._try(self._readline, RECORD_BYTES)
            if len(text) > RECORD_BYTES:
                text = self._without_long_line(text)
        self.number += count(text, b"\n") + (bool(text) and not text.endswith(b"\n"))
        self._tell_damage()
        return text

    def _without_long_line(self, text: bytes) -> bytes:
        start = text.rfind(b"\n", 0, -1) + 1
        if len(text) - start <= RECORD_BYTES:
            return text
        quotes, more = text.count(b'"', start), text
        while not more.endswith(b"\n") and (more := self._try(self._readline, RECORD_BYTES)):
            quotes += more.count(b'"')
        number = self.number + text.count(b"\n", 0, start) + 1
        self.cut[number] = text[start : start + 200].decode(errors="replace")
        return text[:start] + b'"' * (quotes % 2) + b"\n"

    def _try(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except DAMAGED as error:
            self._damage = str(error)[:200]
            self._read = self._readline = lambda _size: b""
            return b""

    def _tell_damage(self) -> None:
        """What cannot be read is one line more, so that no block ends where the last one did."""
        if self._damage:
            self.number += 1
            self.faults.append(Fault(self.number, "", self._damage, "damaged_file"))
            self._damage = ""


def count(text: bytes, character: bytes) -> int:
    """How often one byte is in the text; where it is frequent several times as fast as count()."""
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(character)))


def shown(value: str) -> str:
    """The beginning of a value as it may be written to a file: what is not text is escaped."""
    return value[:200].encode(errors="backslashreplace").decode()

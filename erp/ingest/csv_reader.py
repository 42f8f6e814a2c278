"""Rows of a CSV file, a block at a time, in memory that does not grow with the file.

A block whose text is plain (no quotes, as many separators in each line as in the header) is split
by polars; any other goes through the csv module, which knows quotes and the newlines inside them.
What cannot be read as a row becomes a Fault with its line, and the rows after it go on.
"""

import codecs
import csv
import io
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import polars as pl
import polars.selectors as cs

from erp.ingest import csv_lines
from erp.ingest.csv_files import UTF8, CsvFile
from erp.ingest.csv_lines import Fault, Lines, count, shown

BLOCK_BYTES = 1024 * 1024
SAFE_INTEGERS = (1 - 2**53, 2**53 - 1)  # that no reader of JSON rounds
_LINE_MARK = "\x1f"  # in no plain text, so that splitting at it leaves lines whole
LINE = "_line"  # the column that says on which line of the file a row begins, from 1


Numbers = Mapping[str, pl.DataType]


@dataclass
class Block:
    """Some rows of a file.

    Attributes
    ----------
    frame : DataFrame
        The rows that could be read: LINE, then the table's columns as text, empty ones null;
        numbers as such where `read_blocks` was asked for it and every one of the block is one.
    faults : list of Fault
        The rows that could not.
    end_line, end_byte : int
        The last line of the file that is in this or an earlier block, and how far the file on
        the disk was read for it.
    """

    frame: pl.DataFrame
    faults: list[Fault] = field(default_factory=list)
    end_line: int = 0
    end_byte: int = 0

    @property
    def rows(self) -> int:
        """Rows of the file, readable or not."""
        return self.frame.height + len(self.faults)


def read_blocks(
    file: CsvFile,
    skip_plain: Collection[str] = (),
    numbers: Numbers = MappingProxyType({}),
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """The rows of `file` in order, about `block_bytes` of text at once.

    The blocks are the same each time that the same file is read. In blocks of plain text the
    columns named in `skip_plain` are left out, and those in `numbers` are read as what it says if
    all their values are finite numbers with decimal points; both save time.
    """
    lines = Lines(file)
    while True:
        first_line = lines.number + 1
        text = lines.take(block_bytes)
        if not text and not lines.faults:
            return
        block = None
        if not lines.cut:
            block = _parse_plain(file, text, first_line, skip_plain, numbers)
        if block is None:
            block = _parse_quoted(file, text, first_line, lines)
        block.faults += lines.faults
        lines.faults = []
        block.end_line, block.end_byte = lines.number, lines.byte()
        yield block


def _parse_plain(
    file: CsvFile, text: bytes, first_line: int, skip: Collection[str], numbers: Numbers
) -> Block | None:
    """The block split by polars, or None when it holds what needs the csv module."""
    if any(mark in text for mark in (b'"', b"\0", _LINE_MARK.encode())):
        return None
    if b"\r" in text and count(text, b"\r") != text.count(b"\r\n"):
        return None
    if file.encoding != UTF8 and "\ufffd".encode() in text:
        return None
    if not text.isascii():
        if codecs.BOM_UTF8 in text:  # polars leaves out one at the beginning
            return None
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    wanted = [
        number
        for number, name in enumerate(file.columns)
        # where polars leaves out any column it overlooks a line that is too long
        if not skip or (name in file.table.columns and name not in skip)
    ]
    block = _parse_even(file, text, first_line, wanted, numbers)
    return block or _parse_ragged(file, text, first_line, wanted)


def _parse_even(
    file: CsvFile, text: bytes, first_line: int, wanted: list[int], numbers: Numbers
) -> Block | None:
    """Plain text in which each line has as many fields as the header, or None."""
    lines = count(text, b"\n") + (not text.endswith(b"\n"))
    separators = len(file.columns) - 1
    if not separators or count(text, file.separator.encode()) != separators * lines:
        return None
    types = [numbers.get(name, pl.String()) for name in file.columns]
    table = _split_even(text, file.separator, types, wanted)
    if numbers and (table is None or not _all_finite(table)):
        table = _split_even(text, file.separator, [pl.String()] * len(types), wanted)
    if table is None or table.height != lines:
        return None
    on_lines = pl.int_range(first_line, first_line + lines, eager=True)
    return Block(_named(file, on_lines, table, wanted))


def _split_even(
    text: bytes, separator: str, types: list[pl.DataType], wanted: list[int]
) -> pl.DataFrame | None:
    """The wanted columns in their types, or None when polars refuses a line or a value."""
    try:  # a line too short means another too long, which polars refuses
        return _split(text, separator, types, wanted)
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError):
        return None


def _all_finite(table: pl.DataFrame) -> bool:
    """True when no number of the table is NaN, infinite or too large for a reader of JSON."""
    return all(
        bool(column.is_between(*SAFE_INTEGERS).all())
        if column.dtype.is_integer()
        else bool(column.is_finite().all())
        for column in table.select(cs.numeric()).iter_columns()
    )


def _parse_ragged(file: CsvFile, text: bytes, first_line: int, wanted: list[int]) -> Block:
    """Plain text, line by line: blank ones are left out, uneven ones are faults."""
    if not text:
        return Block(_frame(file, [], []))
    lines = _split(text, _LINE_MARK, [pl.String()], [0], empty_string_is_null=False).to_series()
    table = pl.DataFrame(
        {
            LINE: range(first_line, first_line + len(lines)),
            "text": lines,
            "extra": lines.str.count_matches(file.separator, literal=True).cast(pl.Int64)
            - (len(file.columns) - 1),
        }
    ).filter(pl.col("text") != "")
    faults = [
        Fault(line, "", value[:200], "too_few_fields" if extra < 0 else "too_many_fields")
        for line, value, extra in table.filter(pl.col("extra") != 0).iter_rows()
    ]
    whole = table.filter(pl.col("extra") == 0)
    if whole.is_empty():
        return Block(_frame(file, [], []), faults)
    even = "\n".join(whole["text"]).encode()
    table = _split(even, file.separator, [pl.String()] * len(file.columns), wanted)
    return Block(_named(file, whole[LINE], table, wanted), faults)


def _named(file: CsvFile, lines: pl.Series, table: pl.DataFrame, wanted: list[int]) -> pl.DataFrame:
    """The table's columns under their names, with the line of each row."""
    columns = zip((file.columns[number] for number in wanted), table.iter_columns(), strict=True)
    known = {name: text for name, text in columns if name in file.table.columns}
    return pl.DataFrame({LINE: lines, **known})


def _split(
    text: bytes,
    separator: str,
    types: list[pl.DataType],
    wanted: list[int],
    empty_string_is_null: bool = True,
) -> pl.DataFrame:
    """The wanted ones of the columns of text without quotes, in the order of the file."""
    return pl.read_csv(
        text,
        has_header=False,
        schema={f"column_{number}": type_ for number, type_ in enumerate(types)},
        columns=wanted,
        separator=separator,
        quote_char=None,
        empty_string_is_null=empty_string_is_null,
    )


class _Record:
    """Lines for the csv module: those of the record in hand can be given back."""

    def __init__(self, pending: deque[str], lines: Lines) -> None:
        self.pending = pending
        self.taken: list[str] = []
        self._lines = lines
        self._length = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.pending:
            line = self.pending.popleft()
        elif not (line := _text(self._lines.take(1))):
            raise StopIteration
        self.taken.append(line)
        self._length += len(line)
        if self._length > csv_lines.RECORD_BYTES:
            raise csv.Error("field larger than a record may be")
        return line

    def done(self) -> int:
        """Forget the record in hand; its number of lines."""
        lines = len(self.taken)
        self.taken.clear()
        self._length = 0
        return lines

    def give_back(self) -> str:
        """Give back all but the first line of the record in hand, which is returned."""
        first, *rest = self.taken
        self.pending.extendleft(reversed(rest))
        self.done()
        return first


def _parse_quoted(file: CsvFile, text: bytes, first_line: int, lines: Lines) -> Block:
    """The block by the csv module, reading on to the end of its last record.

    A record that breaks the rules of quoting costs its first line; reading goes on with the next.
    """
    csv.field_size_limit(csv_lines.RECORD_BYTES)
    record = _Record(deque(io.StringIO(_text(text), newline="\n")), lines)
    rows: list[list[str]] = []
    numbers: list[int] = []
    faults: list[Fault] = []
    line = first_line
    reader = csv.reader(record, delimiter=file.separator, strict=True)
    while record.pending:
        try:
            row = next(reader)
        except csv.Error as error:
            first = record.give_back()
            if line in lines.cut:
                faults.append(Fault(line, "", lines.cut.pop(line), "record_too_long"))
            else:
                faults.append(Fault(line, "", shown(first), _quoting(error)))
            reader = csv.reader(record, delimiter=file.separator, strict=True)
            line += 1
            continue
        end = line + record.done()
        if lines.cut and (cut := [n for n in range(line, end) if n in lines.cut]):
            faults.append(Fault(line, "", lines.cut[cut[0]], "record_too_long"))
            for number in cut:
                del lines.cut[number]
        elif row and (fault := _unreadable(file, line, row)):
            faults.append(fault)
        elif row:
            rows.append(row)
            numbers.append(line)
        line = end
    return Block(_frame(file, numbers, rows), faults)


def _quoting(error: csv.Error) -> str:
    text = str(error)
    if "new-line character" in text:
        return "stray_carriage_return"
    return "unclosed_quote" if "end of data" in text or "larger than" in text else "broken_quotes"


def _unreadable(file: CsvFile, line: int, row: list[str]) -> Fault | None:
    if len(row) != len(file.columns):
        value = file.separator.join(row)
        reason = "too_few_fields" if len(row) < len(file.columns) else "too_many_fields"
        return Fault(line, "", shown(value), reason)
    for name, value in zip(file.columns, row, strict=True):
        if "\0" in value:
            return Fault(line, name, shown(value), "nul_byte")
        if not value.isascii() and _invalid(file, value):
            return Fault(line, name, shown(value), "invalid_characters")
    return None


def _invalid(file: CsvFile, value: str) -> bool:
    if file.encoding != UTF8:
        return "\ufffd" in value
    return any("\udc80" <= character <= "\udcff" for character in value)


def _frame(file: CsvFile, numbers: list[int], rows: list[list[str]]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(file.columns)
    known = {
        name: pl.Series(values, dtype=pl.String).replace("", None)
        for name, values in zip(file.columns, columns, strict=True)
        if name in file.table.columns
    }
    return pl.DataFrame({LINE: pl.Series(numbers, dtype=pl.Int64), **known})


def _text(line: bytes) -> str:
    return line.decode(errors="surrogateescape")

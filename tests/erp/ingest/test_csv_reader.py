"""Reading rows: whatever a file does to its text, every row is there or its fault is."""

import gzip
import random

import pytest

from erp.contract import PRODUCTS
from erp.ingest import csv_files, csv_lines, csv_reader

HEAD = b"product_id,name\n"


@pytest.fixture
def read(tmp_path):
    """Write bytes as products.csv and read them: the rows and the faults, all blocks together."""

    def read(content, encoding=None, block_bytes=csv_reader.BLOCK_BYTES, name="products.csv"):
        path = tmp_path / name
        path.write_bytes(content)
        file = csv_files.describe(path, PRODUCTS, encoding)
        blocks = list(csv_reader.read_blocks(file, block_bytes=block_bytes))
        rows = [row for block in blocks for row in block.frame.rows()]
        return rows, [fault for block in blocks for fault in block.faults]

    return read


def test_plain_rows_are_text_with_their_lines_and_empty_fields_are_null(read):
    """Ids keep their zeros, an empty field is null, the first row stands on line 2."""
    assert ([(2, "007", "a"), (3, "8", None)], []) == read(HEAD + b"007,a\n8,\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_kind_of_line_end_is_understood(read, end):
    """LF, CRLF and the CR of old Macs; the last line may lack its end."""
    content = end.join([b"product_id,name", b"1,a", b"", b"2,b"])
    assert ([(2, "1", "a"), (4, "2", "b")], []) == read(content)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_tells_the_encoding(read, encoding):
    """UTF-8 with a mark and UTF-16 of both orders read like UTF-8."""
    mark = "\ufeff" if encoding.endswith("e") else ""
    content = (mark + "product_id,name\n1,niño\n").encode(encoding)
    assert ([(2, "1", "niño")], []) == read(content)


def test_a_mark_behind_the_header_is_part_of_its_value(read):
    """As where files were joined; nothing is taken from a value, also if that is all there is."""
    assert ([(2, "\ufeff1", "a"), (4, "\ufeff2", "b")], []) == read(
        HEAD + "\ufeff1,a\n\n\ufeff2,b\n".encode(), block_bytes=1
    )
    assert ([(2, "\ufeff")], []) == read("product_id\n\ufeff\n".encode())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_header_may_have_a_name_of_several_lines(read, end, encoding):
    """Whatever ends them: no row behind it is taken for a part of it."""
    text = end.join(['product_id,"the\rcolour"', "1,a", '2,"b"'])
    rows, faults = read(text.encode(encoding))
    assert (["1", "2"], []) == ([row[1] for row in rows], faults)


def test_an_encoding_can_be_named(read):
    """A file in cp1252 reads right once one says so."""
    assert ([(2, "1", "niño €")], []) == read(
        "product_id,name\n1,niño €\n".encode("cp1252"), encoding="cp1252"
    )


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_header_tells_the_separator(read, separator):
    """Commas, semicolons, tabs and bars, with the other marks inside fields."""
    other = ";" if separator == "," else ","
    content = f"product_id{separator}name\n1{separator}a{other}b\n".encode()
    assert ([(2, "1", f"a{other}b")], []) == read(content)


def test_quotes_hold_separators_newlines_and_quotes(read):
    """A quoted field may hold anything; the row's line is the one on which it begins."""
    content = HEAD + b'1,"a, ""b""\nc"\n2,d\n'
    assert ([(2, "1", 'a, "b"\nc'), (4, "2", "d")], []) == read(content)


def test_columns_may_be_in_any_order_and_unknown_ones_are_left_out(read, caplog):
    """Columns are found by their names, whatever their case; a word is said of unknown ones."""
    content = b" Name ,colour,PRODUCT_ID\na,red,1\n"
    assert ([(2, "a", "1")], []) == read(content)
    assert "columns ignored: colour" in caplog.text


@pytest.mark.parametrize("quoted", [b"", b'9,"q"\n'])
def test_ragged_rows_are_faults_and_the_rest_goes_on(read, quoted):
    """Too few and too many fields have their own names, in plain and in quoted text."""
    rows, faults = read(HEAD + b"1,a\n2\n3,b,c\n4,d\n" + quoted)
    assert [(2, "1", "a"), (5, "4", "d")] == rows[:2]
    assert [(3, "too_few_fields"), (4, "too_many_fields")] == [
        (fault.line, fault.reason) for fault in faults
    ]


def test_a_short_row_beside_a_long_one_does_not_shift_fields(read):
    """A missing separator here and one too many there must not cancel out."""
    rows, faults = read(HEAD + b"1\n2,b,c\n3,d\n")
    assert [(4, "3", "d")] == rows
    assert {2, 3} == {fault.line for fault in faults}


@pytest.mark.parametrize("head", [b"product_id,name,colour\n", b"product_id,colour,name\n"])
def test_a_long_row_is_seen_where_a_column_is_ignored(read, head):
    """Beside a short or a blank one, which together have as many fields as they should."""
    rows, faults = read(head + b"1,a,a\n2,b\n3,c, d,red\n\n4,e,f,g,red\n5,h,h\n")
    assert [(2, "1", "a"), (7, "5", "h")] == rows
    assert [3, 4, 6] == [fault.line for fault in faults]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'2,"b\n', "unclosed_quote"),
        (b'2,"b" c\n', "broken_quotes"),
        (b"2,b\0c\n", "nul_byte"),
        (b"2,b\xffc\n", "invalid_characters"),
        (b"2,b\rc\n", "stray_carriage_return"),
    ],
)
def test_a_broken_line_costs_itself_and_nothing_else(read, line, reason):
    """The rows before and after a broken line are read; its fault is named."""
    rows, faults = read(HEAD + b"1,a\n" + line + b"3,c\n4,d\n")
    assert [(2, "1", "a"), (4, "3", "c"), (5, "4", "d")] == rows
    assert [(3, reason)] == [(fault.line, fault.reason) for fault in faults]


def test_a_quote_that_is_never_closed_costs_one_line_of_many(read, monkeypatch):
    """Reading gives up at the bound of a record, and goes on with the next line."""
    monkeypatch.setattr(csv_lines, "RECORD_BYTES", 2_000)
    others = [b"%d,x" % number for number in range(2, 2_000)]
    rows, faults = read(HEAD + b'1,"x\n' + b"\n".join(others))
    assert [f"{number}" for number in range(2, 2_000)] == [row[1] for row in rows]
    assert [(2, "unclosed_quote")] == [(fault.line, fault.reason) for fault in faults]


def test_a_line_longer_than_a_record_may_be_is_a_fault(read, monkeypatch):
    """A line over the bound is left out, and the lines after it keep their numbers."""
    monkeypatch.setattr(csv_lines, "RECORD_BYTES", 1_000)
    content = HEAD + b"1,a\n2," + b"x" * 5_000 + b"\n3,c\n"
    rows, faults = read(content, block_bytes=100)
    assert [(2, "1", "a"), (4, "3", "c")] == rows
    assert [(3, "record_too_long")] == [(fault.line, fault.reason) for fault in faults]


@pytest.mark.parametrize("block_bytes", [1, 100, 900])
@pytest.mark.parametrize(
    ("record", "lines"),
    [
        (b'2,"begin\n' + b"x" * 5_000 + b'\nend"\n', 3),
        (b'2,"' + b"x" * 5_000 + b'\n9,z\nend"\n', 3),
        (b'2,"begin\n' + b"x" * 5_000 + b'"\n', 2),
        (b'2,"begin\n' + b'""' * 2_500 + b"\n" + b"y" * 1_050 + b'\n9,z\nend"\n', 5),
    ],
)
def test_a_record_with_a_line_that_is_too_long_is_one_fault(
    read, monkeypatch, record, lines, block_bytes
):
    """Nothing of it is a row, whichever of its lines it is, and later rows keep their numbers."""
    monkeypatch.setattr(csv_lines, "RECORD_BYTES", 1_000)
    rows, faults = read(HEAD + b"1,a\n" + record + b'3,c\n4,"d"\n', block_bytes=block_bytes)
    assert [(2, "1", "a"), (3 + lines, "3", "c"), (4 + lines, "4", "d")] == rows
    assert [(3, "record_too_long")] == [(fault.line, fault.reason) for fault in faults]


def test_a_long_line_that_opens_a_quote_for_ever_costs_itself(read, monkeypatch):
    """What comes after it is read as after any quote that is never closed."""
    monkeypatch.setattr(csv_lines, "RECORD_BYTES", 1_000)
    others = [b"%d,x" % number for number in range(2, 1_000)]
    content = HEAD + b'1,"' + b"x" * 5_000 + b"\n" + b"\n".join(others)
    rows, faults = read(content, block_bytes=100)
    assert [f"{number}" for number in range(2, 1_000)] == [row[1] for row in rows]
    assert [(2, "record_too_long")] == [(fault.line, fault.reason) for fault in faults]


def test_a_megabyte_in_a_field_is_read(read):
    """Long fields are ordinary as long as they fit a record."""
    rows, faults = read(HEAD + b'1,"' + b"x" * 3_000_000 + b'"\n2,b\n')
    assert [3_000_000, 1] == [len(row[2]) for row in rows]
    assert [] == faults


def test_gzip_reads_like_plain_text(read):
    """A packed file is known by its first bytes."""
    content = gzip.compress(HEAD + b"1,a\n")
    assert ([(2, "1", "a")], []) == read(content, name="products.csv.gz")


def test_a_damaged_archive_keeps_what_could_be_read(read):
    """A gzip file that was cut short is a fault, after the rows before the cut."""
    random_bytes = random.Random(1).randbytes(200_000).hex().encode()
    names = [random_bytes[start : start + 40] for start in range(0, len(random_bytes), 40)]
    whole = gzip.compress(HEAD + b"".join(b"%d,%s\n" % row for row in enumerate(names)))
    rows, faults = read(whole[: len(whole) // 2], name="products.csv.gz", block_bytes=10_000)
    assert 1_000 < len(rows) < len(names)
    assert "damaged_file" in {fault.reason for fault in faults}


@pytest.mark.parametrize("block_bytes", [1, 10, 100, 1_000])
def test_the_size_of_blocks_does_not_change_what_is_read(read, block_bytes):
    """Records that lie across the edge of a block are read whole."""
    lines = [b"1,a\n", b'2,"b\nb"\n', b"3\n", b'4,"c\n', b"5,d\n", b"\n", b'6,"""e"""\n', b"7,f"]
    content = HEAD + b"".join(lines * 20).replace(b"7,f1,a", b"7,f\n1,a")
    assert read(content) == read(content, block_bytes=block_bytes)


@pytest.mark.parametrize("block_bytes", [1, 10, 100])
def test_a_block_never_ends_at_a_carriage_return_in_a_field(read, block_bytes):
    """It is no end of a line in UTF-16 either."""
    content = "product_id,name\n1,a\rb\n2,c\n".encode("utf-16")
    rows, faults = read(content, block_bytes=block_bytes)
    assert [(3, "2", "c")] == rows
    assert [(2, "stray_carriage_return")] == [(each.line, each.reason) for each in faults]


def test_the_end_of_a_block_says_how_far_reading_got(tmp_path):
    """Lines and bytes of the file on the disk, for going on later and for the progress bar."""
    path = tmp_path / "products.csv"
    path.write_bytes(HEAD + b'1,"a\nb"\n2,c\n')
    *_, last = csv_reader.read_blocks(csv_files.describe(path, PRODUCTS))
    assert (4, path.stat().st_size) == (last.end_line, last.end_byte)

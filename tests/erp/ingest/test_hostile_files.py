"""Files as no export should be: every row is sent or refused by name, and nothing raises."""

import gzip
import random
from collections import Counter

import pytest

from erp.contract import PRODUCTS
from erp.ingest import csv_files
from erp.ingest.csv_files import UnusableFileError
from erp.ingest.csv_load import load
from erp.ingest.csv_survey import survey
from erp.ingest.tickets import Selection
from erp.process import UsageError

HEAD = "product_id,name,unit_price,created_at\n"
GOOD = HEAD + "1,Té,1.5,2024-03-01\n2,Pan,2,\n"
MANY = "".join(f"{n},{random.Random(n).random()},1,\n" for n in range(120_000))
PACKED = gzip.compress((HEAD + MANY).encode(), mtime=0)
LARGEST = 1_000_000  # bytes of a message


def outcome(path, content, encoding=None):
    """Rows read, rows sent, and the refused ones by reason."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file = csv_files.describe(path, PRODUCTS, encoding)
    *_, found = survey(file, "UTC")
    parts = list(load(file, found, Selection(), LARGEST))
    ends = [part.end_line for part in parts]
    assert sorted(set(ends)) == ends  # or --resume takes a block for one that was sent
    reasons = Counter(fault.reason for part in parts for fault in part.faults)
    return (
        sum(part.read for part in parts),
        sum(part.messages.height for part in parts),
        dict(reasons),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.encode("utf-16"),
        b"\xfe\xff" + GOOD.encode("utf-16-be"),
        GOOD.encode("utf-32"),
        b"\0\0\xfe\xff" + GOOD.encode("utf-32-be"),
        GOOD.replace(",", "\t"),
        GOOD.replace(",", ";").replace("1.5", "1,5"),
        GOOD.replace("\n", "\r"),
        GOOD.replace("\n", "\r\n"),
        gzip.compress(GOOD.encode("utf-16"), mtime=0),
        GOOD.replace("product_id", " PRODUCT_ID "),
    ],
)
def test_the_ways_in_which_good_files_are_written(tmp_path, content):
    """Marks, encodings, separators, line ends and packing cost no row."""
    assert (2, 2, {}) == outcome(tmp_path / "products.csv", content)


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        ("3,a\0b,1,\n4,ok,1,\n", {"nul_byte": 1}),
        ("\0\0\0\n", {"too_few_fields": 1}),
        (
            "3,a\n4,b,1,,,,\n,,,\n\n",
            {"too_few_fields": 1, "too_many_fields": 1, "missing_value": 1},
        ),
        ('3,"a\nb",1,\n4,"x""y",1,\n5,"open,1,\n6,ok,1,\n', {"unclosed_quote": 1}),
        ('3,"a"b,1,\n4,a"b,1,\n', {"broken_quotes": 1}),
        ("3,a,1e400,\n4,b,-1e400,\n5,c,NaN,\n6,d,-Infinity,\n", {"not_finite": 4}),
        ("3,a,0x10,\n4,b,1_000,\n5,c,$5,\n6,d,1.5.5,\n", {"not_a_number": 4}),
        ("3,a,1,13/02/2024\n4,a,1,02/13/2024\n5,a,1,03/02/2024\n", {"mixed_date_order": 1}),
        ("3,a,1,2024-02-30\n4,a,1,now\n5,a,1,1709251200\n", {"not_a_date": 3}),
        ("3,a,1,03/02/2024\n", {"ambiguous_date": 1}),
        (f"3,{'x' * 2_000_000},1,\n4,ok,1,\n", {"message_too_large": 1}),
        (f"3,{'x' * 12_000_000},1,\n4,ok,1,\n", {"record_too_long": 1}),
        (f'3,"{"x" * 12_000_000}",1,\n4,ok,1,\n', {"record_too_long": 1}),
        (f'3,"begin\n{"x" * 12_000_000}\nend",1,\n4,ok,1,\n', {"record_too_long": 1}),
        ('3,a,1,\n3,b,1,\n"3",c,1,\n', {"duplicate_key": 2}),
    ],
)
def test_each_bad_row_is_refused_by_name_and_the_others_go_on(tmp_path, rows, reasons):
    """What was read is what was sent and what was refused."""
    read, sent, refused = outcome(tmp_path / "products.csv", GOOD + rows)
    assert reasons == refused
    assert read == sent + sum(refused.values())


def test_bytes_that_are_no_text_are_refused(tmp_path):
    """Latin-1 read as UTF-8 costs the rows that show it; --encoding reads them."""
    path = tmp_path / "products.csv"
    assert (2, 1, {"invalid_characters": 1}) == outcome(path, GOOD.encode("latin-1"))
    assert (2, 2, {}) == outcome(path, GOOD.encode("latin-1"), "latin-1")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "idna", "undefined"])
def test_an_encoding_that_cannot_be_is_one_line(tmp_path, encoding):
    """Such as utf-16 for a file without its mark, whose order of bytes must be told."""
    with pytest.raises(UnusableFileError, match=rf"as {encoding} \(.*--encoding.*utf-16-le"):
        outcome(tmp_path / "products.csv", GOOD.encode("utf-16-le"), encoding)
    assert (2, 2, {}) == outcome(tmp_path / "products.csv", GOOD.encode("utf-16-le"), "utf-16-le")


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_archive_gives_what_can_be_read(tmp_path, damage):
    """The rest of the file is one refused row; nothing is lost without a word."""
    half = len(PACKED) // 2
    content = PACKED[:half] + (b"\xff" * 50 + PACKED[half + 50 :] if damage == "flipped" else b"")
    read, sent, refused = outcome(tmp_path / "products.csv.gz", content)
    assert 1 == refused["damaged_file"]
    assert read == sent + sum(refused.values())
    assert 0 < sent < 120_000


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode("utf-16-le"),
        GOOD.encode("utf-32-le"),
        b"\0" * 5_000,
        random.Random(1).randbytes(50_000),
        b"x" * 500_000,
        gzip.compress(GOOD.encode(), mtime=0)[:20],
        gzip.compress(gzip.compress(GOOD.encode(), mtime=0), mtime=0),
        b"product_id,name,name\n1,a,b\n",
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_fit_for_a_terminal(tmp_path, content):
    """It names the file; what is not text in its header is not printed."""
    with pytest.raises(UnusableFileError, match=r"products\.csv") as error:
        outcome(tmp_path / "products.csv", content)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("written", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("encoding", ["klingon", "base64"])
def test_an_encoding_that_nobody_knows_is_a_usage_error(tmp_path, encoding, written):
    """One line, and exit code 2; also where a file's own mark is surer."""
    with pytest.raises(UsageError, match=f"--encoding {encoding}"):
        outcome(tmp_path / "products.csv", GOOD.encode(written), encoding)

"""A table is read the same from every kind of file, and a bad file is one clear sentence."""

from datetime import datetime
from pathlib import Path

import openpyxl
import polars as pl
import pytest

from csv_out.exports import read
from erp.process import UsageError

COLUMNS = ("InvoiceNo", "Quantity", "InvoiceDate", "UnitPrice", "Description")
ROWS = [
    ["00017", "6", "2010-12-01 08:26:00", "2.55", "CAFÉ £5"],
    ["C18", "-1", "2010-12-01 09:00:00", "0.1", None],
]


def test_csv_in_utf8_and_latin1(tmp_path: Path) -> None:
    """Both encodings give the same text; ids keep their zeros."""
    text = "Invoice No,quantity,INVOICEDATE,Price,Description\n" + "".join(
        ",".join(cell or "" for cell in row) + "\n" for row in ROWS
    )
    for encoding in ("utf-8", "utf-8-sig", "latin-1"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(text.encode(encoding))
        assert ROWS == [list(row) for row in read(path, COLUMNS, {"Price": "UnitPrice"}).rows()]


def test_csv_with_semicolons(tmp_path: Path) -> None:
    """The separator is the one that the header uses most."""
    path = tmp_path / "export.csv"
    path.write_text("InvoiceNo;Quantity;InvoiceDate;UnitPrice;Description\n1;2;x;3;a, b, c\n")
    assert [("1", "2", "x", "3", "a, b, c")] == read(path, COLUMNS, {}).rows()


def test_parquet_with_typed_columns(tmp_path: Path) -> None:
    """Numbers and times become the text that a CSV file would hold."""
    path = tmp_path / "export.parquet"
    pl.DataFrame(
        {
            "InvoiceNo": [row[0] for row in ROWS],
            "Quantity": [6, -1],
            "InvoiceDate": [datetime(2010, 12, 1, 8, 26), datetime(2010, 12, 1, 9)],  # noqa: DTZ001
            "UnitPrice": [2.55, 0.1],
            "Description": [row[4] for row in ROWS],
        }
    ).write_parquet(path)
    assert ROWS == [list(row) for row in read(path, COLUMNS, {}).rows()]


def test_every_sheet_of_a_workbook_that_has_the_columns(tmp_path: Path) -> None:
    """Two years on two sheets are one table; a sheet of notes is none."""
    book = openpyxl.Workbook()
    book.active.append(["a note"])
    for row in ROWS:
        sheet = book.create_sheet()
        sheet.append(COLUMNS)
        moment = datetime.fromisoformat(row[2])
        sheet.append([row[0], int(row[1]), moment, float(row[3]), row[4]])
    path = tmp_path / "export.xlsx"
    book.save(path)
    assert ROWS == [list(row) for row in read(path, COLUMNS, {}).rows()]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, "cannot be read"),
        ("a.txt", b"x", "must end in .csv, .xlsx, .parquet"),
        ("a.csv", b"InvoiceNo,Quantity\n1,2\n", "no column InvoiceDate, UnitPrice, Description"),
        ("a.csv", b"", "cannot be read"),
        ("a.xlsx", b"no workbook", "is no Excel workbook"),
        ("a.parquet", b"no parquet", "cannot be read"),
    ],
)
def test_a_bad_file_is_one_sentence_with_its_path(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    """The error says which file and what is wrong, in one line."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read(path, COLUMNS, {})
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)

"""Tables as files."""

import csv
import io
from datetime import date

import openpyxl
import polars as pl
import pytest

from erp.pages import export

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"]


@pytest.fixture
def frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "Nombre": [*FORMULAS, "Leche ñ 😀", None, "http://example.com"],
            "Importe": [1.5, -2.25, 0.0, 3.0, 4.0, 5.0, 6.0, 7.0, None, 9.99],
            "Día": [date(2017, 1, 1)] * 10,
            "Tickets": list(range(10)),
        }
    )


def test_csv_has_no_formula_and_every_value(frame: pl.DataFrame) -> None:
    """A text that a spreadsheet would run is quoted; numbers stay numbers, also negative ones."""
    content = export.to_csv(frame)
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [f"'{each}" for each in FORMULAS] == [row["Nombre"] for row in rows[:7]]
    assert "Leche ñ 😀" == rows[7]["Nombre"]
    assert "-2.25" == rows[1]["Importe"]
    assert "2017-01-01" == rows[0]["Día"]


def test_excel_keeps_texts_as_texts(frame: pl.DataFrame) -> None:
    """No cell of a workbook is a formula or a link; dates and numbers are dates and numbers."""
    content = export.to_excel({"Productos": frame}, [("=A1", "=2+2"), ("Net", 3.5)], "Vista")
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert ["Vista", "Productos"] == book.sheetnames
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert [] == [cell.coordinate for cell in cells if cell.data_type == "f" or cell.hyperlink]
    sheet = book["Productos"]
    assert ["=1+1", "+1", "-1"] == [sheet.cell(row, 1).value for row in (2, 3, 4)]
    assert -2.25 == sheet.cell(3, 2).value
    assert date(2017, 1, 1) == sheet.cell(2, 3).value.date()
    assert sheet.cell(10, 1).value is None
    assert 11 == sheet.max_row
    assert 3.5 == book["Vista"].cell(2, 2).value


def test_excel_takes_any_text() -> None:
    """Characters that a workbook cannot hold, and texts that are too long, break nothing."""
    frame = pl.DataFrame({"x": ["a\x00b\x1f", "y" * 40_000]})
    book = openpyxl.load_workbook(io.BytesIO(export.to_excel({"a/b": frame}, [], "v")))
    assert "a\ufffdb\ufffd" == book["a b"].cell(2, 1).value
    assert 32_767 == len(book["a b"].cell(3, 1).value)


def test_sheet_names_are_what_excel_takes() -> None:
    """Names are short, without forbidden characters, and different also in capitals."""
    assert "a b" == export.sheet_name("a/b", [])
    assert "Tiendas (2)" == export.sheet_name("Tiendas", ["tiendas"])
    assert 31 >= len(export.sheet_name("x" * 50, ["x" * 31]))

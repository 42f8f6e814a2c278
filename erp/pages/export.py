"""Tables as files: CSV and Excel, in which no cell can become a formula.

A spreadsheet runs a cell that begins with =, +, - or @ (also after a tab or a carriage return) as
a formula, whoever wrote it. In CSV such a text gets an apostrophe before it, as OWASP advises
(https://owasp.org/www-community/attacks/CSV_Injection); in Excel it is written as a text cell.
"""

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
import xlsxwriter

CSV_TYPE = "text/csv"
EXCEL_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
EXCEL_ROWS = 1_048_575  # below the heading, what a sheet can hold

_FORMULA = r"^([=+\-@\t\r\n])"
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # characters no .xlsx can hold


def to_csv(frame: pl.DataFrame) -> bytes:
    """UTF-8 with a byte order mark, so that Excel reads accents; numbers with a point."""
    safe = frame.with_columns(pl.col(pl.String).str.replace(_FORMULA, "'$1"))
    return safe.write_csv(include_bom=True).encode()


def to_excel(
    sheets: Mapping[str, pl.DataFrame], about: Iterable[tuple[str, Any]], cover: str
) -> bytes:
    """A workbook with a first sheet `cover` of what it is (pairs), then a sheet for each frame.

    Texts stay texts, dates are dates, floats have two decimals. A table longer than a sheet is cut.
    """
    buffer = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_numbers": False,
        "strings_to_urls": False,
        "nan_inf_to_errors": True,
    }
    with xlsxwriter.Workbook(buffer, options) as workbook:
        bold = workbook.add_format({"bold": True})
        head = workbook.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        formats = {
            pl.Float64: workbook.add_format({"num_format": "#,##0.00"}),
            pl.Int64: workbook.add_format({"num_format": "#,##0"}),
            pl.Date: workbook.add_format({"num_format": "yyyy-mm-dd"}),
        }
        sheet = workbook.add_worksheet(sheet_name(cover, []))
        sheet.set_column(0, 0, 28, bold)
        sheet.set_column(1, 1, 80)
        for row, (name, value) in enumerate(about):
            _write(sheet, row, 0, name)
            _write(sheet, row, 1, value)
        taken = [sheet_name(cover, [])]
        for title, frame in sheets.items():
            taken.append(sheet_name(title, taken))
            _write_frame(workbook.add_worksheet(taken[-1]), frame.head(EXCEL_ROWS), head, formats)
    return buffer.getvalue()


def _write_frame(sheet: Any, frame: pl.DataFrame, head: Any, formats: Mapping[Any, Any]) -> None:
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(frame.columns):
        series = frame[name]
        sheet.set_column(column, column, _width(series), formats.get(series.dtype))
        sheet.write_string(0, column, _clean(name), head)
        for row, value in enumerate(series, start=1):
            _write(sheet, row, column, value, formats.get(series.dtype))
    if frame.height:
        sheet.autofilter(0, 0, frame.height, len(frame.columns) - 1)


def _write(sheet: Any, row: int, column: int, value: Any, cell: Any = None) -> None:
    if value is None:
        return
    if isinstance(value, str):
        sheet.write_string(row, column, _clean(value), cell)
    else:
        sheet.write(row, column, value, cell)


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)[:32_767]  # the longest text of a cell


def _width(series: pl.Series) -> int:
    if series.dtype != pl.String:
        return 14
    longest = max(series.head(200).str.len_chars().fill_null(0).to_list(), default=0)
    return min(50, max(10, longest, len(series.name)) + 2)


def sheet_name(title: str, taken: Iterable[str]) -> str:
    """A title as Excel takes it: 31 characters, none of []:*?/\\, no two alike."""
    base = re.sub(r"[\[\]:*?/\\]", " ", title).strip("' ")[:31] or "Sheet"
    name, number = base, 2
    lowered = {each.lower() for each in taken}
    while name.lower() in lowered:
        name, number = f"{base[:27]} ({number})", number + 1
    return name

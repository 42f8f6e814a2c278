"""Which files of a folder belong to which table, and what their headers must hold."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from erp.contract import CUSTOMERS, PRODUCTS, SALES, SALES_ITEMS
from erp.ingest import csv_files
from erp.ingest.csv_files import CsvFile, UnusableFileError, open_bytes
from erp.process import Failure


def test_names_tell_the_table(tmp_path):
    """One file or several a table, dated or packed; other files are nobody's."""
    names = {
        PRODUCTS: ["products.csv"],
        CUSTOMERS: ["CUSTOMERS.CSV"],
        SALES: ["sales-2024-01.csv", "sales-2024-02.csv.gz", "sales.csv", "sales_2024.tsv"],
        SALES_ITEMS: ["sales_items-2024-01.csv", "sales_items.csv"],
    }
    others = ["rejects.csv", "salesman.csv", "sales.xlsx", "my_sales.csv", "sales_items_old.csv"]
    for name in [*others, *(name for table in names.values() for name in table)]:
        (tmp_path / name).touch()
    found = csv_files.find(tmp_path)
    assert names == {table: [path.name for path in paths] for table, paths in found.items()}
    assert ["sales.xlsx", "sales_items_old.csv"] == csv_files.unread(tmp_path)


def test_a_missing_folder_is_one_clear_line(tmp_path):
    """The failure names the folder and says what to do."""
    with pytest.raises(Failure, match=r"nowhere is not a folder.*prepare\.py"):
        csv_files.find(tmp_path / "nowhere")


@pytest.mark.parametrize("asked", ["iterdir", "is_file"])
def test_a_folder_that_refuses_to_be_read_is_one_clear_line(tmp_path, monkeypatch, asked):
    """As without the right to, or while a network share is away."""
    (tmp_path / "sales.csv").touch()
    monkeypatch.setattr(Path, asked, Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(Failure, match=f"cannot read the folder {tmp_path}.*Permission denied"):
        csv_files.find(tmp_path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("name,category", "has no column product_id"),
        ("product_id,name,name", "has the column name twice"),
    ],
)
def test_an_unusable_header_is_refused(tmp_path, header, message):
    """A required column is missing, or one column stands there twice."""
    path = tmp_path / "products.csv"
    path.write_text(header + "\n")
    with pytest.raises(UnusableFileError, match=message):
        csv_files.describe(path, PRODUCTS)


@pytest.mark.parametrize("hint", ["sep=;\n", '"sep=;"\r\n', "\ufeffSEP=;\n"])
def test_a_line_for_excel_is_no_header(tmp_path, hint):
    """Some exports begin with the separator, for Excel to know it."""
    path = tmp_path / "products.csv"
    path.write_text(hint + "product_id;name\n1;x\n", newline="")
    file = csv_files.describe(path, PRODUCTS)
    assert (";", ("product_id", "name"), 2) == (file.separator, file.columns, file.header_lines)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
@pytest.mark.parametrize("written", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_surer_than_the_flag(tmp_path, encoding, written):
    """The flag is for the files that say nothing themselves."""
    path = tmp_path / "products.csv"
    path.write_text('"product_id";name\n', encoding=written)
    file = csv_files.describe(path, PRODUCTS, encoding)
    assert (written, ("product_id", "name")) == (file.encoding, file.columns)


def test_an_empty_file_is_no_file(tmp_path):
    """Nothing, or only newlines, is left out."""
    path = tmp_path / "products.csv"
    path.write_text("\n\n")
    assert csv_files.describe(path, PRODUCTS) is None


@pytest.mark.parametrize("look", [CsvFile.size, CsvFile.digest, lambda file: open_bytes(file.path)])
def test_a_file_that_went_away_is_unusable(tmp_path, look):
    """Whoever asks for it is told its name."""
    path = tmp_path / "products.csv"
    path.write_text("product_id\n1\n")
    file = csv_files.describe(path, PRODUCTS)
    path.unlink()
    with pytest.raises(UnusableFileError, match=r"cannot read .*products\.csv"):
        look(file)

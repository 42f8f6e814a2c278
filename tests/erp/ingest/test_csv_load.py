"""From a file to messages: the quick way with plain blocks says what the careful way says."""

import random
from functools import partial

import pytest

from erp.contract import SALES_ITEMS
from erp.ingest import csv_files, csv_load, csv_reader
from erp.ingest.csv_survey import survey
from erp.ingest.tickets import Selection

HEAD = "sale_id,line_n,product_id,quantity,unit_price,net_amount\n"
CLEAN = ["1", "-2", "0.5", "10.50", "007.25", "1e3", " 4", "", "+3", "1234567.891", "5.", ".5"]
DIRTY = ["NaN", "inf", "1e400", "x", "1 ", "--1", "1.2.3", "0x1"]


def written(path, values, rows, rng):
    """A file of lines whose numbers are drawn from `values`; every tenth key comes again."""
    drawn = ([rng.choice(values) for _ in range(3)] for _ in range(rows))
    lines = (
        f"s{n // 3 - (n % 10 == 9)},{n % 3},p{n}," + ",".join(row) for n, row in enumerate(drawn)
    )
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines))


def outcome(file):
    """Every message and every fault of a file."""
    *_, found = survey(file, "UTC")
    parts = list(csv_load.load(file, found, Selection(), 10_000))
    messages = [row for part in parts for row in part.messages.iter_rows()]
    return messages, [fault for part in parts for fault in part.faults]


@pytest.mark.parametrize("values", [CLEAN, CLEAN + DIRTY], ids=["clean", "dirty"])
def test_the_quick_way_gives_the_bytes_and_the_rejects_of_the_careful_way(
    tmp_path, monkeypatch, values
):
    """Numbers read at once, or row by row through the csv module: the same messages and faults."""
    path = tmp_path / "sales_items.csv"
    written(path, values, 400, random.Random(4))
    file = csv_files.describe(path, SALES_ITEMS)
    monkeypatch.setattr(csv_load, "read_blocks", partial(csv_reader.read_blocks, block_bytes=500))
    quick = outcome(file)
    monkeypatch.setattr(csv_reader, "_parse_plain", lambda *_: None)
    careful = outcome(file)
    assert careful == quick
    assert careful[0]
    assert careful[1]


@pytest.mark.parametrize("mark", [".", ","])
def test_a_line_number_has_one_value_however_it_is_written(tmp_path, mark):
    """1, 01, 1.0, 1,0 and +1 are one line of a sale, of which the first is sent."""
    path = tmp_path / "sales_items.csv"
    numbers = ["1", "01", "2", f"1{mark}0", "+1", "10", f"2{mark}00"]
    path.write_text("sale_id;line_n;product_id\n" + "".join(f"s;{n};p\n" for n in numbers))
    messages, faults = outcome(csv_files.describe(path, SALES_ITEMS))
    assert [2, 4, 7] == [line for line, *_ in messages]
    assert {"duplicate_key"} == {fault.reason for fault in faults}

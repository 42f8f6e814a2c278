"""The file of refused rows: once each, by one run at a time, and never over anything else."""

from pathlib import Path

import pytest

from erp.ingest.csv_lines import Fault
from erp.ingest.rejects import Rejects
from erp.process import Failure, UsageError


@pytest.fixture
def path(tmp_path):
    """Where they are written."""
    return tmp_path / "rejects.csv"


def test_refused_rows_are_written_once(path):
    """What was written after the last checkpoint is cut off when the job goes on from it."""
    rejects = Rejects(path)
    rejects.add("a.csv", [Fault(2, "name", 'x,"y"', "broken")])
    kept = rejects.size
    rejects.add("a.csv", [Fault(3, "name", "z", "broken")])
    rejects.close()
    again = Rejects(path)
    again.keep(kept)
    again.add("a.csv", [Fault(4, "", "", "broken")])
    again.sync()
    assert path.stat().st_size == again.size > kept
    assert [
        "file,line,column,value,reason",
        'a.csv,2,name,"x,""y""",broken',
        "a.csv,4,,,broken",
    ] == path.read_text().splitlines()


def test_a_file_of_another_job_is_not_cut_within_a_row(path):
    """It was begun anew after the last checkpoint, which tells the length of the one before."""
    rejects = Rejects(path)
    rejects.add("a.csv", [Fault(2, "name", "z", "broken")])
    rejects.close()
    written = path.read_text()
    for keep in (len(written) - 1, len(written), len(written) + 99):
        again = Rejects(path)
        again.keep(keep)
        again.close()
        assert written == path.read_text()


def test_a_new_job_begins_a_new_file_and_leaves_none_without_refused_rows(path):
    """An old rejects file does not speak of this run."""
    old = Rejects(path)
    old.add("a.csv", [Fault(2, "", "", "old")])
    old.close()
    new = Rejects(path)
    new.keep(0)
    new.add("a.csv", [])
    assert not new.size
    new.close()
    assert not path.exists()


@pytest.mark.parametrize("away", [Path.unlink, lambda path: path.rename(path.with_name("done"))])
def test_a_file_that_was_dealt_with_is_begun_anew(path, away):
    """Beside --watch somebody takes away what is mended; what comes after is told all the same."""
    rejects = Rejects(path)
    rejects.add("a.csv", [Fault(2, "", "", "mended")])
    away(path)
    rejects.add("b.csv", [Fault(3, "", "", "broken")])
    assert "file,line,column,value,reason\nb.csv,3,,,broken" == "\n".join(path.read_text().split())
    assert path.stat().st_size == rejects.size
    with pytest.raises(Failure, match="another producer is at work"):
        Rejects(path)


def test_two_runs_never_write_one_file(path):
    """The second is told of the first; once that ends there is room."""
    first = Rejects(path)
    first.add("a.csv", [Fault(2, "", "", "broken")])
    with pytest.raises(Failure, match="another producer is at work"):
        Rejects(path)
    first.close()
    Rejects(path).close()
    assert path.read_text().endswith("a.csv,2,,,broken\n")


def test_a_file_of_something_else_is_left_alone(path):
    """A wrong --rejects costs nobody his products."""
    path.write_text("product_id,name\n1,a\n")
    with pytest.raises(UsageError, match="set --rejects"):
        Rejects(path)
    assert "product_id,name\n1,a\n" == path.read_text()


def test_a_full_disk_is_one_clear_line(path, limited_files):
    """What fits is whole rows up to the last checkpoint, from which the next run goes on."""
    rejects = Rejects(path)
    rejects.add("a.csv", [Fault(2, "", "", "broken")])
    kept = rejects.size
    with limited_files(1000), pytest.raises(Failure, match=r"File too large.*make room"):
        rejects.add("a.csv", [Fault(n, "name", "x", "broken") for n in range(1000)])
    rejects.close()
    again = Rejects(path)
    again.keep(kept)
    again.add("a.csv", [Fault(3, "", "", "broken")])
    assert ["2", "3"] == [row.split(",")[1] for row in path.read_text().splitlines()[1:]]


def test_a_device_is_written_to_and_stays():
    """/dev/null forgets the refused rows, /dev/full takes none; neither is replaced by a file."""
    nowhere = Rejects(Path("/dev/null"))
    nowhere.add("a.csv", [Fault(2, "", "", "broken")])
    nowhere.sync()
    nowhere.close()
    full = Rejects(Path("/dev/full"))
    with pytest.raises(Failure, match="No space left"):
        full.add("a.csv", [Fault(2, "", "", "broken")])
    full.close()
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/full").is_char_device()

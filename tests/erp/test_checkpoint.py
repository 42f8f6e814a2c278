"""How far a job got: kept whole, and only for the same job."""

import pytest

from erp import checkpoint
from erp.checkpoint import Checkpoint, Counts, Position
from erp.ingest.csv_reader import Fault
from erp.ingest.rejects import Rejects
from erp.process import Failure, UsageError

JOB = {"tables": ["sales"], "since": None}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    """Positions and counts, for the same job."""
    path = tmp_path / "state.json"
    state = Checkpoint(JOB, {"sales:1": Position("sales.csv", 7)}, 3, 20, {"sales": Counts(6, 5)})
    checkpoint.save(path, state)
    assert state == checkpoint.load(path, JOB)
    assert ["state.json"] == [file.name for file in tmp_path.iterdir()]


def test_without_a_file_a_job_begins_at_the_beginning(tmp_path):
    """--resume of a job that never ran is its first run."""
    assert Checkpoint(JOB) == checkpoint.load(tmp_path / "state.json", JOB)


def test_another_job_cannot_go_on_from_it(tmp_path):
    """The message names what differs."""
    path = tmp_path / "state.json"
    checkpoint.save(path, Checkpoint(JOB))
    with pytest.raises(UsageError, match="since"):
        checkpoint.load(path, JOB | {"since": "2024-01-01"})


def test_a_broken_file_is_one_clear_line(tmp_path):
    """Not JSON, or not a checkpoint."""
    path = tmp_path / "state.json"
    path.write_text('{"files": 3}')
    with pytest.raises(Failure, match="cannot read the checkpoint"):
        checkpoint.load(path, JOB)


def test_refused_rows_are_written_once(tmp_path):
    """What was written after the last checkpoint is cut off when the job goes on from it."""
    path = tmp_path / "rejects.csv"
    rejects = Rejects(path)
    rejects.add("a.csv", [Fault(2, "name", 'x,"y"', "broken")])
    kept = rejects.sync()
    rejects.add("a.csv", [Fault(3, "name", "z", "broken")])
    rejects.sync()
    again = Rejects(path, keep=kept)
    again.add("a.csv", [Fault(4, "", "", "broken")])
    assert path.stat().st_size < again.sync()
    assert [
        "file,line,column,value,reason",
        'a.csv,2,name,"x,""y""",broken',
        "a.csv,4,,,broken",
    ] == path.read_text().splitlines()


def test_a_new_job_begins_a_new_file_and_none_without_refused_rows(tmp_path):
    """An old rejects file does not speak of this run."""
    path = tmp_path / "rejects.csv"
    path.write_text("old\n")
    Rejects(path).add("a.csv", [])
    assert not path.exists()

"""How far a job got: kept whole, and only for the same job."""

import pytest

from erp import checkpoint
from erp.checkpoint import Checkpoint, Counts, Position
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


def test_a_full_disk_is_one_clear_line_and_the_old_checkpoint_stays(tmp_path, limited_files):
    """What was written last is whole; nothing half written lies beside it."""
    path = tmp_path / "state.json"
    checkpoint.save(path, Checkpoint(JOB))
    many = {f"sales:{n}": Position("sales.csv", n) for n in range(1000)}
    with limited_files(1000), pytest.raises(Failure, match="cannot write the checkpoint"):
        checkpoint.save(path, Checkpoint(JOB, many))
    assert Checkpoint(JOB) == checkpoint.load(path, JOB)
    assert ["state.json"] == [file.name for file in tmp_path.iterdir()]

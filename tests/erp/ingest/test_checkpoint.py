"""How far a job got: kept whole, and only for the same job."""

import os

import pytest

from erp.ingest import checkpoint
from erp.ingest.checkpoint import Checkpoint, Counts, Position
from erp.process import Failure, UsageError

JOB = {"tables": ["sales"], "since": None}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    """Positions and counts, for the same job."""
    path = tmp_path / "state.json"
    files = {"sales:sales.csv": Position("sales.csv", "1", 7)}
    state = Checkpoint(JOB, files, tickets=3, rejects_bytes=20, counts={"sales": Counts(6, 5)})
    checkpoint.save(path, state)
    assert state == checkpoint.load(path, JOB)
    assert ["state.json"] == [file.name for file in tmp_path.iterdir()]


def test_without_a_file_a_job_begins_at_the_beginning(tmp_path):
    """--resume of a job that never ran is its first run."""
    assert Checkpoint(JOB) == checkpoint.load(tmp_path / "state.json", JOB)


def test_another_job_cannot_go_on_from_it(tmp_path):
    """The message names what differs, also where only one of both jobs has it, as a live one."""
    path = tmp_path / "state.json"
    checkpoint.save(path, Checkpoint(JOB | {"files": ["1"]}))
    with pytest.raises(UsageError, match="since"):
        checkpoint.load(path, JOB | {"files": ["1"], "since": "2024-01-01"})
    with pytest.raises(UsageError, match="files"):
        checkpoint.load(path, JOB)


def test_one_of_an_earlier_version_is_one_clear_line(tmp_path):
    """Its positions mean something else: it is not gone on from."""
    path = tmp_path / "state.json"
    path.write_text('{"job": {}, "files": {"sales:1": {"name": "sales.csv"}}, "version": 1}')
    with pytest.raises(UsageError, match="another version"):
        checkpoint.load(path, {})


@pytest.mark.parametrize(
    "content", [b"", b'{"files": 3}', b'{"job": {"since": "\xff"}}', b'{"job": {"a":' + b"[" * 9999]
)
def test_a_broken_file_is_one_clear_line(tmp_path, content):
    """Not JSON, or not a checkpoint; no UTF-8; nested without end."""
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(Failure, match="cannot read the checkpoint"):
        checkpoint.load(path, JOB)


def test_a_job_that_begins_anew_replaces_a_checkpoint_and_nothing_else(tmp_path):
    """A wrong --checkpoint costs nobody his products."""
    path = tmp_path / "state.json"
    checkpoint.save(path, Checkpoint(JOB, tickets=3))
    assert Checkpoint(JOB) == checkpoint.begin(path, JOB)
    path.write_text("product_id\n1\n")
    os.mkfifo(tmp_path / "pipe")  # as little a file as /dev/null
    for other in (path, tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match="something else than a checkpoint"):
            checkpoint.begin(other, JOB)


def test_a_full_disk_is_one_clear_line_and_the_old_checkpoint_stays(tmp_path, limited_files):
    """What was written last is whole; nothing half written lies beside it."""
    path = tmp_path / "state.json"
    checkpoint.save(path, Checkpoint(JOB))
    many = {f"sales:{n}": Position("sales.csv", "1", n) for n in range(1000)}
    with limited_files(1000), pytest.raises(Failure, match="cannot write the checkpoint"):
        checkpoint.save(path, Checkpoint(JOB, many))
    assert Checkpoint(JOB) == checkpoint.load(path, JOB)
    assert ["state.json"] == [file.name for file in tmp_path.iterdir()]


def sent(state, name, digest, lines=9):
    """Send a file of products to its end; whether there was anything to send."""
    position = state.position("products", name, digest)
    if position.done:
        return False
    position.line, position.done = lines, True
    return True


def test_a_content_is_sent_again_when_another_came_under_its_name():
    """What costs 10, then 7, then 10 again is sent three times, and then no more."""
    state = Checkpoint(JOB)
    assert [True, False, True, True, False] == [
        sent(state, "products.csv", digest) for digest in ("10", "10", "7", "10", "10")
    ]


def test_a_content_under_another_name_is_sent_if_another_came_since():
    """Right after it is the same export; after others it takes their values back."""
    state = Checkpoint(JOB)
    assert [True, False] == [sent(state, "monday.csv", "10"), sent(state, "copy.csv", "10")]
    state.position("customers", "customers.csv", "7")
    assert not sent(state, "third.csv", "10")
    assert [True, True] == [sent(state, "tuesday.csv", "7"), sent(state, "wednesday.csv", "10")]
    job = {"monday.csv": "10", "copy.csv": "10", "tuesday.csv": "7", "wednesday.csv": "10"}
    assert [False] * 4 == [sent(state, *file) for file in job.items()]


def test_a_file_goes_on_where_it_was_left_under_whatever_name():
    """But not once another file of its table came: what it began with may be overwritten."""
    state = Checkpoint(JOB)
    state.position("products", "a.csv", "1").line = 5
    assert [5, 5] == [state.position("products", name, "1").line for name in ("a.csv", "b.csv")]
    sent(state, "c.csv", "2")
    assert 0 == state.position("products", "a.csv", "1").line

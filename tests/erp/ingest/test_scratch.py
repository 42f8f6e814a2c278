"""The folder for what does not fit into memory, also after a kill."""

import os
import subprocess
import sys
import time

import pytest

from erp.ingest.scratch import SETTLED_SECONDS, scratch
from erp.process import Failure

HOLD = """
import sys
from erp.ingest.scratch import scratch
with scratch("erp-test-") as folder:
    (folder / "tickets.sqlite").write_text("sales")
    print(folder, flush=True)
    sys.stdin.read()
"""


def age(path):
    """Let a file or folder seem to stand for a while."""
    long_ago = time.time() - 2 * SETTLED_SECONDS
    os.utime(path, (long_ago, long_ago))


@pytest.fixture
def hold(tmp_path, monkeypatch):
    """Start processes that hold a folder until they are killed; gives each with its folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    processes = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        folder = tmp_path / process.stdout.readline().strip().rpartition("/")[2]
        age(folder)
        return process, folder

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_what_a_killed_process_left_is_taken_away(hold, tmp_path):
    """The folder of one that lives stays, and so does a file that happens to have such a name."""
    killed, left = hold()
    killed.kill()
    killed.wait()
    assert left.exists()
    _, held = hold()
    notes = tmp_path / "erp-test-notes"
    notes.write_text("mine")
    age(notes)
    with scratch("erp-test-") as own:
        assert {held, own, notes} == set(tmp_path.iterdir())
    assert (held / "tickets.sqlite").exists()


def test_a_folder_that_was_just_made_is_left_alone(hold):
    """Its process may not have come to hold it yet."""
    killed, left = hold()
    killed.kill()
    killed.wait()
    os.utime(left)
    with scratch("erp-test-"):
        assert left.exists()


def test_no_room_for_a_folder_anywhere_is_one_clear_line(monkeypatch, limited_files):
    """As on a full disk, where Python finds no place for temporary files by trying each."""
    monkeypatch.setattr("tempfile.tempdir", None)
    failure = pytest.raises(Failure, match="No usable temporary directory")
    with limited_files(0), failure, scratch("erp-test-"):
        pass

"""How a stage ends."""

import signal
import subprocess
import sys
import time

import pytest

from tests.environments import ROOT
from tests.waiting import PATIENCE

BUSY = """
import hashlib
from erp.process import Stop

stop = Stop(grace={grace})
print("busy", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.parametrize(
    ("grace", "signals", "code"),
    [(0.5, [signal.SIGTERM], 0), (600, [signal.SIGINT, signal.SIGTERM], 128 + signal.SIGTERM)],
    ids=["in its time", "at the second signal"],
)
def test_it_ends_though_its_main_thread_hears_no_signal(grace, signals, code):
    """As within a library's call that waits for a server."""
    command = [sys.executable, "-c", BUSY.format(grace=grace)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as busy:
        assert "busy\n" == busy.stdout.readline()
        for each in signals:
            busy.send_signal(each)
            time.sleep(0.2)  # not to be taken for one
        try:
            assert code == busy.wait(PATIENCE)
        finally:
            busy.kill()

"""How polars is told to give memory back."""

import os
import subprocess
import sys

from tests.environments import ROOT


def test_the_producer_says_so_before_polars_is_loaded():
    """What polars finds it puts behind its own defaults, where it counts; later words are lost."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            'import os, erp_simulator_producer; print(os.environ["_RJEM_MALLOC_CONF"])',
        ],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if name != "_RJEM_MALLOC_CONF"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert told.strip().endswith(",narenas:1,dirty_decay_ms:100,muzzy_decay_ms:0")

"""Waiting for what must come, with a bound."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 120  # seconds; bound on everything that a test waits for, on a busy machine too


def until(check: Callable[[], Found], seconds: float = PATIENCE, pause: float = 0.1) -> Found:
    """What `check` gives, once it gives something; a failure when that takes too long."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(pause)
    return found

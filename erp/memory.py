"""Memory beyond what the interpreter does by itself: given back early, not searched in vain."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


def give_back() -> None:
    """Release what Arrow and the C library keep for later.

    The C library's part works with glibc; elsewhere it does nothing.
    """
    pa.default_memory_pool().release_unused()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the collector of cycles rest while many objects are made that form none.

    It would look through all of them again and again, which can take as long as making them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

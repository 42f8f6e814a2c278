"""Memory beyond what the interpreter does by itself: given back early, not searched in vain."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 100_000  # objects made and not freed again, after which cycles are looked for among them


def give_back() -> None:
    """Release what the C library and Arrow, where it is in use, keep for later.

    The C library's part works with glibc; elsewhere it does nothing.
    """
    if arrow := sys.modules.get("pyarrow"):
        arrow.default_memory_pool().release_unused()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def set_aside() -> None:
    """Spare the collector of cycles what stands now, and let it look at what follows seldom.

    For a process whose batches are many objects without a cycle: by default it looks at every 700
    of them, which took a sixth of the sink's time.
    """
    gc.unfreeze()
    gc.collect()
    give_back()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


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

"""Giving memory that is no longer used back to the system, so that peaks do not add up."""

import ctypes

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

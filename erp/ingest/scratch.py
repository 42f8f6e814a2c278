"""A folder for what does not fit into memory."""

import errno
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from erp.process import Failure

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A temporary folder, gone afterwards; raises Failure when the disk under it is full."""
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as folder:
            yield Path(folder)
    except (OSError, sqlite3.OperationalError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_ROOM:
            raise
        raise Failure(
            f"no room for temporary files in {tempfile.gettempdir()} ({error}): make some, or set"
            " TMPDIR; --resume goes on"
        ) from None

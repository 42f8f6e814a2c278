"""A folder for what does not fit into memory."""

import contextlib
import errno
import fcntl
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from erp.process import Failure

SETTLED_SECONDS = 60  # after which a folder that is in use has long been locked
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A temporary folder, gone afterwards; raises Failure when there is no room for it.

    A process that is killed leaves its folder, and the next one that asks for such a folder takes
    it away.
    """
    _sweep(prefix)
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as name, _locked(Path(name)):
            yield Path(name)
    except (OSError, sqlite3.OperationalError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_ROOM:
            raise
        raise Failure(
            f"no room for temporary files in {tempfile.gettempdir()} ({error}): make some, or set"
            " TMPDIR; --resume goes on"
        ) from None


def _sweep(prefix: str) -> None:
    """Remove the folders whose processes are gone."""
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise Failure(f"{error.strerror}: make room or set TMPDIR; --resume goes on") from None
    for folder in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # in use, another user's, or gone by now
            if time.time() - folder.stat().st_mtime > SETTLED_SECONDS:
                with _locked(folder):
                    shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder for as long as this process lives; raises OSError when another holds it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)

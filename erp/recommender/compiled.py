"""Where numba keeps what it compiled: a folder for each version of the compiled sources.

It compiles a function anew when the file changed that it stands in, not when one did that it calls
functions of (numba's manual, "Notes on Caching"): after an update the kernel would go on with the
candidates of the version before. The folder is under NUMBA_CACHE_DIR, or else beside the sources,
or where that cannot be written in the user's cache.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba

HERE = Path(__file__).parent


def version(sources: Iterable[Path]) -> str:
    """A name for the text of those among the sources that are compiled."""
    texts = (source.read_bytes() for source in sorted(sources))
    together = sha256()
    for text in texts:
        if b"numba.njit" in text:
            together.update(sha256(text).digest())
    return together.hexdigest()[:16]


def writable(bases: Iterable[Path], name: str) -> Path | None:
    """The folder of this name in the first base where there can be one."""
    for base in bases:
        with suppress(OSError, RuntimeError):  # the latter where a user has no home
            folder = base.expanduser() / name
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return None


_config: Any = numba.config  # whose settings are made when it is loaded
_bases = Path(_config.CACHE_DIR or HERE / "__pycache__"), Path("~/.cache/erp")
if _folder := writable(_bases, version(HERE.glob("*.py"))):
    _config.CACHE_DIR = str(_folder)

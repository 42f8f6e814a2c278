"""Where numba keeps what it compiled: a folder for each version of the compiled sources.

It compiles a function anew when the file changed that it stands in, not when one did that it calls
functions of (numba's manual, "Notes on Caching"): after an update the kernel would go on with the
candidates of the version before.
"""

from collections.abc import Iterable
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


# under NUMBA_CACHE_DIR, if that is set; where this cannot be written numba looks for another place
_config: Any = numba.config  # whose settings are made when it is loaded
_config.CACHE_DIR = str(Path(_config.CACHE_DIR or HERE / "__pycache__", version(HERE.glob("*.py"))))

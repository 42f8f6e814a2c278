"""The producer's side: from CSV files as they are to messages that keep the contract."""

import os

# Of the allocator of polars, before that is loaded: blocks are made by some threads and freed by
# others, so one store for all of them and spare pages given back after a tenth of a second keep
# the memory flat. The user's own wishes come later in the line, and win.
_ALLOCATOR = "_RJEM_MALLOC_CONF"
_FLAT = "narenas:1,dirty_decay_ms:100,muzzy_decay_ms:0"
os.environ[_ALLOCATOR] = ",".join(filter(None, [_FLAT, os.environ.get(_ALLOCATOR)]))

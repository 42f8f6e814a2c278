"""`python X.py` as a way to open a page: Streamlit in this process, which ends when it is told to.

A page is a script whose last lines are::

    if __name__ == "__main__":
        serving.open_or_serve(main, __file__, __doc__, 8501, check=Settings.load)
"""

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType

import streamlit as st

from erp import flags, process
from erp.pages import page

HOST = "127.0.0.1"
GRACE_SECONDS = 5  # for what is on its way to the browsers when the server is told to end


def open_or_serve(
    main: Callable[[], None],
    script: str,
    doc: str | None,
    port: int,
    check: Callable[[], object],
) -> None:
    """Draw the page when Streamlit runs the script; else start Streamlit on it (`python X.py`).

    `check`, such as Settings.load, may end the program before anything is served.
    """
    if st.runtime.exists():
        page.guard(main)
        return
    parser = process.argument_parser(doc)
    parser.add_argument("--port", type=flags.port, default=port, help="port on 127.0.0.1")
    wanted = parser.parse_args().port
    check()
    path = Path(script).resolve()
    os.chdir(path.parent)  # where .streamlit/config.toml is
    sys.argv = [str(path)]
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, _leave)  # what the server asks for when it has closed
    server = st.App(path, lifespan=_ended_surely)
    server.run(config={"server.port": wanted, "server.address": HOST})


@asynccontextmanager
async def _ended_surely(_server: st.App) -> AsyncIterator[None]:
    """The first signal closes the server, within GRACE_SECONDS; the second ends it at once.

    By itself it would wait for ever for a browser that is asleep with something left to read.
    """
    asked = threading.Event()

    def bounded(close: Callable[[int, FrameType | None], object]) -> Callable[..., None]:
        """A handler that closes the server by `close`, and ends it where that takes too long."""

        def stop(number: int, frame: FrameType | None) -> None:
            """Close, with a last word set; when asked again, end."""
            if asked.is_set():
                _leave()
            asked.set()
            last_word = threading.Timer(GRACE_SECONDS, _leave)
            last_word.daemon = True
            last_word.start()
            close(number, frame)

        return stop

    for sent in (signal.SIGINT, signal.SIGTERM):
        close = signal.getsignal(sent)
        if callable(close):
            signal.signal(sent, bounded(close))
    yield


def _leave(*_: object) -> None:
    """End with 0, whatever threads are in the middle of: a page has nothing that could be lost."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

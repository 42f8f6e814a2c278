"""Chores beside the main loop: one thread that does each of them every so many seconds."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

log = logging.getLogger("erp.background")

Chore = Callable[[], object]


class Background:
    """Runs chores one after the other; one that fails is logged and comes again in its time."""

    def __init__(self, chores: Iterable[tuple[float, Chore]]) -> None:
        self._chores = list(chores)
        self._due = [time.monotonic() + every for every, _ in self._chores]
        self._extra: SimpleQueue[Chore] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="background", daemon=True)

    def start(self) -> None:
        """Begin; the thread ends with the process."""
        self._thread.start()

    def once(self, chore: Chore) -> None:
        """Do something as soon as the thread is free."""
        self._extra.put(chore)

    def _work(self) -> None:
        while True:
            try:
                pause = min(self._due, default=float("inf")) - time.monotonic()
                _attempt(self._extra.get(timeout=min(max(0.0, pause), 3_600)))
            except Empty:
                self._do_due()

    def _do_due(self) -> None:
        for index, (every, chore) in enumerate(self._chores):
            if self._due[index] <= time.monotonic():
                _attempt(chore)
                self._due[index] = time.monotonic() + every


def _attempt(chore: Chore) -> None:
    try:
        chore()
    except Exception as error:  # noqa: BLE001  a chore that fails must not end the others
        log.warning("%s: %s", type(error).__name__, str(error).split("\n", 1)[0][:300])

"""Warnings that repeat themselves, said once in a while."""

import logging
import re
import time


class Seldom:
    """Whether something is to be said again: at most once in QUIET seconds of each kind."""

    QUIET = 10.0

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def due(self, kind: str) -> bool:
        """True when nothing of this kind was said lately; who asks says it then."""
        now = time.monotonic()
        if now - self._last.get(kind, -self.QUIET) < self.QUIET:
            return False
        self._last[kind] = now
        return True


class OnceInAWhile(logging.Filter):
    """Of warnings that differ in nothing but numbers one in `Seldom.QUIET` seconds.

    librdkafka tells of every attempt to connect, twenty a second while a broker is away.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        """True for what is to be logged."""
        if record.levelno < logging.WARNING:
            return True
        return self._seldom.due(re.sub(r"\d+", "", record.getMessage()))

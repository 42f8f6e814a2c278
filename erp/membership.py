"""Whether this copy is still a member of its group, or was silent for so long that it may not be.

A process that was frozen hears only some moments after it wakes that its partitions went to another
copy. What it has in hand by then is the other one's to do.
"""

import logging
import time
from collections.abc import Callable

from erp.repeats import OnceInAWhile

log = logging.getLogger("erp.membership")
log.addFilter(OnceInAWhile())

TURN = 0.02  # s between two looks of a thread that waits


class Membership:
    """Certain as long as the group was asked for messages all the time; else once it confirmed.

    Parameters
    ----------
    silence : float
        Seconds without a question after which the group may have given the partitions away.
    confirm : callable
        Asks the group whether what is in hand is still ours. Called by the thread that polls.
    """

    def __init__(self, silence: float, confirm: Callable[[], bool]) -> None:
        self._silence, self._confirm = silence, confirm
        self._polled_at = time.monotonic()
        self._doubted = False

    @property
    def certain(self) -> bool:
        """True while what the group said last still holds. From any thread."""
        # in this order: who polls after a silence doubts first, and only then has polled
        return time.monotonic() - self._polled_at < self._silence and not self._doubted

    def polled(self) -> None:
        """Say that the client was just asked for messages, and so told which partitions went."""
        now = time.monotonic()
        silence = now - self._polled_at
        self._doubted = self._doubted or silence >= self._silence
        self._polled_at = now
        if self._doubted:
            self._doubted = not self._confirm()
            if self._doubted:
                log.warning("silent for %.0f s, the group does not confirm its partitions", silence)

    def wait(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """Return once it is certain, or `give_up` says so, while another thread polls."""
        while not (self.certain or give_up()):
            time.sleep(TURN)

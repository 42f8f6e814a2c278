"""What the service did since it last said so: one line of the log, and the gauges."""

import logging
import time

from erp.service import service_metrics

log = logging.getLogger("erp.reco")


class Status:
    """Sales read and answered since the start; `report` tells them every so often."""

    def __init__(self) -> None:
        self.read = self.answered = 0
        self._before = (0, 0)
        self._reported_at = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last report."""
        return time.monotonic() - self._reported_at

    def report(
        self, refused: int, waiting: int, incomplete: int, lag: dict[int, int], model: str
    ) -> None:
        """One line of what happened since the last one, and the gauges."""
        seconds = self.age
        read_before, answered_before = self._before
        service_metrics.show(waiting, incomplete, lag)
        log.info(
            "read %d (%.0f/s), answered %d (%.0f/s), refused %d, "
            "waiting %d, incomplete %d, lag %d, model %s",
            self.read, (self.read - read_before) / seconds,
            self.answered, (self.answered - answered_before) / seconds,
            refused, waiting, incomplete, sum(lag.values()), model,
        )  # fmt: skip
        self._reported_at, self._before = time.monotonic(), (self.read, self.answered)

"""The sink's two halves at once: while a batch is written the next ones are read and parsed."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from confluent_kafka import Message

from erp.sink.deliveries import origin_of
from erp.sink.store import Outcome
from erp.sink.writes import Write

Partition = tuple[str, int]


@dataclass
class Batch:
    """What one read gave: the writes, the messages that gave none, and where it ends."""

    writes: list[Write] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)  # one for each write
    bad: list[tuple[Message, str, str]] = field(default_factory=list)  # error class and reason
    ends: dict[Partition, int] = field(default_factory=dict)  # the offset to go on from
    abandoned: bool = False  # nobody waits for it any more
    begun_at: float | None = None  # monotonic s, when it was first sent to the database

    def __len__(self) -> int:
        return len(self.writes) + len(self.bad)


class Pipeline:
    """Batches on their way to the database, in order, written by one thread.

    Parameters
    ----------
    write : callable
        Stores a batch; runs in the pipeline's thread.
    depth : int
        Batches that may be on their way: one is written, the others wait.
    """

    def __init__(self, write: Callable[[Batch], Outcome], depth: int = 2) -> None:
        self._write = write
        self._depth = depth
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._under_way: deque[tuple[Batch, Future[Outcome]]] = deque()

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def full(self) -> bool:
        """True while no further batch may be submitted."""
        return len(self._under_way) >= self._depth

    def places(self) -> dict[Partition, int]:
        """Partition to the first offset on its way to the database or the dead letters."""
        places: dict[Partition, int] = {}
        for batch, _ in self._under_way:
            bad = [origin_of(message) for message, *_ in batch.bad]
            for topic, partition, offset, _ in sorted([*bad, *(w.origin for w in batch.writes)]):
                places.setdefault((topic, partition), offset)
        return places

    def submit(self, batch: Batch) -> None:
        """Send a batch on its way."""
        self._under_way.append((batch, self._thread.submit(self._write, batch)))

    def finished(self, timeout: float = 0) -> tuple[Batch, Outcome] | None:
        """The oldest batch and what became of it, once it is written; None if it is not yet.

        Waits up to `timeout` seconds; raises what the write raised.
        """
        if not self._under_way:
            return None
        batch, future = self._under_way[0]
        if timeout:
            wait([future], timeout)
        if not future.done():
            return None
        outcome = future.result()
        self._under_way.popleft()
        return batch, outcome

    def abandon(self) -> int:
        """Forget what is not written; returns how many messages that are."""
        messages = sum(len(batch) for batch, _ in self._under_way)
        for batch, future in self._under_way:
            batch.abandoned = True
            future.cancel()
        self._under_way.clear()
        return messages

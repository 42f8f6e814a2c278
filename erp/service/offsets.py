"""Which offsets may be committed while some messages, read long ago, are not dealt with yet."""

from collections import OrderedDict
from collections.abc import Iterable


class Offsets:
    """Account of the partitions of one topic: what was read, and what is still held back.

    A message that is held keeps its partition's committable offset at its own, however much was
    read and released behind it: after a restart it is read again, and nothing before it.
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._held: dict[int, OrderedDict[int, None]] = {}
        self._committed: dict[int, int] = {}

    def read(self, partition: int, offset: int, hold: bool) -> None:
        """Say that a message was read; with `hold` it stays uncommitted until released."""
        self._next[partition] = offset + 1
        if hold:
            self._held.setdefault(partition, OrderedDict())[offset] = None

    def release(self, partition: int, offset: int) -> None:
        """Say that a held message is dealt with; one of a partition that was lost is ignored."""
        if held := self._held.get(partition):
            held.pop(offset, None)

    def holds(self, partition: int, offset: int) -> bool:
        """True while this message is held."""
        return offset in self._held.get(partition, ())

    def positions(self) -> dict[int, int]:
        """Partition to the offset that a restart is to begin with, where anything was read."""
        held = {partition: next(iter(some)) for partition, some in self._held.items() if some}
        return self._next | held

    def committable(self) -> dict[int, int]:
        """The same, for those whose offset moved since it was taken from here."""
        moved = {
            partition: offset
            for partition, offset in self.positions().items()
            if offset != self._committed.get(partition)
        }
        self._committed |= moved
        return moved

    def not_committed(self, partitions: Iterable[int]) -> None:
        """Say that a commit failed, so that it is handed out again."""
        for partition in partitions:
            self._committed.pop(partition, None)

    def forget(self, partitions: Iterable[int]) -> None:
        """Drop partitions that another member reads from now on."""
        for partition in partitions:
            for account in (self._next, self._held, self._committed):
                account.pop(partition, None)

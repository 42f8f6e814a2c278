"""What may be committed while older messages wait."""

from erp.service.offsets import Offsets


def test_everything_read_is_committable_when_nothing_is_held():
    """Without held messages the offset after the last one read is committed."""
    offsets = Offsets()
    for offset in (4, 5, 6):
        offsets.read(0, offset, hold=False)
    offsets.read(1, 9, hold=False)
    assert {0: 7, 1: 10} == offsets.committable()


def test_oldest_held_message_bounds_its_partition_alone():
    """A held message keeps its own partition back, whatever was released behind it."""
    offsets = Offsets()
    for offset in range(4):
        offsets.read(0, offset, hold=True)
    offsets.read(1, 0, hold=False)
    for offset in (0, 2, 3):
        offsets.release(0, offset)
    assert {0: 1, 1: 1} == offsets.committable()
    offsets.release(0, 1)
    assert {0: 4} == offsets.committable()


def test_unmoved_partitions_are_not_committed_again():
    """What was handed out for commit is handed out again only after it moved."""
    offsets = Offsets()
    offsets.read(0, 0, hold=True)
    assert {0: 0} == offsets.committable()
    assert {} == offsets.committable()


def test_forgotten_partition_is_never_committed():
    """After a partition went to another member its late releases commit nothing."""
    offsets = Offsets()
    offsets.read(0, 0, hold=True)
    offsets.forget([0])
    assert not offsets.holds(0, 0)
    offsets.release(0, 0)
    assert {} == offsets.committable()

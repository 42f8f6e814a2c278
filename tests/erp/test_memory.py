"""What is not left to the interpreter's care."""

import gc

import pytest

from erp.memory import YOUNG, set_aside, uncollected


def test_the_collector_rests_and_goes_on():
    """It is off within, and as it was afterwards, also after an error."""
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled()


def test_what_stands_is_set_aside():
    """The collector leaves it alone, and looks at what follows seldom."""
    before = gc.get_threshold()
    try:
        set_aside()
        assert gc.get_freeze_count() > 1000
        assert (YOUNG, *before[1:]) == gc.get_threshold()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

"""What is not left to the interpreter's care."""

import gc

import pytest

from erp.memory import uncollected


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

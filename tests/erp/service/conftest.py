"""What the tests of the service's parts share."""

import signal

import pytest

from erp.process import Stop


@pytest.fixture
def stop():
    """The wish to end; the signals are as before afterwards."""
    handlers = [(each, signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM)]
    yield Stop()
    for number, handler in handlers:
        signal.signal(number, handler)

"""Whether a copy that was silent for long is still a member of its group."""

import time
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from erp.membership import Membership
from tests.waiting import PATIENCE


@pytest.fixture
def clock(monkeypatch):
    """The seconds of the monotonic clock, in a list: it moves when the test says so."""
    now = [0.0]
    slow = SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep)
    monkeypatch.setattr("erp.membership.time", slow)
    return now


def test_silence_makes_doubt_until_the_group_confirms(clock):
    """Also when the client was asked again: it may not know yet what the group decided."""
    verdicts = [True, False, False]
    membership = Membership(7, verdicts.pop)
    clock[0] = 6
    membership.polled()
    clock[0] = 12
    assert membership.certain
    clock[0] = 13
    assert not membership.certain
    for certain in (False, False, True, True):
        membership.polled()
        assert certain == membership.certain
    assert [] == verdicts


def test_doubt_comes_before_the_clock_begins_anew(clock):
    """Another thread that asks while the group does is not told that all is well."""
    seen = []
    membership = Membership(7, lambda: seen.append(membership.certain) or True)
    clock[0] = 8
    membership.polled()
    assert [False, True] == [*seen, membership.certain]


def test_waiting_ends_with_the_doubt_or_by_giving_up(clock):
    """Who is to write waits; one whose work was given up does not."""
    membership, released = Membership(7, lambda: True), Event()
    clock[0] = 8
    membership.wait(lambda: True)
    Thread(target=lambda: membership.wait() or released.set(), daemon=True).start()
    assert not released.wait(0.1)
    membership.polled()
    assert released.wait(PATIENCE)

"""Chores beside the main loop."""

import threading
from queue import SimpleQueue

import pytest

from erp.background import Background
from tests.waiting import PATIENCE


@pytest.fixture
def ending():
    """A chore that holds its thread up after the test, which would go on in the others."""
    over = threading.Event()
    yield 0.001, lambda: over.is_set() and threading.Event().wait()
    over.set()


def test_chores_come_again_and_again(ending):
    """Each chore in its own time."""
    done = SimpleQueue()
    Background([(0.001, lambda: done.put("a")), (0.001, lambda: done.put("b")), ending]).start()
    seen = [done.get(timeout=PATIENCE) for _ in range(20)]
    assert seen.count("a") > 1
    assert seen.count("b") > 1


def test_chore_that_fails_is_logged_and_ends_nothing(caplog, ending):
    """The others go on, and it comes again itself."""
    tried, done = SimpleQueue(), SimpleQueue()

    def fail():
        tried.put(1)
        raise ValueError("first line\nsecond line")

    Background([(0.001, fail), (0.001, lambda: done.put(1)), ending]).start()
    for queue in (tried, done, tried, done):
        queue.get(timeout=PATIENCE)
    assert "ValueError: first line" in caplog.text
    assert "second line" not in caplog.text


def test_extra_chore_does_not_wait_for_the_next_turn():
    """What is to be done once is done as soon as the thread is free, in order."""
    background, done = Background([(3_600, lambda: done.put("chore"))]), SimpleQueue()
    background.once(lambda: done.put(1))
    background.once(lambda: done.put(2))
    background.start()
    assert [1, 2] == [done.get(timeout=PATIENCE) for _ in range(2)]

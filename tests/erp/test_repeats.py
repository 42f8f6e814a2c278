"""What repeats itself in a log is said once in a while."""

import logging

from erp.repeats import OnceInAWhile


def test_a_warning_that_repeats_itself_is_logged_once(caplog):
    """Numbers aside; what is another warning, or no warning, always passes."""
    log = logging.getLogger("erp.repeats-test")
    log.addFilter(OnceInAWhile())
    caplog.set_level(logging.INFO, logger=log.name)
    for attempt in range(50):
        log.error("Connect to 127.0.0.1:9094 failed (after %d ms)", attempt)
        log.info("waiting")
    log.warning("another thing")
    ours = [each for each in caplog.records if each.name == log.name]  # threads may log besides
    warnings = [each for each in ours if each.levelno >= logging.WARNING]
    assert 2 == len(warnings)
    assert 50 == len(ours) - len(warnings)

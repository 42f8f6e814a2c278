"""What librdkafka repeats is said once in a while."""

import logging

from erp import kafka


def test_a_warning_that_repeats_itself_is_logged_once(caplog):
    """Numbers aside; what is another warning, or no warning, always passes."""
    caplog.set_level(logging.INFO, logger="erp.kafka")
    for attempt in range(50):
        kafka.log.error("Connect to 127.0.0.1:9094 failed (after %d ms)", attempt)
        kafka.log.info("waiting")
    kafka.log.warning("another thing")
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert 2 == len(warnings)
    assert 50 == len(caplog.records) - len(warnings)

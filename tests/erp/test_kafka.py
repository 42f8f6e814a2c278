"""Kafka as the stages use it: settings that can't be, and times that can't be."""

from datetime import UTC, datetime
from unittest.mock import Mock

import pytest

from erp import kafka
from erp.process import UsageError


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"security.protocol": "FOO"}, "security.protocol"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/no/such.pem"}, "ssl.ca.location"),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "XX"}, "SASL mechanism"),
        (
            {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
            "sasl.username and sasl.password",
        ),
    ],
)
def test_settings_that_no_client_can_have_are_one_line(options, named):
    """They are the configuration's fault, and waiting would not help."""
    with pytest.raises(UsageError, match=named):
        kafka.wait_for_kafka({"bootstrap.servers": "127.0.0.1:1", **options}, timeout=0)


@pytest.mark.parametrize(
    ("milliseconds", "moment"),
    [
        (1_700_000_000_123, datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)),
        (1_700_000_000_123_000, datetime(9999, 12, 31, tzinfo=UTC)),
    ],
)
def test_a_time_beyond_the_calendar_ends_no_stage(milliseconds, moment):
    """A client that counts in microseconds is late for ever; older brokers take its messages."""
    message = Mock(**{"timestamp.return_value": (1, milliseconds)})
    assert moment == kafka.timestamp(message)

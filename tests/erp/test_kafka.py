"""Connecting to Kafka: what is said when it can't be."""

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

"""Changing the topics of a test."""

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from tests.waiting import PATIENCE


def limit_messages(options, topic, size):
    """Let a topic take messages of so many bytes, as the broker counts them."""
    change = ConfigEntry(
        "max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET
    )
    changed = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[change])
    admin = AdminClient(options)
    admin.incremental_alter_configs([changed])[changed].result(PATIENCE)

"""More partitions for topics that stand, while producers and consumers go on.

A key's partition is its hash modulo their number, so most keys move: from then on a key's new
messages stand in another partition than its old ones, and a consumer may read the new ones first.
What is stored stays right: the sink replaces a document only by a later delivery, across partitions
by the message's time, and the service answers a sale once however often and late it comes. What
does need the order of a key over the change should be read to the end before it.
"""

import logging
from collections.abc import Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewPartitions

from erp.kafka import Options, wait_for_kafka
from erp.process import Failure

log = logging.getLogger("local_stack.partitions")


def raise_partitions(
    options: Options, names: Iterable[str], partitions: int, timeout: float = 10
) -> dict[str, int]:
    """Give each of these topics at least so many partitions; the former number of each raised one.

    Running clients notice within their `topic.metadata.refresh.interval.ms` (five minutes unless
    set), and the members of a group share the new ones. Topics that have as many, or are not there,
    are left alone: partitions are never taken away. Raises Failure when the brokers refuse.
    """
    admin = wait_for_kafka(options, timeout)
    known = admin.list_topics(timeout=timeout).topics
    before = {
        name: len(known[name].partitions)
        for name in names
        if name in known and len(known[name].partitions) < partitions
    }
    wanted = [NewPartitions(name, partitions) for name in before]
    for name, future in (admin.create_partitions(wanted) if wanted else {}).items():
        try:
            future.result()
        except KafkaException as error:
            raise Failure(f"cannot raise topic {name}: {error.args[0].str()}") from None
        log.info("topic %s had %d partitions and has %d", name, before[name], partitions)
    return before

"""Read the recommendations from a program of your own: a till, an app, an e-mail.

Reads   the topic erp.recommendations, from now on (or with --from-beginning all that it holds)
Writes  a line for each sale to the terminal; needs confluent-kafka alone, nothing of this project

    python examples/read_recommendations.py
    KAFKA_BOOTSTRAP_SERVERS=broker:9092 python examples/read_recommendations.py --from-beginning

The latest message of a sale_id counts: a sale that was answered with lines missing (`complete` is
false) is answered again when they come. A null value takes an answer back.
"""

import json
import os
import sys

from confluent_kafka import Consumer


def main() -> None:
    """Print each answer as it comes; Ctrl-C ends it."""
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9094"),
            "group.id": os.environ.get("GROUP", "my-till"),  # programs of one group share the sales
            "auto.offset.reset": "earliest" if "--from-beginning" in sys.argv else "latest",
        }
    )
    consumer.subscribe([os.environ.get("TOPIC_PREFIX", "erp.") + "recommendations"])
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                print(f"Kafka: {message.error().str()}", file=sys.stderr)
            elif message.value() is None:
                print(f"sale {message.key().decode()} was taken back", flush=True)
            else:
                show(json.loads(message.value()))
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()


def show(answer: dict) -> None:
    """The sale, its customer, and what to offer."""
    offers = "; ".join(
        f"{one['product_name'] or one['product_id']} ({one['confidence_percentage']:.0f} %)"
        for one in answer["recommendations"]
    )
    print(f"sale {answer['sale_id']}, customer {answer['customer_id']}: {offers}", flush=True)


if __name__ == "__main__":
    main()

"""Least rights: what each script may do in Kafka and in MongoDB, as lines for their own tools."""

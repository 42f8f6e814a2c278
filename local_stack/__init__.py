"""Kafka and a MongoDB wire server without Docker: to try the project, to test and to measure it."""

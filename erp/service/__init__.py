"""The recommendation service: from a sale in the topic to its answer."""

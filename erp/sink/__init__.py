"""The sink's side: from messages to documents, one for each natural key."""

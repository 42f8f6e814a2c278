"""What the page of history says."""

TEXTS: dict[str, dict[str, str]] = {}

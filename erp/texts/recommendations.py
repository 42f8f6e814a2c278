"""What the page of recommendations says."""

TEXTS: dict[str, dict[str, str]] = {}

"""What the page of live sales says."""

TEXTS: dict[str, dict[str, str]] = {}

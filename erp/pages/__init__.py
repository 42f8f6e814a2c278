"""The three pages: what they ask, what they draw, and how they speak."""

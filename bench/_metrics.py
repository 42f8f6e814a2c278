"""What the measuring programs say: values beside their goals, as a table or as JSON."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

Metrics = dict[str, dict[str, Any]]  # name to value, goal (None: none) and unit


def metric(value: float, goal: float | None, unit: str, most: bool = False) -> dict[str, Any]:
    """A measured value beside its goal: at least, or with `most` at most."""
    digits = 3 if abs(value) < 10 else 1
    rounded = {"value": round(value, digits), "goal": goal, "unit": unit}
    return rounded | ({"at_most": True} if most else {})


def say(text: str) -> None:
    """Say on stderr what is going on."""
    print(text, file=sys.stderr, flush=True)


def show(metrics: Metrics, as_json: bool) -> None:
    """Print what was measured beside the goals."""
    if as_json:
        print(json.dumps(metrics, indent=2))
        return
    table = Table("metric", "value", "goal", "unit")
    for name, each in metrics.items():
        bound = "≤" if each.get("at_most") else "≥"
        goal = "" if each["goal"] is None else f"{bound} {each['goal']:g}"
        table.add_row(name, f"{each['value']:,}", goal, each["unit"])
    Console(width=None if sys.stdout.isatty() else 100).print(table)

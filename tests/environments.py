"""The environment of a script that a test starts."""

import json
import os
from pathlib import Path

from pydantic import SecretStr

from config import Settings

ROOT = Path(__file__).resolve().parent.parent


def environment(settings: Settings, **changed: object) -> dict[str, str]:
    """Every setting, so that no `.env` is in force; some may be changed by name: `TOP_N=3`."""
    inherited = {k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields}
    values = {name.upper(): value for name, value in settings if value is not None} | changed
    return inherited | {name: _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return json.dumps(value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

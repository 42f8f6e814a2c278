"""What a number on the command line must be; argparse makes its error one line and exit code 2."""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

N = TypeVar("N", int, float)

LAST_PORT = 65_535


def whole(text: str) -> int:
    """A whole number from 1."""
    return _checked(int, text, lambda number: number >= 1, "a whole number from 1")


def port(text: str) -> int:
    """The number of a TCP port, or 0 for any that is free."""
    return _checked(int, text, lambda number: 0 <= number <= LAST_PORT, "a port, 0 to 65535")


def positive(text: str) -> float:
    """A finite number above 0, such as a time in seconds."""
    return _checked(float, text, lambda number: 0 < number < math.inf, "a number above 0")


def not_negative(text: str) -> float:
    """A finite number from 0."""
    return _checked(float, text, lambda number: 0 <= number < math.inf, "a number from 0")


def share(text: str) -> float:
    """A share from 0 to below 1."""
    return _checked(float, text, lambda number: 0 <= number < 1, "a share from 0 to below 1")


def _checked(kind: Callable[[str], N], text: str, allowed: Callable[[N], bool], wanted: str) -> N:
    try:
        number = kind(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not {wanted}") from None
    if not allowed(number):
        raise ArgumentTypeError(f"{text} is not {wanted}")
    return number

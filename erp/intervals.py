"""95 % confidence intervals of shares and means."""

from math import sqrt
from typing import NamedTuple

import numpy as np

Z = 1.959964  # of the normal distribution, 95 % between -Z and Z


class Estimate(NamedTuple):
    """A value with the interval that holds the true one in 95 of 100 samples."""

    value: float
    low: float
    high: float


def share(hits: int, of: int) -> Estimate:
    """A share, 0 to 1, with Wilson's score interval (Wilson, 1927); of nothing: 0, from 0 to 1."""
    if of <= 0:
        return Estimate(0.0, 0.0, 1.0)
    rate, pull = hits / of, Z * Z / of
    middle = (rate + pull / 2) / (1 + pull)
    half = Z * sqrt(rate * (1 - rate) / of + pull / of / 4) / (1 + pull)
    return Estimate(rate, max(0.0, middle - half), min(1.0, middle + half))


def mean(values: np.ndarray) -> Estimate:
    """A mean with the normal interval of its standard error; of nothing: 0."""
    if not len(values):
        return Estimate(0.0, 0.0, 0.0)
    centre = float(np.mean(values))
    half = Z * float(np.std(values)) / sqrt(len(values))
    return Estimate(centre, centre - half, centre + half)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """The first share less the second, of different samples (Newcombe, 1998, method 10)."""
    apart = first.value - second.value
    low = sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    high = sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Estimate(apart, apart - low, apart + high)


def ratio(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> Estimate:
    """The ratio of two hit rates on the same baskets, its interval by a paired bootstrap.

    Baskets fall into four kinds (hit by both, by one, by none), so that drawing them anew is
    drawing four counts (Efron and Tibshirani, 1993).

    Parameters
    ----------
    ours, theirs : bool (baskets)
    """
    if not len(ours):
        return Estimate(1.0, 1.0, 1.0)
    kinds = np.bincount(2 * ours.astype(np.int64) + theirs, minlength=4)
    drawn = np.random.default_rng(seed).multinomial(len(ours), kinds / len(ours), 4000)
    _, theirs_alone, ours_alone, both = np.vstack((kinds, drawn)).T
    ratios = (both + ours_alone) / np.maximum(both + theirs_alone, 1)
    low, high = np.quantile(ratios[1:], (0.025, 0.975))
    return Estimate(float(ratios[0]), float(low), float(high))

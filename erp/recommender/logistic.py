"""Second-order logistic models: which of many is chosen, and how likely something is.

The first is a conditional logit over the candidates of one basket (McFadden, 1974).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

BASKETS_AT_ONCE = 100  # 2 MB of their candidates' features stay in the processor's cache
FIRST_TRIED = 5  # parts of so many baskets that tell where the solution is, of all


@dataclass(frozen=True)
class Weights:
    """A second-order logistic model: logit = constant + z w + z Q z, z standardised and clipped.

    mean, scale, linear : float32 (features), square : float32 (features, features)
    """

    mean: np.ndarray
    scale: np.ndarray
    linear: np.ndarray
    square: np.ndarray
    constant: float

    def logit(self, values: np.ndarray) -> np.ndarray:
        """Float32 (...), for values (..., features)."""
        z = standardised(values, self.mean, self.scale)
        return ((z @ self.square + self.linear) * z).sum(axis=-1) + np.float32(self.constant)


def standardised(values, mean, scale) -> np.ndarray:
    return np.clip((values - mean) / scale, -4, 4)


def _expanded(z: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """z and the pairwise products of the features `squares`, (n, f + s (s + 1) / 2)."""
    first, second = np.triu_indices(len(squares))
    return np.concatenate((z, z[:, squares[first]] * z[:, squares[second]]), axis=1)


def _weights(mean, scale, squares, solution: np.ndarray, constant: float) -> Weights:
    width = len(mean)
    square = np.zeros((width, width), np.float32)
    first, second = np.triu_indices(len(squares))
    square[squares[first], squares[second]] = solution[width:]
    return Weights(mean, scale, solution[:width].astype(np.float32), square, float(constant))


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = values.mean(axis=0, dtype=np.float64)
    scale = values.std(axis=0, dtype=np.float64)
    return mean.astype(np.float32), np.where(scale > 1e-4, scale, 1.0).astype(np.float32)


def _newton(derivatives, start: np.ndarray, steps: int = 25, tolerance: float = 1e-3) -> np.ndarray:
    """The minimum of a convex function by Newton's method with halved steps.

    derivatives : function of the solution, gives value, gradient, Hessian
    """
    solution = start
    value, gradient, curvature = derivatives(solution)
    for _ in range(steps):
        step = np.linalg.solve(curvature, gradient)
        gain = float(step @ gradient)
        if gain < tolerance:
            break
        size = 1.0
        while size > 1e-3:
            fresh = derivatives(solution - size * step)
            if fresh[0] <= value - 1e-4 * size * gain:
                break
            size /= 2
        else:
            break
        solution = solution - size * step
        value, gradient, curvature = fresh
    return solution


def fit_choice(
    values: np.ndarray, chosen: np.ndarray, present: np.ndarray, ridge: float, guess: int
) -> Weights:
    """Weights under which the chosen candidate of each basket is the likeliest (conditional logit).

    Parameters
    ----------
    values : float32 (baskets, candidates, features)
    chosen : int (baskets), the place of the right one
    present : bool (baskets, candidates)
    ridge : penalty on squared weights, in baskets
    guess : the feature that alone decides before anything is learned
    """
    rows, many, width = values.shape
    squares = np.arange(width)
    mean, scale = _moments(values[present])
    count = width + width * (width + 1) // 2
    parts = []
    for first in range(0, rows, BASKETS_AT_ONCE):
        part = slice(first, first + BASKETS_AT_ONCE)
        z = standardised(values[part].reshape(-1, width), mean, scale)
        right = np.arange(len(chosen[part])) * many + chosen[part]
        parts.append((_expanded(z, squares), present[part], right))

    def derivatives(parts, solution):
        """Value, gradient and Hessian of the penalised negative log-likelihood."""
        value = ridge / 2 * float(solution @ solution)
        gradient, curvature = ridge * solution, ridge * np.eye(count)
        weights = solution.astype(np.float32)
        for z, there, right in parts:
            logits = np.where(there, (z @ weights).reshape(-1, many), -np.inf)
            logits -= logits.max(axis=1, keepdims=True)
            odds = np.exp(logits)
            sums = odds.sum(axis=1, keepdims=True)
            odds /= sums
            value += float(np.log(sums).sum() - logits.ravel()[right].sum())
            mean_z = np.matmul(odds[:, None], z.reshape(-1, many, count))[:, 0]
            gradient = gradient + (mean_z - z[right]).sum(axis=0, dtype=np.float64)
            root = z * np.sqrt(odds).reshape(-1, 1)
            curvature += root.T @ root - mean_z.T @ mean_z  # a matrix by itself: half the work
        return value, gradient, curvature

    solution = np.zeros(count)
    solution[guess] = 1.0
    with threadpool_limits(1):
        if len(parts) > FIRST_TRIED:  # some baskets lead most of the way
            some = parts[:: math.ceil(len(parts) / FIRST_TRIED)]
            solution = _newton(partial(derivatives, some), solution)
        solution = _newton(partial(derivatives, parts), solution)
    return _weights(mean, scale, squares, solution, 0.0)


def fit_probability(values: np.ndarray, happened: np.ndarray, ridge: float, squares) -> Weights:
    """Weights of a logistic regression; the constant is not penalised.

    Parameters
    ----------
    values : float32 (n, features), happened : bool (n)
    ridge : penalty on squared weights, in observations
    squares : int, the features whose products count too
    """
    mean, scale = _moments(values)
    z = _expanded(standardised(values, mean, scale), np.asarray(squares)).astype(np.float64)
    z = np.concatenate((np.ones((len(z), 1)), z), axis=1)
    outcome = happened.astype(np.float64)
    penalty = np.full(z.shape[1], ridge)
    penalty[0] = 1e-6

    def derivatives(solution):
        """Value, gradient and Hessian of the penalised negative log-likelihood."""
        logits = z @ solution
        chance = 1 / (1 + np.exp(-logits))
        value = np.logaddexp(0, logits).sum() - outcome @ logits + penalty @ solution**2 / 2
        gradient = (chance - outcome) @ z + penalty * solution
        return value, gradient, (z.T * (chance * (1 - chance))) @ z + np.diag(penalty)

    start = np.zeros(z.shape[1])
    rate = (outcome.sum() + 0.5) / (len(outcome) + 1)
    start[0] = np.log(rate / (1 - rate))
    with threadpool_limits(1):
        solution = _newton(derivatives, start)
    return _weights(mean, scale, np.asarray(squares), solution[1:], solution[0])

"""Damped least squares for a handful of coefficients: few, positive, and pulled towards what is shipped.

Each coefficient is fitted as x = ln(value / shipped), so that x = 0 is the shipped one, and a pull towards it holds in
place what the measurements do not tell. Measurements far off count by their distance, not its square (Huber), so that
a few odd ones do not lead. Knows no chip and no model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eke.cost.tables import FloatArray

Residuals = Callable[[FloatArray], FloatArray]  # x [k] → ln(predicted / measured) [n]

STEP = 0.02  # of a numerical slope
HUBER = 0.15  # from here on a residual counts by its distance
FARTHEST = 1.6  # no coefficient moves by more than a factor of five
PULL = 0.3  # one coefficient off by e weighs as much as a residual of this size


def fit(residuals: Residuals, k: int, *, rounds: int = 12, pull: float = PULL) -> FloatArray:
    """The x [k] that makes `residuals` small (Levenberg-Marquardt on reweighted squares).

    Args:
        residuals: called with x; entries that are not finite are left out.
        k: coefficients.
        rounds: most steps taken.
        pull: weight of staying at the shipped values, in residuals.
    """
    x: FloatArray = np.zeros(k)
    away = np.nan_to_num(residuals(x))
    damping = 0.1
    for _ in range(rounds):
        weight = 1.0 / np.maximum(np.abs(away) / HUBER, 1.0)
        jacobian = slopes(residuals, x, away)
        normal = jacobian.T @ (weight[:, None] * jacobian) + pull**2 * np.eye(k)
        gradient = jacobian.T @ (weight * away) + pull**2 * x
        before = _loss(away, x, pull)
        while damping < 1e6:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -gradient)
            tried: FloatArray = np.clip(x + np.clip(step, -0.7, 0.7), -FARTHEST, FARTHEST)
            new = np.nan_to_num(residuals(tried))
            if (after := _loss(new, tried, pull)) < before:
                x, away, damping = tried, new, damping / 5
                break
            damping *= 5
        else:
            return x
        if before - after < 1e-5 * before:
            return x
    return x


def slopes(residuals: Residuals, x: FloatArray, away: FloatArray) -> FloatArray:
    """How each residual changes with each coefficient. [n, k]"""
    steps = np.eye(len(x)) * STEP
    columns = [np.nan_to_num(residuals(x + step)) - away for step in steps]
    table: FloatArray = np.stack(columns, axis=1) / STEP
    return table


def _loss(away: FloatArray, x: FloatArray, pull: float) -> float:
    far = np.abs(away)
    huber = np.where(far < HUBER, 0.5 * far**2, HUBER * (far - 0.5 * HUBER))
    return float(huber.sum() + 0.5 * pull**2 * (x**2).sum())

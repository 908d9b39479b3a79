"""From rates by month to dates: when each generation starts and ends, and when something stops sufficing."""

from __future__ import annotations

import numpy as np

from eke.cost import FloatArray
from eke.plan.runway.stock import MONTH_S

DAY_S = 86400.0


def done_by(rate: FloatArray, seconds: FloatArray) -> FloatArray:
    """Tokens trained from the first day to `seconds` [samples]; `rate` [samples, months] in tokens/s."""
    months = rate.shape[1]
    total = np.concatenate([np.zeros((len(rate), 1)), np.cumsum(rate * MONTH_S, axis=1)], axis=1)
    at = np.clip(seconds / MONTH_S, 0.0, months)
    month = np.minimum(at.astype(np.int64), months - 1)
    rows = np.arange(len(rate))
    done: FloatArray = total[rows, month] + rate[rows, month] * (at - month) * MONTH_S
    return done


def ends(rate: FloatArray, start: FloatArray, tokens: float) -> FloatArray:
    """When `tokens` are done [samples], in seconds, begun at `start` [samples]; inf when not within the months."""
    months = rate.shape[1]
    begun = np.isfinite(start)
    goal = done_by(rate, np.where(begun, start, 0.0)) + tokens
    total = np.cumsum(rate * MONTH_S, axis=1)
    month = (total < goal[:, None] * (1 - 1e-12)).sum(axis=1)  # whole months that pass before
    rows, there = np.arange(len(rate)), np.minimum(month, months - 1)
    before = np.where(there > 0, total[rows, there - 1], 0.0)
    left = (goal - before) / np.maximum(rate[rows, there], 1e-30)
    end: FloatArray = np.where(begun & (month < months), there * MONTH_S + left, np.inf)
    return end


def until(slack: FloatArray) -> FloatArray:
    """When `slack` [samples, months] (known in the middle of each month) first falls below 0, in seconds; inf when it
    does not.
    """
    short = slack < 0
    first = np.argmax(short, axis=1)
    rows = np.arange(len(slack))
    before = np.maximum(first - 1, 0)
    a, b = slack[rows, before], slack[rows, first]
    share = np.where((first > 0) & (a > b), a / np.where(a > b, a - b, 1.0), 0.0)
    when = np.where(first == 0, 0.0, (before + 0.5 + share) * MONTH_S)
    found: FloatArray = np.where(short.any(axis=1), when, np.inf)
    return found

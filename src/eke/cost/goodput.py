"""Effective training time: the share of a job's hours that moves it forward, after failures, restarts and checkpoints.

One chip out of u that fails stops all u. What was computed since the last checkpoint is lost, and the job needs time to
come back. Closed form after J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps"
(Future Generation Computer Systems 22, 2006), which refines J. W. Young (CACM 17, 1974). It knows no model and no chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from eke.cost.tables import FloatArray

RECOVERY_S = 720.0
"""From a failure to the next step, where nobody says: 12 minutes. Estimated between 17 s (warm start of collectives on
16,000 GPUs, FT-HSDP, arXiv 2602.00277) and 68 min (restart by hand, Unicron, arXiv 2401.00134)."""
STALL_S = 1.1
"""What writing a checkpoint holds the job up: the geometric mean of 6.3 s (7B model at IBM with asynchronous
checkpoints, 148.8 s without; pytorch.org/blog/reducing-checkpointing-times) and 0.2 s (DLRover, its own claim)."""
PUBLISHED_H = {"Meta RSC-1": 29_538.0, "Llama 3 405B": 45_564.0, "FT-HSDP at Meta": 83_478.0}
"""Hours between failures of one chip in the three fleets that published them, all of NVIDIA A100 or H100: 6.5 failures
per 1,000 node-days of 8 (arXiv 2410.21680), 466 interruptions of 16,384 chips in 54 days (arXiv 2407.21783), 2.3
interruptions per 1,000 servers of 8 and day (arXiv 2602.00277)."""
USUAL_S = float(np.exp(np.mean(np.log(list(PUBLISHED_H.values()))))) * 3600.0
"""Seconds between failures of one chip where nobody says: the geometric mean of the three, 48 kh."""
SPREAD = float(np.std(np.log(list(PUBLISHED_H.values())), ddof=1))
"""Standard deviation of their logarithm: how far one fleet may be from another."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """What failures cost.

    Attributes:
        chip_s: mean time between failures of one chip that stop its job.
        recovery_s: from a failure to the next step. stall_s: what writing a checkpoint holds the job up.
        interval_s: between checkpoints; None: the best one for each size of job.
        basis: of `chip_s`.
    """

    chip_s: float = USUAL_S
    recovery_s: float = RECOVERY_S
    stall_s: float = STALL_S
    interval_s: float | None = None
    basis: Literal["scenario", "published", "unknown"] = "published"


def best_interval(job_s: ArrayLike, stall_s: float) -> FloatArray:
    """Seconds of work between checkpoints that lose least time: Daly's higher-order optimum, near √(2 δ M).

    Args:
        job_s: M, mean time between failures of the job.
        stall_s: δ, what one checkpoint holds it up.
    """
    m = np.asarray(job_s, dtype=np.float64)
    x = stall_s / (2.0 * m)
    tau = np.sqrt(2.0 * stall_s * m) * (1.0 + np.sqrt(x) / 3.0 + x / 9.0) - stall_s
    best: FloatArray = np.where(stall_s < 2.0 * m, np.maximum(tau, 1e-3), m)
    return best


def effective_share(failures_per_s: ArrayLike, restarts: Restarts) -> FloatArray:
    """Share of time that counts, of a job that fails `failures_per_s` times a second.

    With M = 1 / failures_per_s: τ / (M e^(R/M) (e^((τ+δ)/M) - 1)); to first order 1 - δ/τ - (R + (τ+δ)/2) / M.
    """
    rate = np.maximum(np.asarray(failures_per_s, dtype=np.float64), 1e-18)
    m = 1.0 / rate
    delta = restarts.stall_s
    tau = best_interval(m, delta) if restarts.interval_s is None else np.full_like(m, restarts.interval_s)
    exponent = np.minimum((tau + delta) / m, 50.0)
    share: FloatArray = tau / (m * np.exp(np.minimum(restarts.recovery_s / m, 600.0)) * np.expm1(exponent))
    return share

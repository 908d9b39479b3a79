"""Kernels on the roofline: seconds of compute and of memory for matrix products and streams. Knows shapes, not models.

`max(flop / (peak * e_c), bytes / (bandwidth * e_m))`, both efficiencies saturating with the shape; see `profile.py`
for why that is written as padding.
"""

from __future__ import annotations

from eke.cost._bill import Term
from eke.cost.machine import Machine

ACTIVATION_BYTES = 2.0  # activations travel in 16 bits


def gemm(
    on: Machine, flop_per_s: float, m: Term, n: Term, k: Term, weight_bytes: float, copies: Term = 1.0, count: int = 1
) -> tuple[Term, Term]:
    """`count` layers of `copies` products of [m, k] by [k, n] with weights of `weight_bytes` each: seconds of
    (compute, memory).

    compute = 2 (m + m½)(n + n½)(k + k½) / (E · peak);  memory = (n k w + 2 m (n + k) + ramp) / (e · bandwidth)

    What layouts alone decide comes first: there are many m to a layout.
    """
    p = on.profile
    a_token = (2.0 * count / flop_per_s) * ((n + p.pad_n) * (k + p.pad_k))
    a_byte = count / (on.bandwidth * p.memory)
    weights, moved = a_byte * weight_bytes * n * k, a_byte * ACTIVATION_BYTES * (n + k)
    return copies * a_token * (m + p.pad_m), copies * weights + a_byte * p.ramp_bytes + copies * moved * m


def stream(on: Machine, moved_bytes: Term) -> Term:
    """Seconds to move bytes through memory once."""
    return moved_bytes / (on.bandwidth * on.profile.memory)

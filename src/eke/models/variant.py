"""A variant: the same model in fewer bits, and what of its quality is left. Quality figures carry their source."""

from __future__ import annotations

from dataclasses import dataclass

from eke.figures import Figure, Precision


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to hold a model's weights and compute with them.

    Attributes:
        weight_bits: stored bits per weight, scales included (4.5 for int4 in groups).
        compute: precision the matrix units run in; int4 weights compute in 16 bits.
        kv_bits: bits per value in the KV cache.
        quality: share of the bf16 model's score that is left; None: nobody published it.
    """

    name: str
    weight_bits: float
    compute: Precision
    kv_bits: float
    quality: Figure | None

"""One training job as the cost model sees it: model, chips, layout, and what a framework leaves open. No prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from eke.cost.layers import Layers, Sharding, attention_weights, ends, feed_forward_weights, stage_share
from eke.cost.machine import Machine
from eke.cost.tables import FloatArray
from eke.cost.trainers import Trainer
from eke.figures import Precision

Recompute = Literal["none", "selective", "full"]
State = Literal["zero1", "zero2", "zero3"]


@dataclass(frozen=True, slots=True)
class Job:
    """What stays fixed over a step.

    Attributes:
        precision: of the matrix products, among those the chip has.
        recompute: None: the least share of layers that makes it fit.
        state: what data ranks share out: `zero1` optimizer state, `zero2` gradients too, `zero3` weights too.
        cp: [n] ranks that cut each sequence. chunks: [n] pieces of the model a pipeline rank holds.
        frozen: weights are not trained (adapters beside them are, and cost nothing here).
    """

    on: Machine
    model: Layers
    to: Sharding
    by: Trainer
    precision: Precision
    recompute: Recompute | None
    state: State
    cp: FloatArray
    chunks: FloatArray
    frozen: bool

    @property
    def data(self) -> FloatArray:
        """Ranks that hold the same weights. [n]"""
        return self.to.dp * self.cp

    @property
    def expert_data(self) -> FloatArray:
        """Ranks that hold the same experts. [n]"""
        ranks: FloatArray = np.maximum(self.data / self.to.expert_dp, 1.0)
        return ranks

    @property
    def chips(self) -> FloatArray:
        """Chips of the job. [n]"""
        return self.to.tp * self.to.pp * self.data

    def weights(self) -> tuple[FloatArray, FloatArray]:
        """Parameters per chip (dense, expert) of the fullest stage. [n] each"""
        dense, experts = feed_forward_weights(self.model, self.to)
        share = stage_share(self.model, self.to)
        return (attention_weights(self.model, self.to) + dense) * share + ends(self.model, self.to), experts * share

    def ring(self, size: FloatArray, ranks: FloatArray, stride: FloatArray) -> FloatArray:
        """Seconds in which `ranks` [n], each `stride` [n] chips from the next, gather or scatter `size` [n] bytes.

        Inside a domain over the fast link, then each of its m ranks carries 1/m across.
        """
        inside = np.minimum(np.maximum(self.on.domain / stride, 1.0), ranks)
        domains = np.ceil(ranks / inside)
        near = (inside - 1) / inside / self.up
        seconds: FloatArray = size * (near + (domains - 1) / domains / inside / self.out)
        return seconds + self.latency(ranks, stride)

    def latency(self, ranks: FloatArray, stride: FloatArray) -> FloatArray:
        """Seconds of one collective beyond its bytes; 0 for a group of one. [n]"""
        one = np.where(ranks * stride > self.on.domain, self.by.latency_out_s, self.by.latency_up_s)
        seconds: FloatArray = np.where(ranks > 1, one, 0.0)
        return seconds

    @property
    def up(self) -> float:
        """Bytes/s inside a domain, as training reaches them."""
        return self.on.up / self.on.profile.link_up * self.by.link_up

    @property
    def out(self) -> float:
        """Bytes/s beyond it."""
        return self.on.out / self.on.profile.link_out * self.by.link_out

    @property
    def bandwidth(self) -> float:
        """Memory bytes/s, as training reaches them."""
        return self.on.bandwidth * self.by.memory

    def rate(self, precision: Precision) -> float:
        """FLOP/s of large products."""
        return self.on.chip.flops[precision] * self.by.share(precision) * self.by.framework

    @property
    def sixteen(self) -> Precision:
        """What head, router and attention compute in; a CPU's attention is vector code at the fp32 rate."""
        wanted: Precision = "fp32" if self.precision == "fp32" else "bf16"
        return self.on.precision(wanted)

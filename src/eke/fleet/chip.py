"""A chip: a kind of accelerator, as its maker and others describe it. It knows no model, no price and no process.

A CPU is a chip like any other. Export variants are chips of their own: an H800 is an H100 with a slower link.
Peaks are dense (no sparsity); link speeds are one way, per chip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from eke.figures import Figure, Precision


@dataclass(frozen=True, slots=True)
class Chip:
    """A kind of accelerator. Unknown figures are `None`, never guessed.

    Attributes:
        flops: dense peak FLOP/s (or OP/s) by precision; a precision the chip lacks is absent.
        memory: bytes of device memory.
        memory_bandwidth: bytes/s.
        scale_up_chips: chips in one scale-up domain (NVLink, HCCS, XPU Link, or a PCIe host).
        scale_up: bytes/s one way per chip inside that domain.
        scale_out: default network bytes/s one way per chip; a pool may say otherwise.
        tdp: watts.
        cores: of a CPU, else 1. A CPU is shared out by the core, other chips only whole.
        relative: nearest chip whose measurements this one may borrow, scaled by physics.
        figures: source and status of each number, by attribute name (`flops.bf16` for precisions).
    """

    name: str
    vendor: str
    flops: Mapping[Precision, float]
    memory: float
    memory_bandwidth: float
    kind: Literal["gpu", "npu", "cpu"] = "gpu"
    architecture: str = ""
    scale_up_chips: int = 1
    scale_up: float | None = None
    scale_out: float | None = None
    tdp: float | None = None
    cores: int = 1
    engines: tuple[str, ...] = ()
    relative: str | None = None
    aliases: tuple[str, ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def core(self) -> Chip:
        """One core of a CPU as a chip: its share of everything, the other cores one memory copy away."""
        n = self.cores
        return replace(
            self,
            flops={p: f / n for p, f in self.flops.items()},
            memory=self.memory / n,
            memory_bandwidth=self.memory_bandwidth / n,
            scale_up_chips=n,
            scale_up=self.memory_bandwidth,
            tdp=self.tdp and self.tdp / n,
            cores=1,
        )

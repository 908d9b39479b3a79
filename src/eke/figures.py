"""A figure: one number and where it comes from. Nothing in Eke's catalogues is a bare number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["datasheet", "measured", "secondary", "estimated"]
Precision = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "int8", "fp4", "int4"]

BITS: dict[Precision, int] = {
    "fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "fp4": 4, "int4": 4,
}  # fmt: skip

# What a chip computes in when it lacks the wanted matrix units, best first.
# V100 and T4 have no bf16; int4 weights unpack to 16 bits.
FALLBACK: dict[Precision, tuple[Precision, ...]] = {
    "fp4": ("bf16", "fp16", "tf32", "fp32"),
    "int4": ("bf16", "fp16", "tf32", "fp32"),
    "fp8": ("bf16", "fp16", "tf32", "fp32"),
    "int8": ("bf16", "fp16", "tf32", "fp32"),
    "bf16": ("fp16", "tf32", "fp32"),
    "fp16": ("bf16", "tf32", "fp32"),
    "tf32": ("bf16", "fp16", "fp32"),
    "fp32": ("tf32", "fp16", "bf16"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, its source and how it came about. `note` says why this one where sources disagree."""

    value: float
    source: str
    status: Status
    note: str = ""

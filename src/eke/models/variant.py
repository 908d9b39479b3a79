"""A variant: the same model in fewer bits, and what of its quality is left. Quality figures carry their source.

What `quality.yaml` measured on the model itself comes first. Without that, a model borrows the lowest figure of the
measured models about its size, or of the largest below it, and the figure says `estimated`. None below either: None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from eke import document, units
from eke.figures import Figure, Precision
from eke.models import catalogue
from eke.models.architecture import Architecture

NEAR = 2.5
"""Models within this factor in size are taken to lose alike. Larger ones lose less (arXiv 2505.02214)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to hold a model's weights and compute with them.

    Attributes:
        weight_bits: stored bits per weight, scales included (4.5 for int4 in groups).
        compute: precision the matrix units run in; int4 weights compute in 16 bits.
        kv_bits: bits per value in the KV cache.
        quality: share of the bf16 model's score that is left; None: nobody published it.
        wide_bits: bits of attention's and shared experts' weights, where those stay in 16 bits (NVFP4 and MXFP4
            mixtures); None: like the rest.
        narrow_out: whether attention's last product and shared experts are like the rest all the same.
        vector_rate: speed of llama.cpp's vector products with weights of these types, over those of `embedded`.
    """

    name: str
    weight_bits: float
    compute: Precision
    kv_bits: float
    quality: Figure | None
    wide_bits: float | None = None
    narrow_out: bool = False
    vector_rate: float = 1.0


# name → bits a weight, precision computed in. int4: groups of 128 with a 16-bit scale and a 4-bit zero (GPTQ, AWQ);
# fp4: an 8-bit scale for every 16 (NVFP4), weights only, as chips without fp4 units run it.
_FORMS: dict[Precision, tuple[float, Precision]] = {
    "bf16": (16.0, "bf16"),
    "fp16": (16.0, "fp16"),
    "fp8": (8.0, "fp8"),
    "int8": (8.0, "int8"),
    "int4": (4.0 + 20.0 / 128.0, "bf16"),
    "fp4": (4.5, "bf16"),
}

# Models whose weights Eke brings exist here in that form alone. Bits: what one token reads (blocks and output matrix),
# counted from the tensors of the file. The small one's rows are no multiple of 256, so most of it is Q5_0; the larger
# one is Q4_K, whose products are 1.6 times as fast (docs/this-machine.md).
_OWN = Figure(1.0, "the Q4_K_M file as its maker publishes it: the original here", "datasheet")
_BROUGHT = {
    "embedded": Variant("int4", 6.35, "bf16", 16.0, _OWN),
    "embedded-1.5b": Variant("int4", 5.08, "bf16", 16.0, _OWN, vector_rate=1.6),
}


def variants(architecture: Architecture) -> dict[str, Variant]:
    """The forms a model can be served in, by name; `fp4` only where it was published so."""
    if (brought := _BROUGHT.get(architecture.name)) is not None:
        return {brought.name: brought}
    names = [n for n in _FORMS if n != "fp4" or architecture.native_precision == "fp4"]
    return {n: Variant(n, *_FORMS[n], 16.0, _quality(architecture, n)) for n in names}


def _quality(architecture: Architecture, name: Precision) -> Figure | None:
    native = architecture.native_precision
    if name == native:
        return Figure(1.0, "the precision it was published in", "datasheet")
    if name == "bf16":
        return Figure(1.0, f"holds the published {native} weights exactly", "datasheet")
    if name == "fp16":
        # Gemma's activations exceed fp16's largest value, 65504 (its maker recommends bf16).
        if architecture.name.casefold().startswith("gemma"):
            return None
        return Figure(1.0, "holds bf16's 8-bit significand exactly; ranges fit", "estimated")
    return _measured(architecture.name, name) or _borrowed(architecture, name)


def _measured(model: str, name: str) -> Figure | None:
    """The evaluation of this very model; the first in the file, where there are several."""
    rows = [row for row in _evaluations() if row["model"] == model and name in row]
    return _figure(rows[0], name) if rows else None


def _borrowed(architecture: Architecture, name: str) -> Figure | None:
    """The lowest figure among measured models of about this size, else among the largest below it."""
    size = architecture.parameters
    known = [row for row in _evaluations() if name in row and _size(row) <= size * NEAR]
    if not known:
        return None
    largest = max(_size(row) for row in known)
    near = [row for row in known if _size(row) >= min(size, largest) / NEAR]
    lowest = min((_figure(row, name) for row in near), key=lambda figure: figure.value)
    names = ", ".join(dict.fromkeys(row["model"] for row in near))
    return Figure(lowest.value, lowest.source, "estimated", f"not measured on this model: the lowest of {names}")


def _figure(row: Mapping[str, Any], name: str) -> Figure:
    """Mean of the variant over mean of bf16, on the benchmarks that both have; at most 1."""
    pairs = [(a, b) for a, b in zip(row["bf16"], row[name], strict=True) if a is not None and b is not None]
    ratio = sum(b for _, b in pairs) / sum(a for a, _ in pairs)
    used = [n for n, b in zip(row["benchmarks"], row[name], strict=True) if b is not None]
    note = f"{row['model']} on {', '.join(used)}" + (f"; {ratio:.4f} as published" if ratio > 1 else "")
    return Figure(min(ratio, 1.0), _sources()[row["source"]], "measured", note)


def _size(row: Mapping[str, Any]) -> float:
    if "parameters" in row:
        return units.read("tokens", row["parameters"])
    return float(catalogue.architecture(row["model"]).parameters)


@cache
def _document() -> Mapping[str, Any]:
    rows: Mapping[str, Any] = document.read(resources.files("eke.models").joinpath("quality.yaml").read_text("utf-8"))
    return rows


def _evaluations() -> Sequence[Mapping[str, Any]]:
    return _document()["evaluations"]  # type: ignore[no-any-return]


def _sources() -> Mapping[str, str]:
    return _document()["sources"]  # type: ignore[no-any-return]

"""How much of a chip's peaks training reaches: coefficients by chip and by framework. No measurements.

They lie in `profiles/training.yaml`: `default` guesses, `kinds` for processors, `chips` (what the silicon keeps up for
hours: a chip without an entry takes its relative's) and `families` (what a framework adds). Serving's coefficients live
elsewhere: training runs big products for hours, serving small ones in bursts, and neither fit should move the other.
`benchmarks/fidelity_training.py --fit` fits them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import exp
from pathlib import Path
from typing import Any

from eke.cost import calibration
from eke.cost.profile import EIGHTY, relatives
from eke.cost.tables import Basis
from eke.document import read as read_yaml
from eke.errors import InputError, UnknownName
from eke.figures import Precision
from eke.fleet.chip import Chip

SHIPPED = Path(__file__).parent / "profiles" / "training.yaml"
FORMAT = "eke.training/1"
# How much wider the spread is with a relative's coefficients, and with nobody's.
LENT, UNKNOWN = 1.2, 1.5


@dataclass(frozen=True, slots=True)
class Trainer:
    """Efficiencies of one chip under one training framework.

    Attributes:
        gemm: share of peak FLOP/s that large products keep up for hours, by precision; `gemm_other` for the rest.
        pad: half-size of every side of a product: [m,k]·[k,n] costs as (m+pad)(n+pad)(k+pad).
        pad_expert: the same for the tokens of one expert in a grouped product.
        attention: share of 16-bit peak in attention's forward pass; the backward pass reaches `attention_back` of that.
        memory: share of nominal bandwidth.
        link_up, link_out: share of link speed. latency_up_s, latency_out_s: seconds of one collective.
        experts: share of a dense product's rate that grouped products of experts reach.
        framework: factor on products and attention; attention_kernel: a further one on attention (its kernel's age).
        score_bytes: bytes moved a score of attention, both ways; 0 where scores never leave the chip (flash).
        elementwise: memory passes of norms, gates, casts and copies over what a fully fused layer needs.
        cast: bytes moved a value to quantise what goes into a product, where products are in 8 or 4 bits.
        layer_s: host seconds a layer and micro-batch, forward and backward; call_s: of one call for one local expert.
        step_s: seconds of one optimizer step beyond its work.
        overlap: share of data-parallel traffic that hides behind work; overlap_tp, overlap_ep, overlap_cp likewise.
        gradient_bytes: of a gradient as data ranks add it up.
        imbalance: load of the busiest expert rank over the mean.
        selective: share of a layer's forward products that `selective` recomputation repeats.
        straggle: share of time lost each time the number of nodes doubles.
        spread: standard deviation of ln(measured / predicted), held out.
        basis: how well the chip and the framework are known together.
    """

    gemm: Mapping[Precision, float]
    gemm_other: float
    pad: float
    pad_expert: float
    experts: float
    attention: float
    attention_back: float
    memory: float
    link_up: float
    link_out: float
    latency_up_s: float
    latency_out_s: float
    framework: float
    attention_kernel: float
    score_bytes: float
    elementwise: float
    cast: float
    layer_s: float
    call_s: float
    step_s: float
    overlap: float
    overlap_tp: float
    overlap_ep: float
    overlap_cp: float
    gradient_bytes: float
    imbalance: float
    selective: float
    straggle: float
    spread: float
    basis: Basis = "guessed"
    source: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """Factors (low, high) on seconds that hold 80% of log-normal residuals: exp(∓1.2816 spread)."""
        return exp(-EIGHTY * self.spread), exp(EIGHTY * self.spread)

    def share(self, precision: Precision) -> float:
        """Share of peak that large products reach in `precision`."""
        return self.gemm.get(precision, self.gemm_other)


@cache
def read(path: Path = SHIPPED) -> Mapping[str, Any]:
    """The coefficients as they lie in the file.

    Raises:
        InputError: not such a file.
    """
    held = read_yaml(path.read_text(encoding="utf-8"))
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        raise InputError(f"{path} holds no training coefficients", why=f"its `format` is not {FORMAT}")
    return held


def families() -> tuple[str, ...]:
    """Training frameworks that have coefficients."""
    return tuple(sorted(read()["families"]))


def find(chip: Chip, family: str, document: Mapping[str, Any] | None = None) -> Trainer:
    """Coefficients of `chip` under `family`: from the user's own runs, its own, its nearest relative's, or the default.

    Args:
        chip: what trains.
        family: training framework.
        document: coefficients to look in, and nowhere else.

    Raises:
        UnknownName: a family without coefficients.
    """
    shipped = _shipped(chip, family, document or read())
    own = calibration.load(chip.name) if document is None else None
    if own is None or (fit := own.training.get(family)) is None:
        return shipped
    values = calibration.merged({f.name: getattr(shipped, f.name) for f in fields(Trainer)}, fit.coefficients)
    return build(values | {"basis": "measured", "spread": fit.spread or shipped.spread, "source": fit.source})


def _shipped(chip: Chip, family: str, document: Mapping[str, Any]) -> Trainer:
    known = document["families"]
    if family not in known:
        raise UnknownName("training framework", family, known, remedy=f"one of {', '.join(sorted(known))}")
    if chip.kind == "cpu":
        values = document["default"] | known[family] | document["kinds"]["cpu"]
        return build(values | {"basis": "modelled", "source": document["source"]})
    lenders = [name for name in relatives(chip) if name in document["chips"]]
    lender = lenders[0] if lenders else None
    values, gemm = dict(document["default"]), dict(document["default"]["gemm"])
    for name in reversed(lenders):  # the nearest has the last word
        values |= document["chips"][name]
        gemm |= document["chips"][name].get("gemm", {})
    values |= known[family] | {"gemm": gemm}
    wider = 1.0 if lender == chip.name else UNKNOWN if lender is None else LENT
    basis: Basis = "guessed" if lender is None else "measured" if lender == chip.name else "modelled"
    return build(values | {"spread": values["spread"] * wider, "basis": basis, "source": document["source"]})


def build(values: Mapping[str, Any]) -> Trainer:
    """Coefficients from plain values.

    Raises:
        InputError: names those unknown or missing.
    """
    known = {f.name for f in fields(Trainer)}
    wrong = sorted(set(values) - known) or sorted(known - {"basis", "source"} - set(values))
    if wrong:
        raise InputError(f"training coefficients: {', '.join(wrong)} unknown or missing")
    return Trainer(**values)

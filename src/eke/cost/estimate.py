"""One prediction in full, for a person: what a request or an optimizer step takes, by operator, and the memory.

Built on `CostModel` with tables of one row. Knows no queue: an estimate is of a steady state with a fixed batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from eke.cost import fit
from eke.cost.model import CostModel
from eke.cost.tables import BOUNDS, Basis, Layouts, Memory, Times
from eke.errors import InputError
from eke.figures import Precision
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture
from eke.models.variant import Variant
from eke.units import show_bytes


@dataclass(frozen=True, slots=True)
class Operator:
    """One line of the bill. `phase`: prefill, decode or step."""

    phase: str
    name: str
    seconds: float
    bound: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one layout does. Times are None where they do not apply.

    Attributes:
        ttft_s: one prompt, nothing queued before it.
        tpot_s: between two tokens of a request, while the other slots' prompts are read in between.
        step_s: a decode step alone; an optimizer step in training.
        tokens_per_s: output tokens in serving, tokens in training; the whole replica.
        memory: bytes a chip, by part.
        mfu: model FLOP/s over the chips' peak.
        interval: factors of an 80% interval on seconds; `first_interval` on those to the first token.
    """

    ttft_s: float | None
    tpot_s: float | None
    step_s: float
    tokens_per_s: float
    chips: int
    mfu: float
    memory: Mapping[str, float]
    memory_limit: float
    recomputed: float
    basis: Basis
    source: str
    interval: tuple[float, float]
    first_interval: tuple[float, float]
    operators: tuple[Operator, ...]

    def document(self) -> dict[str, Any]:
        """As `eke.estimate/1`."""
        stated = {"ttft_s": self.ttft_s, "tpot_s": self.tpot_s, "step_s": self.step_s}
        return {
            "format": "eke.estimate/1",
            **stated,
            "tokens_per_s": self.tokens_per_s,
            "chips": self.chips,
            "memory_bytes": sum(self.memory.values()),
            "memory": dict(self.memory),
            "memory_limit_bytes": self.memory_limit,
            "recomputed": self.recomputed,
            "mfu": self.mfu,
            "basis": self.basis,
            "source": self.source,
            "interval": {
                k: [v * f for f in (self.first_interval if k == "ttft_s" else self.interval)]
                for k, v in stated.items()
                if v is not None
            },
            "operators": [
                {"phase": o.phase, "name": o.name, "seconds": o.seconds, "bound": o.bound} for o in self.operators
            ],
        }


def serving(
    architecture: Architecture,
    chip: Chip,
    variant: Variant,
    layouts: Layouts,
    *,
    batch: int,
    prompt: int,
    output: int,
    engine: str,
) -> Estimate:
    """`batch` requests of `prompt` and `output` tokens in flight, always.

    Raises:
        InputError: it does not fit; says what would.
    """
    model = CostModel(architecture, chip, variant, engine=engine)
    fit.divides(architecture, int(layouts.tp[0]))
    context = prompt + output
    held = model.serving_memory(layouts, batch, context)
    if not held.fits[0]:
        raise _too_big(architecture, variant, held, model, _what_fits(model, architecture, layouts, context, batch))
    read, step = model.prefill(layouts, prompt), model.decode(layouts, batch, prompt + output / 2)
    ttft, alone = float(read.seconds[0]), float(step.seconds[0])
    lanes = int(layouts.pp[0] * layouts.dp[0])
    others = (batch - 1) * ttft / lanes  # prompts of the other slots, read while one request decodes
    tpot = alone + others / output
    tokens_per_s = batch * output / (ttft + output * tpot)
    flop = 2.0 * architecture.active_parameters * (prompt + output) * batch / (ttft + output * tpot)
    chips = int(layouts.chips[0])
    return Estimate(
        ttft, tpot, alone, tokens_per_s, chips, flop / (chips * model.peak(variant.compute)),
        _parts(held), model.memory_limit, 0.0, model.basis, model.profile.source, model.interval,
        model.profile.first_interval, (*_operators("prefill", read), *_operators("decode", step)),
    )  # fmt: skip


def training(
    architecture: Architecture,
    chip: Chip,
    layouts: Layouts,
    *,
    micro_batch: int,
    sequence: int,
    global_batch_tokens: float,
    precision: Precision,
    engine: str,
) -> Estimate:
    """One optimizer step.

    Raises:
        InputError: it does not fit; says what would.
    """
    variant = Variant(precision, 16.0, precision, 16.0, None)
    model = CostModel(architecture, chip, variant, engine=engine)
    step, held = model.training(layouts, micro_batch, sequence, global_batch_tokens, precision)
    if not held.fits[0]:
        raise _too_big(
            architecture, variant, held, model, _what_trains(model, architecture, layouts, sequence, precision)
        )
    seconds, chips = float(step.seconds[0]), int(layouts.chips[0])
    tokens_per_s = global_batch_tokens / seconds
    flop_per_s = model.training_flop_per_token(sequence) * tokens_per_s
    return Estimate(
        None, None, seconds, tokens_per_s, chips, flop_per_s / (chips * model.peak(precision)),
        _parts(held), model.memory_limit, float(held.recomputed[0]), model.basis, model.source,
        model.interval, model.interval, _operators("step", step),
    )  # fmt: skip


def _parts(held: Memory) -> dict[str, float]:
    return {
        "weights": float(held.weights[0]),
        "kv": float(held.kv[0]),
        "activations": float(held.activations[0]),
        "optimizer": float(held.optimizer[0]),
    }


def _operators(phase: str, times: Times) -> tuple[Operator, ...]:
    rows = zip(times.operators, times.by_operator[:, 0], times.bound[:, 0], strict=True)
    return tuple(Operator(phase, name, float(s), BOUNDS[b]) for name, s, b in rows if s > 0)


def _too_big(architecture: Architecture, variant: Variant, held: Memory, model: CostModel, remedy: str) -> InputError:
    parts = ", ".join(f"{name} {show_bytes(value)}" for name, value in _parts(held).items() if value)
    return InputError(
        f"{architecture.name} in {variant.name} needs {show_bytes(float(held.total[0]))} a chip; "
        f"{show_bytes(model.memory_limit)} of {model.chip.name} may be used",
        why=parts,
        remedy=remedy,
    )


def _candidates(model: CostModel, architecture: Architecture, layouts: Layouts) -> Layouts:
    asked = fit.Question(architecture, model.chip, model.profile.engine, 1, 1)
    return fit.layouts(asked, dp=int(layouts.dp[0]), ep=int(layouts.ep[0]))


def _what_fits(model: CostModel, architecture: Architecture, layouts: Layouts, context: float, batch: int) -> str:
    most = int(model.max_sequences(layouts, context)[0])
    if most:
        return f"--batch {most} or less"
    table = _candidates(model, architecture, layouts)
    good = model.serving_memory(table, batch, context).fits
    return _first(table, good, "more memory a chip, a smaller model, or fewer bits (--variant)")


def _what_trains(
    model: CostModel, architecture: Architecture, layouts: Layouts, sequence: float, precision: Precision
) -> str:
    table = _candidates(model, architecture, layouts)
    _, held = model.training(table, 1, sequence, 1e9, precision)
    return _first(table, held.fits, "more data ranks (--dp), or a smaller model")


def _first(table: Layouts, good: np.ndarray[Any, np.dtype[np.bool_]], otherwise: str) -> str:
    if not good.any():
        return otherwise
    i = int(good.argmax())
    pipeline = f" --pp {table.pp[i]}" if table.pp[i] > 1 else ""
    return f"--tp {table.tp[i]}{pipeline}"

"""Serving predictions against published runs: errors by kind, model, chip and engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eke.cost import CostModel, Layouts, Profile
from eke.cost.closed_loop import Steady, apart, steady
from eke.cost.tables import FloatArray
from eke.errors import EkeError
from eke.fleet.chip import Chip
from serving_rows import Run, Worker, read
from settings import Settings

PLAIN = ("dense", "moe", "disaggregated")
Tune = Callable[[Profile], Profile]


def predict(runs: Sequence[Run], tune: Tune | None = None) -> tuple[FloatArray, FloatArray]:
    """(ttft, tpot) of each run in seconds, NaN where the model has none."""
    ttft, tpot = np.full(len(runs), np.nan), np.full(len(runs), np.nan)
    groups: dict[object, list[int]] = defaultdict(list)
    for at, run in enumerate(runs):
        groups[
            run.model.name,
            run.chip.name,
            run.engine,
            run.variant,
            run.prefill is None,
            replace(run.settings, held=0.0),
        ].append(at)
    for members in groups.values():
        some = [runs[at] for at in members]
        try:
            ttft[members], tpot[members] = _group(some, tune)
        except EkeError:
            continue
    return ttft, tpot


def _group(runs: Sequence[Run], tune: Tune | None) -> tuple[FloatArray, FloatArray]:
    first = runs[0]
    cost = CostModel(first.model, first.chip, first.variant, engine=first.engine)
    started = _started(cost.profile if tune is None else tune(cost.profile), first.chip, first.settings)
    cost = CostModel(first.model, first.chip, first.variant, engine=first.engine, profile=started)
    seen = _together(cost, runs) if first.prefill is None else _apart(cost, runs)
    return seen.ttft_s, seen.tpot_s


def _started(profile: Profile, chip: Chip, settings: Settings) -> Profile:
    """The profile of an engine started with these settings."""
    if settings.products:  # experts have kernels of their own
        share = settings.products / chip.flops["fp8"]
        slower = share / profile.gemm["fp8"]
        profile = replace(
            profile,
            gemm={**profile.gemm, "fp8": share},
            experts={**profile.experts, "fp8": profile.experts["fp8"] / slower},
        )
    return replace(
        profile,
        batched_tokens=settings.tokens or profile.batched_tokens,
        usable=settings.memory or profile.usable,
        launch_s=0.0 if settings.graphs else profile.launch_s,
        gathers=0.0 if settings.sends else profile.gathers,
        lockstep=0.0 if settings.balanced else profile.lockstep,
    )


def _layouts(workers: Sequence[Worker]) -> Layouts:
    tp, ep, dp = np.array([worker.layout for worker in workers]).T
    return Layouts.of(tp, 1, ep, dp)


def _together(cost: CostModel, runs: Sequence[Run]) -> Steady:
    return steady(
        cost,
        _layouts([run.decode for run in runs]),
        [run.clients / max(run.decode.count, 1) for run in runs],
        [run.lengths[0] for run in runs],
        [run.lengths[1] for run in runs],
        differ=[run.differ for run in runs],
        drafted=[run.drafted for run in runs],
        held=[run.settings.held for run in runs],
    )


def _apart(cost: CostModel, runs: Sequence[Run]) -> Steady:
    return apart(
        cost,
        cost,
        _layouts([run.prefill for run in runs if run.prefill]),
        _layouts([run.decode for run in runs]),
        [run.clients for run in runs],
        [run.lengths[0] for run in runs],
        [run.lengths[1] for run in runs],
        readers=[run.prefill.count for run in runs if run.prefill],
        decoders=[max(run.decode.count, 1) for run in runs],
        places=[run.places for run in runs],
        reads=[run.reads for run in runs],
        slots=[run.slots for run in runs],
        differ=[run.differ for run in runs],
        drafted=[run.drafted for run in runs],
    )


def report(file: Path, *, by: bool = False) -> dict[str, Any]:
    """Errors on the runs of `file` by kind; printed, and as SCENARIO.md has them."""
    runs, unread = read(file)
    ttft, tpot = predict(runs)
    errors = {
        "tpot": _errors(tpot, [run.tpot_s for run in runs]),
        "ttft": _errors(ttft, [run.ttft_s for run in runs]),
    }
    kinds = np.array([run.kind for run in runs], dtype=object)
    lost = Counter("disaggregated" if "(disagg)" in why else "moe" for why in unread)
    found = {kind: _summary(errors, kinds == kind, lost[kind]) for kind in PLAIN}
    found["all"] = _summary(errors, np.ones(len(runs), dtype=bool), len(unread))
    _print(f"serving: {file.name}", found)
    if by:
        names = np.array([f"{r.kind} {r.published} {r.system} {r.engine} {r.variant.name}" for r in runs], dtype=object)
        _print("by group", {str(n): _summary(errors, names == n, 0) for n in sorted(set(names))})
    for why in unread[:10]:
        print(f"  not read: {why}")
    return found


def _errors(predicted: FloatArray, measured: Sequence[float]) -> FloatArray:
    wrong: FloatArray = np.abs(predicted / np.asarray(measured) - 1.0)
    return np.where(np.isfinite(wrong), wrong, 1.0)


def _summary(errors: Mapping[str, FloatArray], here: np.ndarray[Any, Any], lost: int) -> dict[str, Any]:
    """`lost` rows that could not be read count as errors of 100%."""
    medians = {
        f"{name}_median_error": float(np.median(np.append(wrong[here], np.ones(lost)))) if here.any() or lost else None
        for name, wrong in errors.items()
    }
    unpredicted = int((errors["tpot"][here] == 1.0).sum()) + lost
    return {"rows": int(here.sum()) + lost, "unpredicted": unpredicted, **medians}


def _print(title: str, found: Mapping[str, Mapping[str, Any]]) -> None:
    width = max(24, *(len(name) for name in found))
    print(f"{title:{width}} {'rows':>6} {'none':>5} {'TPOT':>7} {'TTFT':>7}   median absolute error")
    for name, line in found.items():
        shown = [
            f"{line[k]:7.1%}" if line[k] is not None else "      –" for k in ("tpot_median_error", "ttft_median_error")
        ]
        print(f"{name:{width}} {line['rows']:6d} {line['unpredicted']:5d} {' '.join(shown)}")

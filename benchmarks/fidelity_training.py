"""How well training speed is predicted: `python benchmarks/fidelity_training.py [--rows] [--json OUT]`.

Prints predicted against published tokens/s of a chip, by source, with the shipped coefficients; with `--held-out`, with
coefficients fitted to the other models (or chips) alone. `--fit` fits the shipped ones again, `--ablate` says what
each coefficient earns. See `fit_training.py` for how.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from eke.cost import CostModel, Layouts, Profile, profile, trainers
from eke.cost.tables import FloatArray
from eke.cost.trainers import Trainer
from eke.models.variant import Variant
from training_models import architecture, chip
from training_rows import Row, rows

SCALE_OUT = {"B200-SXM": 50e9}  # ConnectX-7 at 400 Gb/s in the machines of these tables


def model_of(row: Row, document: Mapping[str, Any] | None = None) -> CostModel:
    """The cost model of a row's model, chip and framework."""
    on = chip(row.chip)
    trainer: Trainer = trainers.find(on, row.family, document)
    variant = Variant("bf16", 16.0, "bf16", 16.0, None)
    return CostModel(
        architecture(row.model), on, variant, engine=row.family, scale_out=SCALE_OUT.get(row.chip), trainer=trainer,
        profile=_profile(row.chip, row.family),
    )  # fmt: skip


@cache
def _profile(name: str, engine: str) -> Profile:
    return profile.find(chip(name), engine)


def group_key(row: Row) -> tuple[object, ...]:
    """Rows that one call can predict."""
    return (row.model, row.chip, row.family, row.precision, row.sharding, row.recompute, row.frozen, row.chunks is None)


def predict(group: Sequence[Row], document: Mapping[str, Any] | None = None) -> FloatArray:
    """Tokens/s of a chip for rows of one group, at the layout they state."""
    first = group[0]
    model = model_of(first, document)
    column = lambda name: np.array([getattr(r, name) for r in group])  # noqa: E731
    tp, pp, cp = column("tp"), column("pp"), column("cp")
    dp = column("chips") // (tp * pp * cp)
    tokens = column("batch") * column("sequence")
    table = Layouts(tp, pp, column("ep"), dp)
    times, _ = model.training(
        table, column("micro"), column("sequence"), tokens, first.precision, recompute=first.recompute,
        sharding=first.sharding, context_parallel=cp, frozen=first.frozen,
        virtual_stages=None if first.chunks is None else column("chunks"),
    )  # fmt: skip
    return tokens / times.seconds / column("chips")


def best(row: Row, document: Mapping[str, Any] | None = None) -> Row:
    """The row with the layout that the model finds fastest among those that fit."""
    a = architecture(row.model)
    experts = max((b.feed_forward.experts for b in a.blocks), default=0)
    powers = [1, 2, 4, 8, 16]
    options = [
        (tp, pp, ep, cp, m)
        for tp in powers[:4] for pp in powers for cp in powers[: 5 if row.sequence > 16384 else 2 if row.frozen else 1]
        for ep in ((1, 2, 4, 8) if experts else (1,)) for m in (1, 2, 4)
        if row.chips % (tp * pp * cp) == 0 and pp <= a.layers and (row.chips // (pp * cp)) % ep == 0
        and (row.chips // (pp * cp * tp)) * m <= max(row.batch or 1, 1)
    ]  # fmt: skip
    if not options:  # more data ranks than sequences: cut sequences instead
        options = [(8, 1, 1, c, 1) for c in powers if row.chips % (8 * c) == 0] or [(1, 1, 1, 1, 1)]
    tp, pp, ep, cp, micro = (np.array(x) for x in zip(*options, strict=True))
    dp = row.chips // (tp * pp * cp)
    tokens = float((row.batch or 1) * row.sequence)
    model = model_of(row, document)
    times, held = model.training(
        Layouts(tp, pp, ep, dp), micro, row.sequence, tokens, row.precision, recompute=row.recompute,
        context_parallel=cp, frozen=row.frozen,
    )  # fmt: skip
    seconds = np.where(held.fits, times.seconds, times.seconds + 1e6 * (held.total / model.memory_limit))
    i = int(seconds.argmin())
    return replace(
        row, tp=int(tp[i]), pp=int(pp[i]), ep=int(ep[i]), cp=int(cp[i]), micro=int(micro[i]), note=f"{row.note} (found)"
    )


def laid_out(document: Mapping[str, Any] | None = None, of: Sequence[Row] | None = None) -> list[Row]:
    """All rows, each with a layout."""
    return [r if r.stated else best(r, document) for r in (rows()[0] if of is None else of)]


def groups(of: Sequence[Row]) -> list[list[int]]:
    """Indices of rows that one call can predict."""
    found: dict[tuple[object, ...], list[int]] = {}
    for i, row in enumerate(of):
        found.setdefault(group_key(row), []).append(i)
    return list(found.values())


def ratios(of: Sequence[Row], document: Mapping[str, Any] | None = None) -> FloatArray:
    """Predicted over measured speed. [n]"""
    out = np.empty(len(of))
    for members in groups(of):
        group = [of[i] for i in members]
        out[members] = predict(group, document) / np.array([r.measured for r in group])
    return out


def table(of: Sequence[Row], ratio: FloatArray, title: str) -> None:
    """Errors by source."""
    if not of:
        return
    print(f"{title:34}{'rows':>5}{'median':>8}{'p90':>7}{'ratio':>7}   worst")
    names = list(dict.fromkeys(r.source for r in of))
    for name in (*names, "all"):
        at = [i for i, r in enumerate(of) if name in (r.source, "all")]
        error = np.abs(ratio[at] - 1)
        i = at[int(np.abs(np.log(ratio[at])).argmax())]
        print(
            f"{name:34}{len(at):5}{np.median(error):8.1%}{np.quantile(error, 0.9):7.0%}{np.median(ratio[at]):7.2f}"
            f"   {ratio[i]:.2f} {of[i].name[:70]}"
        )


def report(files: Sequence[Path] | None = None) -> dict[str, dict[str, float]]:
    """Errors by source on the rows of `files`, printed; rows that cannot be priced count as errors of 100%."""
    read, unread = rows(files)
    of = laid_out(of=read)
    ratio = ratios(of)
    table(of, ratio, "training tokens/s of a chip")
    for why in unread[:10]:
        print(f"  not read: {why}")
    out: dict[str, dict[str, float]] = {}
    for name in ("all", *dict.fromkeys(r.source for r in of)):
        error = [abs(x - 1) for r, x in zip(of, ratio, strict=True) if name in (r.source, "all")]
        lost = len(unread) if name == "all" else 0
        out[name] = {
            "rows": len(error) + lost,
            "unpredicted": lost,
            "median_error": float(np.median([*error, *[1.0] * lost] or [1.0])),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", action="store_true", help="every row")
    parser.add_argument("--source", help="rows of one source only")
    parser.add_argument("--fit", action="store_true", help="fit and write the shipped coefficients")
    parser.add_argument("--held-out", nargs="+", choices=("model", "chip"), default=(), help="leave these out in turn")
    parser.add_argument("--ablate", action="store_true", help="models left out, each coefficient at its guess")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.fit or asked.held_out or asked.ablate:
        import fit_training

        fit_training.run(fitting=asked.fit, leaving=asked.held_out, ablating=asked.ablate)
        return
    of = laid_out()
    ratio = ratios(of)
    table(of, ratio, "training tokens/s of a chip")
    if asked.rows or asked.source:
        for r, x in zip(of, ratio, strict=True):
            if not asked.source or asked.source in r.source:
                layout = f"tp{r.tp} pp{r.pp} ep{r.ep} cp{r.cp} mb{r.micro}"
                print(f"{x:6.2f} {r.measured:10.0f} {r.source:16} {layout:24} {r.recompute or '-':9} {r.name}")
    if asked.json:
        lines = [{"source": r.source, "row": r.name, "measured": r.measured, "predicted": r.measured * x}
                 for r, x in zip(of, ratio, strict=True)]  # fmt: skip
        asked.json.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

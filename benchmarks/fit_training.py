"""Fits the training coefficients to published rows: damped Gauss-Newton on logarithms, held to physical priors.

A coefficient belongs to a chip (shares of its peaks, by its lender's name) or to a framework. Shares move on the logit
scale, others on the log scale. Rows are weighted so that no source drowns the others, and far ones count less (Huber).
Knows coefficients and rows; how a row is predicted is `fidelity_training`'s.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from eke.cost import trainers
from eke.cost.profile import relatives
from eke.cost.tables import FloatArray
from fidelity_training import groups, laid_out, predict, ratios, table
from training_models import chip
from training_rows import Row

Document = dict[str, Any]
PRIOR = {  # how far from its first guess a coefficient may move, one standard deviation, on its scale
    "gemm": 0.35, "attention": 0.6, "pad": 0.7, "link_out": 0.5, "memory": 0.25,
    "framework": 0.12, "attention_kernel": 0.3, "elementwise": 0.5, "cast": 0.5, "layer_s": 1.0, "call_s": 1.2,
    "pad_expert": 0.7, "overlap": 0.8, "overlap_tp": 0.8, "overlap_ep": 1.0, "overlap_cp": 0.8, "straggle": 0.6,
    "imbalance": 0.1, "experts": 0.5, "selective": 0.5, "step_s": 0.7,
}  # fmt: skip
SHARES = {
    "gemm",
    "experts",
    "attention",
    "memory",
    "link_out",
    "overlap",
    "overlap_tp",
    "overlap_ep",
    "overlap_cp",
    "selective",
}
FOLDS = {"model": 8, "chip": 99}  # no more than there are: each chip alone
ABLATION_FOLDS = 4  # of models, for each kind of coefficient
Z80, USUAL_SPREAD, FEW_ROWS = 1.2816, 0.15, 4  # half an 80% interval in deviations; what spreads are drawn to
NOISE, FAR, ENOUGH = 0.06, 2.0, 14.0  # of a row's logarithm; where Huber turns; rows of a group that count in full


@dataclass(frozen=True, slots=True)
class Knob:
    """One coefficient: `section`/`owner`/`name`, of one precision where it is a share of products."""

    section: str
    owner: str
    name: str
    precision: str | None = None

    def get(self, document: Mapping[str, Any]) -> float:
        """Its value, or the default it would have."""
        default = document["default"]
        own = default if self.section == "default" else document[self.section][self.owner]
        if self.precision:
            return float(own.get("gemm", {}).get(self.precision, default["gemm"][self.precision]))
        return float(own.get(self.name, default[self.name]))

    def put(self, document: Document, value: float) -> None:
        """Write it."""
        own = document["default"] if self.section == "default" else document[self.section][self.owner]
        if self.precision:
            own.setdefault("gemm", {})[self.precision] = value
        else:
            own[self.name] = value

    def scale(self, value: float) -> float:
        """Onto the scale it moves on."""
        return float(np.log(value / (1 - value)) if self.name in SHARES else np.log(value))

    def value(self, scaled: float) -> float:
        """And back."""
        return float(1 / (1 + np.exp(-scaled)) if self.name in SHARES else np.exp(scaled))


CHIP = ("attention", "pad", "link_out")
FAMILY = ("framework", "attention_kernel", "overlap")
SHARED = ("elementwise", "cast", "layer_s", "call_s", "experts", "pad_expert")  # one value for all
EXTRA = {
    "torchtitan": ("overlap_tp",), "torchtitan-async": ("overlap_tp",), "megatron": ("overlap_tp", "straggle"),
    "mindspeed": ("experts", "overlap_tp"), "nemo-mlperf": ("overlap_tp",),
}  # fmt: skip
SISTERS = {"GB300", "MI325X", "MI350X"}  # another power limit than the chip they borrow from: products alone
FEW = {
    "torch",
    "torchtitan-async",
    "dualpipe",
    "mindspeed-legacy",
    "amd-mlperf",
    "megatron-unfused",
}  # families with few rows: framework alone


def lenders(row: Row, document: Mapping[str, Any]) -> list[str]:
    """Whose coefficients a row's chip takes, nearest first."""
    return [n for n in relatives(chip(row.chip)) if n in document["chips"]]


def knobs(of: Sequence[Row], document: Mapping[str, Any], without: Sequence[str] = ()) -> list[Knob]:
    """Coefficients that these rows can say something about."""
    found: list[Knob] = []
    for owner in document["chips"]:
        mine = [r for r in of if owner in lenders(r, document)]
        found += [
            Knob("chips", owner, "gemm", p)
            for p in sorted({r.precision for r in mine if r.precision in chip(r.chip).flops})
        ]
        if owner in SISTERS:
            continue
        if len(mine) >= 8:
            found += [Knob("chips", owner, name) for name in CHIP]
        elif mine:
            found += [Knob("chips", owner, "attention")]
    for owner in document["families"]:
        if any(r.family == owner for r in of):
            names = ("framework",) if owner in FEW else FAMILY
            found += [Knob("families", owner, name) for name in (*names, *EXTRA.get(owner, ()))]
    found += [Knob("default", "", name) for name in SHARED]
    return [k for k in found if k.name not in without]


def _touches(knob: Knob, row: Row, document: Mapping[str, Any]) -> bool:
    """Whether a row's prediction can depend on a coefficient."""
    if knob.section == "chips":
        return knob.owner in lenders(row, document)
    return knob.section == "default" or row.family == knob.owner


def fit(of: Sequence[Row], start: Document, without: Sequence[str] = (), rounds: int = 6) -> tuple[Document, int]:
    """Coefficients for these rows, beginning (and held) near `start`; and how many were fitted."""
    document = copy.deepcopy(start)
    ks = knobs(of, document, without)
    z0 = np.array([k.scale(k.get(document)) for k in ks])
    sigma = np.array([PRIOR[k.name] for k in ks])
    parts = groups(of)
    counts = Counter((r.source, r.chip) for r in of)
    weight = np.array([_trust(r) * min(1.0, ENOUGH / counts[r.source, r.chip]) ** 0.5 for r in of])
    touched = [[g for g in parts if _touches(k, of[g[0]], document)] for k in ks]
    measured = np.log([r.measured for r in of])

    def residuals(doc: Document, which: Sequence[Sequence[int]]) -> FloatArray:
        out = np.zeros(len(of))
        for g in which:
            out[list(g)] = np.log(predict([of[i] for i in g], doc)) - measured[list(g)]
        return out

    def cost(r: FloatArray, z: FloatArray) -> float:
        x = np.abs(r * weight / NOISE)
        return float(np.where(x < FAR, x * x / 2, FAR * (x - FAR / 2)).sum() + (((z - z0) / sigma) ** 2).sum() / 2)

    def at(z: FloatArray) -> Document:
        doc = copy.deepcopy(document)
        for k, x in zip(ks, z, strict=True):
            k.put(doc, k.value(x))
        return doc

    z, damping, step = z0.copy(), 0.1, 0.02
    current = at(z)
    r = residuals(current, parts)
    for _ in range(rounds):
        jacobian = np.zeros((len(of), len(ks)))
        for j, k in enumerate(ks):
            moved = copy.deepcopy(current)
            k.put(moved, k.value(z[j] + step))
            rows_at = [i for g in touched[j] for i in g]
            jacobian[rows_at, j] = (residuals(moved, touched[j])[rows_at] - r[rows_at]) / step
        x = np.abs(r * weight / NOISE)
        w = (weight / NOISE) ** 2 * np.minimum(1.0, FAR / np.maximum(x, 1e-9))
        hessian = jacobian.T @ (w[:, None] * jacobian) + np.diag(sigma**-2)
        gradient = jacobian.T @ (w * r) + (z - z0) / sigma**2
        for _ in range(5):
            move = -np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
            new = z + np.clip(move, -1.0, 1.0)
            doc = at(new)
            after = residuals(doc, parts)
            if cost(after, new) < cost(r, z):
                z, current, r, damping = new, doc, after, damping / 3
                break
            damping *= 4
    return current, len(ks)


def _trust(row: Row) -> float:
    """How far a row is believed: less where its layout is our finding, not at all where its kernel is another one."""
    return 0.0 if "rowwise" in row.note else 0.7 if "found" in row.note else 1.0


def held_out(start: Document, of: Sequence[Row], key: str, folds: int, without: Sequence[str] = ()) -> FloatArray:
    """Ratios of every row, predicted by coefficients fitted without the rows of its model (or chip).

    Models (chips) are dealt into folds, most rows first; no fold knows anything of the models it predicts.
    """
    names = [name for name, _ in Counter(getattr(r, key) for r in of).most_common()]
    out = np.full(len(of), np.nan)
    for fold in range(min(folds, len(names))):
        left = set(names[fold::folds])
        inside = [r for r in of if getattr(r, key) not in left]
        document, _ = fit(inside, start, without, rounds=4)
        at = [i for i, r in enumerate(of) if getattr(r, key) in left]
        for g in groups([of[i] for i in at]):
            members = [at[i] for i in g]
            out[members] = predict([of[i] for i in members], document) / np.array([of[i].measured for i in members])
    return out


def coverage(of: Sequence[Row], ratio: FloatArray, key: str) -> float:
    """Share of held-out rows inside an 80% interval that was made from the other models (or chips) alone."""
    inside = []
    for i, row in enumerate(of):
        others = [j for j, r in enumerate(of) if getattr(r, key) != getattr(row, key)]
        spread = spreads([of[j] for j in others], ratio[others]).get(row.family, USUAL_SPREAD)
        inside.append(abs(np.log(ratio[i])) <= Z80 * spread)
    return float(np.mean(inside))


def spreads(of: Sequence[Row], ratio: FloatArray) -> dict[str, float]:
    """By framework: the spread whose 80% interval holds 80% of held-out rows, drawn to the usual where they are few."""
    out = {}
    for family in dict.fromkeys(r.family for r in of):
        error = np.abs(np.log(ratio[[i for i, r in enumerate(of) if r.family == family]]))
        n = len(error)
        known = float(np.quantile(error, 0.8)) / Z80
        out[family] = (n * known + FEW_ROWS * USUAL_SPREAD) / (n + FEW_ROWS)
    return out


def write(document: Document, source: str) -> None:
    """Put coefficients into the shipped file, three digits each."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: short(v) for k, v in value.items()}
        return float(f"{value:.3g}") if isinstance(value, float) else value

    text = "# Written by `python benchmarks/fidelity_training.py --fit`; reasons: benchmarks/training_guesses.yaml.\n"
    body = yaml.safe_dump(short(document | {"source": source}), sort_keys=False, default_flow_style=None, width=118)
    trainers.SHIPPED.write_text(text + body, encoding="utf-8")


def run(*, fitting: bool, leaving: Sequence[str], ablating: bool) -> None:
    """What the command line asks for."""
    start = _guesses()
    of = laid_out(start)
    document, count = fit(of, start)
    of = laid_out(document)  # layouts nobody stated, found again
    document, count = fit(of, start)
    print(f"{count} coefficients, {len(of)} rows")
    table(of, ratios(of, document), "fitted to all")
    for key in leaving:
        ratio = held_out(start, of, key, FOLDS[key])
        table(of, ratio, f"{key}s left out")
        print(f"within an 80% interval made without them: {coverage(of, ratio, key):.0%}")
        if key == "model":
            for family, spread in spreads(of, ratio).items():
                document["families"][family]["spread"] = spread
    if ablating:
        for name in ("nothing", *sorted({k.name for k in knobs(of, start)})):
            ratio = held_out(start, of, "model", ABLATION_FOLDS, (name,))
            error, n = np.abs(ratio - 1), len(knobs(of, start, (name,)))
            print(f"{name:18} at its guess: {n:3} fitted  median {np.median(error):.1%}  mean {error.mean():.1%}")
    if fitting:
        write(document, "public training tables and runs, by benchmarks/fidelity_training.py --fit")


def _guesses() -> Document:
    """First guesses: the file's defaults, with chips and families named and what is known of them beforehand."""
    guesses: Document = yaml.safe_load((Path(__file__).parent / "training_guesses.yaml").read_text(encoding="utf-8"))
    return guesses
